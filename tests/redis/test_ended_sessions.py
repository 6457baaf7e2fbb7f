"""What is written down of a log-out, on a real Valkey, and what is known of it without one."""

from __future__ import annotations

import asyncio
import uuid
from urllib.parse import urlsplit

import pytest

from recon_stream.metrics.catalogue import SESSIONS_UNKNOWN
from recon_stream.redis import sessions
from recon_stream.redis.client import connect
from recon_stream.redis.sessions import EndedSessions, SessionsAway
from recon_stream.settings import Settings
from tests.redis.impaired import forwarder
from tests.redis.test_limiter_and_cache import client_of

pytestmark = pytest.mark.stack


async def test_a_command_that_the_client_sends_again_is_no_replay(
    stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost answer makes the client ask again with the same bytes; a logout token that comes twice is told by its own id."""
    session = uuid.uuid4().hex
    async with connect(stack, 1) as redis:
        ended = EndedSessions(redis)
        with monkeypatch.context() as same:
            same.setattr(sessions.secrets, "token_hex", lambda _: "5a")
            assert await ended.end(session, "jti:1") is None
            assert await ended.end(session, "jti:1") is None
        assert await ended.end(session, "jti:1") == "jti:1"
        assert await ended.end(session, "jti:2") == "jti:1"
        # another word of the same end does not make the first one new
        assert await ended.end(session, "jti:1") == "jti:1"
        assert await ended.has(session)


async def test_an_end_is_known_to_every_process_for_as_long_as_a_token_may_live(stack: Settings) -> None:
    """Also to one that never heard of it; service accounts have no session, so none of theirs ends."""
    mine, others = (uuid.uuid4().hex for _ in range(2))
    async with client_of(stack) as told, client_of(stack) as redis:
        await EndedSessions(told).end(mine, "jti")
        assert await EndedSessions(redis).among({mine, others, ""}) == {mine}
        assert sessions.REMEMBERED_SECONDS - 60 < await redis.ttl(f"ended:{mine}") <= sessions.REMEMBERED_SECONDS


@pytest.mark.parametrize("way", ["refuses", "hangs"])
async def test_without_valkey_nobody_has_ended_and_once_it_is_back_everybody_who_did(
    stack: Settings, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """An end is not taken meanwhile; Valkey is asked again when a second has passed, not by every request."""
    before, meanwhile = (uuid.uuid4().hex for _ in range(2))
    target = urlsplit(stack.redis_url).port
    assert target is not None
    async with forwarder("127.0.0.1", target) as path, client_of(stack, path.port) as redis:
        ended, waiting = EndedSessions(redis), EndedSessions(redis)
        await ended.end(before, "jti")
        if way == "refuses":
            await path.refuse()
        else:
            path.hang()
        unknown = SESSIONS_UNKNOWN._value.get()
        assert not await ended.has("")
        assert SESSIONS_UNKNOWN._value.get() == unknown
        assert not await ended.has(before)
        with pytest.raises(SessionsAway):
            await ended.end(meanwhile, "jti")
        with monkeypatch.context() as long:
            long.setattr(sessions, "AWAY_SECONDS", 3600.0)
            assert not await waiting.has(before)
        if way == "refuses":
            await path.listen()
        else:
            path.flow()
        await asyncio.sleep(sessions.AWAY_SECONDS)
        assert await ended.has(before)
        assert not await waiting.has(before)
        assert SESSIONS_UNKNOWN._value.get() >= unknown + 3
        # what hung may have been written down in the end, so the same word would be a replay
        await ended.end(meanwhile, "jti:2")
        assert await ended.among({before, meanwhile}) == {before, meanwhile}
