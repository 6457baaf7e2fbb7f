"""Reads the three topics once for all sockets of a process, from their ends, without a consumer group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from recon_stream.errors import TransientFailure
from recon_stream.metrics.catalogue import LIVE_BEHIND, LIVE_SKIPPED
from recon_stream.settings import Settings
from recon_stream.transport.reach import why_away
from recon_stream.web.live.channels import TOPICS, Channel
from recon_stream.web.live.hub import Feed, Hub
from recon_stream.web.live.items import Item

logger = logging.getLogger(__name__)

POLL_MS = 200
POLL_RECORDS = 2000
ASK_SECONDS = 2.0
TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 2.0
BEHIND_MAX = 50_000
"""Records of a channel that may wait; more are skipped, for a view that is watched must be of now."""

_CHANNELS = {topic: channel for channel, topic in TOPICS.items()}
_AWAY = (KafkaError, OSError, TimeoutError, TransientFailure)
STARTING = "starting"


class Reader:
    """Feeds a hub until it is cancelled. Kafka away: it tries again, and goes on where it was."""

    def __init__(self, settings: Settings, hub: Hub, wake: Callable[[], None]) -> None:
        """`wake` is called when the hub has something new."""
        self._settings, self._hub, self._wake = settings, hub, wake
        self.reason: str | None = STARTING
        """Why nothing is read; None while it is."""
        self.behind: dict[str, int] = dict.fromkeys(TOPICS, 0)
        """Records at the broker that are not read yet, by channel."""

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self._follow()
            except _AWAY as error:
                self.reason = await self._why(error)
            except Exception as error:
                # a page must not go on with its feed silently dead
                logger.exception("the live feed failed")
                self.reason = f"failed: {type(error).__name__}"
            await asyncio.sleep(RETRY_SECONDS)

    async def _why(self, error: BaseException) -> str:
        reason = "; ".join(await why_away(self._settings, error)) if isinstance(error, KafkaError) else str(error)
        if self.reason != reason:
            logger.warning("the live feed waits: %s", reason)
        return reason

    async def _follow(self) -> None:
        consumer: Any = AIOKafkaConsumer(
            **self._settings.kafka_client(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            request_timeout_ms=int(TIMEOUT_SECONDS * 1000),
        )
        watching: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(2 * TIMEOUT_SECONDS):
                await consumer.start()
                await self._begin(consumer)
            logger.info("the live feed is read")
            self.reason = None
            watching = asyncio.create_task(self._watch(consumer), name="live ends")
            while not watching.done():
                try:
                    batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
                except OffsetOutOfRangeError:
                    # the topic was made anew, or what comes next is older than its retention
                    await self._skip(consumer, self._hub.feeds.values())
                    continue
                self._take(batches)
            watching.result()
        finally:
            if watching is not None:
                watching.cancel()
            await consumer.stop()

    async def _begin(self, consumer: Any) -> None:
        """Stand at the ends at first, later where the last consumer was."""
        missing = set(TOPICS.values()) - await consumer.topics()
        if missing:
            raise TransientFailure(
                f"topics {', '.join(sorted(missing))} do not exist: run `recon-stream topics create`"
            )
        consumer.assign([tp for topic in _CHANNELS for tp in self._partitions(topic)])
        for channel, topic in TOPICS.items():
            feed = self._hub.feeds.get(channel)
            positions = feed.ring.positions if feed is not None else await self._ends(consumer, channel)
            if feed is None:
                self._hub.begin(channel, positions)
            for tp in self._partitions(topic):
                consumer.seek(tp, positions[tp.partition] + 1)

    def _take(self, batches: dict[TopicPartition, list[Any]]) -> None:
        for tp, records in batches.items():
            channel = _CHANNELS[tp.topic]
            self._hub.feeds[channel].add(
                [Item(channel, tp.partition, each.offset, each.timestamp, each.value or b"") for each in records]
            )
        if batches:
            self._wake()

    async def _watch(self, consumer: Any) -> None:
        """Ask how far the topics are: that tells what waits here, and whether Kafka answers at all."""
        while True:
            await asyncio.sleep(ASK_SECONDS)
            for feed in self._hub.feeds.values():
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    ends = await self._ends(consumer, feed.channel)
                behind = sum(max(0, end - feed.ring.positions[partition]) for partition, end in ends.items())
                self.behind[feed.channel] = behind
                LIVE_BEHIND.labels(feed.channel.value).set(behind)
                if behind > BEHIND_MAX:
                    await self._skip(consumer, [feed])

    async def _skip(self, consumer: Any, feeds: Iterable[Feed]) -> None:
        for feed in feeds:
            ends = await self._ends(consumer, feed.channel)
            for tp in self._partitions(TOPICS[feed.channel]):
                consumer.seek(tp, ends[tp.partition] + 1)
            feed.skip(ends)
            LIVE_SKIPPED.labels(feed.channel.value).inc()
            logger.warning("the live feed of %s goes on at the end of its topic", feed.channel)

    async def _ends(self, consumer: Any, channel: Channel) -> dict[int, int]:
        """Partition -> the last offset that the broker has; -1 of an empty one."""
        ends = await consumer.end_offsets(self._partitions(TOPICS[channel]))
        return {tp.partition: end - 1 for tp, end in ends.items()}

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self._settings.partitions)]
