"""What waits for one client: bounded, so that nobody's slowness becomes anybody else's memory. Pure apart from the wake-up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from recon_stream.web.live.protocol import CloseCode

BYTES_MAX = 4 << 20
"""Frames are shared by all who want the same, so this is not what a slow client costs, but how far behind it may be."""


class Outbox:
    """Frames in order, and at the end the code to close with. The first end counts."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self.code: int | None = None
        """Set when nothing more will be said."""
        self.ended = asyncio.Event()
        """Set with it."""
        self._frames: deque[bytes] = deque()
        self._bytes, self._bytes_max = 0, bytes_max
        self._changed, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()

    def put(self, frames: Sequence[bytes]) -> None:
        """Take frames; where too much waits already, the client is too slow."""
        if self.code is not None:
            return
        self._frames.extend(frames)
        self._bytes += sum(map(len, frames))
        if self._bytes > self._bytes_max // 4:
            self._room.clear()
        if self._bytes > self._bytes_max and len(self._frames) > 1:
            self.end(CloseCode.TOO_SLOW)
        self._changed.set()

    def end(self, code: int) -> None:
        """Drop what waits, and let whoever takes know."""
        if self.code is None:
            self.code = code
            self._frames.clear()
            self._bytes = 0
            self.ended.set()
            self._room.set()
            self._changed.set()

    async def take(self) -> bytes | None:
        """The next frame; None at the end."""
        while not self._frames:
            if self.code is not None:
                return None
            self._changed.clear()
            await self._changed.wait()
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        if self._bytes <= self._bytes_max // 4:
            self._room.set()
        return frame

    async def room(self) -> None:
        """Let others work, and wait until less than a quarter waits here: for what is told faster than it is read."""
        await asyncio.sleep(0)
        await self._room.wait()
