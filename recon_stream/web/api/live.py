"""Where a websocket begins; what is said over it stands in docs/live.md."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import Field

from recon_stream.security.audit import Outcome
from recon_stream.security.roles import Permission
from recon_stream.security.tokens import Principal
from recon_stream.settings import by_commas
from recon_stream.web.call import Call
from recon_stream.web.endpoints import Answer, Parameters, Reply, endpoint
from recon_stream.web.live import tickets
from recon_stream.web.live.channels import Channel
from recon_stream.web.live.origins import may_connect
from recon_stream.web.live.socket import response
from recon_stream.web.problems import Problem

SUBSCRIBE, RENEW = "live.subscribe", "live.renew"


class Ticket(Answer):
    """Good for one socket."""

    ticket: str
    expires_in: int = Field(description="Seconds.")


class SocketQuery(Parameters):
    """What the upgrade brings."""

    ticket: str = Field(pattern=tickets.PATTERN, description="From POST /ws/ticket.")


class _Noted:
    """What one socket leaves in the audit trail; see socket.Noted."""

    def __init__(self, call: Call[Any, None]) -> None:
        self._call = call

    def subscription(self, who: Principal, channel: Channel, *, is_allowed: bool) -> None:
        trail = self._call.trail
        if is_allowed:
            self._call.services.audit.note(trail.entry(who, SUBSCRIBE, channel, Outcome.ALLOWED))
        else:
            trail.refused(who, SUBSCRIBE, needs=channel.needs.value)

    def refused_renewal(self, who: Principal, reason: str) -> None:
        self._call.trail.refused(who, RENEW, reason=reason)


@endpoint("POST", "/ws/ticket", needs=Permission.PROFILE, answers=Ticket, tag="Live")
async def make_ticket(call: Call[Any, None]) -> Reply:
    """A ticket to open a websocket with, good once and for half a minute."""
    return Reply({"ticket": await call.services.live.tickets.make(call.who), "expires_in": tickets.TTL_SECONDS})


@endpoint("GET", "/ws", needs=None, query=SocketQuery, media=(), status=101, tag="Live")
async def open_socket(call: Call[SocketQuery, None]) -> web.WebSocketResponse:
    """The websocket: results, mismatches, dead letters, statistics and status as they come.

    Upgrades where the ticket is good and the page that asks is of this origin or of ALLOWED_ORIGINS; no token is sent, for the ticket
    says whose it is. Messages and close codes: docs/live.md.
    """
    request, live = call.request, call.services.live
    ws = response()
    if not ws.can_prepare(request):
        raise Problem(
            HTTPStatus.UPGRADE_REQUIRED, "upgrade", "A websocket is needed.", headers={"Upgrade": "websocket"}
        )
    allowed = by_commas(call.services.settings.allowed_origins)
    if not may_connect(request.headers.getall("Origin", []), request.host, allowed):
        call.trail.unknown("origin")
        raise Problem(HTTPStatus.FORBIDDEN, "origin", "Pages of this origin may not connect here.")
    principal = await live.tickets.use(call.query.ticket)
    if principal is None or principal.expires_at <= time.time():
        call.trail.unknown("ticket")
        raise Problem(HTTPStatus.UNAUTHORIZED, "ticket", "The ticket was used before, or is too old; get another one.")
    with live.admitted(principal, _Noted(call)) as socket:
        await ws.prepare(request)
        await socket.run(ws, request.transport)
    return ws
