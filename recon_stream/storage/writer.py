"""Between a Faust agent and PostgreSQL: batches of several partitions become one transaction, acknowledged after its commit."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import psycopg
from prometheus_client import Counter, Gauge, Histogram

from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.storage.store import Written

_logger = logging.getLogger(__name__)

# Milliseconds. The first retry is quick (a failover is often over by then), the last bounds how long a return goes unnoticed.
_BACKOFF_FIRST = 100
_BACKOFF_MAX = 3000

# A connection that was lost, refused or timed out, a full disk, a server that starts, stops or has become a standby: it passes.
# So does a session that the server ended because this process was suspended in the middle of a transaction.
_TRANSIENT = (
    psycopg.OperationalError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    TransientFailure,
)


class Batch(Protocol):
    """A batch of one partition, as the transport hands it over."""

    done: bool

    @property
    def tp(self) -> tuple[str, int]:
        """Topic and partition."""

    @property
    def records(self) -> Sequence[Any]:
        """Its records in order of their offsets."""

    @property
    def next_offset(self) -> int:
        """Offset behind the last record."""


# The schema is not the one of this version, or the role lacks a grant that a migration gives
_NOT_MIGRATED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InsufficientPrivilege,
)


B = TypeVar("B", bound=Batch)


class Delivery(Protocol):
    """A Faust event that carries a batch."""

    @property
    def value(self) -> Any:
        """The batch."""

    def ack(self) -> Any:
        """Tell the consumer that it may commit."""


@dataclass(frozen=True, slots=True)
class Instruments:
    """The metrics of a writer; all but `conflicts` have the label table."""

    rows: Counter
    skipped: Counter
    conflicts: Counter
    seconds: Histogram
    paused: Gauge


class Host(Protocol):
    """The application around a writer."""

    def pause_watchdog(self, reason: str) -> AbstractContextManager[None]:
        """While it is held, no progress is no stall."""

    async def crash(self, reason: BaseException) -> None:
        """End the process, so that its supervisor starts a new one."""


class Writer(Generic[B]):
    """Stores what is submitted, in order; memory is bounded by what the transport lets be in flight."""

    def __init__(
        self,
        table: str,
        write: Callable[[Sequence[B]], Awaitable[Written]],
        host: Host,
        instruments: Instruments,
        records_max: int,
    ) -> None:
        """`write` stores batches in one transaction and may be repeated; `records_max` bounds the records of one."""
        self._table = table
        self._write = write
        self._host = host
        self._instruments = instruments
        self._records_max = records_max
        self._queue: deque[Delivery] = deque()
        self._wake = asyncio.Event()
        self._paused: str | None = None

    def submit(self, delivery: Delivery) -> None:
        """Queue a batch; it is marked done and acknowledged once it is committed."""
        self._queue.append(delivery)
        self._wake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Store in the background for as long as the block runs; an error that waiting cannot cure crashes the host."""
        task = asyncio.create_task(self._run(), name=f"sink {self._table}")
        try:
            yield
        finally:
            # whatever is not acknowledged is read again: no need to wait for the rest of the queue
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        try:
            while True:
                unit = await self._take()
                await self._store([delivery.value for delivery in unit])
                for delivery in unit:
                    delivery.value.done = True
                    delivery.ack()
        except _NOT_MIGRATED as error:
            reason = ConfigurationError(f"{self._table}: {str(error).strip()}; run `recon-stream migrate`")
            _logger.error("%s", reason)
            await self._host.crash(reason)
        except Exception as error:
            _logger.error("%s: cannot go on: %s", self._table, error)
            await self._host.crash(error)

    async def _take(self) -> list[Delivery]:
        """Everything queued, up to the limit; at least one batch."""
        while not self._queue:
            self._wake.clear()
            await self._wake.wait()
        unit = [self._queue.popleft()]
        records = len(unit[0].value.records)
        while self._queue and records + len(self._queue[0].value.records) <= self._records_max:
            unit.append(self._queue.popleft())
            records += len(unit[-1].value.records)
        return unit

    async def _store(self, batches: Sequence[B]) -> None:
        written = await self._try(batches)
        if written is None:
            with self._host.pause_watchdog(f"{self._table}: {self._paused}"):
                written = await self._retry(batches)
        for table, count in written.rows.items():
            self._instruments.rows.labels(table).inc(count)
        self._instruments.skipped.labels(self._table).inc(written.skipped)
        self._instruments.conflicts.inc(written.conflicts)

    async def _try(self, batches: Sequence[B]) -> Written | None:
        """What was written; None where that was not possible now, and `_paused` then says why."""
        started = time.monotonic()
        try:
            written = await self._write(batches)
        except _TRANSIENT as error:
            if self._paused is None:
                _logger.warning("%s: paused, nothing is lost, Kafka keeps it: %s", self._table, error)
                self._instruments.paused.labels(self._table).set(1)
            self._paused = str(error).strip() or type(error).__name__
            return None
        if self._paused is not None:
            _logger.warning("%s: goes on", self._table)
            self._paused = None
            self._instruments.paused.labels(self._table).set(0)
        self._instruments.seconds.labels(self._table).observe(time.monotonic() - started)
        return written

    async def _retry(self, batches: Sequence[B]) -> Written:
        wait = _BACKOFF_FIRST
        while True:
            await asyncio.sleep(wait / 1000)
            written = await self._try(batches)
            if written is not None:
                return written
            wait = min(2 * wait, _BACKOFF_MAX)
