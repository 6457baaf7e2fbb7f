"""A socket lives as long as its token, and longer with a newer one of the same person."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from recon_stream.settings import Settings
from tests.security.logins import as_administrator
from tests.security.realms import realm_of_files
from tests.web.live.conftest import Tokens
from tests.web.live.serving import Web, connected, serving, subscriptions, token_of
from tests.web.live.writing import ACCOUNT, Writer, broken, txn_id
from tests.web.serving import trail

pytestmark = pytest.mark.stack
LIFE = 4
"""Seconds of an access token."""


@pytest.fixture(scope="module")
def brief(served: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A process for a realm whose access tokens live for seconds."""
    name = f"brief-{uuid.uuid4().hex[:8]}"
    admin = as_administrator(served)
    admin.create_realm(realm_of_files(served, name) | {"accessTokenLifespan": LIFE})
    try:
        settings = replace(served, keycloak_realm=name)
        with serving(settings, tmp_path_factory.mktemp("brief")) as one:
            yield one
    finally:
        admin.delete_realm(name)


async def test_a_socket_ends_with_its_token(brief: Web) -> None:
    """With 4401, so that the client gets a token and comes back."""
    async with connected(brief, token_of(brief.settings, "viewer")) as client:
        await client.subscribe("stats")
        assert await client.closed() == 4401


async def test_a_renewed_socket_goes_on(brief: Web, writer: Writer) -> None:
    """It hears what comes after its first token has run out, and ends with the last."""
    async with connected(brief, token_of(brief.settings, "viewer")) as client:
        await client.subscribe("stats")
        await client.subscribe("results")
        for _ in range(LIFE):
            await client.hear("stats")
            await client.say("renew", token=token_of(brief.settings, "viewer"))
            assert (await client.hear("renewed"))["channels"]
            await client.hear("stats")
        txn = txn_id()
        await writer.results(broken(txn))
        assert (await client.items("results", lambda item: item["txn_id"] == txn))[-1]["txn_id"] == txn
        assert await client.closed() == 4401


async def test_nobody_renews_by_another_persons_token(brief: Web) -> None:
    """Nor by one that is none: the socket ends when it would have."""
    async with connected(brief, token_of(brief.settings, "viewer")) as client:
        for wrong in (token_of(brief.settings, "admin"), "x.y.z", "x"):
            await client.say("renew", token=wrong)
            assert (await client.hear("error", "renewed"))["code"] == "token"
        assert (await client.subscribe("dead_letters"))["code"] == "forbidden"
        assert await client.closed() == 4401
    refused = await asyncio.to_thread(trail, brief.settings, "live.renew", 2, role="viewer")
    assert {one["detail"]["reason"] for one in refused} == {"another_person", "malformed"}
    assert {one["outcome"] for one in refused} == {"DENIED"}


async def test_a_renewed_token_brings_other_roles(web: Web, served: Settings, token: Tokens, writer: Writer) -> None:
    """Who is no operator any more hears of no dead letter and sees account numbers masked, on the same socket."""
    admin = as_administrator(served)
    user = admin.get_user_id("operator")
    roles = {name: admin.get_realm_role(name) for name in ("operator", "viewer")}
    first, second = txn_id(), txn_id()
    before, after = token("operator"), ""
    async with connected(web, before) as client:
        await client.subscribe("dead_letters")
        await client.subscribe("mismatches")
        await writer.mismatches(broken(first))
        seen = await client.items("mismatches", lambda item: item["txn_id"] == first)
        assert seen[-1]["legs"]["CORE"]["account"] == ACCOUNT
        admin.assign_realm_roles(user, [roles["viewer"]])
        admin.delete_realm_roles_of_user(user, [roles["operator"]])
        try:
            after = token_of(served, "operator")
            await client.say("renew", token=after)
        finally:
            admin.assign_realm_roles(user, [roles["operator"]])
            admin.delete_realm_roles_of_user(user, [roles["viewer"]])
        assert "dead_letters" not in (await client.hear("renewed"))["channels"]
        refused = await client.hear("error")
        assert (refused["code"], refused["channel"]) == ("forbidden", "dead_letters")
        await writer.mismatches(broken(second))
        seen = await client.items("mismatches", lambda item: item["txn_id"] == second)
        assert seen[-1]["legs"]["CORE"]["account"] == "••••2051"
        held: list[tuple[str, str, str]] = []
        while len(held) < 2:
            held = [(one["outcome"], one["object"], one["role"]) for one in await subscriptions(served, after)]
    assert sorted(held) == [("ALLOWED", "mismatches", "viewer"), ("DENIED", "/ws", "viewer")]
