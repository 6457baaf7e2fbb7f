"""How many requests of one person are worked on at a time: their others wait, so that nobody has all connections to PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """`most` of each person in this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, person: str) -> AsyncIterator[None]:
        """While one is worked on; waits for it."""
        # kept by those who hold or await it, and by nobody else
        turns = self._of.get(person)
        if turns is None:
            turns = self._of[person] = asyncio.Semaphore(self._most)
        async with turns:
            yield
