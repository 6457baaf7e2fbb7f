"""Runs a plan against the clock: plan, wait, send, and write the answer key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from producers.answer_key import AnswerKey
from producers.plan import Plan, Record
from producers.publish import Publisher
from producers.simulator import schedule
from recon_stream.domain.event import SOURCES
from recon_stream.settings import Settings

TICK_MS = 20
CHUNK_RECORDS_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Sent:
    """How far a feed has come.

    `records` by topic are acknowledged ones. `behind_ms` is how long after its time the newest record was handed over.
    `stopped` says that it was told to stop before the plan's end; the transactions begun are complete nevertheless.
    """

    transactions: int
    records: dict[str, int]
    seconds: float
    behind_ms: int
    stopped: bool


class _Pace:
    """When records are due, by the clock; at once where the plan is not paced or was told to stop."""

    def __init__(self, plan: Plan, stop: asyncio.Event) -> None:
        self._plan, self._stop = plan, stop

    def late_ms(self, record: Record) -> int:
        """Milliseconds since the record was due; negative before."""
        if not self._plan.paced or self._stop.is_set():
            return 0
        return time.time_ns() // 1_000_000 - self._plan.base_ms - record.send_ms

    async def wait(self, milliseconds: int) -> None:
        """Wait, and a tick at least, so that records that are due together go together; until stopped at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), max(milliseconds, TICK_MS) / 1000)


async def feed(
    settings: Settings,
    plan: Plan,
    key_path: Path | None = None,
    progress: Callable[[Sent], None] | None = None,
    stop: asyncio.Event | None = None,
    sources: Iterable[int] = SOURCES,
) -> Sent:
    """Send the plan's records of those sources; returns when all are acknowledged.

    Setting `stop` begins no further transaction and sends the rest of those begun at once, so every transaction in the
    answer key is whole. The key is of the whole plan, also where only some sources are sent. Raises ConfigurationError
    where topics or schemas are not there, TransientFailure where Kafka or the registry is away.
    """
    stop = stop or asyncio.Event()
    async with Publisher(settings, sources) as publisher:
        key = AnswerKey(key_path)
        try:
            sent = await _run(plan, publisher, key, progress, stop)
        except BaseException:
            key.close(None)
            raise
        key.close(plan)
        return sent


async def _run(
    plan: Plan, publisher: Publisher, key: AnswerKey, progress: Callable[[Sent], None] | None, stop: asyncio.Event
) -> Sent:
    pace = _Pace(plan, stop)
    began = time.monotonic()
    behind_ms = 0
    chunk: list[Record] = []

    def report() -> Sent:
        seconds = time.monotonic() - began
        sent = Sent(key.totals.transactions, dict(publisher.acknowledged), seconds, behind_ms, stop.is_set())
        if progress is not None:
            progress(sent)
        return sent

    for record in schedule(plan, key.add, stop.is_set):
        late_ms = pace.late_ms(record)
        if chunk and (late_ms < 0 or len(chunk) >= CHUNK_RECORDS_MAX):
            await publisher.send(chunk)
            chunk = []
            key.flush()
            report()
        if late_ms < 0:
            await publisher.flush()
            await pace.wait(-late_ms)
        behind_ms = max(0, late_ms)
        if record.source in publisher.sources:
            chunk.append(record)
    await publisher.send(chunk)
    await publisher.flush()
    return report()
