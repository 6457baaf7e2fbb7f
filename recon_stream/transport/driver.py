"""recon:// - Faust's aiokafka transport with one message for each (partition, fetch) instead of one for each record.

Subclasses only, nothing is patched; tests/transport/test_contract.py holds the private names that are relied on.
What is read of changelogs goes straight to recon_stream.transport.recovery, not through Faust's queues.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ConsumerStoppedError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP, ConsumerMessage, Message
from faust.types.tuples import ack_lock
from mode import ServiceT
from mode.utils.futures import notify

from recon_stream.settings import Settings
from recon_stream.transport.batch import RecordBatch
from recon_stream.transport.fetch import ConsumerThread, Fetched
from recon_stream.transport.recovery import Recovery, TableManager
from recon_stream.transport.siblings import Siblings

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.02
POLL_SECONDS = 0.2
IN_FLIGHT_BATCHES_MAX = 2048
"""Far below what a stream's queue holds, so that handing a batch over never has to wait."""
SESSION_SHARE = 0.9
"""Of the session timeout, in which a heartbeat counts: what was checked must still be sent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the data path; records, milliseconds, bytes."""

    batch_records_max: int
    in_flight_records_max: int
    fetch_wait_ms: int
    fetch_min_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Those of the process."""
        return cls(
            settings.batch_records_max, settings.in_flight_records_max, settings.fetch_wait_ms, settings.fetch_min_bytes
        )


class Consumer(faust_driver.Consumer):
    """Reads batches, bounds what is in flight, commits only what is marked done, in the order in which it was read."""

    mundane_level = "debug"
    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limits = Limits.of(cast("Any", self.app).settings)
        self._held: set[TP] = set()
        self._seek_is_over = False
        self._room = asyncio.Event()
        self._siblings = Siblings(self.highwater)
        self._reset_flight()

    def _reset_flight(self) -> None:
        self._flight: defaultdict[TP, deque[RecordBatch]] = defaultdict(deque)
        self._flight_of: defaultdict[TP, int] = defaultdict(int)
        self._flight_records = self._flight_batches = 0
        self._siblings.reset()
        self._applied: dict[TP, int] = {}
        self._read_to: dict[TP, int] = {}
        self._confirmed: dict[TP, int] = {}
        self._room.set()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # What others may ask

    @property
    def flight_records(self) -> int:
        """Records that were read and are not yet done."""
        return self._flight_records

    def applied_offset(self, tp: TP) -> int | None:
        """The next offset of the partition that is not applied; None where nothing is known since the assignment.

        Everything below it is done, or is no record (a transaction marker, a hole left by compaction).
        """
        flight = self._flight.get(tp)
        if flight:
            return flight[0].records[0].offset
        known = max(self._applied.get(tp, -1), self._read_to.get(tp, -1))
        return known if known >= 0 else None

    @property
    def is_in_session(self) -> bool:
        """Whether the group cannot have given the partitions to another member yet: a process that was suspended wakes up
        without knowing that it was dropped."""
        session: float = cast("Any", self.app).settings.session_timeout
        return time.monotonic() - self._thread.member_at < session * SESSION_SHARE

    def progress(self) -> int:
        """A number that changes whenever a batch was done, within one assignment."""
        return sum(self._applied.values())

    def source_partitions(self) -> set[TP]:
        """The assigned partitions without those of changelogs."""
        return {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}

    async def end_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        """The ends of any partitions as the broker sees them now."""
        return await self._thread.end_offsets(tps)

    # Reading

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        """Faust's loop without the four tasks that it makes for each message, to give up a hand-over that has to wait.

        Ours cannot wait: `getmany` yields only while the flow goes on, and never more than the queues hold.
        """
        try:
            while not (self.should_stop or fetcher.should_stop):
                async for _, message in self.getmany(timeout=POLL_SECONDS):
                    await self.callback(message)
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise
            logger.debug("the consumer has stopped")

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 Faust's signature
        """One message for each partition that has records; the unit that Faust counts, acknowledges and commits."""
        wanted = await self._wanted_partitions()
        if not wanted:
            return
        generation: int = self.app.consumer_generation_id
        # A partition that is full now may have room again at any moment: do not wait long for the others.
        full = len(wanted) < len(self._get_active_partitions())
        fetched: Fetched = await self._thread.getmany(wanted, IDLE_SECONDS if full else min(timeout, POLL_SECONDS))
        for tp, records in fetched.records.items():
            # Every rebalance ends in a seek to the committed offsets; stock Faust seeks here too, in a race with it.
            if self._is_stale(generation):
                return
            if self._is_changelog_tp(tp):
                self._recovery.apply(tp, records)
                await asyncio.sleep(0)
            else:
                yield tp, self._batch_message(RecordBatch(tp, records), generation)
        if not self._is_stale(generation):
            changelogs = {tp: position for tp, position in fetched.positions.items() if self._is_changelog_tp(tp)}
            self._recovery.read_to(changelogs)
            self._read_to.update({tp: to for tp, to in fetched.positions.items() if tp not in changelogs})

    @property
    def _recovery(self) -> Recovery:
        return cast("TableManager", self.app.tables).recovery

    def _is_stale(self, generation: int) -> bool:
        """Whether what was read in that generation must not be handed out any more."""
        return not self.flow_active or generation != self.app.consumer_generation_id

    async def _wanted_partitions(self) -> frozenset[TP]:
        """The active partitions that may be read further; waits a little where there are none."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
        if self._flight_records >= self.limits.in_flight_records_max or self._flight_batches >= IN_FLIGHT_BATCHES_MAX:
            await self._wait_for_room()
            return frozenset()
        active = self._get_active_partitions()
        share = max(self.limits.batch_records_max, self.limits.in_flight_records_max // max(1, len(active)))
        now = asyncio.get_running_loop().time()
        wanted = frozenset(
            tp for tp in active if self._flight_of[tp] < share and not self._siblings.is_ahead(tp, active, now)
        )
        if not wanted:
            # Stock Faust sleeps a whole second here, and an empty set would mean "all" to aiokafka.
            await (self._wait_for_room() if active else asyncio.sleep(IDLE_SECONDS))
        return wanted

    async def _wait_for_room(self) -> None:
        self._room.clear()
        try:
            await asyncio.wait_for(self._room.wait(), POLL_SECONDS)
        except TimeoutError:
            return

    def _batch_message(self, batch: RecordBatch, generation: int) -> ConsumerMessage:
        tp, last = batch.tp, batch.records[-1]
        self._flight[tp].append(batch)
        self._flight_of[tp] += len(batch.records)
        self._siblings.note(tp, last.timestamp, batch.next_offset, asyncio.get_running_loop().time())
        self._flight_records += len(batch.records)
        self._flight_batches += 1
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            0,
            None,
            None,
            cast("bytes", batch),
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets between batches are what a batch is made of, no gap to remember."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's check reports stalls that are none; ours is recon_stream.process.watchdog."""

    # Acknowledging and committing

    def ack(self, message: Message) -> bool:
        """Called by the event; Faust also acknowledges what a stream skips after a rebalance: that is not `done`."""
        batch = cast("RecordBatch", message.value)
        with ack_lock:
            if message.acked:
                return False
            message.acked = True
        self._unacked_messages.discard(message)
        self._advance(batch.tp)
        notify(self._waiting_for_ack)
        return batch.done

    def _advance(self, tp: TP) -> None:
        flight = self._flight[tp]
        while flight and flight[0].done:
            batch = flight.popleft()
            self._applied[tp] = batch.next_offset
            self._flight_of[tp] -= len(batch.records)
            self._flight_records -= len(batch.records)
            self._flight_batches -= 1
        self._room.set()

    def _filter_tps_with_pending_acks(self, topics: AbstractSet[TP | str] | None = None) -> Iterator[TP]:
        known = self._applied.keys() | self._read_to.keys() | self._flight.keys()
        return (tp for tp in known if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return None if self._is_changelog_tp(tp) else self.applied_offset(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return offset > self._confirmed.get(tp, -1)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        committed = bool(await super()._commit(offsets))
        if committed:
            # Stock Faust counts an offset as committed also when the commit failed, and never tries it again.
            self._confirmed.update(offsets)
        return committed

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is done before stock Faust forgets it, let it wait for the rest, then start from nothing."""
        await self.commit()
        await super().on_partitions_revoked(revoked)
        self._reset_flight()

    # Recovery. Faust resumes the streams, then seeks, then clears all queues: what it reads in between is lost to this
    # generation or delivered twice. So the source partitions are held back until the seek is over.

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Resume changelog partitions now, the others when `resume_flow` is called after the seek."""
        wanted = {ensure_TP(tp) for tp in tps}
        held = {tp for tp in wanted if not self._is_changelog_tp(tp)}
        if held:
            self._held, self._seek_is_over = held, False
        super().resume_partitions(wanted - held)

    async def perform_seek(self) -> None:
        """Seek all partitions to their committed offsets."""
        await super().perform_seek()
        self._seek_is_over = True

    def resume_flow(self) -> None:
        """Called right after the queues were cleared."""
        super().resume_flow()
        if self._held and self._seek_is_over:
            held, self._held = self._held, set()
            super().resume_partitions(held)

    async def create_topic(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: topics are made by `recon-stream topics create`, with settings that Faust does not know."""


class Producer(faust_driver.Producer):
    """Waits for all replicas, never writes twice on its own retry."""

    mundane_level = "debug"

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def create_topic(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: as for the consumer."""

    @property
    def client(self) -> AIOKafkaProducer:
        """The aiokafka producer, for `recon_stream.transport.publish`."""
        return self._ensure_producer()


class Transport(faust_driver.Transport):
    """What `broker="recon://host:port"` names."""

    Consumer = Consumer
    Producer = Producer
    driver_version = f"recon batches on {faust_driver.Transport.driver_version}"
