"""Answers that are counted from what the sink has stored, kept in Redis by how far it had come.

While results come in, an answer would be old a second after it was made, and every look at a page would be counted anew. So what
people look at again and again is made anew in the background, each second in which a result came, and is there when they ask. Who
asks first waits for it, and so does everybody where the background does not keep up: nothing older is served than FRESH_SECONDS.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from recon_stream.redis.cache import Cache, Category

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""From one look at how far the sink has come to the next."""
FRESH_SECONDS: Final = 2.0
"""For so long what the last look found is taken for true."""
WANTED_SECONDS: Final = 31.0
"""For so long after somebody asked, an answer is made anew: the dashboard asks every 15 s."""
WANTED_MAX: Final = 16
"""Answers that are made anew, those that were asked for last: at a million results each costs the database some 12 ms a second."""

Make = Callable[[], Awaitable[bytes]]


class _Wanted(NamedTuple):
    make: Make
    asked_at: float


class Kept:
    """The answers of one process. `reached` asks how far the sink has come."""

    def __init__(self, cache: Cache, reached: Callable[[], Awaitable[int]]) -> None:
        self._cache, self._ask = cache, reached
        self._reached, self._looked_at = 0, -FRESH_SECONDS
        self._look: asyncio.Task[None] | None = None
        self._wanted: dict[str, _Wanted] = {}

    async def answer(self, category: Category, identifier: str, make: Make) -> bytes:
        """What `make` counts, which depends on the identifier and on results alone. Raises what `make` raises.

        Statistics are made anew ahead of the next question; what costs more is made when it is asked for.
        """
        if category is Category.STATS:
            self._wanted.pop(identifier, None)  # to the end of the line
            self._wanted[identifier] = _Wanted(make, time.monotonic())
            if len(self._wanted) > WANTED_MAX:
                del self._wanted[next(iter(self._wanted))]
        return await self._cache.get(category, f"{identifier}:{await self._now()}", make)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make answers ahead while the body runs."""
        task = asyncio.create_task(self._run(), name="answers ahead")
        try:
            yield
        finally:
            task.cancel()

    async def _now(self) -> int:
        if time.monotonic() - self._looked_at > FRESH_SECONDS:
            if self._look is None:
                self._look = asyncio.create_task(self._look_again())
                self._look.add_done_callback(self._looked)
            # all who wait share the answer, and the failure: one after the other they would wait too long for it
            await asyncio.shield(self._look)
        return self._reached

    async def _look_again(self) -> None:
        at = time.monotonic()
        self._take(await self._ask(), at)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._look = None
        if not task.cancelled():
            task.exception()  # whoever waited has it

    def _take(self, reached: int, looked_at: float) -> None:
        if looked_at > self._looked_at:  # counts never go back
            self._reached, self._looked_at = reached, looked_at

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._make_ahead()
            except Exception as error:
                # who asks meets the same failure, is told of it, and leaves it in the log
                logger.warning("statistics are not made ahead: %s", error or type(error).__name__)

    async def _make_ahead(self) -> None:
        at = time.monotonic()
        self._wanted = {each: one for each, one in self._wanted.items() if at - one.asked_at <= WANTED_SECONDS}
        if not self._wanted or self._cache.is_away:
            return
        reached = await self._ask()
        if reached != self._reached:
            for identifier, one in list(self._wanted.items()):
                await self._make_one_ahead(identifier, one.make, reached)
        # only now, when everything is there
        self._take(reached, at)

    async def _make_one_ahead(self, identifier: str, make: Make, reached: int) -> None:
        if self._cache.is_away:
            return  # the one before has found that nothing is kept: each is made for whoever asks
        try:
            await self._cache.get(Category.STATS, f"{identifier}:{reached}", make, is_ahead=True)
        except Exception as error:
            # it must not keep the others waiting, nor the database busy: only who asks again meets it again
            self._wanted.pop(identifier, None)
            logger.warning("%s is not made ahead: %s", identifier, error or type(error).__name__)
