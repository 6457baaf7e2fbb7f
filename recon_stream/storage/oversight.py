"""What the API reads of dead letters and of the audit trail: one function a statement of oversight.sql, as in reading.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg import sql

from recon_stream.storage.pool import Pool
from recon_stream.storage.queries import QUERIES
from recon_stream.storage.reading import LAST, Order, Row, fetched, listed, listing

HEAD_BYTES = 96
"""Of key and value of a dead letter in a list."""
ACTIONS_MAX = 200
"""On one dead letter."""

_FAILED: LiteralString = "(failed_at, d.topic, d.partition, d.kafka_offset)"
_AFTER_FAILED: LiteralString = "('epoch'::timestamptz + %(after_0)s::bigint * interval '1 millisecond', %(after_1)s::text, %(after_2)s::integer, %(after_3)s::bigint)"
_FAILED_KEY = ("failed_at_ms", "topic", "partition", "kafka_offset")

DEAD_LETTER_ORDERS: Final = {
    "-failed_at": Order(_FAILED_KEY, (int, str, int, int), f"{_FAILED} < {_AFTER_FAILED}", "failed_at DESC, d.topic DESC, d.partition DESC, d.kafka_offset DESC"),
    "failed_at": Order(_FAILED_KEY, (int, str, int, int), f"{_FAILED} > {_AFTER_FAILED}", "failed_at, d.topic, d.partition, d.kafka_offset"),
}  # fmt: skip

AUDIT_ORDERS: Final = {
    "-seq": Order(("seq",), (int,), "seq < %(after_0)s::bigint", "seq DESC"),
    "seq": Order(("seq",), (int,), "seq > %(after_0)s::bigint", "seq"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """What is wanted; None: anything. An action is REPLAY, DISCARD, or empty where none was done. `since` <= failed at < `before`."""

    reasons: Sequence[str] | None = None
    topics: Sequence[str] | None = None
    actions: Sequence[str] | None = None
    since: datetime | None = None
    before: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        """For the statement."""
        return {
            "reasons": listed(self.reasons),
            "topics": listed(self.topics),
            "actions": listed(self.actions),
            "since": self.since,
            "before": self.before,
            "head": HEAD_BYTES,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What is wanted; None: anything. `object` may be the beginning of one. `since` <= at < `before`."""

    actor: str | None = None
    actions: Sequence[str] | None = None
    object: str | None = None
    outcomes: Sequence[str] | None = None
    address: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        """For the statement."""
        return {
            "actor": self.actor,
            "actions": listed(self.actions),
            "object": self.object,
            "object_end": None if self.object is None else self.object + LAST,
            "outcomes": listed(self.outcomes),
            "address": self.address,
            "request_id": self.request_id,
            "since": self.since,
            "before": self.before,
        }


async def dead_letters(
    pool: Pool, wanted: DeadLetterFilter, sort: str, after: Sequence[Any] | None, limit: int
) -> list[Row]:
    """Up to `limit` dead letters, in one of DEAD_LETTER_ORDERS, behind the sort key `after`."""
    return await listing(pool, "list_dead_letters", DEAD_LETTER_ORDERS[sort], wanted.parameters(), after, limit)


async def dead_letter_reasons(pool: Pool) -> list[Row]:
    """(reason, action that was done last, letters)."""
    return await fetched(pool, sql.SQL(QUERIES["dead_letter_reasons"]), {})


async def dead_letters_reached(pool: Pool, topic: str) -> str:
    """Another text as soon as counts of dead letters may have changed; `topic` is the one of the letters."""
    (row,) = await fetched(pool, sql.SQL(QUERIES["dead_letters_reached"]), {"topic": topic})
    return ":".join(str(number) for number in row.values())


async def dead_letter(pool: Pool, topic: str, partition: int, offset: int) -> Row | None:
    """The letter about a record, with the record's bytes; None where there is none."""
    place = {"topic": topic, "partition": partition, "offset": offset}
    rows = await fetched(pool, sql.SQL(QUERIES["dead_letter"]), place)
    return rows[0] if rows else None


async def dead_letter_history(pool: Pool, topic: str, partition: int, offset: int) -> list[Row]:
    """What was done with a letter, in order."""
    place = {"topic": topic, "partition": partition, "offset": offset}
    return await fetched(pool, sql.SQL(QUERIES["dead_letter_history"]), place | {"limit": ACTIONS_MAX})


async def audit_entries(
    pool: Pool, wanted: AuditFilter, sort: str, after: Sequence[Any] | None, limit: int
) -> list[Row]:
    """Up to `limit` entries of the audit trail, in one of AUDIT_ORDERS, behind the number `after`."""
    return await listing(pool, "list_audit", AUDIT_ORDERS[sort], wanted.parameters(), after, limit)


async def last_audit_verification(pool: Pool) -> tuple[Row | None, int]:
    """(the newest verification of the audit trail, None where there was none; the number of its last entry now)."""
    rows = await fetched(pool, sql.SQL(QUERIES["last_audit_verification"]), {})
    (end,) = await fetched(pool, sql.SQL(QUERIES["audit_end"]), {})
    return (rows[0] if rows else None), end["last_seq"]
