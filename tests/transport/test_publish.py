"""Publishing whole batches to a real broker."""

from __future__ import annotations

import time

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from recon_stream.errors import InvariantViolated
from recon_stream.topics import RESULTS, create_topics
from recon_stream.transport.publish import pack, publish

pytestmark = pytest.mark.stack


@pytest.fixture
async def producer(stack):
    producer = AIOKafkaProducer(
        bootstrap_servers=stack.kafka_bootstrap_servers, acks="all", enable_idempotence=True, max_batch_size=20_000
    )
    await producer.start()
    yield producer
    await producer.stop()


async def test_the_offset_returned_is_that_of_the_last_record(group, producer, stack):
    """Over several batches; records arrive in order, with their timestamp, a None value as a tombstone."""
    pairs = [(b"key %d" % i, b"x" * 100 if i % 7 else None) for i in range(1000)]
    topic = group.topics[0]
    assert await publish(producer, topic, 0, pack(producer, pairs[:3], 1_700_000_000_000)) == (2, None)
    builders = pack(producer, pairs[3:], 1_700_000_000_001)
    assert len(builders) > 3
    assert await publish(producer, topic, 0, builders) == (999, None)
    assert await publish(producer, topic, 0, []) is None
    reader = AIOKafkaConsumer(bootstrap_servers=stack.kafka_bootstrap_servers, auto_offset_reset="earliest")
    await reader.start()
    try:
        reader.assign([TopicPartition(topic, 0)])
        records = [await reader.getone() for _ in pairs]
    finally:
        await reader.stop()
    assert [(r.key, r.value) for r in records] == pairs
    assert (records[2].timestamp, records[3].timestamp) == (1_700_000_000_000, 1_700_000_000_001)


async def test_the_brokers_clock_is_told_where_the_topic_goes_by_it(producer, stack, settings):
    """As all topics do that workers write to; what the writer's own clock says does not count there."""
    await create_topics(settings)
    before = time.time_ns() // 1_000_000
    appended = await publish(producer, RESULTS, 0, pack(producer, [(b"key", b"value")], 7_200_000 + before))
    assert appended is not None
    assert before <= appended.at_ms <= time.time_ns() // 1_000_000


async def test_a_record_larger_than_a_batch_is_named(producer):
    """Not lost, not a worker that dies without a word."""
    with pytest.raises(InvariantViolated, match=r"30\d\d\d bytes with key b'big'"):
        pack(producer, [(b"small", b"x"), (b"big", b"x" * 30_000)], 0)
