"""The two scripts of the duplicate filter over a dict, with the ways in which a server may be away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import orjson
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

Script = Callable[..., Awaitable[Any]]


class Valkey:
    """What `register_script` and the scripts need of a server. `now` gives seconds, for what ends by itself."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._hashes: dict[str, dict[str, str]] = {}
        self._names: dict[str, str] = {}
        self._ends: dict[str, float] = {}

    def register_script(self, text: str) -> Script:
        """The script of that text as a function."""
        run = self._claim if "HGET" in text else self._settle
        assert ("HGET" in text) != ("HSET" in text), "the two scripts that are known here"

        async def call(keys: Any = None, args: Any = None) -> Any:
            return run(*args)

        return call

    def _end_what_is_over(self) -> None:
        now = self._now()
        for key in [key for key, end in self._ends.items() if end <= now]:
            del self._ends[key]
            self._hashes.pop(key, None)
            self._names.pop(key, None)

    def _claim(self, asked: bytes, worker: str, ttl: int) -> list[Any]:
        self._end_what_is_over()
        fields = orjson.loads(asked)
        foreign, known = 0, []
        for at in range(0, len(fields), 3):
            tail = f"{fields[at]}:{fields[at + 1]}"
            mark = self._hashes.get(f"dedupe:{tail}", {}).get(fields[at + 2])
            known.append(None if mark is None else mark.encode())
            inflight = f"inflight:{tail}"
            before = self._names.get(inflight)
            self._names[inflight], self._ends[inflight] = worker, self._now() + ttl
            foreign += before is not None and before != worker
        return [foreign, *known]

    def _settle(self, told: bytes, ttl: int, worker: str) -> int:
        self._end_what_is_over()
        fields = orjson.loads(told)
        for at in range(0, len(fields), 4):
            tail = f"{fields[at]}:{fields[at + 1]}"
            if fields[at + 3]:
                self._hashes.setdefault(f"dedupe:{tail}", {})[fields[at + 2]] = fields[at + 3]
                self._ends[f"dedupe:{tail}"] = self._now() + ttl
            inflight = f"inflight:{tail}"
            if self._names.get(inflight) == worker:
                del self._names[inflight], self._ends[inflight]
        return len(fields) // 4

    def flush(self) -> None:
        """Forget everything."""
        self._hashes.clear()
        self._names.clear()
        self._ends.clear()

    def dump(self) -> dict[str, Any]:
        """All keys with what they hold."""
        self._end_what_is_over()
        return {**self._hashes, **self._names}


class UnreliableValkey(Valkey):
    """A server behind a network: slow, not answering, answering after all, or gone."""

    def __init__(self, now: Callable[[], float], dice: Random) -> None:
        super().__init__(now)
        self._dice = dice
        self.is_away = False
        self.is_flaky = False

    def register_script(self, text: str) -> Script:
        """See Valkey; any call may fail before or after it took effect."""
        run = super().register_script(text)

        async def call(keys: Any = None, args: Any = None) -> Any:
            dice = self._dice
            if self.is_away:
                raise RedisConnectionError("refused")
            await asyncio.sleep(dice.choice((0.0, 0.001, 0.03)))
            if self.is_flaky and dice.random() < 0.3:
                if dice.random() < 0.5:
                    await run(keys, args)
                await asyncio.sleep(0.2)
                raise RedisTimeoutError("no answer")
            answer = await run(keys, args)
            if self.is_flaky:
                await asyncio.sleep(dice.choice((0.0, 0.1)))
            return answer

        return call
