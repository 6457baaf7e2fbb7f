"""Bad data, storms and bursts, and clocks that are wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from producers.plan import DEFAULT_MIX, Fault
from producers.publish import PRODUCER_CONFIG
from recon_stream.avro import decode
from recon_stream.domain.event import SOURCE_TOPICS
from tests.faults.bench import MIX, Bench
from tests.faults.points import Plan
from tests.faults.scenarios import scenario

Sent = tuple[str, bytes]
"""Topic and value of a record."""
STORM_MIX = dict(MIX) | {Fault.INVALID: 0}
"""What decodes is no dead letter: each copy of one would be another."""
POISON_MIX = dict(DEFAULT_MIX) | {Fault.POISON: 15, Fault.UNKNOWN_SCHEMA: 15}
STORM_COPIES_MAX = 1000
STORM_RECORDS = 20
STORM_WINDOW = 6000
"""The last records of a partition: enough that also behind a storm there are some that were not in it."""


@scenario("poison, and a schema that nobody knows, in 3 of 100 transactions; the worker is killed among them")
async def poison_and_wrong_schema(bench: Bench) -> None:
    """1 record in 100. The partition moves on, every letter says why, and a life of the worker does not change the reason."""
    await bench.start_all()
    bench.start_feed(mix=POISON_MIX)
    for number in range(3):
        await bench.until_fed(5_000 * (number + 1))
        await bench.worker.kill()
        bench.faults += 1
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("records are sent again, each 1 to 1,000 times")
async def duplicate_storm(bench: Bench) -> None:
    """Byte for byte, to the same partition, while the worker is killed: counted, and nothing else."""
    await bench.start_all()
    bench.start_feed(mix=STORM_MIX)
    await bench.until_fed(6_000)
    copies = await storm(bench)
    await bench.worker.kill()
    copies += await storm(bench)
    await bench.until_recovered()
    await bench.stop_feed()
    add_to_totals(bench.keys[-1], copies)


async def storm(bench: Bench) -> Counter[Sent]:
    """Send some of the newest readable records of every source again; how often each."""
    sent: Counter[Sent] = Counter()
    random, broker = Random(bench.seed), bench.settings.kafka_bootstrap_servers
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    producer = AIOKafkaProducer(bootstrap_servers=broker, **PRODUCER_CONFIG)
    await consumer.start()
    await producer.start()
    try:
        for topic in SOURCE_TOPICS:
            partition = random.randrange(bench.settings.partitions)
            tp = TopicPartition(topic, partition)
            consumer.assign([tp])
            end = (await consumer.end_offsets([tp]))[tp]
            consumer.seek(tp, max(0, end - STORM_WINDOW))
            found = []
            while await consumer.position(tp) < end:
                found += (await consumer.getmany(tp, timeout_ms=1000)).get(tp, [])
            newest = {record.key: record for record in found if is_readable(record.key, record.value)}
            assert len(newest) >= STORM_RECORDS, "too little to copy"
            for record in random.sample(list(newest.values()), STORM_RECORDS):
                copies = int(STORM_COPIES_MAX ** random.random())
                for _ in range(copies):
                    await producer.send(topic, record.value, record.key, partition=partition)
                sent[topic, record.value] += copies
                bench.faults += copies
            await producer.flush()
    finally:
        await producer.stop()
        await consumer.stop()
    return sent


def is_readable(key: bytes | None, value: bytes | None) -> bool:
    """Whether it is a record of the transaction that its key names."""
    try:
        return decode("transaction_event", value or b"")["txn_id"].encode() == key
    except (ValueError, EOFError, IndexError):
        return False


def add_to_totals(key: Path, copies: Counter[Sent]) -> None:
    """What the simulator did not send and verify finds in Kafka: records, and the money in them."""
    *answers, last = key.read_bytes().splitlines()
    totals = orjson.loads(last)["totals"]
    for (topic, value), number in copies.items():
        event = decode("transaction_event", value)
        money = totals["money_minor"][event["source"]]
        money[event["currency"]] = money.get(event["currency"], 0) + number * event["amount_minor"]
        totals["records"][topic] += number
    key.write_bytes(b"\n".join([*answers, orjson.dumps({"totals": totals})]) + b"\n")


@scenario("the feed comes ten times as fast for ten seconds")
async def burst(bench: Bench) -> None:
    """The backlog is worked off within bounded memory."""
    await bench.start_all()
    bench.start_feed(200)
    await bench.until_fed(4_000)
    await bench.stop_feed(4_000)
    bench.start_feed(2_000)
    bench.faults += 1
    await asyncio.sleep(10)
    await bench.stop_feed()
    await bench.until_recovered("the burst")
    assert bench.worker.exits == bench.sink.exits == []
    peaks = Counter({role.name: role.peak_bytes >> 20 for role in bench.roles})
    assert max(peaks.values()) < 700, peaks


@scenario("the clock of the worker is twenty minutes behind")
async def clock_behind(bench: Bench) -> None:
    """Nothing waits longer for it."""
    await skewed(bench, -1200)


@scenario("the clock of the worker is twenty minutes ahead")
async def clock_ahead(bench: Bench) -> None:
    """Nothing is missed early for it."""
    await skewed(bench, 1200)


@scenario("the clock of the worker is two hours ahead, then two hours behind")
async def clock_two_hours_off(bench: Bench) -> None:
    """More than brokers would let pass in the timestamp of a record."""
    await skewed(bench, 7200, -7200)


async def skewed(bench: Bench, *seconds: int) -> None:
    """The worker lives with one wrong clock after the other, and does all its work with each."""
    bench.worker.always = Plan(clock_seconds=seconds[0])
    await bench.start_all()
    bench.start_feed(200)
    for wrong in seconds:
        if bench.worker.always.clock_seconds != wrong:
            bench.worker.always = Plan(clock_seconds=wrong)
            await bench.worker.kill()
            await bench.worker.until_ready()
        bench.faults += 1
        await asyncio.sleep(25)
        await bench.until_recovered(f"a clock that is {wrong} s ahead")
    await bench.stop_feed()
