"""The feeds on a real broker and registry: everything planned arrives, once, where it belongs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import ConsumerRecord

from producers.feed import Sent, feed
from producers.plan import Fault, Frame, Plan, Planned, Timing
from producers.publish import PRODUCER_CONFIG, Publisher, partition_of
from producers.rejects import encode_event
from producers.simulator import Simulator, schedule
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.registration import check_schemas, register_schemas
from recon_stream.settings import Settings
from recon_stream.topics import create_topics

pytestmark = pytest.mark.stack

Ends = dict[TopicPartition, int]


@pytest.fixture
async def ready(settings: Settings) -> Settings:
    """Topics and schemas are there."""
    await create_topics(settings)
    await register_schemas(settings)
    return settings


def a_plan(transactions: int = 600, interval_us: int = 500, **changes: object) -> Plan:
    """A plan of all faults, of its own: it begins now."""
    base_ms = time.time_ns() // 1_000_000
    plan = Plan(
        seed=11,
        base_ms=base_ms,
        interval_us=interval_us,
        transactions=transactions,
        paced=False,
        mix=dict.fromkeys(Fault, 1),
        timing=Timing(grace_ms=5_000, status_grace_ms=8_000),
    )
    return replace(plan, **changes)


def partitions(settings: Settings) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic in SOURCE_TOPICS for number in range(settings.partitions)]


async def ends(settings: Settings) -> Ends:
    """The end offset of every partition of the source topics."""
    async with AIOKafkaConsumer(**settings.kafka_client()) as consumer:
        return await consumer.end_offsets(partitions(settings))


async def records_since(settings: Settings, before: Ends) -> list[ConsumerRecord]:
    """Everything in the source topics behind those offsets, in the order of each partition."""
    async with AIOKafkaConsumer(**settings.kafka_client(), enable_auto_commit=False) as consumer:
        after = await consumer.end_offsets(partitions(settings))
        consumer.assign(list(after))
        found = []
        for partition, end in after.items():
            consumer.seek(partition, before[partition])
            while await consumer.position(partition) < end:
                for batch in (await consumer.getmany(partition, timeout_ms=5_000)).values():
                    found += batch
        return found


def environment(settings: Settings) -> dict[str, str]:
    """The variables with which a process has these settings."""
    given = {field.metadata["name"]: getattr(settings, field.name) for field in fields(Settings)}
    return {"PATH": os.environ["PATH"]} | {name: str(value) for name, value in given.items()}


async def test_everything_planned_arrives_once_in_planned_order(ready: Settings, tmp_path: Path) -> None:
    """The topics hold the plan's records to the byte, each under its key in murmur2's partition, in order of sending."""
    before, plan, key_path = await ends(ready), a_plan(), tmp_path / "key.jsonl"
    started = time.time_ns() // 1_000_000
    sent = await feed(ready, plan, key_path)
    schema_id = next(state.schema_id for state in await check_schemas(ready))
    assert schema_id is not None
    expected: dict[TopicPartition, list[tuple[bytes | None, bytes | None]]] = {}
    heads = {
        Frame.OURS: b"\x00" + schema_id.to_bytes(4, "big"),
        Frame.UNKNOWN: b"\x00" + (2_147_000_000).to_bytes(4, "big"),
        Frame.NONE: b"",
    }
    partitioner = DefaultPartitioner()
    for record in schedule(plan, lambda planned: None, lambda: False):
        body = encode_event(record.event) if record.event is not None else record.body
        partition = partitioner(record.key or b"", list(range(ready.partitions)), [])
        value = None if body is None else heads[record.frame] + body
        expected.setdefault(TopicPartition(SOURCE_TOPICS[record.source], partition), []).append((record.key, value))
    found: dict[TopicPartition, list[tuple[bytes | None, bytes | None]]] = {}
    for record in await records_since(ready, before):
        found.setdefault(TopicPartition(record.topic, record.partition), []).append((record.key, record.value))
        assert started <= record.timestamp <= time.time_ns() // 1_000_000
        assert record.timestamp_type == 0
    assert found == expected
    totals = json.loads(key_path.read_text().splitlines()[-1])["totals"]
    assert totals["records"] == sent.records == Counter(tp.topic for tp, values in found.items() for _ in values)
    assert totals["transactions"] == sent.transactions == 600


async def test_single_sources_send_parts_of_one_plan(ready: Settings) -> None:
    """Three feeds that share the parameters send together what one feed of all sources sends."""
    before, plan = await ends(ready), a_plan(200)
    sent = [await feed(ready, plan, sources=[source]) for source in range(3)]
    assert [list(each.records) for each in sent] == [[topic] for topic in SOURCE_TOPICS]
    found = Counter((record.topic, record.key, record.value is None) for record in await records_since(ready, before))
    planned = Counter(
        (SOURCE_TOPICS[record.source], record.key, record.event is None and record.body is None)
        for record in schedule(plan, lambda planned: None, lambda: False)
    )
    assert found == planned


def test_the_producer_is_idempotent_and_waits_for_all_replicas() -> None:
    """What makes a retry inside the client harmless is not left to defaults."""
    assert PRODUCER_CONFIG["enable_idempotence"] is True
    assert PRODUCER_CONFIG["acks"] == "all"


async def test_the_broker_gave_the_feed_a_producer_id(ready: Settings) -> None:
    """Batches carry the id and sequence by which the broker drops what a retry sends twice."""
    async with Publisher(ready, [0]) as publisher:
        assert publisher._producer._txn_manager is not None
        assert publisher._producer._sender._acks == -1
        await publisher.send([record for record in Simulator(a_plan()).transaction(1).records if record.source == 0])
        await publisher.flush()
        assert publisher._producer._txn_manager.producer_id >= 0


async def test_a_paced_feed_sends_at_the_planned_times(ready: Settings) -> None:
    """Late legs are late by the broker's records, and legs on time are not."""
    timing = Timing(grace_ms=600, status_grace_ms=600, skew_ms=200)
    plan = a_plan(20, 20_000, timing=timing, mix={Fault.LATE: 1, Fault.CLEAN: 1}, paced=True)
    before = await ends(ready)
    plan = replace(plan, base_ms=time.time_ns() // 1_000_000 + 2_000)  # the feed is connected by then
    begun: list[Planned] = []
    planned = {(r.key, r.source): r.send_ms for r in schedule(plan, begun.append, lambda: False)}
    await feed(ready, plan)
    for record in await records_since(ready, before):
        late = record.timestamp - plan.base_ms - planned[record.key, SOURCE_TOPICS.index(record.topic)]
        assert 0 <= late < 1_000
    assert any(one.fault is Fault.LATE for one in begun)


async def test_a_stopped_feed_has_sent_every_transaction_that_its_key_names(ready: Settings, tmp_path: Path) -> None:
    """Stopping begins nothing new and completes what was begun, at once."""
    before, key_path, stop = await ends(ready), tmp_path / "key.jsonl", asyncio.Event()

    def stop_soon(sent: Sent) -> None:
        if sent.transactions >= 20:
            stop.set()

    began = time.monotonic()
    sent = await feed(ready, a_plan(100_000, 5_000, paced=True), key_path, stop_soon, stop)
    assert sent.stopped
    assert time.monotonic() - began < 20, "the plan takes 500 s"
    *lines, last = [json.loads(text) for text in key_path.read_text().splitlines()]
    assert len(lines) == sent.transactions == last["totals"]["transactions"] < 1_000
    found = Counter(record.topic for record in await records_since(ready, before))
    assert found == last["totals"]["records"] == sent.records


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_script_stops_cleanly_when_told(ready: Settings, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM: exit code 0, everything begun is acknowledged, and it says what was sent."""
    before = await ends(ready)
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "producers.gateway_producer", "--forever", "--rate", "200", "--clean", "--json"],
        env=environment(ready),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            while await ends(ready) == before:  # noqa: ASYNC110 - another process moves it
                await asyncio.sleep(0.1)
            process.send_signal(number)
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err
    said = json.loads(out)
    assert said["stopped"] is True
    found = Counter(record.topic for record in await records_since(ready, before))
    assert found == said["records"]
    assert found["gateway_txns"] == said["transactions"] > 0


def test_a_command_line_that_cannot_be_is_refused_with_what_to_do(stack: Settings) -> None:
    """Exit code 2 and a sentence, no traceback."""
    for arguments, sentence in (
        (["--mix", "nonsense=1"], "nonsense=1"),
        (["--forever", "--rate", "0"], "needs a rate above 0"),
        (["--clean", "--mix", "amount=1"], "exclude each other"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "producers.core_producer", *arguments],
            env=environment(stack),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr


async def test_a_broker_that_is_away_is_named(ready: Settings) -> None:
    """Nothing is sent, and the error says where it looked."""
    away = replace(ready, kafka_bootstrap_servers="127.0.0.1:1")
    with pytest.raises(TransientFailure, match=r"127\.0\.0\.1:1"):
        await feed(away, a_plan(1))


async def test_topics_that_are_not_there_are_named(ready: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which command creates them."""
    monkeypatch.setattr("producers.publish.SOURCE_TOPICS", ("no_such_topic", "gateway_txns", "mobile_txns"))
    monkeypatch.setattr("producers.publish.schema_id_of", _an_id)
    with pytest.raises(ConfigurationError, match="topics create"):
        await feed(ready, a_plan(1), sources=[0])


async def _an_id(registry: object, topic: str) -> int:
    return 1


def test_keys_go_where_kafkas_own_clients_send_them() -> None:
    """murmur2 by the test vectors of Kafka's own test suite, sign bit off, modulo the partitions."""
    vectors = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
    for key, murmur2 in vectors.items():
        assert partition_of(key, 6) == (murmur2 & 0x7FFFFFFF) % 6
