"""Publishing whole batches to a real broker."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from recon_stream.errors import InvariantViolated
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
    assert await publish(producer, topic, 0, pack(producer, pairs[:3], 1_700_000_000_000)) == 2
    builders = pack(producer, pairs[3:], 1_700_000_000_001)
    assert len(builders) > 3
    assert await publish(producer, topic, 0, builders) == 999
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


async def test_a_record_larger_than_a_batch_is_named(producer):
    """Not lost, not a worker that dies without a word."""
    with pytest.raises(InvariantViolated, match=r"30\d\d\d bytes with key b'big'"):
        pack(producer, [(b"small", b"x"), (b"big", b"x" * 30_000)], 0)
