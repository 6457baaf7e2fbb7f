"""Writes the audit trail: at once within the transaction of a change, in batches for reads.

An entry that cannot be written fails what it records: a change is rolled back, a read is refused once the queue is full.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict

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

    def note(self, entry: Entry) -> None:
        """Queue an entry. Raises AuditAway where too many wait already."""
        if len(self._waiting) >= WAITING_MAX:
            raise AuditAway(f"{len(self._waiting)} entries wait")
        self._waiting.append(entry)
        self._wake.set()

    async def record(self, entry: Entry) -> None:
        """Append an entry at once: when this returns it is committed. Raises psycopg.Error, PoolTimeout."""
        async with self._pool.connection() as connection:
            last = await append(connection, [entry])
        AUDIT_LAST.set(last)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write in the background; on leaving, what waits is written once more, if PostgreSQL lets it."""
        task = asyncio.create_task(self._run(), name="audit")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if self._waiting and not await self._write():
                logger.error(
                    "%d entries of the audit trail are lost: PostgreSQL is away at the end", len(self._waiting)
                )

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(LINGER_MS / 1000)
            while self._waiting:
                if not await self._write():
                    await asyncio.sleep(RETRY_SECONDS)

    async def _write(self) -> bool:
        batch = self._waiting[:BATCH_MAX]
        AUDIT_WAITING.set(len(self._waiting))
        try:
            async with self._pool.connection() as connection:
                last = await append(connection, batch)
        except (psycopg.Error, PoolTimeout, OSError) as error:
            logger.warning("the audit trail waits, %d entries: %s", len(self._waiting), str(error).strip())
            return False
        AUDIT_LAST.set(last)
        del self._waiting[: len(batch)]
        AUDIT_WAITING.set(len(self._waiting))
        return True
