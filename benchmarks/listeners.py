"""Many sockets in one process that reads as little of each message as a measurement needs: `python -m benchmarks.listeners`.

Arguments as JSON on standard input (Orders), figures as JSON on standard output (Heard).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import cast

import aiohttp
import orjson
import uvloop

HEAD_BYTES = 4096
"""Enough for the answer to the upgrade, and for the first record of a message."""
_PUBLISHED = b'"published_at":"'
_PONG = b"\x8a\x80\x00\x00\x00\x00"
_BUFFER = bytearray(1 << 18)


@dataclass(frozen=True, slots=True)
class Orders:
    """What to do. `reading` sockets read, `silent` ones subscribe and never read again."""

    host: str
    port: int
    token: str
    reading: int
    silent: int
    warm_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of it: ages in milliseconds of the first record of each message when it arrived, bytes, sockets that were closed."""

    ages: list[float]
    received: int
    closed: int


class Listener(asyncio.BufferedProtocol):
    """One socket. It parses the heads of frames, and of messages the first record's time."""

    def __init__(self, counting: asyncio.Event, ages: list[float]) -> None:
        self.upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received, self.is_closed = 0, False
        self._counting, self._ages = counting, ages
        self._head = b""
        self._left = 0
        """Bytes of the frame that are still to come."""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self.is_closed = True

    def get_buffer(self, _: int) -> bytearray:
        # all sockets share it: what is read is looked at before the next read
        return _BUFFER

    def buffer_updated(self, size: int) -> None:
        self.received += size
        data = memoryview(_BUFFER)[:size]
        while data:
            if self._left:
                skipped = min(self._left, len(data))
                data, self._left = data[skipped:], self._left - skipped
                continue
            before = len(self._head)
            self._head += data[: HEAD_BYTES - before]
            taken = self._begin()
            if not taken:
                return
            self._head = b""
            data = data[taken - before :]

    def _begin(self) -> int:
        """Bytes of the head that are looked at; 0 where more of it must come first."""
        head = self._head
        if not self.upgraded.done():
            end = head.find(b"\r\n\r\n") + 4
            if end == 3:
                return 0
            self.upgraded.set_result(None)
            return end
        if len(head) < 10:
            short = len(head) >= 2 and head[1] < 126 and len(head) >= 2 + head[1]
            if not short:
                return 0
        length, start = head[1], 2
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(head[2:start], "big")
        if len(head) < min(start + length, HEAD_BYTES):
            return 0
        now = time.time() * 1000
        place = head.find(_PUBLISHED, start)
        if head[0] == 0x89 and self._transport is not None:
            self._transport.write(_PONG)
        elif place > 0 and place < start + length and self._counting.is_set():
            text = head[place + len(_PUBLISHED) :]
            self._ages.append(now - epoch_ms(text[: text.index(b'"')]))
        taken = min(start + length, len(head))
        self._left = start + length - taken
        return taken


@lru_cache(maxsize=10_000)
def epoch_ms(text: bytes) -> float:
    """Of an instant as messages have it."""
    return datetime.fromisoformat(text.decode()).timestamp() * 1000


async def listen(orders: Orders) -> Heard:
    """Connect all, warm up, count."""
    counting, ages = asyncio.Event(), list[float]()
    connected = [await connect(orders, counting, ages) for _ in range(orders.reading + orders.silent)]
    for transport, _ in connected[orders.reading :]:
        transport.pause_reading()
    sys.stderr.write("connected\n")
    await asyncio.sleep(orders.warm_seconds)
    before = received(connected)
    counting.set()
    await asyncio.sleep(orders.seconds)
    counting.clear()
    heard = Heard(ages, received(connected) - before, sum(one.is_closed for _, one in connected[: orders.reading]))
    for transport, _ in connected:
        transport.abort()
    return heard


def received(connected: Sequence[tuple[asyncio.Transport, Listener]]) -> int:
    """Bytes, of all sockets."""
    return sum(listener.received for _, listener in connected)


async def connect(orders: Orders, counting: asyncio.Event, ages: list[float]) -> tuple[asyncio.Transport, Listener]:
    """A socket that is told results."""
    headers = {"Authorization": f"Bearer {orders.token}"}
    url = f"http://{orders.host}:{orders.port}/ws/ticket"
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.post(url, headers=headers) as answer:
        ticket = (await answer.json())["ticket"]
    transport, listener = await asyncio.get_running_loop().create_connection(
        lambda: Listener(counting, ages), orders.host, orders.port
    )
    transport.write(
        f"GET /ws?ticket={ticket} HTTP/1.1\r\nHost: {orders.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    await asyncio.wait_for(listener.upgraded, 30)
    subscribe = b'{"type":"subscribe","channel":"results"}'
    transport.write(bytes([0x81, 0x80 | len(subscribe), 0, 0, 0, 0]) + subscribe)
    return transport, listener


if __name__ == "__main__":
    told = Orders(**orjson.loads(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(orjson.dumps(asdict(uvloop.run(listen(told)))))
