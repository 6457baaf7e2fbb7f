"""Writes the audit trail: at once within the transaction of a change, in batches for reads.

An entry that cannot be written fails what it records: a change is rolled back, a read is refused once the queue is full.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

import orjson
import psycopg
from psycopg_pool import PoolTimeout

from recon_stream.errors import TransientFailure
from recon_stream.metrics.catalogue import AUDIT_ENTRIES, AUDIT_LAST, AUDIT_WAITING
from recon_stream.security.audit import Entry
from recon_stream.storage.pool import Connection, Pool
from recon_stream.storage.queries import QUERIES

logger = logging.getLogger(__name__)

WAITING_MAX = 2000
BATCH_MAX = 500
LINGER_MS = 200
RETRY_SECONDS = 1
TEXT_CHARACTERS_MAX = 600
"""Of each part of an entry that had to be escaped."""

_UNWRITABLE = (TypeError, ValueError, psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
"""What says that an entry is no JSON, or none that PostgreSQL takes, whenever it is tried."""


class AuditAway(TransientFailure):
    """The audit trail cannot be written, so nothing is done that it would have to record."""


async def append(connection: Connection, entries: Sequence[Entry]) -> int:
    """Append within the caller's transaction; the number of the last entry. The chain is locked until that ends."""
    cursor = await connection.execute(
        QUERIES["append_audit"], {"entries": orjson.dumps([asdict(entry) for entry in entries]).decode()}
    )
    row = await cursor.fetchone()
    assert row is not None, "a function returns a row"
    AUDIT_ENTRIES.inc(len(entries))
    return int(row[0])


class AuditLog:
    """The queue of what was read or refused, in front of PostgreSQL. One for each process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: list[Entry] = []
        self._wake = asyncio.Event()
        self._ending = asyncio.Event()

    def note(self, entry: Entry) -> None:
        """Queue an entry. Raises AuditAway where too many wait already."""
        if len(self._waiting) >= WAITING_MAX:
            raise AuditAway(f"{len(self._waiting)} entries wait")
        self._waiting.append(entry)
        self._wake.set()

    async def record(self, *entries: Entry) -> None:
        """Append entries at once: when this returns they are committed. Raises psycopg.Error, PoolTimeout."""
        async with self._pool.connection() as connection:
            last = await append(connection, entries)
        AUDIT_LAST.set(last)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write in the background; on leaving, what waits is written once more, if PostgreSQL lets it."""
        task = asyncio.create_task(self._run(), name="audit")
        try:
            yield
        finally:
            # not cancelled: what a cancelled write had committed would be written again
            self._ending.set()
            self._wake.set()
            await task
            while self._waiting and await self._write():
                pass
            if self._waiting:
                logger.error(
                    "%d entries of the audit trail are lost: PostgreSQL is away at the end", len(self._waiting)
                )

    async def _run(self) -> None:
        while not self._ending.is_set():
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(LINGER_MS / 1000)
            while self._waiting and not self._ending.is_set():
                if not await self._write():
                    await asyncio.sleep(RETRY_SECONDS)

    async def _write(self) -> bool:
        """Append what waits longest; False where it has to wait on."""
        batch = self._waiting[:BATCH_MAX]
        AUDIT_WAITING.set(len(self._waiting))
        try:
            try:
                await self._append(batch)
            except _UNWRITABLE:
                for entry in batch:
                    await self._append_somehow(entry)
        except (psycopg.Error, PoolTimeout, OSError) as error:
            logger.warning("the audit trail waits, %d entries: %s", len(self._waiting), str(error).strip())
            return False
        except Exception:
            # the queue is all that is left to say so: whoever wants to read is refused once it is full
            logger.exception("the audit trail waits, %d entries", len(self._waiting))
            return False
        return True

    async def _append(self, entries: Sequence[Entry]) -> None:
        """Append the first ones that wait, and let them wait no more."""
        await self.record(*entries)
        del self._waiting[: len(entries)]
        AUDIT_WAITING.set(len(self._waiting))

    async def _append_somehow(self, entry: Entry) -> None:
        """An entry that may be the one which kept the others from being written."""
        try:
            await self._append([entry])
        except _UNWRITABLE as error:
            logger.error("an entry of the audit trail is written with its text escaped: %s", str(error).strip())
            self._waiting[0] = escaped(entry)
            await self._append(self._waiting[:1])


def escaped(entry: Entry) -> Entry:
    """The same in ASCII, cut where it is long: PostgreSQL takes it, and it still says who did what."""
    parts = ("actor", "role", "action", "object", "address", "session", "request_id")
    texts: dict[str, Any] = {name: _escaped(getattr(entry, name)) for name in parts}
    return replace(entry, **texts, detail={"escaped": ascii(entry.detail)[:TEXT_CHARACTERS_MAX]})


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")[:TEXT_CHARACTERS_MAX]
