"""The matcher of a worker process: its lanes, and what they share."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, cast

from faust.types import TP, EventT
from prometheus_client import Counter

from recon_stream.apps import ReconApp
from recon_stream.avro import FRAME_BYTES, SchemaRegistry, frame
from recon_stream.domain.deadlines import NEVER, Feeds
from recon_stream.domain.event import SOURCE_TOPICS, SOURCES
from recon_stream.domain.rules import RulesBook
from recon_stream.metrics import catalogue as metrics
from recon_stream.pipeline.clock import BrokerClock
from recon_stream.pipeline.encoding import DeadLetter, DeadLetterEncoder, ResultEncoder, SchemaIds
from recon_stream.pipeline.lane import Keyed, Lane, Queued
from recon_stream.pipeline.reading import EventReader
from recon_stream.pipeline.unit import Held, Unit
from recon_stream.redis.dedup import DuplicateFilter
from recon_stream.topics import DEAD_LETTERS, MISMATCHES, RESULTS
from recon_stream.transport.batch import RecordBatch
from recon_stream.transport.placement import Placement
from recon_stream.transport.publish import Appended, pack, publish
from tables.claims import HEADER
from tables.rows import Meta
from tables.transactions import CHANGELOG, Revoked

logger = logging.getLogger(__name__)

CLOCK_AHEAD_MAX = 5.0
"""Seconds, either way, beyond which a machine's clock is told of."""
BEAT_SECONDS = 0.003
"""After the first batch of a fetch the others follow within it: then all lanes begin together, and send together."""

_COUNTERS: dict[str, Callable[[Any], Counter]] = {
    "result": metrics.RESULTS.labels,
    "dead_letter": metrics.DEAD_LETTERS.labels,
    "deadline": metrics.DEADLINES_FIRED.labels,
    "opened": lambda break_class: metrics.BREAKS.labels(break_class, "opened"),
    "resolved": lambda break_class: metrics.BREAKS.labels(break_class, "resolved"),
    "copy": lambda source: metrics.DUPLICATES.labels(SOURCES[source].name, "filter"),
    "DUPLICATE": lambda source: metrics.DUPLICATES.labels(SOURCES[source].name, "state"),
    "STALE": lambda source: metrics.STALE.labels(SOURCES[source].name),
    "REREAD": lambda source: metrics.REREAD.labels(SOURCES[source].name),
}
"""What a unit counts -> the counter of a kind of it."""


class Engine:
    """Owns the lanes of the partitions that are assigned; see Surroundings in lane.py for what it gives them."""

    def __init__(
        self,
        app: ReconApp,
        book: RulesBook,
        registry: SchemaRegistry,
        duplicate_filter: DuplicateFilter | None,
        schema_ids: SchemaIds,
    ) -> None:
        self._app, self._book, self._schema_ids = app, book, schema_ids
        self.filter = duplicate_filter
        self.rules = book.current
        self.cases_held_max = app.settings.cases_held_max // app.settings.partitions
        self.reader = EventReader(registry, stopping=lambda: app.should_stop, pause=app.pause_watchdog)
        self.placement = Placement(app.settings.partitions)
        self._lanes: dict[int, tuple[Lane, asyncio.Task[None]]] = {}
        self._lanes_generation: int | None = None
        self._encode_dead_letter = DeadLetterEncoder(schema_ids.dead_letters)
        self._feeds = Feeds(book.current.stall)
        self._clock = BrokerClock()
        self._is_clock_off = False
        self._ends: dict[TP, int] = {}
        self._looks_asked = self._looks_answered = 0
        self._came: dict[int, int] = {}
        """Partition -> how many looks at the feeds had been asked for when a batch came last."""
        self._beat: asyncio.TimerHandle | None = None

    # Lanes

    def submit(self, event: EventT[RecordBatch]) -> None:
        """Give a batch to the lane of its partition; a batch of an earlier assignment is handed back, not done."""
        generation = self.generation()
        if generation is not None and event.message.generation_id == generation:
            lane = self._lane(event.message.partition, generation)
            self._came[event.message.partition] = self._looks_asked
            if lane is not None:
                batch = cast("RecordBatch", event.value)
                self.placement.look(batch)
                lane.submit(Queued(event, batch))
                if self._beat is None:
                    self._beat = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._wake_lanes)
                return
        event.ack()

    def _wake_lanes(self) -> None:
        self._beat = None
        for lane, _ in self._lanes.values():
            lane.wake()

    def generation(self) -> int | None:
        """See Surroundings."""
        if self._app.rebalancing or not self._app.batch_consumer.flow_active:
            return None
        return self._app.consumer_generation_id

    def is_in_session(self) -> bool:
        """See Surroundings."""
        return self._app.batch_consumer.is_in_session

    def ensure_lanes(self) -> None:
        """A lane for every assigned partition, also for those that no record comes for: their deadlines pass too."""
        consumer = self._app.batch_consumer
        # asked once: the thread of the consumer may end the assignment at any moment
        generation = self.generation()
        if generation is None or not self._app.tables.actives_ready:
            return
        for tp in consumer.source_partitions():
            self._lane(tp.partition, generation)

    def _lane(self, partition: int, generation: int) -> Lane | None:
        """The lane of a partition; None where it was revoked a moment ago, so that a rebalance is under way."""
        if generation != self._lanes_generation:
            self._lanes.clear()  # those of the assignment before end by themselves
            self._lanes_generation = generation
        known = self._lanes.get(partition)
        if known is None:
            try:
                lane = Lane(self, partition, generation)
            except Revoked:
                return None
            task = asyncio.create_task(self._run(lane), name=f"lane-{partition}")
            known = self._lanes[partition] = (lane, task)
        lane, task = known
        return None if task.done() else lane

    async def _run(self, lane: Lane) -> None:
        try:
            await lane.run(self._app.settings.unit_records_max)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # Nothing was acknowledged: end the process and let its supervisor start it again from what is committed.
            logger.critical("the lane cannot go on: %s", error, exc_info=True)
            await self._app.crash(error)

    # What the lanes need

    def new_encoder(self, partition: int) -> ResultEncoder:
        """See Surroundings."""
        return ResultEncoder(partition, self._schema_ids.results)

    def new_unit(self, encode: ResultEncoder, partition: int, meta: Meta, held: dict[bytes, Held]) -> Unit:
        """See Surroundings."""
        return Unit(partition, meta, self._book, encode, held, int(time.time() * 1000))

    def clock_passed(self, partition: int) -> tuple[int, int, int]:
        """See Surroundings."""
        core, gateway, mobile = (self._clock_of(source, partition) for source in SOURCES)
        return core, gateway, mobile

    def _clock_of(self, source: int, partition: int) -> int:
        passed = self._feeds.passed(source)
        if self._feeds.is_resting(source) and self._came.get(partition, -1) >= self._looks_answered:
            return NEVER  # this may be the backlog of an outage, and that of the source may follow: look first
        tp = TP(SOURCE_TOPICS[source], partition)
        end, applied = self._ends.get(tp), self._app.batch_consumer.applied_offset(tp)
        if end is None or (end > 0 and (applied is None or applied < end)):
            return NEVER
        return passed

    async def publish_changelog(
        self, partition: int, rows: list[tuple[bytes, bytes | None]], claim: bytes
    ) -> int | None:
        """See Surroundings."""
        appended = await self._publish(CHANGELOG, partition, rows, [(HEADER, claim)])
        if appended is None:
            return None
        if appended.at_ms is not None:
            self._clock.tell(appended.at_ms, asyncio.get_running_loop().time())
        return appended.offset

    async def publish_results(
        self, partition: int, results: Keyed, mismatches: Keyed, dead_letters: list[DeadLetter]
    ) -> None:
        """See Surroundings."""
        head = frame(self._schema_ids.mismatches)
        await asyncio.gather(
            self._publish(RESULTS, partition, results),
            self._publish(MISMATCHES, partition, [(key, head + value[FRAME_BYTES:]) for key, value in mismatches]),
            self._publish(
                DEAD_LETTERS, partition, [(letter.key, self._encode_dead_letter(letter)) for letter in dead_letters]
            ),
        )

    async def _publish(
        self, topic: str, partition: int, pairs: Any, headers: list[tuple[str, bytes]] | None = None
    ) -> Appended | None:
        if not pairs:
            return None
        producer = self._app.batch_producer
        return await publish(producer, topic, partition, pack(producer, pairs, int(time.time() * 1000), headers))

    # Progress of the feeds

    async def look_at_feeds(self) -> None:
        """Ask the broker how far the feeds are: what "read to its end" and "stalled" are judged by.

        Before the first acknowledgement nobody knows what time it is, and deadlines wait for watermarks alone.
        """
        now = self._clock.now(asyncio.get_running_loop().time())
        if now is None:
            return
        partitions = range(self._app.settings.partitions)
        tps = [TP(topic, partition) for topic in SOURCE_TOPICS for partition in partitions]
        self._looks_asked += 1
        asked = self._looks_asked
        ends = await self._app.batch_consumer.end_offsets(tps)
        core, gateway, mobile = (
            sum(end for tp, end in ends.items() if tp.topic == SOURCE_TOPICS[source]) for source in SOURCES
        )
        self._ends, self._looks_answered = ends, asked
        for source in self._feeds.observe(now, (core, gateway, mobile), self._newest()):
            metrics.FEED_STALLED.labels(SOURCES[source].name).inc()
            logger.error(
                "FEED_STALLED: %s stands still while others grow; its deadlines are held", SOURCE_TOPICS[source]
            )
        for source in SOURCES:
            metrics.DEADLINES_HELD.labels(source.name).set(self._feeds.is_held(source))

    def _newest(self) -> tuple[int, int, int]:
        """Per source, the newest event time that is applied here, epoch milliseconds."""
        all_here = [(NEVER, NEVER, NEVER), *(lane.watermarks for lane, _ in self._lanes.values())]
        core, gateway, mobile = (max(watermarks[source] for watermarks in all_here) for source in SOURCES)
        return core, gateway, mobile

    # Metrics

    def count(self, unit: Unit, records: list[int]) -> None:
        """See Surroundings."""
        for source in SOURCES:
            if records[source]:
                metrics.EVENTS.labels(source.name).inc(records[source])
        for (what, kind), number in unit.counts.items():
            counter = _COUNTERS.get(what)
            if counter is not None:
                counter(kind).inc(number)

    def measure(self) -> None:
        """Gauges of the state, the watermarks and the clock; every few seconds."""
        now = self._clock.now(asyncio.get_running_loop().time())
        if now is None:
            return
        self._measure_clock(time.time() - now / 1000)
        for partition, (lane, _) in self._lanes.items():
            for source, watermark in enumerate(lane.watermarks):
                if watermark != NEVER:
                    age = (now - watermark) / 1000
                    metrics.WATERMARK_AGE.labels(SOURCE_TOPICS[source], str(partition)).set(age)
            try:
                rows, size = lane.state.estimate()
            except Revoked:
                continue
            metrics.STATE_ROWS.labels(str(partition)).set(rows)
            metrics.STATE_BYTES.labels(str(partition)).set(size)

    def _measure_clock(self, ahead: float) -> None:
        metrics.CLOCK_AHEAD.set(ahead)
        was_off, self._is_clock_off = self._is_clock_off, abs(ahead) > CLOCK_AHEAD_MAX
        if self._is_clock_off and not was_off:
            logger.warning(
                "this machine's clock is %.0f s away from the brokers': deadlines go by theirs; keep NTP running", ahead
            )
