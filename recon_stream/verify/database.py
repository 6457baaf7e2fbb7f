"""What a verification asks PostgreSQL, inside of one snapshot, as recon_reader."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from importlib.resources import files
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg

from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.settings import Settings
from recon_stream.storage.pool import Connection, connection_string
from recon_stream.storage.queries import parse_queries
from recon_stream.topics import RESULTS
from recon_stream.transport.log import Partition
from recon_stream.verify.archive_checks import StoredRecord
from recon_stream.verify.catch_up import Offsets
from recon_stream.verify.stored_checks import StoredVerdict

ROWS = 2000
# longer than the sink's: one statement looks at everything, and the snapshot stays open while Kafka is read
_SESSION = (
    "SET statement_timeout = '15min'",
    "SET idle_in_transaction_session_timeout = '15min'",
    # everything here joins whole tables; beside a fresh table without statistics the planner would loop over all of it
    "SET enable_nestloop = off",
    "SET work_mem = '64MB'",
    "SET default_transaction_isolation = 'repeatable read'",
    "SET default_transaction_read_only = on",
)
# LiteralString: these texts come from our own package, never from data
_QUERIES: dict[str, LiteralString] = parse_queries(files(__package__).joinpath("queries.sql").read_text())


class Database:
    """A read-only snapshot. `async with Database(settings) as database`; raises TransientFailure where it is away."""

    def __init__(self, settings: Settings) -> None:
        url = settings.database_reader_url or settings.database_url
        self._conninfo = connection_string(url, settings, "verify")
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        try:
            self._connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
            for statement in _SESSION:
                await self._connection.execute(statement)
            await self._connection.set_autocommit(False)
        except psycopg.OperationalError as error:
            raise TransientFailure(f"PostgreSQL: {str(error).strip()}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()
        if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InsufficientPrivilege):
            raise ConfigurationError(f"PostgreSQL: {str(error).strip()}; run `recon-stream migrate`") from error
        if isinstance(error, psycopg.OperationalError):
            raise TransientFailure(f"PostgreSQL: {str(error).strip()}") from error

    async def raw_events(self, partition: Partition, since: int, before: int) -> list[StoredRecord]:
        """Rows of raw_events with since <= offset < before."""
        topic, number = partition
        rows = await self._all(
            "raw_events_between", {"topic": topic, "partition": number, "since": since, "before": before}
        )
        return [StoredRecord(*row) for row in rows]

    async def dead_letters(self, number: int) -> dict[tuple[str, int], str]:
        """(topic, offset) -> reason, of records of the sources in that partition number."""
        rows = await self._all("dead_letters_of", {"topics": list(SOURCE_TOPICS), "partition": number})
        return {(topic, offset): reason for topic, offset, reason in rows}

    async def verdicts(self, number: int) -> AsyncIterator[StoredVerdict]:
        """Every live verdict of that partition number."""
        assert self._connection is not None, "use it in `async with`"
        async with self._connection.cursor(name="verdicts") as cursor:
            cursor.itersize = ROWS
            await cursor.execute(_QUERIES["verdicts_of"], {"partition": number})
            async for row in cursor:
                yield StoredVerdict(*row)

    async def money(self, begins: Offsets, ends: Offsets) -> dict[tuple[str, str], tuple[int, int]]:
        """(topic, currency) -> (sum in minor units, number of amounts)."""
        rows = await self._all("money", _reach(ends) | {"begins": [begins[each] for each in _sources(ends)]})
        return {(topic, currency): (int(total), count) for topic, currency, total, count in rows}

    async def accepted_twice(self) -> list[tuple[Any, ...]]:
        """(txn_id, source, event_id, revision, copies, place, events looked at); the first is None where there is none."""
        return await self._all("accepted_twice", {})

    async def legs_of_unaccepted_records(self, ends: Offsets) -> list[tuple[Any, ...]]:
        """(txn_id, source, place, legs looked at); the first is None where there is none."""
        partitions = sorted(partition for partition in ends if partition[0] == RESULTS)
        return await self._all("legs_of_unaccepted_records", {"result_ends": [ends[each] for each in partitions]})

    async def without_verdict(self, ends: Offsets) -> list[tuple[Any, ...]]:
        """(txn_id, why it must have one, transactions looked at); the first is None where there is none."""
        return await self._all("without_verdict", _reach(ends))

    async def conflicts(self) -> list[tuple[Any, ...]]:
        """Rows of result_conflicts, at most a thousand."""
        return await self._all("conflicts", {})

    async def orphans(self) -> list[str]:
        """Breaks and moves that belong to nothing, in words."""
        return [text for (text,) in await self._all("orphans", {})]

    async def _all(self, query: str, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
        assert self._connection is not None, "use it in `async with`"
        cursor = await self._connection.execute(_QUERIES[query], arguments)
        return await cursor.fetchall()


def _sources(ends: Offsets) -> Sequence[Partition]:
    return sorted(partition for partition in ends if partition[0] in SOURCE_TOPICS)


def _reach(ends: Offsets) -> dict[str, Any]:
    partitions = _sources(ends)
    return {
        "topics": [topic for topic, _ in partitions],
        "partitions": [number for _, number in partitions],
        "ends": [ends[partition] for partition in partitions],
    }
