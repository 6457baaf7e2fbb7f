"""One socket: what its client says, what it is told, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from recon_stream.errors import TransientFailure
from recon_stream.metrics.catalogue import LIVE_CLOSED
from recon_stream.security.roles import Permission, Role
from recon_stream.security.tokens import Person, Principal, TokenVerifier, Unauthenticated
from recon_stream.web.live.channels import TOPICS, Channel, Filter
from recon_stream.web.live.history import History
from recon_stream.web.live.hub import Feed, Hub, Wanted
from recon_stream.web.live.outbox import Outbox
from recon_stream.web.live.protocol import (
    MESSAGE_BYTES_MAX,
    VERSION,
    CloseCode,
    NotUnderstood,
    Refusal,
    Renew,
    Subscribe,
    Unsubscribe,
    position_of,
    positions_in,
    said,
    understood,
)
from recon_stream.web.live.resuming import resume
from recon_stream.web.live.ring import Positions
from recon_stream.web.times import moment

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 20.0
"""A ping after so much silence; without an answer within half of it the client is gone."""
CLOSE_SECONDS = 5.0
"""For the client to say that it closes too; then the connection is cut."""
MESSAGES_MAX, MESSAGES_SECONDS = 60, 10.0
"""What a client may say in how long."""
_SAID = (WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG)


class Noted(Protocol):
    """Writes to the audit trail."""

    def subscription(self, who: Principal, channel: Channel, *, is_allowed: bool) -> None:
        """One, or its refusal. Raises AuditAway."""

    def refused_renewal(self, who: Principal, reason: str) -> None:
        """A token that somebody sent, and that does not hold or is another person's. Raises AuditAway."""


def response() -> web.WebSocketResponse:
    """Not compressed: what a filter lets through would show in the lengths."""
    return web.WebSocketResponse(
        timeout=CLOSE_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
        # pings are counted as messages are
        autoping=False,
        compress=False,
        max_msg_size=MESSAGE_BYTES_MAX,
    )


class Socket:
    """Lives from the upgrade to the close; a Subscriber of the hub."""

    def __init__(self, principal: Principal, hub: Hub, history: History, verifier: TokenVerifier, noted: Noted) -> None:
        self.principal = principal
        self.outbox = Outbox()
        self._hub, self._history, self._verifier, self._noted = hub, history, verifier, noted
        self._filters: dict[Channel, Filter] = {}
        self._resuming: dict[Channel, asyncio.Task[None]] = {}
        self._noted_as: dict[Channel, frozenset[Role]] = {}
        self._said_at: deque[float] = deque()
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def person(self) -> Person:
        """Whose it is, for as long as it lives."""
        return self.principal.person

    def tell(self, told: Sequence[bytes]) -> None:
        """Frames for the client."""
        self.outbox.put(told)

    async def run(self, ws: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        """Until either side ends it. `transport` is what `ws` goes over."""
        self._expire_with_token()
        self.tell([said("hello", protocol=VERSION, username=self.principal.username, **self._standing())])
        # the end by itself too: a client that does not read holds up whoever sends to it
        works = (self._receive(ws), self._send(ws), self.outbox.ended.wait())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            LIVE_CLOSED.labels(str(self.outbox.code or "by client")).inc()
            for channel in Channel:
                self._leave(channel)
            if self._expiry is not None:
                self._expiry.cancel()
            self.outbox.end(CloseCode.GOING_AWAY)
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception) and not isinstance(ended, OSError):
                    logger.error("a socket failed", exc_info=ended)
            await self._close(ws)
            if transport is not None:
                # what a client does not read would keep the connection and its buffers
                transport.abort()

    async def _close(self, ws: web.WebSocketResponse) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await ws.close(code=self.outbox.code or CloseCode.GOING_AWAY)

    async def _send(self, ws: web.WebSocketResponse) -> None:
        # RuntimeError is what uvloop says of a write to a connection that was reset a moment ago
        with contextlib.suppress(ConnectionError, RuntimeError):
            while (frame := await self.outbox.take()) is not None:
                await ws.send_frame(frame, WSMsgType.TEXT)

    async def _receive(self, ws: web.WebSocketResponse) -> None:
        while True:
            message = await ws.receive()
            if message.type is WSMsgType.BINARY:
                self.outbox.end(CloseCode.NOT_TEXT)
            if message.type not in _SAID:
                return
            now = time.monotonic()
            while self._said_at and self._said_at[0] <= now - MESSAGES_SECONDS:
                self._said_at.popleft()
            if len(self._said_at) >= MESSAGES_MAX:
                self.outbox.end(CloseCode.TOO_MANY_MESSAGES)
                return
            self._said_at.append(now)
            if message.type is WSMsgType.TEXT:
                await self._answer(message.data)
            elif message.type is WSMsgType.PING:
                # as above, of a client that went away
                with contextlib.suppress(ConnectionError, RuntimeError):
                    await ws.pong(message.data)

    async def _answer(self, text: str) -> None:
        try:
            message = understood(text)
        except NotUnderstood as error:
            self._refuse(Refusal.INVALID, str(error))
            return
        try:
            match message:
                case Subscribe():
                    self._subscribe(message)
                case Unsubscribe():
                    self._leave(message.channel)
                    self.tell([said("unsubscribed", channel=message.channel)])
                case Renew():
                    await self._renew(message.token)
        except TransientFailure as error:
            logger.warning("a socket's %s: %s", message.type, error)
            self._refuse(Refusal.UNAVAILABLE, "A service that this needs does not answer; try again.")

    def _subscribe(self, message: Subscribe) -> None:
        channel = message.channel
        if not self._may(channel):
            self._noted.subscription(self.principal, channel, is_allowed=False)
            self._refuse(Refusal.FORBIDDEN, "Your roles do not allow this.", channel)
            return
        feed = self._hub.feeds.get(channel)
        if channel in TOPICS and feed is None:
            self._refuse(Refusal.UNAVAILABLE, "Kafka has not been reached yet; try again.", channel)
            return
        if message.since is not None and feed is None:
            self._refuse(Refusal.INVALID, "from: this channel has no offsets", channel)
            return
        if foreign := message.filter.foreign_to(channel):
            self._refuse(Refusal.INVALID, f"filter: {', '.join(foreign)} is nothing that this channel tells", channel)
            return
        self._note(channel)
        self._leave(channel)
        self._filters[channel] = message.filter
        since = None if message.since is None else positions_in(message.since)
        position = None if feed is None else position_of(feed.told if since is None else since)
        wanted = message.filter.model_dump(by_alias=True)
        self.tell([said("subscribed", channel=channel, filter=wanted, position=position)])
        if feed is None:
            self._hub.watch(channel, self)
        elif since is None:
            feed.join(self, self.wanted(channel), time.monotonic())
        else:
            self._resuming[channel] = asyncio.create_task(self._resume(feed, since))

    async def _resume(self, feed: Feed, since: Positions) -> None:
        try:
            await resume(feed, since, self, self._history)
        except Exception as error:
            is_known = isinstance(error, TransientFailure)
            logger.warning("a socket cannot resume: %s", error, exc_info=None if is_known else error)
            self._filters.pop(feed.channel, None)
            self._refuse(Refusal.UNAVAILABLE, "What was missed cannot be read now; subscribe again.", feed.channel)
        finally:
            # a newer subscription may have taken its place
            if self._resuming.get(feed.channel) is asyncio.current_task():
                del self._resuming[feed.channel]

    async def _renew(self, token: str) -> None:
        try:
            principal = await self._verifier.verify(token)
        except Unauthenticated as refused:
            self._noted.refused_renewal(self.principal, refused.reason.value)
            self._refuse(Refusal.TOKEN, "The access token is not valid, or not any more.")
            return
        if principal.person != self.person:
            self._noted.refused_renewal(self.principal, "another_person")
            self._refuse(Refusal.TOKEN, "The access token is another person's.")
            return
        self.principal = principal
        self._expire_with_token()
        self.tell([said("renewed", **self._standing())])
        for channel in tuple(self._filters):
            try:
                self._go_on(channel)
            except TransientFailure as error:
                logger.warning("a socket's %s ends: %s", channel, error)
                self._leave(channel)
                self._refuse(Refusal.UNAVAILABLE, "It cannot be recorded now; subscribe again.", channel)

    def _go_on(self, channel: Channel) -> None:
        """With a channel, as its person's roles are now. Raises AuditAway."""
        if not self._may(channel):
            self._leave(channel)
            self._refuse(Refusal.FORBIDDEN, "Your roles do not allow this any more.", channel)
            self._noted_as.pop(channel, None)
            self._noted.subscription(self.principal, channel, is_allowed=False)
            return
        self._note(channel)
        if channel in TOPICS and channel not in self._resuming:
            # account numbers may be shown from now on, or no more
            self._hub.feeds[channel].join(self, self.wanted(channel), time.monotonic())

    def _note(self, channel: Channel) -> None:
        """Once a socket, and again under other roles: who subscribes over and over does not fill the trail."""
        if self._noted_as.get(channel) != self.principal.roles:
            self._noted.subscription(self.principal, channel, is_allowed=True)
            self._noted_as[channel] = self.principal.roles

    def wanted(self, channel: Channel) -> Wanted:
        """What the client is shown of a channel, by its filter and by what its person may see now."""
        return Wanted(self._filters[channel], Permission.ACCOUNTS_READ not in self.principal.permissions)

    def _may(self, channel: Channel) -> bool:
        return channel.needs in self.principal.permissions

    def _standing(self) -> dict[str, Any]:
        return {
            "channels": [channel for channel in Channel if self._may(channel)],
            "expires_at": moment(self.principal.expires_at * 1000),
        }

    def _leave(self, channel: Channel) -> None:
        task = self._resuming.pop(channel, None)
        if task is not None:
            task.cancel()
        self._filters.pop(channel, None)
        self._hub.leave(channel, self)

    def _refuse(self, code: Refusal, detail: str, channel: Channel | None = None) -> None:
        self.tell([said("error", code=code, detail=detail, channel=channel)])

    def _expire_with_token(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        left = self.principal.expires_at - time.time()
        self._expiry = asyncio.get_running_loop().call_later(left, self.outbox.end, CloseCode.TOKEN_EXPIRED)
