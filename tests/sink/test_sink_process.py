"""The sink as a process on real Kafka, registry and PostgreSQL, with kills and cut connections in the middle of its work."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from agents.account import check_once
from recon_stream.avro import SchemaRegistry, encoder
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.registration import register_schemas, subject_of
from recon_stream.settings import Settings
from recon_stream.stack import local
from recon_stream.stack.ports import free_ports
from recon_stream.storage.pool import connection_pool
from recon_stream.topics import DEAD_LETTERS, RESULTS, create_topics
from tests.storage.events import event, letter, result, said_break

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

EVENTS = 9000  # a source
POISON: tuple[bytes | None, ...] = (None, b"", b"\0", b"\x01x", b"\0\0\0\0\1", b"\xff" * 3000)
UNKNOWN_SCHEMA = b"\0\xff\xff\xff\xffabc"


class Sink:
    """`recon-stream sink` as a process of its own."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.log = folder / "sink.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = self.settings
        environ = {
            "PATH": os.environ["PATH"],
            "RECON_STATE_DIR": str(self.folder / "state"),
            "RECON_APP_ID": settings.app_id,
            "RECON_OPERATIONS_PORT": str(self.port - 20),
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "SCHEMA_REGISTRY_URL": settings.schema_registry_url,
            "DATABASE_URL": settings.database_url,
            "RECON_SESSION_TIMEOUT": "6",
            "RECON_SINK_BATCH_RECORDS_MAX": "500",
        }
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "recon_stream", "sink"], env=environ, stdout=out, stderr=subprocess.STDOUT
            )

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def metrics(self) -> dict[str, float]:
        """Name with labels -> value."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (li.rsplit(" ", 1) for li in lines if not li.startswith("#"))}


def free_port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def sink(database: Settings, tmp_path: Path) -> Iterator[Sink]:
    made = Sink(tmp_path, database)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait(10)


@pytest.fixture
async def kafka(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer, topics and schemas being there, and nothing in the topics."""
    await create_topics(settings)
    await register_schemas(settings)
    # what others left, letters about records that are gone among it, is not accounted for
    await empty_topics(settings)
    async with AIOKafkaProducer(**settings.kafka_client(), linger_ms=20) as producer:
        yield producer
    # results without events would puzzle whoever looks at these topics next
    await empty_topics(settings)


async def empty_topics(settings: Settings) -> None:
    """Let every topic that the sink reads begin at its end."""
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    await admin.start()
    try:
        ends = {place: end for place, (_, end) in (await spans(settings)).items()}
        await admin.delete_records({place: RecordsToDelete(end) for place, end in ends.items()})
    finally:
        await admin.close()


async def encoders(settings: Settings) -> dict[str, Callable[[Any], bytes]]:
    """Topic -> encoder with the id that the registry gave."""
    names = dict.fromkeys(SOURCE_TOPICS, "transaction_event")
    names |= {RESULTS: "reconciliation_result", DEAD_LETTERS: "dead_letter"}
    async with SchemaRegistry(settings) as registry:
        found = {topic: await registry.latest(subject_of(topic)) for topic in names}
    return {topic: encoder(name, found[topic][0]) for topic, name in names.items() if found[topic] is not None}  # type: ignore[index]


async def fill(settings: Settings, producer: AIOKafkaProducer, run: str) -> dict[str, Any]:
    """Events with poison among them, revisions of results, dead letters; returns what was sent."""
    encode, chance = await encoders(settings), random.Random(7)
    money = 0
    waiting = []
    for n in range(EVENTS):
        for topic in SOURCE_TOPICS:
            amount = chance.randrange(2**50)
            money += amount
            source = topic.split("_")[0].upper()
            txn_id = f"{run}-{n}"
            value = encode[topic](event(txn_id=txn_id, event_id=f"{source}-{n}", source=source, amount_minor=amount))
            waiting.append(await producer.send(topic, value, key=txn_id.encode()))
            if n % 500 == 0:
                for poison in POISON:
                    key = chance.choice((None, b"\xff", txn_id.encode())) if poison is not None else b"k"
                    waiting.append(await producer.send(topic, poison, key=key, partition=chance.randrange(6)))
    for revision in range(1, 4):
        for n in range(EVENTS // 3):
            breaks = [said_break(("RESOLVED", "OPEN")[revision % 2], break_id=f"{run}-b{n}")]
            said = result(txn_id=f"{run}-{n}", revision=revision, breaks=breaks)
            waiting.append(await producer.send(RESULTS, encode[RESULTS](said), key=f"{run}-{n}".encode()))
    for n in range(300):
        said = letter(n % 200, topic=f"{run}")
        waiting.append(await producer.send(DEAD_LETTERS, encode[DEAD_LETTERS](said), key=b"k"))
    await asyncio.gather(*waiting)
    return {"money": money, "run": run}


async def spans(settings: Settings) -> dict[TopicPartition, tuple[int, int]]:
    """(first offset, end) of every partition that the sink reads."""
    places = [
        TopicPartition(topic, p)
        for topic in (*SOURCE_TOPICS, RESULTS, DEAD_LETTERS)
        for p in range(settings.partitions)
    ]
    async with AIOKafkaConsumer(**settings.kafka_client()) as reader:
        first, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
    return {place: (first[place], ends[place]) for place in places}


def asked(settings: Settings, query: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.database_reader_url) as connection:
        return connection.execute(query, values).fetchall()


async def until_stored(settings: Settings, wanted: dict[TopicPartition, tuple[int, int]], seconds: float = 60) -> None:
    """Wait until the bookkeeping has reached every end."""
    deadline = time.monotonic() + seconds
    while True:
        reached = {(t, p): o for t, p, o in asked(settings, "SELECT topic, partition, next_offset FROM sink_offsets")}
        left = {
            place: end for place, (first, end) in wanted.items() if end > first and reached.get(tuple(place), 0) < end
        }
        if not left:
            return
        assert time.monotonic() < deadline, f"not stored: {left}"
        await asyncio.sleep(0.2)


async def until_more_than(settings: Settings, before: int, seconds: float = 60) -> None:
    """Wait until raw_events has grown."""
    async with asyncio.timeout(seconds):
        while asked(settings, "SELECT count(*) FROM raw_events")[0][0] <= before:  # noqa: ASYNC110 another process writes
            await asyncio.sleep(0.05)


async def until_paused(sink: Sink, seconds: float = 40) -> None:
    """Wait until the process says that raw_events waits for PostgreSQL."""
    async with asyncio.timeout(seconds):
        while sink.metrics().get('recon_sink_paused{table="raw_events"}') != 1:  # noqa: ASYNC110 another process says it
            await asyncio.sleep(0.1)


def cut_connections(settings: Settings) -> int:
    """End every session of this database's sink at the server, as a failover does."""
    state = local.read_state(settings)
    assert state is not None
    name = settings.database_url.rsplit("/", 1)[1]
    with psycopg.connect(state.database_url("postgres", "postgres"), autocommit=True) as server:
        return len(
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = 'recon_sink'",
                (name,),
            ).fetchall()
        )


def allow_connections(settings: Settings, allowed: bool) -> None:
    """Refuse new sessions of the sink, as a server that is down does, or let them in again."""
    with psycopg.connect(local.read_state(settings).database_url("postgres", "postgres"), autocommit=True) as server:  # type: ignore[union-attr]
        name = settings.database_url.rsplit("/", 1)[1]
        server.execute(f"ALTER DATABASE {name} CONNECTION LIMIT {-1 if allowed else 0}")


@contextmanager
def slow_writes(settings: Settings) -> Iterator[None]:
    """Every statement that writes raw_events takes a moment more: what strikes the sink then strikes it at work."""
    slow = """
        CREATE FUNCTION wait_a_moment() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END';
        CREATE TRIGGER slow BEFORE INSERT ON raw_events FOR EACH STATEMENT EXECUTE FUNCTION wait_a_moment()
    """
    with psycopg.connect(settings.database_owner_url) as connection:
        connection.execute(slow)
    yield
    with psycopg.connect(settings.database_owner_url) as connection:
        connection.execute("DROP TRIGGER slow ON raw_events; DROP FUNCTION wait_a_moment")


async def test_everything_is_stored_exactly_once_through_kills_and_cut_connections(
    database: Settings, kafka: AIOKafkaProducer, sink: Sink
) -> None:
    """Three SIGKILLs, three cut sessions and an outage in the middle: each record of the topics is there once, money to the unit."""
    settings = database
    sent = await fill(settings, kafka, f"run-{uuid.uuid4().hex[:8]}")
    chance = random.Random(3)
    with slow_writes(settings):
        for _ in range(3):
            before = asked(settings, "SELECT count(*) FROM raw_events")[0][0]
            sink.start()
            await until_more_than(settings, before)
            assert cut_connections(settings) > 0
            await asyncio.sleep(chance.uniform(0.1, 0.4))
            sink.end(signal.SIGKILL)
            stored = asked(settings, "SELECT count(*) FROM raw_events")[0][0]
            assert stored < 3 * EVENTS, "killed after its work was done"
    sink.start()
    await until_stored(settings, await spans(settings))
    allow_connections(settings, False)
    cut_connections(settings)
    for n in range(50):
        await kafka.send_and_wait(SOURCE_TOPICS[n % 3], UNKNOWN_SCHEMA, key=b"%d" % n)
    await until_paused(sink)
    allow_connections(settings, True)
    wanted = await spans(settings)
    await until_stored(settings, wanted)
    assert sink.metrics()['recon_sink_paused{table="raw_events"}'] == 0
    assert sink.end(signal.SIGTERM) == 0

    counts = {
        (topic, partition): row
        for topic, partition, *row in asked(
            settings,
            "SELECT topic, partition, count(*), count(DISTINCT kafka_offset), min(kafka_offset), max(kafka_offset) + 1 "
            "FROM raw_events GROUP BY 1, 2",
        )
    }
    sources = {place: span for place, span in wanted.items() if place.topic in SOURCE_TOPICS and span[1] > span[0]}
    assert {place: tuple(row) for place, row in counts.items()} == {
        tuple(place): (end - first, end - first, first, end) for place, (first, end) in sources.items()
    }
    run = f"{sent['run']}-%"
    assert asked(settings, "SELECT sum(amount_minor), count(*) FROM raw_events WHERE txn_id LIKE %s", run) == [
        (sent["money"], 3 * EVENTS)
    ]
    assert (
        asked(settings, "SELECT count(*) FROM raw_events WHERE status = 'UNREADABLE'")[0][0]
        >= 3 * EVENTS // 500 * len(POISON) + 50
    )
    assert asked(settings, "SELECT count(*), min(revision) FROM reconciliation_results WHERE txn_id LIKE %s", run) == [
        (EVENTS // 3, 3)
    ]
    assert asked(
        settings, "SELECT move, count(*) FROM break_events WHERE txn_id LIKE %s GROUP BY 1 ORDER BY 1", run
    ) == [(move, EVENTS // 3) for move in ("OPENED", "REOPENED", "RESOLVED")]
    assert asked(settings, "SELECT count(*) FROM result_conflicts WHERE txn_id LIKE %s", run) == [(0,)]
    assert asked(settings, "SELECT count(*) FROM dead_letters WHERE topic = %s", sent["run"]) == [(200,)]
    await everything_is_accounted_for(settings, wanted)


async def everything_is_accounted_for(settings: Settings, wanted: dict[TopicPartition, tuple[int, int]]) -> None:
    """The sink checked while it was killed and cut off, and found nothing wrong; one more check finds it all, to the end of Kafka."""
    assert asked(settings, "SELECT name, violations, detail FROM accounting WHERE violations > 0") == []
    assert asked(settings, "SELECT count(*) FROM accounting") == [(9,)]
    with psycopg.connect(settings.database_owner_url) as connection:
        connection.execute("UPDATE accounting SET checked_at = checked_at - interval '1 minute'")
    async with connection_pool(settings.database_url, settings, "test", size=1) as pool:
        await check_once(settings, pool)
    assert asked(settings, "SELECT name FROM accounting WHERE violations > 0 OR held_at <> checked_at") == []
    ((flow,),) = asked(settings, "SELECT detail FROM accounting WHERE name = 'flow'")
    assert {topic: sum(of["lags"].values()) for topic, of in flow["topics"].items()} == dict.fromkeys(
        (*SOURCE_TOPICS, RESULTS, DEAD_LETTERS), 0
    )
    for topic in SOURCE_TOPICS:
        ((detail,),) = asked(settings, "SELECT detail FROM accounting WHERE name = %s", f"archive-{topic}")
        ends = {str(p.partition): end for p, (first, end) in wanted.items() if p.topic == topic and end > first}
        assert {number: reached for number, reached in detail["reached"].items() if number in ends} == ends


async def test_a_database_without_the_schema_ends_the_process_with_what_to_do(
    database: Settings, kafka: AIOKafkaProducer, sink: Sink
) -> None:
    """What waiting cannot cure is no pause: the process exits and its log names the command."""
    with psycopg.connect(database.database_owner_url) as connection:
        connection.execute("DROP TABLE sink_offsets")
    await kafka.send_and_wait("core_txns", b"poison", key=b"k")
    sink.start()
    assert sink.process is not None
    assert await asyncio.to_thread(sink.process.wait, 60) != 0
    assert "run `recon-stream migrate`" in sink.log.read_text()
