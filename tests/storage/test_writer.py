"""The writer between an agent and PostgreSQL: merging, order, acknowledgement, pause, crash."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from recon_stream.errors import ConfigurationError, InvariantViolated
from recon_stream.storage.store import Written
from recon_stream.storage.writer import Instruments, Writer
from tests.storage.events import Batch, Record


class Event:
    """What Faust delivers."""

    def __init__(self, first: int, count: int) -> None:
        self.value = Batch("core_txns", 0, [Record(n, b"") for n in range(first, first + count)])
        self.acked = asyncio.Event()

    def ack(self) -> None:
        assert self.value.done, "acknowledged before it was done"
        self.acked.set()


class App:
    """The application around the writer."""

    def __init__(self) -> None:
        self.crashed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.pauses: list[str] = []

    @contextmanager
    def pause_watchdog(self, reason: str) -> Iterator[None]:
        self.pauses.append(reason)
        yield

    async def crash(self, reason: BaseException) -> None:
        self.crashed.set_result(reason)


def instruments() -> Instruments:
    """Metrics of the test's own."""
    registry, table = CollectorRegistry(), ["table"]
    return Instruments(
        Counter("rows", "r", table, registry=registry),
        Counter("skipped", "s", table, registry=registry),
        Counter("conflicts", "c", registry=registry),
        Histogram("seconds", "s", table, registry=registry),
        Gauge("paused", "p", table, registry=registry),
    )


async def test_batches_are_merged_up_to_the_limit_and_acknowledged_in_order() -> None:
    """A transaction holds what is queued, at most the limit unless one batch alone is larger."""
    sizes = []

    async def write(batches: Sequence[Batch]) -> Written:
        sizes.append([len(batch.records) for batch in batches])
        return Written({"t": 1}, 0)

    writer = Writer("t", write, App(), instruments(), 100)
    events = [Event(n * 200, size) for n, size in enumerate((40, 40, 40, 150, 10))]
    for event in events:
        writer.submit(event)
    async with writer.running(), asyncio.timeout(30):
        for event in events:
            await event.acked.wait()
    assert sizes == [[40, 40], [40], [150], [10]]


async def test_while_postgresql_is_away_the_writer_waits_and_then_goes_on() -> None:
    """Nothing is acknowledged meanwhile, the metric and the watchdog know, and the same batches are written."""
    failures: list[Exception] = [psycopg.OperationalError("gone"), psycopg.errors.ReadOnlySqlTransaction("standby")]
    seen: list[float] = []
    measured, app, event = instruments(), App(), Event(0, 1)

    async def write(batches: Sequence[Batch]) -> Written:
        seen.append(measured.paused.labels("t")._value.get())
        assert not event.acked.is_set()
        if failures:
            raise failures.pop(0)
        return Written({"t": 1}, 0)

    writer = Writer("t", write, app, measured, 100)
    writer.submit(event)
    async with writer.running(), asyncio.timeout(30):
        await event.acked.wait()
    assert seen == [0, 1, 1]
    assert measured.paused.labels("t")._value.get() == 0
    assert app.pauses == ["t: gone"]


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (psycopg.errors.UndefinedTable("no such table"), ConfigurationError),
        (psycopg.errors.InsufficientPrivilege("no"), ConfigurationError),
        (psycopg.errors.NumericValueOutOfRange("x"), psycopg.DataError),
        (InvariantViolated("x"), InvariantViolated),
    ],
)
async def test_what_waiting_cannot_cure_crashes_the_app_without_an_acknowledgement(
    error: Exception, family: type[Exception]
) -> None:
    """The offset stays where it is, so the next process reads the same records again."""

    async def write(batches: Sequence[Batch]) -> Written:
        raise error

    app, event = App(), Event(0, 1)
    writer = Writer("t", write, app, instruments(), 100)
    writer.submit(event)
    async with writer.running():
        assert isinstance(await asyncio.wait_for(app.crashed, 30), family)
    assert not event.acked.is_set()
