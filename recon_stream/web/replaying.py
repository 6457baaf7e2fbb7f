"""Sends records that were refused to their topics once more, byte for byte as the archive holds them.

A replay that has begun is carried to its end, also where the client goes away: Kafka may have the record already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from recon_stream.errors import TransientFailure
from recon_stream.metrics.catalogue import DEAD_LETTER_ACTIONS
from recon_stream.security.audit import Entry
from recon_stream.settings import Settings
from recon_stream.storage import dead_letter_actions
from recon_stream.storage.audit_log import AuditLog, append
from recon_stream.storage.dead_letter_actions import Due, Letter, Request
from recon_stream.storage.pool import Pool
from recon_stream.transport.reach import kafka_away
from recon_stream.web.problems import too_many

logger = logging.getLogger(__name__)

UNDER_WAY_MAX = 2
"""Replays of one process at a time: each holds a connection to PostgreSQL while it waits for Kafka."""
RETRY_SECONDS = 5
SEND_SECONDS = 10.0
"""From the first attempt to connect to the acknowledgement; the row of the action is locked meanwhile."""
END_SECONDS = 3.0
"""For what is under way when the process ends, and again for what that has to close."""

_PRODUCER: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "max_request_size": 4 << 20,
    "request_timeout_ms": int(SEND_SECONDS * 1000),
}

T = TypeVar("T")


class Replayer:
    """One for each process. It connects to Kafka for each record: the API serves without."""

    def __init__(self, settings: Settings, pool: Pool, audit: AuditLog) -> None:
        self._settings, self._pool, self._audit = settings, pool, audit
        self._under_way: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Replayer]:
        """What is under way when left has END_SECONDS to end; then it is broken off, and the audit trail told so."""
        try:
            yield self
        finally:
            if self._under_way:
                _, late = await asyncio.wait(self._under_way, timeout=END_SECONDS)
                for each in late:
                    each.cancel()
                if late:
                    await asyncio.wait(late, timeout=END_SECONDS)

    async def carried(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` returns; it goes on where the caller is cancelled. Raises Problem where too many are under way."""
        if len(self._under_way) >= UNDER_WAY_MAX:
            detail = f"{UNDER_WAY_MAX} replays are under way here; try again in a moment."
            raise too_many("too-many-replays", detail, RETRY_SECONDS)
        task = asyncio.create_task(work(), name="replay")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def send(self, letter: Letter, request: Request, entry: Callable[[int, int], Entry], failed: Entry) -> None:
        """Send what `request` has entered for a letter, unless that has been done, and write down where the record stands.

        `entry` makes the audit entry of partition and offset; it is appended in the same transaction. Whatever fails leaves
        the entry `failed`: then it is not known whether the record was sent, and the same request may be made again. Raises
        TransientFailure where Kafka does not acknowledge in time, and psycopg.Error.
        """
        try:
            async with self._pool.connection() as connection:
                found = await dead_letter_actions.due(connection, letter, request)
                if found is None:
                    return
                place = await self._publish(letter, found)
                await dead_letter_actions.replayed(connection, found.action_id, *place)
                await append(connection, [entry(*place)])
        except asyncio.CancelledError:
            # the process ends: the queue is written after this
            self._audit.note(failed)
            raise
        except Exception:
            await self._told(failed)
            raise
        DEAD_LETTER_ACTIONS.labels("replay").inc()

    async def _told(self, failed: Entry) -> None:
        try:
            await self._audit.record(failed)
        except (psycopg.Error, OSError):
            # the queue tries until PostgreSQL is back
            self._audit.note(failed)

    async def _publish(self, letter: Letter, found: Due) -> tuple[int, int]:
        # without a key there is nothing that chooses a partition: it goes where it was
        partition = letter.partition if found.key is None else None
        # one of its own: what is not acknowledged is thrown away with it, and no other record is
        producer = AIOKafkaProducer(**self._settings.kafka_client(), **_PRODUCER)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await producer.start()
                sent = await producer.send_and_wait(letter.topic, found.value, found.key, partition)
        except TimeoutError as error:
            raise TransientFailure(f"Kafka did not acknowledge within {SEND_SECONDS:.0f} s") from error
        except (KafkaError, OSError) as error:
            raise await kafka_away(self._settings, error) from error
        finally:
            await _thrown_away(producer)
        return sent.partition, sent.offset


async def _thrown_away(producer: AIOKafkaProducer) -> None:
    """Close a producer, and send nothing that it still holds: stop() alone waits until that is sent, for ever if need be."""
    sender = producer._sender.sender_task  # noqa: SLF001 - it has no public end without a flush
    try:
        async with asyncio.timeout(END_SECONDS):
            # cancelled once, it still waits for the request that is under way; cancelled again, it ends that
            while sender is not None and not sender.done():
                sender.cancel()
                await asyncio.wait([sender], timeout=0.05)
            producer._closed = True  # noqa: SLF001 - or it complains of having not been stopped
            await producer.client.close()
    except (TimeoutError, KafkaError, OSError) as error:
        logger.warning("a producer could not be closed: %s", error or type(error).__name__)
