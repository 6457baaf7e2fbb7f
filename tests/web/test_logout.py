"""POST /backchannel-logout in front of an issuer that says what it likes: what is taken, what is refused, what is left in the trail."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from recon_stream.redis.sessions import AWAY_SECONDS
from recon_stream.security.keys import RETRY
from recon_stream.settings import Settings
from recon_stream.web.call import FORM_FIELDS_MAX
from tests.redis.impaired import forwarder
from tests.security import issuer as issuers
from tests.security.issuer import RSA_KEYS, Issuer
from tests.web.serving import TIMEOUT, Desk, serving, trail

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

FORM = "application/x-www-form-urlencoded"


async def told(desk: Desk, body: Any, media: str | None = FORM) -> requests.Response:
    """What the word is answered with."""
    headers = {} if media is None else {"Content-Type": media}
    address = f"{desk.base}/backchannel-logout"
    return await asyncio.to_thread(requests.post, address, data=body, headers=headers, timeout=TIMEOUT)


async def may(desk: Desk, issuer: Issuer, session: str) -> bool:
    """Whether a token of the session is taken."""
    headers = {"Authorization": f"Bearer {issuer.token(sid=session)}"}
    answer = await asyncio.to_thread(requests.get, f"{desk.base}/me", headers=headers, timeout=TIMEOUT)
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


async def test_a_session_ends_once_and_by_a_token_that_holds(database: Settings, tmp_path: Path) -> None:
    """The same word again is refused, another client's word of the same end changes nothing; what is no word ends nothing."""
    # Valkey remembers them for longer than this test
    one, two = (f"session-{uuid.uuid4().hex}" for _ in range(2))
    async with issuers.serving() as issuer:
        with serving(database, issuer.settings, tmp_path) as desk:
            good = issuer.logout_token(sid=one, jti="first")
            for body in (
                {},
                {"logout_token": ""},
                {"logout_token": issuer.logout_token(sid=one, key=RSA_KEYS[1])},
                b"\xff",
                f"logout_token={good}{'&more=x' * FORM_FIELDS_MAX}",
            ):
                answer = await told(desk, body)
                assert answer.status_code == 400, body
                assert answer.headers["Cache-Control"] == "no-store"
            assert (await told(desk, b"{}", "application/json")).status_code == 415
            assert (await told(desk, b"x" * 4_000_000)).status_code == 413
            assert await may(desk, issuer, one)
            # what is not understood in the form is passed over, as the standard says
            assert (await told(desk, {"logout_token": good, "state": "x"})).status_code == 204
            assert not await may(desk, issuer, one)
            assert await may(desk, issuer, two)
            assert (await told(desk, {"logout_token": good})).status_code == 400
            again = issuer.logout_token(sid=one, jti="second", aud="reconciliation-api")
            assert (await told(desk, {"logout_token": again})).status_code == 204
            assert not await may(desk, issuer, one)
            rows = await asyncio.to_thread(trail, database, "session.end", 3)
    held = [(row["outcome"], row["object"], row["detail"].get("reason")) for row in rows]
    assert sorted(held, key=str) == [
        ("ALLOWED", one, None),
        ("DENIED", "/backchannel-logout", "bad_signature"),
        ("DENIED", "/backchannel-logout", "replayed"),
    ]


async def test_while_redis_is_away_tokens_serve_and_no_end_is_taken(database: Settings, tmp_path: Path) -> None:
    """The API goes on for those who are logged in; Keycloak is told that the end was not written down. A process that has Redis
    back refuses all whose session ended, also those of whom it was never told."""
    before, meanwhile = (f"session-{uuid.uuid4().hex}" for _ in range(2))
    host, port = urlsplit(database.redis_url).hostname, urlsplit(database.redis_url).port
    assert host is not None
    assert port is not None
    async with issuers.serving() as issuer, forwarder(host, port) as path:
        with ExitStack() as stack:
            desks = []
            for name, url in (("told", database.redis_url), ("cut off", f"redis://{host}:{path.port}/0")):
                (tmp_path / name).mkdir()
                one = serving(database, issuer.settings, tmp_path / name, redis_url=url)
                # it asks the issuer and the way to Redis, which answer here
                desks.append(await asyncio.to_thread(stack.enter_context, one))
            first, second = desks
            assert await may(second, issuer, before)
            assert (await told(first, {"logout_token": issuer.logout_token(sid=before)})).status_code == 204
            assert [await may(desk, issuer, before) for desk in desks] == [False, False]
            await path.refuse()
            assert await may(second, issuer, before)
            assert (await told(second, {"logout_token": issuer.logout_token(sid=meanwhile)})).status_code == 503
            assert await may(first, issuer, meanwhile)
            assert (await told(first, {"logout_token": issuer.logout_token(sid=meanwhile)})).status_code == 204
            await path.listen()
            await asyncio.sleep(AWAY_SECONDS)
            for session in (before, meanwhile):
                assert [await may(desk, issuer, session) for desk in desks] == [False, False]


async def test_while_the_issuer_gives_no_keys_no_end_is_taken(database: Settings, tmp_path: Path) -> None:
    """Keycloak is told that its word could not be examined, and may say it again once it gives its keys."""
    session = f"session-{uuid.uuid4().hex}"
    async with issuers.serving() as issuer:
        issuer.mode = "error"
        with serving(database, issuer.settings, tmp_path) as desk:
            word = {"logout_token": issuer.logout_token(sid=session)}
            assert (await told(desk, word)).status_code == 503
            issuer.mode = "well"
            await asyncio.sleep(RETRY)
            assert (await told(desk, word)).status_code == 204
            assert not await may(desk, issuer, session)
