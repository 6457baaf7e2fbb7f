"""The live feed of a process: reads, hands out, and knows all sockets."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from typing import Any

from redis.asyncio import Redis

from recon_stream.metrics.catalogue import LIVE_SOCKETS
from recon_stream.redis.sessions import EndedSessions
from recon_stream.security.tokens import Person, Principal, TokenVerifier
from recon_stream.settings import Settings
from recon_stream.web.live.channels import TOPICS
from recon_stream.web.live.history import History
from recon_stream.web.live.hub import Hub
from recon_stream.web.live.protocol import CloseCode
from recon_stream.web.live.reader import STARTING, Reader
from recon_stream.web.live.socket import Noted, Socket
from recon_stream.web.live.tickets import Tickets
from recon_stream.web.problems import Problem

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.05
"""What comes within this time leaves together; after a rest it leaves at once."""
TICK_SECONDS = 1.0
GOODBYE_SECONDS = 3.0


class Live:
    """One for each process; `running` while it serves."""

    def __init__(self, settings: Settings, redis: Redis, verifier: TokenVerifier, ended: EndedSessions) -> None:
        self.tickets = Tickets(redis)
        self._settings, self._verifier, self._ended = settings, verifier, ended
        self._hub, self._history = Hub(), History(settings)
        self._news = asyncio.Event()
        self._reader = Reader(settings, self._hub, self._news.set)
        self._sockets: set[Socket] = set()
        self._of_person: Counter[Person] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()
        self._is_open = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read and hand out in the background."""
        tasks = [
            asyncio.create_task(self._reader.run(), name="live reader"),
            asyncio.create_task(self._for_ever(self._hand_out), name="live feed"),
            asyncio.create_task(self._for_ever(self._tick), name="live ticks"),
            asyncio.create_task(self._for_ever(self._end_with_sessions), name="live sessions"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @contextmanager
    def admitted(self, principal: Principal, noted: Noted) -> Iterator[Socket]:
        """A socket for this person, counted while it is open. Raises Problem where there are too many, or soon none."""
        settings, person = self._settings, principal.person
        if not self._is_open:
            raise _refused(HTTPStatus.SERVICE_UNAVAILABLE, "stopping", "This process stops; connect again.", 1)
        if len(self._sockets) >= settings.sockets_max:
            raise _refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-sockets", "Too many sockets are open here.", 10)
        if self._of_person[person] >= settings.sockets_per_user:
            detail = f"You have {settings.sockets_per_user} sockets here already; close one."
            raise _refused(HTTPStatus.TOO_MANY_REQUESTS, "too-many-sockets", detail, 10)
        socket = Socket(principal, self._hub, self._history, self._verifier, noted)
        self._sockets.add(socket)
        self._of_person[person] += 1
        self._counted()
        try:
            yield socket
        finally:
            self._sockets.discard(socket)
            self._of_person[person] -= 1
            if not self._of_person[person]:
                del self._of_person[person]
            self._counted()

    def latency(self) -> dict[str, int] | None:
        """From a record to its verdict, of the last minute; see Hub.latency."""
        return self._hub.latency(time.monotonic())

    async def close(self) -> None:
        """End all sockets, for the process stops; their clients go to another one or come back."""
        self._is_open = False
        for socket in self._sockets:
            socket.outbox.end(CloseCode.GOING_AWAY)
        with suppress(TimeoutError):
            # who does not answer is cut off with the server
            await asyncio.wait_for(self._empty.wait(), GOODBYE_SECONDS)

    def _counted(self) -> None:
        LIVE_SOCKETS.set(len(self._sockets))
        if self._sockets:
            self._empty.clear()
        else:
            self._empty.set()

    async def _for_ever(self, once: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await once()
            except Exception:
                # sockets that stay open and are told nothing would be worse than a gap that the log explains
                logger.exception("the live feed failed")
                await asyncio.sleep(TICK_SECONDS)

    async def _hand_out(self) -> None:
        await self._news.wait()
        self._news.clear()
        self._hub.flush(time.monotonic())
        await asyncio.sleep(GATHER_SECONDS)

    async def _tick(self) -> None:
        await asyncio.sleep(TICK_SECONDS)
        # also where nothing is new: silent groups are told for how far
        self._hub.flush(time.monotonic())
        self._hub.tick(time.time_ns() // 1_000_000, self._status())

    async def _end_with_sessions(self) -> None:
        await asyncio.sleep(TICK_SECONDS)
        ended = await self._ended.among({socket.principal.session_id for socket in self._sockets})
        for socket in self._sockets:
            if socket.principal.session_id in ended:
                socket.outbox.end(CloseCode.SESSION_ENDED)

    def _status(self) -> dict[str, Any]:
        reason = self._reader.reason
        return {
            "live": self._reader.reason is None,
            # the log tells more; this goes to viewers
            "reason": reason if reason in (None, STARTING) else "Kafka does not answer",
            "behind": {channel.value: self._reader.behind[channel] for channel in TOPICS},
            "sockets": len(self._sockets),
        }


def _refused(status: HTTPStatus, code: str, detail: str, retry_after: int) -> Problem:
    return Problem(status, code, detail, headers={"Retry-After": str(retry_after)})
