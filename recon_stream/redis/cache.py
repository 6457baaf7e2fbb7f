"""Answers that cost the database something, kept for seconds in Redis: `cache:{category}:{identifier}`.

The identifier holds everything that the answer depends on, how far the sink has come among it: new results make a new
identifier, so nothing has to be found and deleted, and no process has to tell another. Of one process only one task makes a
missing answer while the others wait for it. Redis away, slow or full: every answer is made anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import cast

from redis.asyncio import Redis

from recon_stream.metrics.catalogue import CACHE
from recon_stream.redis.client import NO_ANSWER

logger = logging.getLogger(__name__)

AWAY_SECONDS = 1.0
VALUE_BYTES_MAX = 1 << 20


class Category(Enum):
    """What is kept, and for how many seconds at most."""

    STATUS = 5
    STATS = 30
    FACETS = 300


class Cache:
    """Bytes by category and identifier; `scope` keeps applications apart that share a Redis."""

    def __init__(self, redis: Redis, scope: str) -> None:
        self._redis, self._scope = redis, scope
        self._under_way: dict[str, asyncio.Task[bytes]] = {}
        self._ask_again_at = 0.0

    @property
    def is_away(self) -> bool:
        """Whether nothing is kept at the moment."""
        return time.monotonic() < self._ask_again_at

    async def get(
        self, category: Category, identifier: str, make: Callable[[], Awaitable[bytes]], *, is_ahead: bool = False
    ) -> bytes:
        """The answer, made by `make` where it is not there. Raises what `make` raises. `is_ahead`: nobody waits for it yet."""
        key = f"cache:{category.name.lower()}:{self._scope}:{identifier}"
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._find_or_make(category, key, make, is_ahead))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        elif not is_ahead:
            CACHE.labels(category.name.lower(), "shared").inc()
        # a client that goes away must not take the answer from those who wait
        return await asyncio.shield(task)

    async def _find_or_make(
        self, category: Category, key: str, make: Callable[[], Awaitable[bytes]], is_ahead: bool
    ) -> bytes:
        found = await self._read(key)
        CACHE.labels(category.name.lower(), "ahead" if is_ahead else "miss" if found is None else "hit").inc()
        if found is not None:
            return found
        made = await make()
        await self._write(key, made, category.value)
        return made

    async def _read(self, key: str) -> bytes | None:
        if self.is_away:
            return None
        try:
            return cast("bytes | None", await self._redis.get(key))
        except NO_ANSWER as error:
            self._is_away(error)
            return None

    async def _write(self, key: str, value: bytes, seconds: int) -> None:
        if len(value) > VALUE_BYTES_MAX or self.is_away:
            return
        try:
            await self._redis.set(key, value, ex=seconds)
        except NO_ANSWER as error:
            self._is_away(error)

    def _is_away(self, error: BaseException) -> None:
        self._ask_again_at = time.monotonic() + AWAY_SECONDS
        logger.warning("the cache is passed by: %s", error or type(error).__name__)
