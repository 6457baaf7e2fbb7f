"""GET /admin/users on the real Keycloak: who is in it, by which ways they have their roles, and what happens where it cannot be told."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from keycloak import KeycloakAdmin

from recon_stream.security import users as module
from recon_stream.security.realm import API, DASHBOARD, demo_users
from recon_stream.security.roles import Role
from recon_stream.security.users import Directory, User, UsersAway, given_by
from recon_stream.settings import Settings
from tests.secured.processes import SECONDS
from tests.security import issuer as issuers
from tests.security.logins import api_client, as_administrator, logged_in
from tests.security.realms import realm_of_files
from tests.web.serving import TIMEOUT, Desk, serving, trail

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

PATH = "/admin/users"
PASSWORD = "a-Password-of-the-test"


async def told(settings: Settings) -> tuple[dict[str, User], bool]:
    """The users by their names, straight from Keycloak, and whether they are all."""
    directory = Directory(settings)
    try:
        users, is_complete = await directory.users()
    finally:
        await directory.close()
    assert [user.username for user in users] == sorted(user.username for user in users)
    return {user.username: user for user in users}, is_complete


def until(desk: Desk, name: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What is answered of a user, once that holds: answers are kept for some seconds."""
    deadline, admin = time.monotonic() + SECONDS, desk.person(Role.ADMIN)
    while True:
        found = {each["username"]: each for each in admin.get(PATH).json()["items"]}.get(name, {})
        if found and is_so(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.3)


@pytest.fixture
def admin(identity: Settings) -> KeycloakAdmin:
    """Keycloak's own administrator."""
    return as_administrator(identity)


@pytest.fixture
def person(admin: KeycloakAdmin) -> Iterator[tuple[str, str]]:
    """Name and id of a user of the test's own who has no role yet."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    names = {"email": f"{name}@demo.invalid", "firstName": "Test", "lastName": "Person", "emailVerified": True}
    credentials = [{"type": "password", "value": PASSWORD, "temporary": False}]
    user_id = admin.create_user({"username": name, "enabled": True, "credentials": credentials} | names)
    yield name, user_id
    admin.delete_user(user_id)


@contextmanager
def lacking(admin: KeycloakAdmin, *rights: str) -> Iterator[None]:
    """The API's service account without these rights."""
    account = admin.get_client_service_account_user(admin.get_client_id(API) or "")["id"]
    management = admin.get_client_id("realm-management") or ""
    roles = [admin.get_client_role(management, right) for right in rights]
    admin.delete_client_roles_of_user(account, management, roles)
    try:
        yield
    finally:
        admin.assign_client_role(account, management, roles)


def test_each_demo_user_is_there_with_the_right_role(rest: Desk, admin: KeycloakAdmin) -> None:
    """By their names, with the subject that tokens have, and nothing else that Keycloak knows of them."""
    answer = rest.person(Role.AUDITOR).get(PATH)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (set(body), body["next"], body["is_complete"]) == ({"items", "next", "is_complete"}, None, True)
    names = [each["username"] for each in body["items"]]
    assert names == sorted(names)
    levels = {"admin": 100, "auditor": 75, "operator": 50, "viewer": 25}
    found = {each["username"]: each for each in body["items"]}
    for user in demo_users():
        one = found[user.username]
        assert set(one) == {"username", "subject", "enabled", "created_at", "roles", "sessions"}
        assert one["roles"] == [{"name": user.role.value, "level": levels[user.role]}]
        assert (one["subject"], one["enabled"]) == (admin.get_user_id(user.username), True)
        assert one["created_at"].endswith("Z")
    assert "@demo.invalid" not in answer.text
    assert not any(name.startswith("service-account-") for name in names), "it has no role of ours"


@pytest.mark.parametrize("who", [Role.VIEWER, Role.OPERATOR])
def test_others_may_not(rest: Desk, who: Role) -> None:
    """A refusal that shows nobody."""
    answer = rest.person(who).get(PATH)
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/problem+json; charset=utf-8")


def test_a_look_stands_in_the_trail(rest: Desk) -> None:
    """Who looked at the others, and who tried to."""
    rest.person(Role.AUDITOR).get(PATH)
    rest.person(Role.VIEWER).get(PATH)
    for actor, outcome in (("auditor", "ALLOWED"), ("viewer", "DENIED")):
        rows = trail(rest.settings, "admin.users", actor=actor, outcome=outcome)
        assert rows[0]["object"] == PATH


def test_a_session_shows_while_it_goes_on(
    rest: Desk, identity: Settings, admin: KeycloakAdmin, person: tuple[str, str]
) -> None:
    """At which client, since when and from where; it is gone after the log-out, and a user who was shut out is told of."""
    name, user_id = person
    admin.assign_realm_roles(user_id, [admin.get_realm_role("viewer")])
    assert until(rest, name, lambda one: True)["sessions"] == []
    begun = time.time()
    assert logged_in(identity, name, PASSWORD)["access_token"]
    time.sleep(1.1)  # Keycloak counts whole seconds, and the later of two goes first
    assert api_client(identity).token(name, PASSWORD)["access_token"]
    sessions = until(rest, name, lambda one: len(one["sessions"]) == 2)["sessions"]
    assert [each["client"] for each in sessions] == [API, DASHBOARD]
    for each in sessions:
        assert each["address"] == "127.0.0.1"
        for instant in (each["started_at"], each["last_access_at"]):
            assert abs(datetime.fromisoformat(instant).timestamp() - begun) < SECONDS
    admin.user_logout(user_id)
    admin.update_user(user_id, {"enabled": False})
    until(rest, name, lambda one: (one["sessions"], one["enabled"]) == ([], False))


async def test_a_role_counts_however_it_comes(
    identity: Settings, admin: KeycloakAdmin, person: tuple[str, str]
) -> None:
    """By a group above one's own, and by a role that contains one that contains it: as in the token."""
    name, user_id = person
    tag = uuid.uuid4().hex[:8]
    assert name not in (await told(identity))[0]
    above = admin.create_group({"name": f"above-{tag}"}) or ""
    try:
        below = admin.create_group({"name": f"below-{tag}"}, parent=above) or ""
        admin.assign_group_realm_roles(above, [admin.get_realm_role("auditor")])
        admin.group_user_add(user_id, below)
        for outer, inner in ((f"inner {tag}", "operator"), (f"outer-{tag}", f"inner {tag}")):
            admin.create_realm_role({"name": outer})
            admin.add_composite_realm_roles_to_role(outer, [admin.get_realm_role(inner)])
        admin.assign_realm_roles(user_id, [admin.get_realm_role(f"outer-{tag}")])
        users, is_complete = await told(identity)
        assert (users[name].roles, is_complete) == ({Role.AUDITOR, Role.OPERATOR}, True)
    finally:
        admin.delete_group(above)
        for role in (f"inner {tag}", f"outer-{tag}"):
            admin.delete_realm_role(role)


def test_roles_that_contain_each_other_come_to_an_end() -> None:
    """Keycloak lets people do that."""
    contained = {"a": ["b", "viewer"], "b": ["a"], "c": ["view-profile"]}
    assert [given_by(name, contained) for name in ("a", "b", "c", "viewer", "none")] == [
        {Role.VIEWER}, {Role.VIEWER}, set(), {Role.VIEWER}, set(),
    ]  # fmt: skip


@pytest.mark.parametrize("bound", ["ROWS_MAX", "GROUPS_MAX", "LOGGED_IN_MAX"])
async def test_a_cut_list_says_so(
    identity: Settings, admin: KeycloakAdmin, person: tuple[str, str], monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """Too many rows in one answer, too many groups or people to look into: what is there, and that it is not all."""
    name, user_id = person
    group = admin.create_group({"name": f"group-{name}"}) or ""
    try:
        admin.assign_group_realm_roles(group, [admin.get_realm_role("admin")])
        admin.group_user_add(user_id, group)
        assert (await told(identity))[1] is True
        monkeypatch.setattr(module, bound, {"ROWS_MAX": 2, "GROUPS_MAX": 0, "LOGGED_IN_MAX": 1}[bound])
        users, is_complete = await told(identity)
        assert is_complete is False
        assert "admin" in users
    finally:
        admin.delete_group(group)


@pytest.mark.parametrize(
    ("rights", "named"),
    [
        (["view-realm"], "view-realm"),
        (["view-users", "query-users", "manage-users"], "view-users"),
    ],
)
async def test_a_right_that_is_missing_is_named(
    identity: Settings, admin: KeycloakAdmin, rights: list[str], named: str
) -> None:
    """In what the log says, with the client whose service account lacks it."""
    said = rf"service account of {API} lacks .*{named}.* of realm-management"
    with lacking(admin, *rights), pytest.raises(UsersAway, match=said):
        await told(identity)
    assert (await told(identity))[1] is True


async def test_a_realm_made_of_the_file_lacks_nothing(identity: Settings, admin: KeycloakAdmin) -> None:
    """The rights that stand there are enough, and nobody has touched this one."""
    name = f"users-{uuid.uuid4().hex[:8]}"
    admin.create_realm(realm_of_files(identity, name))
    try:
        users, is_complete = await told(replace(identity, keycloak_realm=name))
        assert {each: user.roles for each, user in users.items()} == {
            user.username: {user.role} for user in demo_users()
        }
        assert is_complete is True
    finally:
        as_administrator(identity).delete_realm(name)


async def test_without_keycloak_it_is_a_problem_that_says_to_try_again(database: Settings, tmp_path: Path) -> None:
    """Whether it says no, or is gone: the log tells what was asked, the caller learns nothing of that."""
    async with issuers.serving() as issuer:
        with ExitStack() as stack:
            # it asks the issuer, which answers here
            desk = await asyncio.to_thread(stack.enter_context, serving(database, issuer.settings, tmp_path))
            headers = {"Authorization": f"Bearer {issuer.token(roles=['admin'])}"}

            async def ask() -> requests.Response:
                return await asyncio.to_thread(requests.get, f"{desk.base}{PATH}", headers=headers, timeout=TIMEOUT)

            for is_there in (True, False):
                if not is_there:
                    await issuer.stop()
                answer = await ask()
                assert (answer.status_code, answer.headers["Content-Type"]) == (
                    503,
                    "application/problem+json; charset=utf-8",
                )
                assert answer.json()["type"] == "urn:recon:problem:unavailable"
                assert answer.headers["Retry-After"]
                assert str(issuer.port) not in answer.text
            assert desk.process.log.read_text().count("Keycloak does not tell who may use the product") == 2
            await issuer.start()


async def test_a_keycloak_that_says_nothing_is_not_waited_for_without_end(
    identity: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection, and that is all."""
    monkeypatch.setattr(module, "SECONDS", 1)
    server = await asyncio.start_server(lambda reader, writer: asyncio.sleep(60), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        begun = time.monotonic()
        with pytest.raises(UsersAway):
            await told(Settings(keycloak_server_url=f"http://127.0.0.1:{port}", keycloak_client_secret="s3cret"))
        assert time.monotonic() - begun < 5
