"""One-time tickets for sockets: a browser cannot send a header with the upgrade, and a token in an address would stand in logs.

`ticket:{SHA-256 of the ticket}` holds whose it is, for half a minute, until it is used.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Final

import orjson
from redis.asyncio import Redis

from recon_stream.errors import TransientFailure
from recon_stream.redis.client import NO_ANSWER
from recon_stream.security.roles import Role, permissions_of
from recon_stream.security.tokens import Principal

TTL_SECONDS: Final = 30
_BYTES: Final = 32
PATTERN: Final = r"^[A-Za-z0-9_-]{43}$"
_KEPT: Final = ("issuer", "subject", "username", "session_id", "client", "expires_at", "token_id")


class TicketsAway(TransientFailure):
    """No socket can be opened while Redis does not answer; those that are open go on."""


class Tickets:
    """Made and used by any web process."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def make(self, principal: Principal) -> str:
        """A ticket for this person. Raises TicketsAway."""
        ticket = secrets.token_urlsafe(_BYTES)
        kept = {name: getattr(principal, name) for name in _KEPT} | {"roles": sorted(principal.roles)}
        try:
            await self._redis.set(_key(ticket), orjson.dumps(kept), ex=TTL_SECONDS)
        except NO_ANSWER as error:
            raise TicketsAway(str(error)) from error
        return ticket

    async def use(self, ticket: str) -> Principal | None:
        """Whose it is; None where there is none, no longer or used before. Raises TicketsAway."""
        try:
            kept = await self._redis.getdel(_key(ticket))
        except NO_ANSWER as error:
            raise TicketsAway(str(error)) from error
        if kept is None:
            return None
        told = orjson.loads(kept)
        roles = frozenset(Role(name) for name in told.pop("roles"))
        return Principal(roles=roles, permissions=permissions_of(roles), **told)


def _key(ticket: str) -> str:
    return f"ticket:{sha256(ticket.encode()).hexdigest()}"
