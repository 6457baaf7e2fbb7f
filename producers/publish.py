"""Sends planned records to Kafka: idempotent, acknowledged by all replicas, in whole batches a partition.

Keys go to partitions by murmur2, as every Java client and aiokafka do by default; the batches are filled here because a
call of the producer a record costs more than everything else together.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from producers.plan import UNKNOWN_SCHEMA_ID, Frame, Record
from producers.rejects import encode_event
from recon_stream.avro import SchemaRegistry, frame
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.registration import schema_id_of
from recon_stream.settings import Settings
from recon_stream.transport.reach import kafka_away

BATCH_BYTES_MAX = 256 * 1024
REQUEST_TIMEOUT_MS = 30_000

PRODUCER_CONFIG: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "max_batch_size": BATCH_BYTES_MAX,
    "max_request_size": 4 * 1024 * 1024,
    "request_timeout_ms": REQUEST_TIMEOUT_MS,
}
"""How every feed sends: a retry inside the client neither loses nor doubles nor reorders a record."""


class Publisher:
    """Sends records to the topics of some sources. `async with Publisher(settings, sources) as publisher`.

    Raises ConfigurationError at the start where topics or schemas are not there, TransientFailure where broker or
    registry do not answer.
    """

    def __init__(self, settings: Settings, sources: Iterable[int]) -> None:
        self._settings = settings
        self.sources = tuple(sorted(sources))
        self._producer: Any = None
        self._partitions = 0
        self._frames: dict[tuple[int, Frame], bytes] = {}
        self._unacknowledged: list[asyncio.Future[Any]] = []
        self._filling: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter({SOURCE_TOPICS[source]: 0 for source in self.sources})
        """Records by topic that the brokers have confirmed."""

    async def __aenter__(self) -> Self:
        await self._read_schema_ids()
        self._producer = AIOKafkaProducer(**self._settings.kafka_client(), **PRODUCER_CONFIG)
        try:
            await self._producer.start()
            await self._read_partitions()
        except (KafkaError, OSError) as error:
            await self._producer.stop()
            raise await kafka_away(self._settings, error) from error
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.flush()
        finally:
            await self._producer.stop()

    async def _read_schema_ids(self) -> None:
        async with SchemaRegistry(self._settings) as registry:
            for source in self.sources:
                schema_id = await schema_id_of(registry, SOURCE_TOPICS[source])
                self._frames |= {
                    (source, Frame.OURS): frame(schema_id),
                    (source, Frame.UNKNOWN): frame(UNKNOWN_SCHEMA_ID),
                    (source, Frame.NONE): b"",
                }

    async def _read_partitions(self) -> None:
        existing = await self._producer.client.fetch_all_metadata()
        counts = {}
        for topic in (SOURCE_TOPICS[source] for source in self.sources):
            partitions = existing.partitions_for_topic(topic)
            if not partitions:
                raise ConfigurationError(f"topic {topic} does not exist: run `recon-stream topics create`")
            counts[topic] = len(partitions)
        if len(set(counts.values())) != 1:
            raise ConfigurationError(
                f"topics have different numbers of partitions {counts}: run `recon-stream topics check`"
            )
        self._partitions = next(iter(counts.values()))

    async def send(self, records: Iterable[Record]) -> None:
        """Hand the records to the client in their order; waits until what was handed over before is acknowledged.

        So one call's records are under way while the next ones are being planned, and no more than that.
        """
        batches: dict[tuple[str, int], Any] = {}
        counts: Counter[str] = Counter()
        full: list[tuple[tuple[str, int], Any]] = []
        # Kafka's CreateTime: the instant of sending
        timestamp = time.time_ns() // 1_000_000
        for record in records:
            topic = SOURCE_TOPICS[record.source]
            value = self._value(record)
            where = (topic, partition_of(record.key or b"", self._partitions))
            batch = batches.get(where)
            if batch is None:
                batch = batches[where] = self._producer.create_batch()
            if batch.append(timestamp=timestamp, key=record.key, value=value) is None:
                full.append((where, batch))
                batch = batches[where] = self._producer.create_batch()
                if batch.append(timestamp=timestamp, key=record.key, value=value) is None:
                    raise AssertionError(f"a record of {len(value or b'')} bytes does not fit a batch")
            counts[topic] += 1
        await self.flush()
        try:
            for (topic, partition), batch in [*full, *batches.items()]:
                batch.close()
                self._unacknowledged.append(await self._producer.send_batch(batch, topic, partition=partition))
        except KafkaError as error:
            raise self._unavailable(error) from error
        self._filling = counts

    async def flush(self) -> None:
        """Wait until every record handed over is acknowledged."""
        try:
            await asyncio.gather(*self._unacknowledged)
        except KafkaError as error:
            raise self._unavailable(error) from error
        self.acknowledged.update(self._filling)
        self._unacknowledged, self._filling = [], Counter()

    def _value(self, record: Record) -> bytes | None:
        if record.event is not None:
            return self._frames[record.source, record.frame] + encode_event(record.event)
        if record.body is None:
            return None
        return self._frames[record.source, record.frame] + record.body

    def _unavailable(self, error: BaseException) -> TransientFailure:
        return TransientFailure(
            f"Kafka at {self._settings.kafka_bootstrap_servers} does not take records: {error or type(error).__name__}; "
            f"acknowledged so far: {sum(self.acknowledged.values())}"
        )


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key by murmur2, as Kafka's own clients choose it."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
