"""One lane a partition number: the batches of the three topics of that partition, one unit of work at a time.

A lane begins with its claim at the end of the changelog (tables/claims.py), and goes on only while nobody else has appended.

Order of a unit: changelog acknowledged, then results acknowledged, then the state with its changelog offset in one write,
then the batches are done and their offsets may be committed. A crash anywhere reads the same records again, and
the same facts give the same bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from typing import NamedTuple, Protocol

from faust.types import EventT

from recon_stream.domain.deadlines import NEVER
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.domain.facts import Deadline
from recon_stream.domain.rules import Rules
from recon_stream.metrics.catalogue import BATCH_RECORDS, STAGE_SECONDS
from recon_stream.pipeline.encoding import DeadLetter, ResultEncoder
from recon_stream.pipeline.reading import EventReader
from recon_stream.pipeline.unit import NOT_DUE, Arrived, Held, Unit, cases_of, keys_of, seen_of
from recon_stream.redis.dedup import DuplicateFilter
from recon_stream.redis.seen import Seen
from recon_stream.transport.batch import RecordBatch
from tables.claims import IN_FORCE, ForeignRows, next_claim, void_key
from tables.rows import Meta, RowChange
from tables.transactions import GATES, Partition, Revoked

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.2
SESSION_POLL_SECONDS = 0.02
DEADLINES_PER_UNIT_MAX = 1000
RECORDS_A_TURN = 256
"""Some 10 ms of work: then other lanes, acknowledgements and timers get their turn."""
_seconds_of = cache(STAGE_SECONDS.labels)
_SOURCE_OF = {topic: source for source, topic in enumerate(SOURCE_TOPICS)}

Keyed = list[tuple[bytes, bytes]]


class Queued(NamedTuple):
    """A batch, and the event of the stream by which it is acknowledged."""

    event: EventT[RecordBatch]
    batch: RecordBatch


class Surroundings(Protocol):
    """What a lane needs of the process around it."""

    reader: EventReader
    filter: DuplicateFilter | None

    def generation(self) -> int | None:
        """Number of the assignment that is in force; None while nothing may be written."""

    def is_in_session(self) -> bool:
        """Whether the group has confirmed the assignment so lately that no other member can have the partition."""

    def clock_passed(self, partition: int) -> tuple[int, int, int]:
        """Per source, the instant up to which the clock alone says that the partition has passed it, else NEVER."""

    rules: Rules
    """Those in force."""
    cases_held_max: int
    """Cases that a lane keeps folded between its units."""

    def new_unit(self, encode: ResultEncoder, partition: int, meta: Meta, held: dict[bytes, Held]) -> Unit:
        """A unit under the rules in force."""

    def new_encoder(self, partition: int) -> ResultEncoder:
        """For the results of a lane."""

    async def publish_changelog(
        self, partition: int, rows: list[tuple[bytes, bytes | None]], claim: bytes
    ) -> int | None:
        """Append rows to the changelog under a claim; the offset of the last one, acknowledged."""

    async def publish_results(
        self, partition: int, results: Keyed, mismatches: Keyed, dead_letters: list[DeadLetter]
    ) -> None:
        """Append to the three topics; returns when all of it is acknowledged."""

    def count(self, unit: Unit, records: list[int]) -> None:
        """Tell the metrics what a finished unit did; `records` by source."""


class Abandoned(Exception):
    """The assignment changed while the unit was under way."""


class Lane:
    """Works through the batches of one partition number while it is assigned. Raises Revoked where it is not any more."""

    def __init__(self, around: Surroundings, partition: int, generation: int) -> None:
        self._around, self._number, self._generation = around, partition, generation
        self._state = Partition(partition)
        self._meta = self._state.meta() or Meta(os.urandom(8), (NEVER, NEVER, NEVER), 0)
        self._claim, self._end = next_claim(self._state.claim()), self._state.offset()
        self._due_from: dict[int, int] = {gate: self._first_due(gate) for gate in GATES}
        self._encode = around.new_encoder(partition)
        self._held: dict[bytes, Held] = {}
        self._queue: deque[Queued] = deque()
        self._wake = asyncio.Event()

    @property
    def watermarks(self) -> tuple[int, int, int]:
        """Per source, epoch milliseconds."""
        return self._meta.watermarks

    @property
    def state(self) -> Partition:
        """The rows of this partition."""
        return self._state

    def submit(self, queued: Queued) -> None:
        """Queue a batch; the transport bounds how many are in flight. It is taken up when the lane is woken, or has done its unit."""
        self._queue.append(queued)

    def wake(self) -> None:
        """Take up what is queued."""
        if self._queue:
            self._wake.set()

    async def run(self, unit_records_max: int) -> None:
        """Work until the partition is revoked; whatever is still queued then is handed back, not done."""
        try:
            await self._take_over()
            if self._meta.outbox_parts:
                await self._publish_outbox()
            while self._is_ours():
                if not self._queue:
                    self._wake.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), TICK_SECONDS)
                work = list(self._take(unit_records_max))
                if work or self._is_anything_due(self._passed(self._meta.watermarks)):
                    await self._work(work)
        except (Abandoned, Revoked):
            logger.info("partition %d was revoked, its unit of work is left to the next owner", self._number)
        finally:
            while self._queue:
                self._queue.popleft().event.ack()

    def _is_ours(self) -> bool:
        return self._around.generation() == self._generation

    def _take(self, records_max: int) -> Iterator[Queued]:
        count = 0
        while self._queue and count < records_max:
            queued = self._queue.popleft()
            if queued.event.message.generation_id != self._generation:
                queued.event.ack()  # not done: never committed, whoever owns the partition now reads it again
                continue
            count += len(queued.batch.records)
            yield queued

    async def _work(self, work: list[Queued]) -> None:
        unit = self._around.new_unit(self._encode, self._number, self._meta, self._held)
        clock = Stopwatch()
        counts = [0, 0, 0]
        try:
            arrived = await self._read(unit, work, counts)
            clock.lap("decode")
            seen, known = await self._ask_filter(arrived)
            clock.lap("filter")
            self._load(unit, cases_of(arrived))
            clock.lap("state_get")
            for first in range(0, len(arrived), RECORDS_A_TURN):
                unit.take_all(arrived, seen, known, first, first + RECORDS_A_TURN)
                await asyncio.sleep(0)
            self._let_deadlines_pass(unit)
            clock.lap("decide")
            await self._store(unit, clock)
        except BaseException:
            for queued in work:
                queued.event.ack()  # not done
            raise
        for queued in work:
            queued.batch.done = True
            queued.event.ack()
        if self._around.filter is not None and unit.settled:
            await self._around.filter.settle(unit.settled)
            clock.lap("settle")
        BATCH_RECORDS.observe(sum(counts))
        self._around.count(unit, counts)

    async def _read(self, unit: Unit, work: list[Queued], counts: list[int]) -> list[Arrived]:
        await self._around.reader.prepare(record.value for _, batch in work for record in batch.records)
        arrived: list[Arrived] = []
        for _, batch in work:
            source = _SOURCE_OF[batch.tp.topic]
            counts[source] += len(batch.records)
            arrived += unit.read(self._around.reader.decoder, source, batch.records)
        return arrived

    async def _ask_filter(self, arrived: list[Arrived]) -> tuple[list[Seen], Sequence[bytes | None] | None]:
        if self._around.filter is None or not arrived:
            return [], None
        seen = seen_of(arrived, self._meta.epoch.hex(), self._number)
        return seen, await self._around.filter.claim(seen)

    def _load(self, unit: Unit, keys: set[bytes]) -> None:
        missing = [key for key in keys if key not in self._held]
        if not missing:
            return
        for key, row in zip(missing, self._state.rows(missing), strict=True):
            unit.load(key, row)

    def _forget_oldest(self) -> None:
        """Keep the cases that were loaded last: their other legs are the likeliest to come."""
        surplus = len(self._held) - self._around.cases_held_max
        for key in list(islice(self._held, surplus)) if surplus > 0 else ():
            del self._held[key]

    # Deadlines

    def _first_due(self, gate: int) -> int:
        first = self._state.first_due(gate)
        return NOT_DUE if first is None else first

    def _passed(self, watermarks: tuple[int, ...]) -> tuple[int, int, int, int]:
        core, gateway, mobile = map(max, watermarks, self._around.clock_passed(self._number))
        # Cases expire by event time alone: while feeds are silent nothing grows, and a replay must not lose its cases.
        return core, gateway, mobile, min(watermarks)

    def _is_anything_due(self, passed: tuple[int, ...]) -> bool:
        return any(self._due_from[gate] < passed[gate] for gate in GATES)

    def _let_deadlines_pass(self, unit: Unit) -> None:
        passed = self._passed(tuple(unit.watermarks))
        waiting: list[tuple[Deadline, bytes]] = []
        for gate in GATES:
            room = DEADLINES_PER_UNIT_MAX - len(waiting)
            since, before = self._due_from[gate], passed[gate]
            if since >= before:
                continue
            found = self._state.due(gate, since, before, room) if room else []
            waiting += found
            # what did not fit is found by the next unit
            self._due_from[gate] = found[-1][0].instant if room and len(found) == room else before if room else since
        self._load(unit, keys_of(waiting))
        for deadline, key in waiting:
            if unit.notice(deadline, key):
                unit.spent.append((deadline, key))
            else:
                self._due_from[deadline.gate] = min(self._due_from[deadline.gate], deadline.instant)
        for deadline, key in unit.overdue(passed):
            unit.notice(deadline, key)

    # Writing

    async def _store(self, unit: Unit, clock: Stopwatch) -> None:
        changes = unit.changes()
        for gate in GATES:
            self._due_from[gate] = min(self._due_from[gate], unit.earliest[gate])
        clock.lap("rows")
        offset = await self._append([(change.key, change.row) for change in changes])
        clock.lap("changelog")
        await self._around.publish_results(self._number, unit.results, unit.mismatches, unit.dead_letters)
        clock.lap("results")
        await self._check_ours()
        self._state.write(changes, unit.spent, offset)
        self._meta = unit.meta
        self._forget_oldest()
        clock.lap("state_put")

    async def _take_over(self) -> None:
        """Claim the partition: what others append from here on is void, wherever they were suspended.

        Only when the claim stands where it was expected is the state known to be whole, and may rows follow: keys whose last
        record is void get their row again, else compaction would leave the void record alone.
        """
        void = self._state.void()
        offset = await self._append([(IN_FORCE, self._claim)])
        self._state.write([RowChange(IN_FORCE, self._claim, [], [])], [], offset)
        if void:
            rows = list(zip(void, self._state.rows(void), strict=True))
            offset = await self._append([(key, row) for key, row in rows if key != IN_FORCE])
            self._state.write([RowChange(void_key(key), None, [], []) for key in void], [], offset)

    async def _append(self, rows: list[tuple[bytes, bytes | None]]) -> int | None:
        """Append rows right behind the last one known. Raises ForeignRows where others have come in between."""
        await self._check_ours()
        last = await self._around.publish_changelog(self._number, rows, self._claim)
        await self._check_ours()
        if last is not None:
            expected = self._end + len(rows)
            if last != expected:
                raise ForeignRows(f"partition {self._number}: the changelog is at {last} where {expected} was expected")
            self._end = last
        return last

    async def _check_ours(self) -> None:
        """Go on only as the owner. After a suspension nobody knows whether that is so until a heartbeat is answered."""
        while self._is_ours() and not self._around.is_in_session():  # noqa: ASYNC110 - another thread knows
            await asyncio.sleep(SESSION_POLL_SECONDS)
        if not self._is_ours():
            raise Abandoned

    async def _publish_outbox(self) -> None:
        unit = self._around.new_unit(self._encode, self._number, self._meta, self._held)
        keys = self._state.outbox(self._meta)
        self._load(unit, set(keys))
        for key in keys:
            unit.publish_again(key)
        await self._store(unit, Stopwatch())


class Stopwatch:
    """Times the stages of one unit."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        """The time since the last lap belongs to this stage."""
        now = time.perf_counter()
        _seconds_of(stage).observe(now - self._since)
        self._since = now
