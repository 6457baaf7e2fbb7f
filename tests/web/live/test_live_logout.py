"""Who logs out at Keycloak, or is logged out there, is out here at once: sockets of every process end and tokens are refused."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import jwt
import pytest
import requests

from recon_stream.redis.client import connect
from recon_stream.redis.sessions import REMEMBERED_SECONDS
from recon_stream.security.realm import DASHBOARD, demo_users
from recon_stream.settings import Settings
from recon_stream.stack.ports import free_ports
from tests.security.logins import TIMEOUT, api_client, as_administrator, logged_in
from tests.security.realms import realm_of_files
from tests.web.live.serving import Client, Web, connected, serving, ticket_for
from tests.web.serving import trail

pytestmark = pytest.mark.stack
SESSION_ENDED = 4403


@pytest.fixture(scope="module")
def processes(served: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Web]]:
    """Two web processes, and a realm that tells the first of log-outs."""
    name, (port,) = f"logout-{uuid.uuid4().hex[:8]}", free_ports(1)
    admin = as_administrator(served)
    admin.create_realm(
        realm_of_files(
            served, name, RECON_WEB_URL=f"http://127.0.0.1:{port}", RECON_DASHBOARD_URL="http://127.0.0.1:8000"
        )
    )
    settings = replace(served, keycloak_realm=name)
    with ExitStack() as stack:
        stack.callback(admin.delete_realm, name)
        yield [
            stack.enter_context(serving(settings, tmp_path_factory.mktemp("told"), port)),
            stack.enter_context(serving(settings, tmp_path_factory.mktemp("other"))),
        ]


def given_to(settings: Settings, name: str) -> dict[str, Any]:
    """Tokens of a demo user by the client of the API."""
    user = next(user for user in demo_users() if user.role == name)
    return dict(api_client(settings).token(user.username, user.password))


@asynccontextmanager
async def everywhere(processes: list[Web], token: str) -> AsyncIterator[list[Client]]:
    """A socket at each process."""
    async with connected(processes[0], token) as first, connected(processes[1], token) as second:
        yield [first, second]


async def status_of(web: Web, token: str) -> int:
    """What the API answers to the token."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{web.url}/me", headers={"Authorization": f"Bearer {token}"}) as answer,
    ):
        return answer.status


async def ends(settings: Settings, token: str) -> list[dict[str, Any]]:
    """Ends of the token's session in the audit trail."""
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    return await asyncio.to_thread(trail, settings, "session.end", session=session)


@pytest.mark.parametrize("way", ["by the dashboard", "by a script", "by the administrator"])
async def test_the_end_of_a_session_ends_its_sockets_and_its_tokens(processes: list[Web], way: str) -> None:
    """At the process that is told and at the other; another session of the same person goes on."""
    settings = processes[0].settings
    mine = (
        logged_in(settings, "operator", "operator123") if way == "by the dashboard" else given_to(settings, "operator")
    )
    others = given_to(settings, "operator")
    token, kept = mine["access_token"], others["access_token"]
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    async with everywhere(processes, token) as sockets, everywhere(processes, kept) as spared:
        ticket = await ticket_for(processes[0], token)
        if way == "by the dashboard":
            form = {"client_id": DASHBOARD, "refresh_token": mine["refresh_token"]}
            address = f"{settings.issuer}/protocol/openid-connect/logout"
            assert (await asyncio.to_thread(requests.post, address, form, timeout=TIMEOUT)).status_code == 204
        elif way == "by a script":
            await asyncio.to_thread(api_client(settings).logout, mine["refresh_token"])
        else:
            admin = as_administrator(settings)
            admin.connection.realm_name = settings.keycloak_realm
            address = f"admin/realms/{settings.keycloak_realm}/sessions/{session}"
            assert (await asyncio.to_thread(admin.connection.raw_delete, address)).status_code == 204
        assert [await socket.closed() for socket in sockets] == [SESSION_ENDED, SESSION_ENDED]
        for web in processes:
            assert await status_of(web, token) == 401
            assert await status_of(web, kept) == 200
        # a ticket from before opens a socket for a moment at most
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"{processes[1].url}/ws", params={"ticket": ticket}) as late,
        ):
            assert await Client(late).closed() == SESSION_ENDED
        for socket in spared:
            await socket.say("renew", token=token)
            assert (await socket.hear("error", "renewed"))["code"] == "token"
            await socket.subscribe("stats")
            await socket.hear("stats")
    (row,) = await ends(settings, token)
    assert (row["actor"], row["outcome"], row["object"], row["address"]) == ("-", "ALLOWED", session, "127.0.0.1")
    subject = jwt.decode(token, options={"verify_signature": False})["sub"]
    client = DASHBOARD if way == "by the dashboard" else settings.keycloak_client_id
    assert row["detail"] == {"subject": subject, "client": client}
    async with connect(settings, 1) as redis:
        assert REMEMBERED_SECONDS - 600 < await redis.ttl(f"ended:{session}") <= REMEMBERED_SECONDS
