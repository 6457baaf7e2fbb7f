"""What reports read of PostgreSQL: all of one report as it stands at one moment, so that its parts agree with each other."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from psycopg.rows import dict_row

from recon_stream.storage.pool import Pool
from recon_stream.storage.queries import QUERIES
from recon_stream.storage.reading import Ages, Row, of_ages

_HOUR = 3600
"""Width of the buckets that are kept for ever."""


class Daily(NamedTuple):
    """What is known of a day."""

    read_at_ms: int
    is_passed: bool
    """Whether each partition of results has got beyond the day's end."""
    verdicts: list[Row]
    """By verdict and currency, counted by the last decision."""
    breaks: list[Row]
    """By class, subject, severity, state and currency, counted by when they were first opened."""
    letters: list[Row]
    """By topic and reason, counted by when the record was refused."""
    open: list[Row]
    """What is open at the moment of reading, as open_breaks."""
    checks: list[Row]
    """The newest result of each check of the accounting."""
    trail_end: Row | None
    """The last entry of the audit trail: last_seq, last_hash; None where it has none."""


async def daily(pool: Pool, topic: str, since: datetime, before: datetime, ages: Ages) -> Daily:
    """A day from `since` to `before`, which are whole hours; `topic` is the one of results, `ages` are as for open_breaks."""
    parameters = {"width": _HOUR, "since": since, "before": before, "currency": None, "topic": topic}
    parameters |= of_ages(ages)
    async with (
        pool.connection() as connection,
        connection.transaction(),
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        # for this transaction alone: the pool's connection is as before behind it
        await cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

        async def rows(statement: str) -> list[Row]:
            await cursor.execute(QUERIES[statement], parameters)
            return await cursor.fetchall()

        (reached,) = await rows("day_reached")
        checks, trail_end = await rows("accounting"), await rows("last_audit")
        return Daily(
            read_at_ms=reached["read_at_ms"],
            is_passed=reached["is_passed"],
            verdicts=await rows("verdict_counts"),
            breaks=await rows("break_counts"),
            letters=await rows("dead_letter_counts"),
            open=await rows("open_breaks"),
            checks=checks,
            trail_end=trail_end[0] if trail_end else None,
        )
