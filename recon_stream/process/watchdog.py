"""Ends a process that has work and makes no progress, so that its supervisor starts it anew; reports the lag.

Faust can stall in silence. Time is counted in ticks that this process has lived through, not in clock time, so that a
machine or a process that was suspended is not taken for a stalled one.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from faust.types import TP

from recon_stream.apps import ReconApp
from recon_stream.errors import TransientFailure
from recon_stream.metrics.catalogue import LAG
from recon_stream.process.exits import RECOVERY_STALLED, STALLED
from recon_stream.process.operations import recovery_progress, starting_phase

logger = logging.getLogger(__name__)

TICK = 1.0
ENDS_EVERY = 5  # ticks between two questions for the ends of the partitions
WARN_SHARE = 0.5  # of the timeout, after which /livez says so


def end_process(code: int) -> NoReturn:
    """Leave at once: what hangs here would hang a stop as well. Nothing that is not durable has been acknowledged."""
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    logging.shutdown()
    os._exit(code)


class Watchdog:
    """Watches one application: its event loop from a thread, its recovery and its progress from the loop."""

    def __init__(self, app: ReconApp, end: Callable[[int], NoReturn] = end_process) -> None:
        self._app, self._end = app, end
        self._recovery, self._work = Still(), Still()
        self._ends: dict[TP, int] = {}
        self._labelled: set[TP] = set()
        self._beats = 0
        self._finished = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch; call it in the application's event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="watchdog")
        threading.Thread(target=self._watch_loop, name="watchdog", daemon=True).start()

    async def stop(self) -> None:
        """Stop watching: a stop has a bound of its own."""
        self._finished.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def stalled(self) -> str | None:
        """Why this process is about to be ended; None while all is well."""
        settings = self._app.settings
        if self._work.ticks * TICK >= settings.stall_timeout * WARN_SHARE:
            return f"{self._work.about}; no progress for {self._work.ticks * TICK:.0f} s"
        if self._recovery.ticks * TICK >= settings.recovery_timeout * WARN_SHARE:
            return f"{self._recovery.about}; no progress for {self._recovery.ticks * TICK:.0f} s"
        return None

    async def _run(self) -> None:
        tick = 0
        while True:
            await asyncio.sleep(TICK)
            self._beats += 1
            if not self._app.producer_only:
                if tick % ENDS_EVERY == 0 and starting_phase(self._app) is None:
                    await self._ask_for_ends()
                self._check()
            tick += 1

    def _check(self) -> None:
        app, settings = self._app, self._app.settings
        phase = starting_phase(app)
        if app.pauses or phase == "stopping":
            self._recovery.moves()
            self._work.moves()
        elif phase is not None:
            self._work.moves()
            progress = recovery_progress(app)
            about = phase if progress is None else f"{phase}: {progress}"
            self._recovery.look(about, self._recovery_marker())
        else:
            self._recovery.moves()
            waiting = self._report_lag()
            consumer = app.batch_consumer
            if waiting or consumer.flight_records:
                about = f"{waiting} records wait, {consumer.flight_records} are in flight"
                self._work.look(about, (app.consumer_generation_id, consumer.progress()))
            else:
                self._work.moves()
        if self._recovery.ticks * TICK >= settings.recovery_timeout:
            logger.critical("recovery makes no progress, ending the process: %s", self.stalled())
            self._end(RECOVERY_STALLED)
        if self._work.ticks * TICK >= settings.stall_timeout:
            logger.critical("stalled, ending the process: %s", self.stalled())
            self._end(STALLED)

    def _recovery_marker(self) -> tuple[object, ...]:
        recovery = self._app.recovery
        return (self._app.consumer_generation_id, sum(offset or 0 for offset in recovery.active_offsets.values()))

    def _report_lag(self) -> int:
        """Set the metric of every partition that is read here; returns the sum, in records."""
        consumer, total = self._app.batch_consumer, 0
        tps = consumer.source_partitions()
        for tp in tps:
            applied = consumer.applied_offset(tp)
            # Before the first answer to a fetch the end alone is known: from the start of the partition to there.
            end = max(consumer.highwater(tp) or 0, self._ends.get(tp, 0))
            lag = max(0, end - (applied or 0))
            LAG.labels(tp.topic, str(tp.partition)).set(lag)
            total += lag
        for tp in self._labelled - tps:
            LAG.remove(tp.topic, str(tp.partition))
        self._labelled = tps
        return total

    async def _ask_for_ends(self) -> None:
        # A fetcher that hangs does not know that there is more: the brokers do.
        consumer = self._app.batch_consumer
        try:
            self._ends = await consumer.end_offsets(consumer.source_partitions())
        except TransientFailure as error:
            logger.warning("%s", error)

    def _watch_loop(self) -> None:
        """In a thread: an event loop that is blocked cannot notice it by itself."""
        still = Still()
        while not self._finished.wait(TICK):
            still.look("the event loop does not turn", self._beats)
            if still.ticks * TICK >= max(self._app.settings.stall_timeout, 2 * TICK):
                logger.critical("the event loop has not turned for %.0f s, ending the process", still.ticks * TICK)
                self._end(STALLED)


class Still:
    """Ticks for which a marker has not changed."""

    __slots__ = ("_marker", "about", "ticks")

    def __init__(self) -> None:
        self.ticks, self.about = 0, ""
        self._marker: object = None

    def look(self, about: str, marker: object) -> None:
        """Count one tick, or begin anew where the marker is another one."""
        self.about = about
        self.ticks = self.ticks + 1 if marker == self._marker else 0
        self._marker = marker

    def moves(self) -> None:
        """There is nothing to wait for."""
        self.ticks, self._marker = 0, None
