"""Whether every record is accounted for: invariants that are cheap enough for every minute, kept with their newest result.

Each looks at what came since it looked last, and again at what it found wrong then; `recon-stream verify` looks at everything. A
check that takes too long is left as it stood, with the time at which it was done last, and stops no other.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson
from psycopg import IsolationLevel
from psycopg.errors import QueryCanceled
from psycopg.types.json import Jsonb

from recon_stream.storage.pool import Connection, Pool
from recon_stream.storage.queries import QUERIES
from recon_stream.storage.values import timestamp

logger = logging.getLogger(__name__)

FLOW: Final = "flow"
"""Name of the check that also holds how fast each topic is stored and how far behind."""
SPAN_MAX: Final = 500_000
"""Offsets of a partition that one check looks at; more wait for the next."""
GAPS_MAX: Final = 100
EXAMPLES_MAX: Final = 10

_HOUR_MS = 3_600_000
_SINCE: Final = {
    "results": (
        "check_stored_results",
        "Each recent live verdict has its revision, and open breaks just when it is BROKEN",
    ),
    "verdict-counts": ("check_verdict_rollups", "Recent verdicts are counted as they stand"),
    "break-counts": ("check_break_rollups", "Recent breaks are counted as they stand"),
    "dead-letters": ("check_dead_letters", "Each record with a recent dead letter is in raw_events"),
    "conflicts": ("check_conflicts", "No result of the last day contradicts a stored one"),
}

Place = tuple[str, int]
Span = tuple[int, int]
"""(first offset that Kafka still has, end)."""
Spans = Callable[[], Awaitable[Mapping[Place, Span] | None]]
"""Tells what Kafka has of each partition; None where it does not answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check. `violations`: found and not healed; `detail` holds examples, and what the next check goes on from."""

    name: str
    title: str
    examined: int
    violations: int
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Last:
    violations: int
    detail: dict[str, Any]
    checked_at: int


_NEVER = _Last(0, {}, 0)


async def check(pool: Pool, sources: Sequence[str], spans: Spans) -> list[Finding] | None:
    """Check everything, as it stands at one moment, and store what was found; None where another process has just done so.

    `spans`: asks what Kafka has of the topics, after it is known how far they are stored.
    """
    async with pool.connection() as connection:
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        try:
            async with connection.transaction():
                findings = await _checked(connection, sources, spans)
        finally:
            await connection.set_isolation_level(None)
        if findings is not None:
            # apart from the checks: what they meet must not keep old buckets
            await connection.execute(QUERIES["delete_old_verdict_rollups"])
            await connection.execute(QUERIES["delete_old_break_rollups"])
        return findings


async def _checked(connection: Connection, sources: Sequence[str], spans: Spans) -> list[Finding] | None:
    (begun, now), *_ = await _rows(connection, "begin_accounting")
    if not begun:
        return None
    last = {name: _Last(*rest) for name, *rest in await _rows(connection, "last_accounting")}
    stored = {(topic, partition): offset for topic, partition, offset in await _rows(connection, "all_sink_offsets")}
    findings = [flow(stored, await spans(), last.get(FLOW, _NEVER), now)]
    for topic in sources:
        name = f"archive-{topic}"
        mine = {partition: offset for (of, partition), offset in stored.items() if of == topic}
        findings += await _in_time(connection, name, _archive(connection, name, topic, mine, last.get(name, _NEVER)))
    for name in _SINCE:
        findings += await _in_time(connection, name, _late(connection, name, sources, last.get(name, _NEVER), now))
    rows = [asdict(finding) for finding in findings]
    await connection.execute(QUERIES["save_accounting"], {"rows": Jsonb(rows, dumps=orjson.dumps)})
    return findings


async def _in_time(connection: Connection, name: str, work: Coroutine[Any, Any, Finding]) -> list[Finding]:
    """The finding of a check; none where a statement of it took longer than the connection allows."""
    try:
        async with connection.transaction():
            return [await work]
    except QueryCanceled:
        logger.error("accounting: the check %s takes too long, and stands as it was", name)
        return []


async def _late(connection: Connection, name: str, sources: Sequence[str], before: _Last, now: int) -> Finding:
    """What came lately, and since the first that was found wrong and is so yet."""
    query, title = _SINCE[name]
    since = before.detail["since"] if before.violations else now // _HOUR_MS * _HOUR_MS - _HOUR_MS
    parameters = {"since": timestamp(since), "sources": list(sources)}
    (examined, violations, examples), *_ = await _rows(connection, query, parameters)
    return Finding(name, title, examined, violations, {"since": since, "examples": examples})


def flow(stored: Mapping[Place, int], spans: Mapping[Place, Span] | None, last: _Last, now: int) -> Finding:
    """How far each topic is stored, how fast, how much waits; nothing may be stored that Kafka does not have. `now` in ms.

    Of a partition of which nothing was ever stored, what Kafka let expire does not wait.
    """
    topics: dict[str, dict[str, Any]] = {}
    seconds = (now - last.checked_at) / 1000
    for topic in sorted({topic for topic, _ in (*stored, *(spans or ()))}):
        reached = sum(offset for (of, _), offset in stored.items() if of == topic)
        before = last.detail.get("topics", {}).get(topic, {}).get("stored")
        lags = (
            None
            if spans is None
            else {
                str(partition): max(0, end - stored.get((of, partition), first))
                for (of, partition), (first, end) in sorted(spans.items())
                if of == topic
            }
        )
        rate = None if before is None or seconds <= 0 else round(max(0, reached - before) / seconds, 1)
        topics[topic] = {"stored": reached, "per_second": rate, "lags": lags}
    beyond = [
        f"{topic}[{partition}] is stored up to {offset} and ends at {spans[topic, partition][1]} in Kafka"
        for (topic, partition), offset in sorted(stored.items())
        if spans is not None and (topic, partition) in spans and offset > spans[topic, partition][1]
    ]
    title = "No topic is stored further than Kafka has it"
    return Finding(FLOW, title, len(stored), len(beyond), {"topics": topics, "examples": beyond[:EXAMPLES_MAX]})


async def _archive(connection: Connection, name: str, topic: str, stored: Mapping[int, int], last: _Last) -> Finding:
    """Each offset that the sink has passed has its row, from where the archive begins."""
    reached: dict[str, int] = dict(last.detail.get("reached", {}))
    gaps: list[tuple[int, int, int]] = []
    examined = 0
    for partition, first, count in last.detail.get("gaps", []):
        gaps += await _gaps(connection, topic, partition, first, first + count)
        examined += count
    for partition, end in sorted(stored.items()):
        place = {"topic": topic, "partition": partition}
        since = reached.get(str(partition))
        if since is None:
            begins = await _rows(connection, "first_raw_event", place)
            since = begins[0][0] if begins else end
        before = min(end, since + SPAN_MAX)
        if before > since:
            gaps += await _gaps(connection, topic, partition, since, before)
            examined += before - since
        reached[str(partition)] = before
    missing = sum(count for _, _, count in gaps)
    detail = {
        "reached": reached,
        "gaps": gaps[:GAPS_MAX],
        "examples": [
            f"{topic}[{partition}]@{first}: {count} missing" for partition, first, count in gaps[:EXAMPLES_MAX]
        ],
    }
    return Finding(name, f"Each record of {topic} that the sink has passed is in raw_events", examined, missing, detail)


async def _gaps(
    connection: Connection, topic: str, partition: int, since: int, before: int
) -> Iterable[tuple[int, int, int]]:
    """(partition, first offset, number) of spans without rows."""
    span = {"topic": topic, "partition": partition, "since": since, "before": before}
    return [(partition, first, count) for first, count in await _rows(connection, "raw_event_gaps", span)]


async def _rows(
    connection: Connection, query: str, parameters: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(QUERIES[query], parameters or {})
    return await cursor.fetchall()
