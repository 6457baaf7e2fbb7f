"""The shared duplicate filter in front of the state.

`dedupe:{txn_id}:{source}` (TTL 1 h) is a hash event_id:revision -> what was durably processed: epoch of the state,
coordinates, digest. It is written AFTER the acknowledgements and only ever drops a copy at OTHER coordinates with the same
digest; a re-read (same coordinates), other content or another life of the state goes on to the state, which decides
alone when Redis is away or empty, with the same outcome.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Generic, TypeVar

import orjson
from redis.asyncio import Redis

from recon_stream.metrics.catalogue import FILTER_FAIL_OPEN, ZOMBIES
from recon_stream.redis.client import NO_ANSWER
from recon_stream.redis.seen import Seen, asked_of, told_of

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_A = TypeVar("_A")

REMEMBERED_SECONDS = 3600
IN_FLIGHT_SECONDS = 60
EVENTS_PER_CALL_MAX = 1000
"""A script stops the server for its whole run: 1,000 events are some 5 ms."""
AWAY_SECONDS = 1.0
"""How long nobody asks after a failure: a unit of work must not wait for a dead server each time."""


class Together(Generic[_T, _A]):
    """Makes one call of all that are asked for in the same turn of the event loop: lanes that work in step share it."""

    def __init__(self, call: Callable[[list[_T]], Awaitable[Sequence[_A] | None]]) -> None:
        self._call = call
        self._items: list[_T] = []
        self._answer: asyncio.Future[Sequence[_A] | None] | None = None

    async def ask(self, items: Sequence[_T]) -> Sequence[_A] | None:
        """The part of the common answer that is for these items; None where there is none."""
        start = len(self._items)
        self._items += items
        if self._answer is None:
            self._answer = asyncio.ensure_future(self._go())
        # one that is cancelled must not take the answer from the others
        answer = await asyncio.shield(self._answer)
        return None if answer is None else answer[start : start + len(items)]

    async def _go(self) -> Sequence[_A] | None:
        items, self._items, self._answer = self._items, [], None
        return await self._call(items)


class DuplicateFilter:
    """Asks before a unit of work, tells after it; one script call each. Fails open."""

    def __init__(self, redis: Redis, worker: str) -> None:
        self._redis, self._worker = redis, worker
        scripts = files("recon_stream.redis")
        self._claim = redis.register_script(scripts.joinpath("claim.lua").read_text())
        self._settle = redis.register_script(scripts.joinpath("settle.lua").read_text())
        self._is_away = False
        self._ask_again_at = 0.0
        self._claims = Together(self._claim_all)
        self._settlements: Together[tuple[Seen, bool], None] = Together(self._settle_all)

    async def claim(self, events: Sequence[Seen]) -> Sequence[bytes | None] | None:
        """What was remembered of each event; None where Redis did not answer."""
        return await self._claims.ask(events)

    async def settle(self, events: Sequence[tuple[Seen, bool]]) -> None:
        """Remember the events that were accepted (True), and that none of them is in flight any more."""
        await self._settlements.ask(events)

    async def _claim_all(self, events: Sequence[Seen]) -> list[bytes | None] | None:
        known: list[bytes | None] = []
        if self._is_resting():
            FILTER_FAIL_OPEN.inc()
            return None
        for part in _parts(events):
            asked = orjson.dumps(asked_of(part))
            try:
                answer = await self._claim(args=[asked, self._worker, IN_FLIGHT_SECONDS])
            except NO_ANSWER as error:
                self._fail_open(error)
                return None
            if answer[0]:
                ZOMBIES.inc(answer[0])
                logger.warning("%d events are in flight at another worker: one of us is a zombie", answer[0])
            known += answer[1:]
        if self._is_away:
            self._is_away = False
            logger.info("the duplicate filter answers again")
        return known

    async def _settle_all(self, events: Sequence[tuple[Seen, bool]]) -> None:
        if self._is_resting():
            return
        for part in _parts(events):
            told = orjson.dumps(told_of(part))
            try:
                await self._settle(args=[told, REMEMBERED_SECONDS, self._worker])
            except NO_ANSWER as error:
                self._fail_open(error)
                return

    def _is_resting(self) -> bool:
        return self._is_away and time.monotonic() < self._ask_again_at

    def _fail_open(self, error: BaseException) -> None:
        FILTER_FAIL_OPEN.inc()
        self._ask_again_at = time.monotonic() + AWAY_SECONDS
        if not self._is_away:
            self._is_away = True
            logger.warning(
                "the duplicate filter does not answer (%s): the state decides alone", error or type(error).__name__
            )


def _parts(events: Sequence[_T]) -> list[Sequence[_T]]:
    return [events[start : start + EVENTS_PER_CALL_MAX] for start in range(0, len(events), EVENTS_PER_CALL_MAX)]
