"""Two workers that both take themselves for the owner of a partition, on a real broker and real RocksDB."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faust.types import TP

from recon_stream.avro import decode, frame, parsed_schema
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.pipeline import engine as engine_module
from recon_stream.pipeline.decoding import reader_for
from recon_stream.pipeline.encoding import SchemaIds
from recon_stream.pipeline.engine import Engine
from recon_stream.rulebook import load_rules
from recon_stream.settings import Settings, load_settings
from recon_stream.transport.batch import RecordBatch
from tables import transactions
from tables.claims import ForeignRows
from tables.rows import CASE, case_key
from tables.store import Store
from tables.transactions import Partition
from tests.pipeline.driving import event_of, payload_of

pytestmark = pytest.mark.stack

STORE: ContextVar[Store] = ContextVar("store")
WORDS = ("POSTED", "CAPTURED", "SUCCESS")


class Worker:
    """The matcher of a process, with a disk and a producer of its own; the group is what the test says."""

    def __init__(self, name: str, folder: Path, kafka: str, changelog: str) -> None:
        self.kafka, self.changelog = kafka, changelog
        app = faust.App(f"{name}-{uuid.uuid4().hex}", datadir=str(folder / name), env={}, origin="recon_stream.apps")
        self.store = Store("recon://", app, app.Table("transactions", partitions=1, key_type=bytes, value_type=bytes))
        self.store._db_for_partition(0)
        self.producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
        self.crashed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        settings: Settings = load_settings({})
        consumer = SimpleNamespace(
            flow_active=True, is_in_session=True, applied_offset=lambda _: None,
            source_partitions=lambda: {TP(topic, 0) for topic in SOURCE_TOPICS},
        )  # fmt: skip

        async def crash(reason: BaseException) -> None:
            self.crashed.set_result(reason)

        self.app = SimpleNamespace(
            settings=settings, rebalancing=False, should_stop=False, consumer_generation_id=0, batch_consumer=consumer,
            batch_producer=self.producer, tables=SimpleNamespace(actives_ready=True), crash=crash,
            pause_watchdog=lambda _: nullcontext(),
        )  # fmt: skip
        self.engine = Engine(cast("Any", self.app), load_rules(settings), cast("Any", None), None, SchemaIds(1, 2, 3))
        self.engine.reader._readers[frame(1)] = reader_for(parsed_schema("transaction_event"))

    async def own(self) -> None:
        """Be given the partition: read what the changelog has behind the state, and begin."""
        STORE.set(self.store)
        tp, changelog_tp = TopicPartition(self.changelog, 0), TP(self.changelog, 0)
        async with reader(self.kafka) as consumer:
            consumer.assign([tp])
            end = (await consumer.end_offsets([tp]))[tp]
            partition = Partition(0)
            consumer.seek(tp, partition.offset() + 1)
            while partition.offset() < end - 1:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    self.store.apply_rows(changelog_tp, cast("Any", records))
        self.app.consumer_generation_id += 1
        self.engine.ensure_lanes()

    async def work(self, source: int, *, waits: bool = True) -> None:
        """A leg of transaction T from a source."""
        batch = Delivered(source, self.app.consumer_generation_id)
        STORE.set(self.store)
        self.engine.submit(cast("Any", batch))
        if waits:
            done = asyncio.ensure_future(batch.acked.wait())
            await asyncio.wait([done, self.crashed], timeout=20, return_when=asyncio.FIRST_COMPLETED)
            assert batch.value.done or self.crashed.done()

    @property
    def cases(self) -> dict[bytes, bytes]:
        """The rows of its state."""
        return {bytes(key): bytes(row) for key, row in self.store._dbs[0].items() if key[:1] == CASE}

    async def close(self) -> None:
        """End it."""
        for _, task in self.engine._lanes.values():
            task.cancel()
            await asyncio.wait([task])
        await self.producer.stop()
        self.store._dbs.pop(0).close()


class Delivered:
    """A batch of one event as the stream hands it over."""

    def __init__(self, source: int, generation: int) -> None:
        event = event_of(
            {
                "event_id": f"E{source}", "txn_id": "T", "source": ("CORE", "GATEWAY", "MOBILE")[source], "amount_minor": 1,
                "currency": "EUR", "direction": "DEBIT", "status": WORDS[source], "occurred_at": 1, "account": "A",
                "reference": None, "channel": None, "revision": 0,
            }
        )  # fmt: skip
        record = SimpleNamespace(offset=0, timestamp=1, key=b"T", value=frame(1) + payload_of(event))
        self.value = RecordBatch(TP(SOURCE_TOPICS[source], 0), cast("Any", [record]))
        self.message = SimpleNamespace(generation_id=generation, partition=0)
        self.acked = asyncio.Event()

    def ack(self) -> None:
        """Told by whoever is through with it."""
        self.acked.set()


@asynccontextmanager
async def reader(kafka: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def contents(kafka: str, topic: str) -> list[Any]:
    """All records of a topic of one partition."""
    found: list[Any] = []
    async with reader(kafka) as consumer:
        tp = TopicPartition(topic, 0)
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        while len(found) < end:
            found += (await consumer.getmany(tp, timeout_ms=500)).get(tp, [])
    return found


@pytest.fixture
async def topics(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Topics of the test's own, in place of the product's."""
    names = {
        name: f"claims-{uuid.uuid4().hex[:8]}-{name.lower()}"
        for name in ("CHANGELOG", "RESULTS", "MISMATCHES", "DEAD_LETTERS")
    }
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1) for name in names.values()])
    await admin.close()
    for name, topic in names.items():
        monkeypatch.setattr(engine_module, name, topic)

    class Table:
        @property
        def data(self) -> Store:
            return STORE.get()

    monkeypatch.setattr(transactions, "table", Table())
    return names


@pytest.fixture
async def start(stack: Settings, topics: dict[str, str], tmp_path: Path) -> AsyncIterator[Callable[[str], Any]]:
    """Starts workers."""
    workers: list[Worker] = []

    async def start(name: str) -> Worker:
        worker = Worker(name, tmp_path, stack.kafka_bootstrap_servers, topics["CHANGELOG"])
        workers.append(worker)
        await worker.producer.start()
        await worker.own()
        return worker

    yield start
    for worker in workers:
        await worker.close()


def suspend(worker: Worker) -> asyncio.Event:
    """What it sends to the changelog stays where it is until the event is set: all checks are behind it."""
    thawed, send = asyncio.Event(), worker.producer.send_batch

    async def late(*args: Any, **kwargs: Any) -> Any:
        await thawed.wait()
        return await send(*args, **kwargs)

    worker.producer.send_batch = late
    return thawed


async def test_a_zombie_takes_nothing_back_and_publishes_nothing(
    stack: Settings, topics: dict[str, str], start: Callable[[str], Any]
) -> None:
    """Its rows land behind those of the new owner: no recovery takes them, and the next owner's start removes the last of them."""
    kafka = stack.kafka_bootstrap_servers
    zombie = await start("zombie")
    await zombie.work(0)
    thawed = suspend(zombie)
    await zombie.work(1, waits=False)
    owner = await start("owner")
    await owner.work(1)
    await owner.work(2)
    truth = owner.cases
    assert set(truth) == {case_key("T")}
    results = await contents(kafka, topics["RESULTS"])
    assert decode("reconciliation_result", results[-1].value)["verdict"] == "MATCHED"

    thawed.set()
    assert isinstance(await asyncio.wait_for(zombie.crashed, 20), ForeignRows)
    last = {record.key: record.value for record in await contents(kafka, topics["CHANGELOG"])}
    assert last[case_key("T")] != truth[case_key("T")], "the zombie's row is the last of its key"
    assert len(await contents(kafka, topics["RESULTS"])) == len(results)

    fresh = await start("fresh")
    assert fresh.cases == truth
    STORE.set(fresh.store)
    while Partition(0).void():  # noqa: ASYNC110 the lane is at it
        await asyncio.sleep(0.05)
    last = {record.key: record.value for record in await contents(kafka, topics["CHANGELOG"])}
    assert last[case_key("T")] == truth[case_key("T")]
    await owner.own()
    assert owner.cases == truth


async def test_an_owner_stops_where_others_have_appended_and_goes_on_after_its_restart(
    stack: Settings, topics: dict[str, str], start: Callable[[str], Any], tmp_path: Path
) -> None:
    """It has not published anything of the unit; the rows that it wrote behind the zombie's count."""
    kafka = stack.kafka_bootstrap_servers
    zombie = await start("zombie")
    await zombie.work(0)
    thawed = suspend(zombie)
    await zombie.work(1, waits=False)
    owner = await start("owner")
    await owner.work(1)
    thawed.set()
    await asyncio.wait_for(zombie.crashed, 20)
    results = await contents(kafka, topics["RESULTS"])
    await owner.work(2)
    assert isinstance(await asyncio.wait_for(owner.crashed, 20), ForeignRows)
    assert len(await contents(kafka, topics["RESULTS"])) == len(results)

    again = await start("again")
    before = len(results)
    while len(results) == before:
        results = await contents(kafka, topics["RESULTS"])
    assert decode("reconciliation_result", results[-1].value)["verdict"] == "MATCHED"
    assert not again.crashed.done()
