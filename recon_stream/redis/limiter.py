"""How often an address may call an endpoint: a sliding window in Redis, shared by all web processes, one script call each.

While Redis is away every process counts for itself, with a part of the limit: neither refused for all nor open to all.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections import OrderedDict, deque
from importlib.resources import files
from typing import NamedTuple

from redis.asyncio import Redis

from recon_stream.metrics.catalogue import LIMITER_FALLBACK, RATE_LIMITED
from recon_stream.redis.client import NO_ANSWER

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 10
TTL_SECONDS = 11
LOCAL_SHARE = 2
"""While Redis is away: a process allows the limit divided by this, because there may be others."""
LOCAL_KEYS_MAX = 10_000
AWAY_SECONDS = 1.0


class Quota(NamedTuple):
    """What became of one call."""

    allowed: bool
    limit: int
    """Calls in WINDOW_SECONDS."""
    remaining: int
    reset_seconds: int
    """Until a call is forgotten again, rounded up."""

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers words them."""
        named = {
            "RateLimit-Policy": f'"default";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"default";r={self.remaining};t={self.reset_seconds}',
        }
        return named if self.allowed else named | {"Retry-After": str(self.reset_seconds)}


class Limiter:
    """`limits`: endpoint -> calls in ten seconds; `default` for all others."""

    def __init__(self, redis: Redis, limits: dict[str, int], default: int) -> None:
        self._redis, self._limits, self._default = redis, limits, default
        self._script = redis.register_script(files("recon_stream.redis").joinpath("limit.lua").read_text())
        self._local: OrderedDict[str, deque[float]] = OrderedDict()
        self._ask_again_at = 0.0

    async def spend(self, address: str, endpoint: str) -> Quota:
        """Count one call, if it is allowed."""
        limit = self._limits.get(endpoint, self._default)
        key = f"rate:{address}:{endpoint}"
        quota = await self._ask(key, limit)
        if not quota.allowed:
            RATE_LIMITED.labels(endpoint).inc()
        return quota

    async def _ask(self, key: str, limit: int) -> Quota:
        if time.monotonic() >= self._ask_again_at:
            try:
                allowed, calls, reset_ms = await self._script(
                    keys=[key], args=[limit, WINDOW_SECONDS * 1000, TTL_SECONDS, secrets.token_hex(8)]
                )
                return Quota(bool(allowed), limit, max(0, limit - calls), math.ceil(reset_ms / 1000))
            except NO_ANSWER as error:
                self._ask_again_at = time.monotonic() + AWAY_SECONDS
                logger.warning("the rate limiter counts for itself: %s", error or type(error).__name__)
        LIMITER_FALLBACK.inc()
        return self._count_here(key, max(1, limit // LOCAL_SHARE))

    def _count_here(self, key: str, limit: int) -> Quota:
        now = time.monotonic()
        calls = self._local.setdefault(key, deque())
        self._local.move_to_end(key)
        while len(self._local) > LOCAL_KEYS_MAX:
            self._local.popitem(last=False)
        while calls and calls[0] <= now - WINDOW_SECONDS:
            calls.popleft()
        allowed = len(calls) < limit
        if allowed:
            calls.append(now)
        return Quota(
            allowed, limit, max(0, limit - len(calls)), math.ceil(calls[0] + WINDOW_SECONDS - now) if calls else 0
        )
