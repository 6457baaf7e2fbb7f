"""The sink's transactions: each writes its rows and moves its bookkeeping in one commit, and may be repeated without harm."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any, NamedTuple, Protocol

import orjson
from psycopg.types.json import Jsonb

from recon_stream.errors import InvariantViolated
from recon_stream.storage.dead_letters import DeadLetterRow
from recon_stream.storage.pool import Connection, Pool
from recon_stream.storage.queries import QUERIES
from recon_stream.storage.raw_events import COLUMN_TYPES, RawEvent
from recon_stream.storage.rollups import Change, CountedBreak, CountedVerdict, changes, rollup_rows
from recon_stream.storage.values import timestamp
from recon_stream.storage.verdicts import (
    BreakRow,
    Conflict,
    Incoming,
    Judgement,
    Stored,
    judge_batch,
    move_breaks,
    result_rows,
    revision_rows,
)

_logger = logging.getLogger(__name__)

Place = tuple[str, int]


class Reached(Protocol):
    """How far a batch of a partition goes."""

    @property
    def tp(self) -> tuple[str, int]:
        """Topic and partition."""

    @property
    def next_offset(self) -> int:
        """Offset behind its last record."""


class Written(NamedTuple):
    """What a transaction did: rows by table, records that were already stored, conflicts newly kept aside."""

    rows: dict[str, int]
    skipped: int
    conflicts: int = 0


class TopicDiffers(InvariantViolated):
    """PostgreSQL holds another record at this place of Kafka: the topic was made anew, or the database belongs to another cluster. Give the cluster a database of its own."""


class RawEventStore:
    """Writes raw_events, each record once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._days: set[date] = set()

    async def write(self, rows: Sequence[RawEvent], reached: Iterable[Reached]) -> Written:
        """Store these rows (in Kafka order within a partition) and how far their partitions were read.

        Rows below the stored offset are looked up: the same record is a re-read, none is stored now.
        Raises TopicDiffers where another record is stored at those coordinates.
        """
        await self._ensure_days({row.kafka_day for row in rows})
        async with _transaction(self._pool, reached) as (connection, before):
            fresh = [row for row in rows if row.kafka_offset >= before[row.topic, row.partition]]
            if len(fresh) < len(rows):
                again = [row for row in rows if row.kafka_offset < before[row.topic, row.partition]]
                fresh = await self._not_stored(connection, again) + fresh
            if fresh:
                async with connection.cursor() as cursor, cursor.copy(QUERIES["copy_raw_events"]) as copy:
                    copy.set_types(COLUMN_TYPES)
                    for row in fresh:
                        await copy.write_row(row)
        return Written({"raw_events": len(fresh)}, len(rows) - len(fresh))

    async def _ensure_days(self, days: set[date]) -> None:
        """Partitions first, in a transaction of their own: it takes locks that no other work should wait for."""
        if not days - self._days:
            return
        async with self._pool.connection() as connection:
            cursor = await connection.execute(QUERIES["ensure_days"], {"days": sorted(days)})
            own = {row[0] for row in await cursor.fetchall()}
        for day in sorted(days - own):
            _logger.warning(
                "records dated %s (Kafka timestamp, UTC) go to raw_events_default: look at the clock of their sender",
                day,
            )
        self._days |= own | days

    async def _not_stored(self, connection: Connection, again: Sequence[RawEvent]) -> list[RawEvent]:
        cursor = await connection.execute(
            QUERIES["stored_raw_events"],
            {
                "days": [row.kafka_day for row in again],
                "topics": [row.topic for row in again],
                "partitions": [row.partition for row in again],
                "offsets": [row.kafka_offset for row in again],
            },
            binary=True,
        )
        stored = {tuple(row[:3]): row[3] for row in await cursor.fetchall()}
        missing = []
        for row in again:
            place = (row.topic, row.partition, row.kafka_offset)
            if place not in stored:
                missing.append(row)
            elif stored[place] != row.value:
                raise TopicDiffers(f"{row.topic}[{row.partition}] offset {row.kafka_offset}")
        if missing:
            _logger.warning("%d records below the stored offset were not stored before; they are now", len(missing))
        return missing


class VerdictStore:
    """Writes reconciliation_results, breaks, break_events and result_conflicts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def write(self, incoming: Sequence[Incoming], reached: Iterable[Reached]) -> Written:
        """Take the newer of these results (in Kafka order within a partition), keep conflicts aside, skip re-reads."""
        async with _transaction(self._pool, reached) as (connection, _):
            txn_ids = sorted({item.txn_id for item in incoming if item.txn_id is not None})
            cursor = await connection.execute(QUERIES["stored_results"], {"txn_ids": txn_ids}, binary=True)
            stored = {row[0]: row[1:] for row in await cursor.fetchall()}
            judged = judge_batch(incoming, {txn_id: Stored(*row[:2]) for txn_id, row in stored.items()})
            known = await _stored_breaks(connection, judged.newer)
            breaks, events = move_breaks(judged.newer, known)
            results = result_rows(judged)
            await _save(connection, "save_results", results)
            await _save(connection, "save_revisions", revision_rows(judged.newer))
            await _save(connection, "save_breaks", [row._asdict() for row in breaks.values()])
            await _save(connection, "save_break_events", [row._asdict() for row in events])
            verdicts = changes(_recounted(row, stored.get(row["txn_id"])) for row in results)
            await _save(connection, "save_verdict_rollups", rollup_rows(verdicts))
            partitions = {row["txn_id"]: row["partition"] for row in results}
            moved = changes(
                (*_counted(known.get(row.break_id), partitions), *_counted(row, partitions)) for row in breaks.values()
            )
            await _save(connection, "save_break_rollups", rollup_rows(moved))
            conflicts = await _save_conflicts(connection, judged.conflicts)
        rows = {
            "reconciliation_results": len(results),
            "breaks": len(breaks),
            "break_events": len(events),
            "result_conflicts": conflicts,
        }
        return Written(rows, judged.reread + len(judged.conflicts) - conflicts, conflicts)


class DeadLetterStore:
    """Writes dead_letters."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def write(self, rows: Sequence[DeadLetterRow], reached: Iterable[Reached]) -> Written:
        """Store these letters; of several about one record the first stands."""
        stored = 0
        async with _transaction(self._pool, reached) as (connection, _), connection.cursor() as cursor:
            if rows:
                await cursor.executemany(QUERIES["save_dead_letter"], [row._asdict() for row in rows])
                stored = cursor.rowcount
        return Written({"dead_letters": stored}, len(rows) - stored)


@asynccontextmanager
async def _transaction(pool: Pool, reached: Iterable[Reached]) -> AsyncIterator[tuple[Connection, Mapping[Place, int]]]:
    """One transaction that holds the bookkeeping of these partitions: (connection, offsets stored before)."""
    ends: dict[Place, int] = {}
    for batch in reached:
        place = (batch.tp[0], batch.tp[1])
        ends[place] = max(ends.get(place, 0), batch.next_offset)
    places = {"topics": [topic for topic, _ in ends], "partitions": [partition for _, partition in ends]}
    async with pool.connection() as connection:
        cursor = await connection.execute(QUERIES["lock_offsets"], places)
        before = {(topic, partition): offset for topic, partition, offset in await cursor.fetchall()}
        yield connection, before
        await connection.execute(QUERIES["save_offsets"], places | {"next_offsets": list(ends.values())})


def _recounted(row: Mapping[str, Any], stored: Sequence[Any] | None) -> Change[CountedVerdict]:
    """A live verdict as it was counted and as it is now; `stored` as the statement stored_results has it."""
    after = CountedVerdict(row["partition"], row["decided_at"], row["verdict"], row["currency"] or "")
    if stored is None:
        return None, 0, after, row["amount_minor"] or 0
    return CountedVerdict(*stored[2:6]), stored[6], after, row["amount_minor"] or 0


def _counted(row: BreakRow | None, partitions: Mapping[str, int]) -> tuple[CountedBreak | None, int]:
    """A break as it is counted, with what is at risk."""
    if row is None:
        return None, 0
    counted = CountedBreak(
        partitions[row.txn_id], row.opened_at, row.break_class, row.subject, row.severity, row.state, row.currency or ""
    )
    return counted, row.at_risk_minor or 0


async def _stored_breaks(connection: Connection, newer: Iterable[Incoming]) -> dict[str, BreakRow]:
    txn_ids = sorted({item.txn_id for item in newer if item.txn_id and item.result and item.result["breaks"]})
    if not txn_ids:
        return {}
    cursor = await connection.execute(QUERIES["stored_breaks"], {"txn_ids": txn_ids})
    return {row[0]: BreakRow(*row) for row in await cursor.fetchall()}


async def _save(connection: Connection, query: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        await connection.execute(QUERIES[query], {"rows": Jsonb(rows, dumps=orjson.dumps)})


async def _save_conflicts(connection: Connection, conflicts: Sequence[Conflict]) -> int:
    if not conflicts:
        return 0
    async with connection.cursor() as cursor:
        await cursor.executemany(
            QUERIES["save_conflict"],
            [
                {
                    "topic": item.topic,
                    "partition": item.partition,
                    "kafka_offset": item.offset,
                    "kafka_timestamp": timestamp(item.timestamp),
                    "reason": reason.value,
                    "txn_id": item.txn_id,
                    "revision": None
                    if reason is Judgement.UNREADABLE or item.result is None
                    else item.result["revision"],
                    "stored_revision": stored_revision,
                    "value": item.value,
                }
                for item, reason, stored_revision in conflicts
            ],
        )
        return cursor.rowcount
