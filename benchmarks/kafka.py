"""The few things a measurement asks of the broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from recon_stream.settings import Settings

Offsets = dict[TopicPartition, int]


class Broker:
    """`async with Broker.of(settings) as broker`."""

    def __init__(self, settings: Settings, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> None:
        self._settings, self._admin, self._consumer = settings, admin, consumer

    @classmethod
    @asynccontextmanager
    async def of(cls, settings: Settings) -> AsyncIterator[Broker]:
        """Connected."""
        admin = AIOKafkaAdminClient(**settings.kafka_client())
        consumer = AIOKafkaConsumer(**settings.kafka_client(), group_id=None, enable_auto_commit=False)
        try:
            await admin.start()
            await consumer.start()
            yield cls(settings, admin, consumer)
        finally:
            await consumer.stop()
            await admin.close()

    async def create(self, topic: str, config: Mapping[str, str] | None = None) -> None:
        """A topic with as many partitions as all others have, and these settings of its own."""
        new = NewTopic(topic, self._settings.partitions, 1, topic_configs=dict(config or {}))
        await self._admin.create_topics([new])

    async def delete(self, topics: Sequence[str]) -> None:
        """Delete those of the topics that exist."""
        existing = set(await self._admin.list_topics())
        await self._admin.delete_topics([topic for topic in topics if topic in existing])

    async def ends(self, topic: str) -> Offsets:
        """The end of every partition."""
        partitions = [TopicPartition(topic, number) for number in range(self._settings.partitions)]
        return dict(await self._consumer.end_offsets(partitions))

    async def values(self, since: Offsets, until: Offsets) -> AsyncIterator[bytes]:
        """The values between two ends of a topic, each partition in order."""
        unread = {tp for tp, end in until.items() if end > since[tp]}
        self._consumer.assign(list(unread))
        for tp in unread:
            self._consumer.seek(tp, since[tp])
        while unread:
            for tp, records in (await self._consumer.getmany(*unread, timeout_ms=1000)).items():
                for record in records:
                    if record.offset < until[tp]:
                        yield record.value
                if records and records[-1].offset + 1 >= until[tp]:
                    unread.discard(tp)
                    self._consumer.pause(tp)
        self._consumer.unsubscribe()
