"""Sends records that were refused to their topics once more, byte for byte as the archive holds them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from recon_stream.errors import TransientFailure
from recon_stream.security.audit import Entry
from recon_stream.settings import Settings
from recon_stream.storage import dead_letter_actions
from recon_stream.storage.audit_log import append
from recon_stream.storage.dead_letter_actions import Due, Letter, Request
from recon_stream.storage.pool import Pool
from recon_stream.transport.reach import kafka_away

SEND_SECONDS = 10.0
"""From the first attempt to connect to the acknowledgement; the row of the action is locked meanwhile."""

_PRODUCER: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "max_request_size": 4 << 20,
    "request_timeout_ms": int(SEND_SECONDS * 1000),
}


class Replayer:
    """One for each process. It connects to Kafka at its first use: the API serves without."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings, self._pool = settings, pool
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Replayer]:
        """Ends the connection when left."""
        try:
            yield self
        finally:
            if self._producer is not None:
                await self._producer.stop()

    async def send(self, letter: Letter, request: Request, entry: Callable[[int, int], Entry]) -> None:
        """Send what `request` has entered for a letter, unless that has been done, and write down where the record stands.

        `entry` makes the audit entry of partition and offset; it is appended in the same transaction. Raises TransientFailure
        where Kafka does not acknowledge in time: then it is not known whether the record was sent, and the same request may
        be made again.
        """
        async with self._pool.connection() as connection:
            found = await dead_letter_actions.due(connection, letter, request)
            if found is None:
                return
            place = await self._publish(letter, found)
            await dead_letter_actions.replayed(connection, found.action_id, *place)
            await append(connection, [entry(*place)])

    async def _publish(self, letter: Letter, found: Due) -> tuple[int, int]:
        # without a key there is nothing that chooses a partition: it goes where it was
        partition = letter.partition if found.key is None else None
        try:
            async with asyncio.timeout(SEND_SECONDS):
                producer = await self._connected()
                sent = await producer.send_and_wait(letter.topic, found.value, found.key, partition)
        except TimeoutError as error:
            raise TransientFailure(f"Kafka did not acknowledge within {SEND_SECONDS:.0f} s") from error
        except (KafkaError, OSError) as error:
            raise await kafka_away(self._settings, error) from error
        return sent.partition, sent.offset

    async def _connected(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(**self._settings.kafka_client(), **_PRODUCER)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer
