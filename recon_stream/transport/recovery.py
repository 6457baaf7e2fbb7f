"""Recovery of the state from its changelog, by batches: the consumer hands over what a fetch brought, the store writes it at once.

Faust's own recovery is kept for all that surrounds that: what is assigned, where to begin, when streams may go on, callbacks,
standbys. Of it are replaced: the loop that took records one by one (and could sleep through its own signal of the end), the
check of the state's offset, the seek (which read the last record again), and waits that ended in silence.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

from faust.tables import manager as faust_manager
from faust.tables import recovery as faust_recovery
from faust.tables.recovery import RebalanceAgain, ServiceStopped
from faust.types import TP
from mode import Service

from recon_stream.errors import ConfigurationError, InvariantViolated, TransientFailure
from recon_stream.metrics.catalogue import RECOVERED, RECOVERY_REMAINING, RECOVERY_SECONDS
from recon_stream.transport.batch import RawRecord

logger = logging.getLogger(__name__)


class StateAheadOfChangelog(ConfigurationError):
    """The local state has what its changelog has not: the topic was deleted and created anew, or has lost records. Put the
    topic back. Where it is gone for good: stop all workers, delete their state folders, set the offsets of their
    consumer group back to the earliest and start them; the state is then made again from the source topics."""


class RowStore(Protocol):
    """What a table's store must be able to do."""

    def apply_rows(self, tp: TP, records: Sequence[RawRecord]) -> None:
        """Write these records of a changelog partition, all that follows from them, and the offset of the last one, in one write."""

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Remember that the state has all records of the partition up to this one."""


@dataclass(slots=True)
class Work:
    """One recovery; clocks are monotonic, in seconds."""

    offsets: int
    """How far the ends were away when it began: at most so many rows, as compaction leaves holes."""
    begun: float
    rows: int = 0
    """Records applied."""


class Progress(NamedTuple):
    """How far a recovery is. Rows to do are counted by offsets: compaction and transaction markers may have left fewer."""

    rows_done: int
    rows_to_do: int
    rows_per_second: int
    seconds: float
    seconds_left: float | None
    """None before there is anything to estimate it by."""
    partitions: dict[int, int]
    """Rows to do by partition, those that are through left out."""

    def __str__(self) -> str:
        left = "unknown" if self.seconds_left is None else f"about {self.seconds_left:.0f} s"
        each = ", ".join(f"{number}: {rows:,}" for number, rows in self.partitions.items())
        return (
            f"{self.rows_done:,} rows done, at most {self.rows_to_do:,} to do ({each}), "
            f"{self.rows_per_second:,} rows/s, time left {left}"
        )


class Recovery(faust_recovery.Recovery):
    """Faust's recovery, fed with batches by `recon_stream.transport.driver.Consumer`."""

    mundane_level = "debug"
    stats_interval = 3.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._work: Work | None = None

    # What others may ask

    def progress(self) -> Progress | None:
        """How far the recovery is that goes on now; None while there is none."""
        work = self._work
        if work is None:
            return None
        remaining = {tp.partition: count for tp, count in sorted(self.active_remaining().items()) if count > 0}
        to_do, seconds = sum(remaining.values()), time.monotonic() - work.begun
        passed = work.offsets - to_do
        left = round(to_do * seconds / passed, 1) if passed > 0 else None
        return Progress(work.rows, to_do, round(work.rows / max(seconds, 0.001)), round(seconds, 1), left, remaining)

    # What the consumer hands over

    def apply(self, tp: TP, records: Sequence[RawRecord]) -> None:
        """Write what a fetch brought of a changelog partition, and count it. Raises what the store raises."""
        offsets = self._offsets_of(tp)
        if offsets is None:
            return
        seen = -1 if offsets[tp] is None else offsets[tp]
        if records[0].offset <= seen:
            logger.warning(
                "%s-%d is read again from offset %d, the state stands at %d: its beginning or end has moved meanwhile",
                tp.topic, tp.partition, records[0].offset, seen,
            )  # fmt: skip
            records = [record for record in records if record.offset > seen]
        if records:
            self._store_of(tp).apply_rows(tp, records)
            RECOVERED.inc(len(records))
            if self._work is not None:
                self._work.rows += len(records)
            self._advance(tp, offsets, records[-1].offset)

    def read_to(self, positions: Mapping[TP, int]) -> None:
        """Everything below these offsets was handed over: holes at the end of a partition hold no record to wait for."""
        for tp, position in positions.items():
            offsets = self._offsets_of(tp)
            if offsets is not None and position - 1 > (-1 if offsets[tp] is None else offsets[tp]):
                self._store_of(tp).set_persisted_offset(tp, position - 1)
                self._advance(tp, offsets, position - 1)

    def _offsets_of(self, tp: TP) -> Counter[TP] | None:
        """The offsets that Faust keeps for the partition; None where what was read of it is of no use any more."""
        if tp in self.active_tps:
            # A poll that was under way when the recovery ended may bring what our own lanes have just appended.
            return self.active_offsets if self._work is not None else None
        return self.standby_offsets if tp in self.standby_tps else None

    def _store_of(self, tp: TP) -> RowStore:
        return cast("RowStore", cast("Any", self.tp_to_table[tp]).data)

    def _advance(self, tp: TP, offsets: Counter[TP], offset: int) -> None:
        offsets[tp] = offset
        if tp in self.active_tps:
            RECOVERY_REMAINING.labels(str(tp.partition)).set(max(0, self.active_highwaters[tp] - offset))
            self._end_if_done()
        elif not self.tables.standbys_ready and self.standby_remaining_total() <= 0:
            self.tables.on_standbys_ready()

    def _end_if_done(self) -> None:
        work = self._work
        if work is None or self.need_recovery():
            return
        seconds = time.monotonic() - work.begun
        logger.info(
            "recovered %s rows of %d partitions in %.1f s (%s rows/s)",
            f"{work.rows:,}", len(self.active_tps), seconds, f"{work.rows / max(seconds, 0.001):,.0f}",
        )  # fmt: skip
        RECOVERY_SECONDS.set(seconds)
        self._set_recovery_ended()
        # It stays set until the next recovery begins: whoever waits for it, or is about to, finds it.
        self.signal_recovery_end.set()

    # Faust's recovery

    def _set_recovery_started(self) -> None:
        super()._set_recovery_started()
        self.signal_recovery_end.clear()

    def _set_recovery_ended(self) -> None:
        super()._set_recovery_ended()
        self._work = None

    async def _build_offsets(self, consumer: Any, tps: AbstractSet[TP], destination: Any, title: str) -> None:
        await super()._build_offsets(consumer, cast("set[TP]", tps), destination, title)
        if title != "active":
            return
        for tp in sorted(tps):
            offset, end = destination[tp], self.active_highwaters[tp]
            if offset > end:
                raise StateAheadOfChangelog(
                    f"{tp.topic}-{tp.partition} ends at offset {end}, the state in {self.app.conf.datadir} stands at {offset}"
                )

    async def _seek_offsets(self, consumer: Any, tps: AbstractSet[TP], offsets: Any, title: str) -> None:
        """Seek behind the last record that the state has; active partitions are then recovered."""
        await consumer.seek_wait({tp: offsets[tp] + 1 for tp in tps})
        if title != "active":
            return
        remaining = self.active_remaining()
        RECOVERY_REMAINING.clear()
        for tp, count in remaining.items():
            RECOVERY_REMAINING.labels(str(tp.partition)).set(max(0, count))
        self._work = Work(sum(remaining.values()), time.monotonic())
        if self.need_recovery():
            logger.info("recovering: %s", self.progress())
        else:
            logger.info("nothing to recover: the state stands at the end of its changelog")

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109 Faust's signature
        """Stock Faust takes a wait that timed out for a stop of the service, and never recovers nor says a word."""
        try:
            await super()._wait(coro, timeout=timeout)
        except ServiceStopped:
            if timeout is None or self.should_stop:
                raise
            raise TransientFailure(f"Kafka did not answer within {float(timeout):.0f} s during a recovery") from None

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Let the streams go on, if it is completed: stock Faust comes here also when a rebalance cut it off."""
        if self.signal_recovery_start.is_set() or generation_id != self.app.consumer_generation_id:
            raise RebalanceAgain
        if self.need_recovery():
            raise InvariantViolated(f"the recovery ended with rows to do: {self.active_remaining()}")
        await super().on_recovery_completed(generation_id)

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Nothing: records come by `apply`."""

    @Service.task
    async def _publish_stats(self) -> None:
        async for _ in self.itertimer(self.stats_interval, name="Recovery.stats"):
            progress = self.progress()
            if progress is not None:
                RECOVERY_SECONDS.set(progress.seconds)
                logger.info("recovering: %s", progress)


class TableManager(faust_manager.TableManager):
    """Faust's, with our recovery."""

    mundane_level = "debug"

    @property
    def recovery(self) -> Recovery:
        """The recovery of all tables."""
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return cast("Recovery", self._recovery)
