"""An event loop with virtual time, in which a seed decides what runs next and dead processes run no more."""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections.abc import Callable
from contextvars import ContextVar
from random import Random
from typing import Any

STEPS_MAX = 200_000
"""Callbacks of one seed: some hundreds a virtual second are usual, more than this is a livelock."""


class Life:
    """One life of a process. Once it is over, none of its callbacks runs, as after SIGKILL."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_over = False
        self.steps = 0
        self.dies_at_step = -1
        """The number of the callback before which it dies; -1: not by this."""
        self.on_end: Callable[[], None] = lambda: None

    def end(self) -> None:
        """Die."""
        if not self.is_over:
            self.is_over = True
            self.on_end()


LIFE: ContextVar[Life | None] = ContextVar("life", default=None)
"""The process that the running code belongs to; None: the world around."""


class Stuck(Exception):
    """Nothing can ever happen any more, or too much happens."""


class Loop(asyncio.BaseEventLoop):
    """Runs ready callbacks in an order that the dice decide; when none is ready, time jumps to the next timer."""

    def __init__(self, dice: Random) -> None:
        super().__init__()
        self._dice = dice
        self._now = 0.0
        self.steps = 0
        self.failures: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.failures.append(context))

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now

    def _run_once(self) -> None:
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready:
            self._jump(timers)
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Stuck(f"{STEPS_MAX} callbacks")
        if len(ready) > 1:
            ready.rotate(-int(self._dice.random() * len(ready)))
        handle: Any = ready.popleft()
        if handle._cancelled:
            return
        life = handle._context.get(LIFE)
        if life is not None:
            life.steps += 1
            if life.steps == life.dies_at_step:
                life.end()
            if life.is_over:
                return
        handle._run()

    def _jump(self, timers: list[Any]) -> None:
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Stuck("nothing is left to happen")
        self._now = max(self._now, timers[0]._when)
        while timers and timers[0]._when <= self._now:
            self._ready.append(heapq.heappop(timers))  # type: ignore[attr-defined]

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """Nothing: cancelled timers are skipped when their time comes."""

    def _check_closed(self) -> None:
        """Nothing: what is left of dead processes may still try to clean up."""

    def _process_events(self, event_list: Any) -> None:
        """Nothing: there are no sockets."""

    def _write_to_self(self) -> None:
        """Nothing: there are no threads."""
