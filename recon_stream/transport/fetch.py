"""The thread that talks to Kafka: fetches in batches, reports how far it has read, answers for end offsets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import ConsumerStoppedError, KafkaError
from aiokafka.structs import TopicPartition
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP

from recon_stream.errors import TransientFailure
from recon_stream.transport.batch import RawRecord

if TYPE_CHECKING:
    from recon_stream.transport.driver import Consumer

END_OFFSETS_TIMEOUT = 10.0
IDLE_WAIT_MS = 250
"""The broker answers a fetch with no data after this long, while nothing comes."""


class Fetched(NamedTuple):
    """What one poll brought, and how far it has read.

    `positions` holds the next offset to read of every polled partition that has nothing buffered behind it. All
    records below it are in this answer or in an earlier one: where transactions or compaction leave no record at the
    end of a partition, this alone says that it is read.
    """

    records: dict[TP, Sequence[RawRecord]]
    positions: dict[TP, int]


class ConsumerThread(faust_driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, fetching raw records with a bound for each partition."""

    mundane_level = "debug"
    consumer: Consumer
    member_at = 0.0
    """time.monotonic() at which the last heartbeat that was answered well had been sent."""

    def _create_worker_consumer(self, transport: faust_driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust's driver fixes 1500 ms: a pause or a seek would take effect only after that.
        consumer._fetch_max_wait_ms = IDLE_WAIT_MS
        return consumer

    async def on_start(self) -> None:
        """Connect, and note from then on when the group last knew this process as its member."""
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator
        beat, joined = coordinator._do_heartbeat, coordinator._on_join_complete

        async def heartbeat() -> bool:
            asked = time.monotonic()
            is_member: bool = await beat()
            if is_member:
                self.member_at = asked
            return is_member

        async def join(*args: Any) -> None:
            self.member_at = time.monotonic()
            await joined(*args)

        coordinator._do_heartbeat, coordinator._on_join_complete = heartbeat, join

    async def getmany(self, active_partitions: AbstractSet[TP] | None, timeout: float) -> Fetched:  # type: ignore[override]  # noqa: ASYNC109
        """Records of these partitions, of each at most `batch_records_max`; empty after `timeout` seconds.

        The caller's set must be frozen: Faust's own set changes under us, and aiokafka reads an EMPTY set as "all".
        """
        assert active_partitions, "aiokafka would read every partition"
        return cast(
            "Fetched",
            await self.call_thread(
                self._fetch_batches, self._ensure_consumer(), frozenset(active_partitions), timeout=timeout
            ),
        )

    async def _fetch_batches(self, consumer: AIOKafkaConsumer, active: frozenset[TP], timeout: float) -> Fetched:  # noqa: ASYNC109
        app, fetcher = self.consumer.app, consumer._fetcher
        generation, deadline = app.consumer_generation_id, time.monotonic() + timeout
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():
            # What was asked for in one generation must not be answered in the next: the positions have moved.
            while (
                self.consumer.flow_active
                and generation == app.consumer_generation_id
                and not fetcher._subscriptions.reassignment_in_progress
            ):
                records = self._take_buffered(fetcher, active)
                left = deadline - time.monotonic()
                if records or left <= 0:
                    self._pace(fetcher, bool(records))
                    return Fetched(records, _positions(fetcher, active))
                waiter = fetcher._create_fetch_waiter()
                done, _ = await asyncio.wait([waiter], timeout=left)
                if done:
                    waiter.result()
                else:
                    waiter.cancel()
        return Fetched({}, {})

    def _pace(self, fetcher: Any, is_busy: bool) -> None:
        """How the next fetches wait. Requests cost more than records: while records come, the broker collects a few
        milliseconds of them from all partitions; after a silence, the first record is answered at once."""
        limits = self.consumer.limits
        fetcher._fetch_min_bytes = limits.fetch_min_bytes if is_busy else 1
        fetcher._fetch_max_wait_ms = limits.fetch_wait_ms if is_busy else IDLE_WAIT_MS

    def _take_buffered(self, fetcher: Any, active: frozenset[TP]) -> dict[TP, Sequence[RawRecord]]:
        """Empty aiokafka's buffers of the active partitions as its own `fetched_records` does, without its wrappers."""
        taken: dict[TP, Sequence[RawRecord]] = {}
        for topic_partition in list(fetcher._records):
            tp = ensure_TP(topic_partition)
            if tp not in active:
                continue
            result = fetcher._records[topic_partition]
            if type(result) is not FetchResult:
                if taken:
                    break  # hand over what was read; the error is met again at the next poll
                del fetcher._records[topic_partition]
                fetcher._notify(fetcher._wait_consume_future)
                result.check_raise()
                continue
            if result.has_more():
                # A ConsumerRecord for each record costs 0.8 us; the raw record has all that is needed.
                result._partition_records._consumer_record = _as_it_is
            records = result.getall(self.consumer.limits.batch_records_max)
            if not result.has_more():
                del fetcher._records[topic_partition]
                fetcher._notify(fetcher._wait_consume_future)
            if records:
                taken[tp] = records
        return taken

    async def end_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Ask the brokers for the ends of these partitions, assigned or not; raises TransientFailure.

        Not through Faust's method queue, where it would wait behind a poll or a commit.
        """
        wanted = [TopicPartition(tp.topic, tp.partition) for tp in tps]
        if not wanted:
            return {}
        call = asyncio.run_coroutine_threadsafe(self._ensure_consumer().end_offsets(wanted), self.thread_loop)
        try:
            ends = await asyncio.wait_for(asyncio.wrap_future(call), END_OFFSETS_TIMEOUT)
        except (TimeoutError, KafkaError) as error:
            raise TransientFailure(f"end offsets of {len(wanted)} partitions: {error!r}") from error
        return {ensure_TP(tp): offset for tp, offset in ends.items()}


def _positions(fetcher: Any, active: frozenset[TP]) -> dict[TP, int]:
    assignment = fetcher._subscriptions.subscription.assignment
    positions: dict[TP, int] = {}
    for tp in active:
        topic_partition = TopicPartition(tp.topic, tp.partition)
        state = assignment.state_value(topic_partition) if assignment is not None else None
        if state is not None and state.has_valid_position and topic_partition not in fetcher._records:
            positions[tp] = state.position
    return positions


def _as_it_is(tp: Any, record: RawRecord) -> RawRecord:
    return record
