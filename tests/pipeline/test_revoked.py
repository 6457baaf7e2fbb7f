"""A partition that is taken away at any moment: its batches are handed back undone, the worker goes on."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from faust.types import TP

from recon_stream.avro import frame, parsed_schema
from recon_stream.pipeline.decoding import reader_for
from recon_stream.pipeline.encoding import SchemaIds
from recon_stream.pipeline.engine import Engine
from recon_stream.rulebook import load_rules
from recon_stream.settings import Settings, load_settings
from recon_stream.transport.batch import RecordBatch
from tables import transactions
from tables.store import Store
from tests.pipeline.driving import event_of, payload_of

GENERATION = 7
EVENT = event_of(
    {
        "event_id": "E", "txn_id": "T", "source": "CORE", "amount_minor": 1, "currency": "EUR", "direction": "DEBIT",
        "status": "POSTED", "occurred_at": 1, "account": "A", "reference": None, "channel": None, "revision": 0,
    }
)  # fmt: skip
VALUE = frame(1) + payload_of(EVENT)


class Delivered:
    """A batch as the stream hands it over."""

    def __init__(self, partition: int, generation: int = GENERATION) -> None:
        record = SimpleNamespace(offset=0, timestamp=0, key=b"T", value=VALUE)
        self.value = RecordBatch(TP("core_txns", partition), cast("Any", [record]))
        self.message = SimpleNamespace(generation_id=generation, partition=partition)
        self.acked = False

    def ack(self) -> None:
        """Told by whoever is through with it."""
        self.acked = True


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store of two partitions, of which the second was revoked."""
    app = faust.App(f"state-{uuid.uuid4().hex}", datadir=str(tmp_path), env={}, origin="recon_stream.apps")
    table = app.Table("transactions", partitions=2, key_type=bytes, value_type=bytes)
    one = Store("recon://", app, table)
    one._db_for_partition(0)
    monkeypatch.setattr(transactions, "table", SimpleNamespace(data=one))
    yield one
    for db in one._dbs.values():
        db.close()


@pytest.fixture
def crashes() -> list[BaseException]:
    """What the application was told to crash of."""
    return []


@pytest.fixture
def engine(store: Store, crashes: list[BaseException]) -> Engine:
    """An engine to which both partitions are still assigned."""

    async def crash(reason: BaseException) -> None:
        crashes.append(reason)

    settings: Settings = load_settings({})
    consumer = SimpleNamespace(flow_active=True, source_partitions=lambda: {TP("core_txns", 0), TP("core_txns", 1)})
    app = SimpleNamespace(
        settings=settings, rebalancing=False, should_stop=False, consumer_generation_id=GENERATION,
        batch_consumer=consumer, tables=SimpleNamespace(actives_ready=True), crash=crash,
        pause_watchdog=lambda _: nullcontext(),
    )  # fmt: skip
    one = Engine(cast("Any", app), load_rules(settings), cast("Any", None), None, SchemaIds(1, 2, 3))
    one.reader._readers[frame(1)] = reader_for(parsed_schema("transaction_event"))
    return one


async def ended(engine: Engine) -> None:
    """End the lanes that run."""
    for _, task in engine._lanes.values():
        task.cancel()
        await asyncio.wait([task])


async def test_a_partition_that_is_gone_before_its_lane_began_is_left_alone(
    engine: Engine, crashes: list[BaseException]
) -> None:
    """The next tick sees the new assignment; a batch of it is acknowledged without being done, so it is read again."""
    engine.ensure_lanes()
    assert set(engine._lanes) == {0}
    batch = Delivered(1)
    engine.submit(cast("Any", batch))
    assert batch.acked
    assert not batch.value.done
    engine.measure()
    await ended(engine)
    assert crashes == []


async def test_a_partition_that_is_gone_under_its_lane_ends_the_lane_and_not_the_worker(
    engine: Engine, store: Store, crashes: list[BaseException]
) -> None:
    """Whatever was queued and what comes later is handed back undone."""
    engine.ensure_lanes()
    lane, task = engine._lanes[0]
    store._dbs.pop(0).close()
    first, later = Delivered(0), Delivered(0)
    engine.submit(cast("Any", first))
    await asyncio.wait_for(task, 5)
    engine.submit(cast("Any", later))
    engine.measure()
    assert [(one.acked, one.value.done) for one in (first, later)] == [(True, False)] * 2
    assert lane.state.number == 0
    assert crashes == []
