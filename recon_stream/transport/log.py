"""Reading Kafka as it stands: whole partitions, offsets of groups; without a consumer group, so nothing is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from recon_stream.errors import TransientFailure
from recon_stream.settings import Settings
from recon_stream.transport.reach import kafka_away

TIMEOUT_SECONDS = 30.0
RETRY_SECONDS = 0.2
POLL_MS = 500
POLL_RECORDS = 5000
FETCH_BYTES = 4 << 20

Partition = tuple[str, int]


class Entry(NamedTuple):
    """A record as it stands in a partition; timestamp in epoch milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Log:
    """A consumer of whole partitions. `async with Log(settings) as log`; raises TransientFailure where Kafka is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: Any = AIOKafkaConsumer(
            **settings.kafka_client(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=100,
        )
        self._admin: Any = AIOKafkaAdminClient(**settings.kafka_client(), request_timeout_ms=15_000)

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._consumer.start()
                await self._admin.start()
        except BaseException as error:
            await self._close()
            if isinstance(error, KafkaError | OSError | TimeoutError):
                raise await kafka_away(self._settings, error) from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def bounds(self, partitions: Iterable[Partition]) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """(first offset that is still there, offset behind the last record) of each partition, as they are now."""
        tps = [TopicPartition(*partition) for partition in partitions]
        begins = await self._asked(self._consumer.beginning_offsets, tps)
        ends = await self._asked(self._consumer.end_offsets, tps)
        return {tuple(tp): begin for tp, begin in begins.items()}, {tuple(tp): end for tp, end in ends.items()}

    async def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offset behind the last record of each partition."""
        ends = await self._asked(
            lambda: self._consumer.end_offsets([TopicPartition(*partition) for partition in partitions])
        )
        return {tuple(tp): end for tp, end in ends.items()}

    async def committed(self, group: str) -> dict[Partition, int]:
        """What a consumer group has committed; empty for a group that there is not."""
        offsets = await self._asked(self._admin.list_consumer_group_offsets, group)
        return {tuple(tp): metadata.offset for tp, metadata in offsets.items() if metadata.offset >= 0}

    async def read(
        self, spans: Mapping[Partition, tuple[int, int]], progress: Callable[[int], None]
    ) -> AsyncIterator[tuple[Partition, list[Entry]]]:
        """Every record of each partition with since <= offset < before, in order of the partition, in batches.

        `progress` is told how far it has come, in offsets. Raises TransientFailure when nothing comes for half a minute.
        """
        consumer = self._consumer
        open_tps = {
            TopicPartition(*partition): before for partition, (since, before) in spans.items() if since < before
        }
        positions = {tp: spans[tuple(tp)][0] for tp in open_tps}
        consumer.assign(list(open_tps))
        for tp, position in positions.items():
            consumer.seek(tp, position)
        silent_since = asyncio.get_running_loop().time()
        while open_tps:
            got = await self._asked(consumer.getmany, *open_tps, timeout_ms=POLL_MS, max_records=POLL_RECORDS)
            for tp, messages in got.items():
                before = open_tps[tp]
                entries = [Entry(m.offset, m.timestamp, m.key, m.value) for m in messages if m.offset < before]
                if entries:
                    yield tuple(tp), entries
            moved = False
            for tp, before in list(open_tps.items()):
                position = min(before, await self._asked(consumer.position, tp))
                progress(position - positions[tp])
                moved = moved or position > positions[tp]
                positions[tp] = position
                if position >= before:
                    del open_tps[tp]
                    consumer.pause(tp)
            now = asyncio.get_running_loop().time()
            if moved:
                silent_since = now
            elif now - silent_since > TIMEOUT_SECONDS:
                address = self._settings.kafka_bootstrap_servers
                raise TransientFailure(f"Kafka at {address} gives no records of {sorted(map(tuple, open_tps))}")

    async def last_timestamps(self, ends: Mapping[Partition, int], begins: Mapping[Partition, int]) -> dict[str, int]:
        """Topic -> the highest Kafka timestamp among the last records of its partitions."""
        newest: dict[str, int] = {}
        spans = {partition: (max(begins[partition], end - 1), end) for partition, end in ends.items()}
        async for (topic, _), entries in self.read(spans, lambda _: None):
            newest[topic] = max(newest.get(topic, 0), *(entry.timestamp for entry in entries))
        return newest

    async def _asked(self, request: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Any:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while True:
                    try:
                        return await request(*arguments, **named)
                    except KafkaError as error:
                        if not error.retriable:
                            raise
                        await asyncio.sleep(RETRY_SECONDS)  # a new cluster has no coordinator of groups at first
        except (KafkaError, OSError, TimeoutError) as error:
            raise await kafka_away(self._settings, error) from error
