"""Sessions that Keycloak ended before their access tokens did: told to one web process, known to all.

`ended:{sid}` holds for a day the id of the logout token that said so, and which call wrote it down. Every request asks for its own
session, every process each second for those of its sockets: so nobody has to be told, and a process that was away learns it too.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Collection
from typing import Final

from redis.asyncio import Redis

from recon_stream.errors import TransientFailure
from recon_stream.metrics.catalogue import SESSIONS_UNKNOWN
from recon_stream.redis.client import NO_ANSWER

logger = logging.getLogger(__name__)

REMEMBERED_SECONDS: Final = 86_400
"""No access token may live longer; those of our realm live for five minutes."""
AWAY_SECONDS: Final = 1.0


class SessionsAway(TransientFailure):
    """An end of a session could not be written down, because Redis does not answer: its tokens serve until they expire."""


class EndedSessions:
    """While Redis is away no session has ended: a token alone decides, as it would have before anybody could log out."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._ask_again_at = 0.0

    async def end(self, session_id: str, told_by: str) -> str | None:
        """Remember that it ended; who had told so before, None for nobody. `told_by`: id of the token. Raises SessionsAway."""
        # a client that lost the answer asks again, and must know its own word
        mine = f"{told_by}:{secrets.token_hex(8)}"
        try:
            # in one step: of two processes that are told at once, one is the first
            before = await self._redis.set(_key(session_id), mine, ex=REMEMBERED_SECONDS, nx=True, get=True)
        except NO_ANSWER as error:
            raise SessionsAway(str(error)) from error
        said = before.decode() if isinstance(before, bytes) else mine
        return None if said == mine else said.rpartition(":")[0]

    async def has(self, session_id: str) -> bool:
        """Whether this one ended."""
        return session_id in await self.among({session_id})

    async def among(self, session_ids: Collection[str]) -> set[str]:
        """Those of them that ended; service accounts have none, which is empty here."""
        asked = [session_id for session_id in session_ids if session_id]
        if not asked:
            return set()
        if time.monotonic() >= self._ask_again_at:
            try:
                found = await self._redis.mget([_key(session_id) for session_id in asked])
                return {session_id for session_id, told_by in zip(asked, found, strict=True) if told_by is not None}
            except NO_ANSWER as error:
                self._ask_again_at = time.monotonic() + AWAY_SECONDS
                logger.warning("ended sessions are not known: %s", error or type(error).__name__)
        SESSIONS_UNKNOWN.inc()
        return set()


def _key(session_id: str) -> str:
    return f"ended:{session_id}"
