"""Single records to the source topics, every field, key, partition and time of them as a test wants it."""

from __future__ import annotations

import itertools
import time
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from recon_stream.avro import SchemaRegistry, frame
from recon_stream.domain.event import SOURCE_TOPICS, SOURCES
from recon_stream.registration import schema_id_of
from recon_stream.settings import Settings
from recon_stream.transport.placement import partition_of
from tests.pipeline.driving import event_of, payload_of

CORE, GATEWAY, MOBILE = SOURCES
WORDS = ("POSTED", "CAPTURED", "SUCCESS")
_number = itertools.count()


def now_ms() -> int:
    """The wall clock, epoch milliseconds."""
    return time.time_ns() // 1_000_000


def txn_in(partition: int, partitions: int = 6) -> str:
    """A new transaction id that belongs to the partition."""
    while True:
        txn_id = f"HARD-{next(_number):06d}"
        if partition_of(txn_id.encode(), partitions) == partition:
            return txn_id


def payload(source: int, txn_id: str, at: int, **fields: Any) -> bytes:
    """The Avro record of an event that agrees with its siblings."""
    event = {
        "event_id": f"{SOURCES[source].name[0]}1", "txn_id": txn_id, "source": SOURCES[source].name,
        "amount_minor": 12_345, "currency": "EUR", "direction": "DEBIT", "status": WORDS[source], "occurred_at": at,
        "account": "ACC", "reference": None, "channel": None, "revision": 0,
    }  # fmt: skip
    return payload_of(event_of(event | fields))


class Feeder:
    """`async with Feeder(settings) as feeder`; every send is acknowledged when it returns."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self._settings = settings
        self._producer = AIOKafkaProducer(**settings.kafka_client(), acks="all", max_request_size=1 << 20, **options)
        self._frames: list[bytes] = []

    async def __aenter__(self) -> Self:
        async with SchemaRegistry(self._settings) as registry:
            self._frames = [frame(await schema_id_of(registry, topic)) for topic in SOURCE_TOPICS]
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    def value(self, source: int, txn_id: str, at: int, **fields: Any) -> bytes:
        """The framed value of an event."""
        return self._frames[source] + payload(source, txn_id, at, **fields)

    async def send(self, source: int, txn_id: str, at: int, timestamp: int | None = None, **fields: Any) -> None:
        """An event of the source, dated `at`; `timestamp` is Kafka's, both in epoch milliseconds."""
        await self.send_value(source, txn_id.encode(), self.value(source, txn_id, at, **fields), timestamp)

    async def send_value(self, source: int, key: bytes, value: bytes, timestamp: int | None = None) -> None:
        """Any value."""
        await self._producer.send_and_wait(SOURCE_TOPICS[source], value=value, key=key, timestamp_ms=timestamp)

    async def post(self, source: int, txn_id: str, at: int, **fields: Any) -> Any:
        """Like send, without waiting; the future of the acknowledgement."""
        value = self.value(source, txn_id, at, **fields)
        return await self._producer.send(SOURCE_TOPICS[source], value=value, key=txn_id.encode())

    async def transaction(self, txn_id: str, at: int, timestamp: int | None = None, **fields: Any) -> None:
        """All three legs."""
        for source in SOURCES:
            await self.send(source, txn_id, at, timestamp, **fields)
