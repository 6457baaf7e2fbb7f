"""Keycloak in the local stack: older state folders, the dashboard's address, passwords that do not fit, a first start that was killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recon_stream.security.realm import API, DASHBOARD
from recon_stream.settings import Settings, load_settings, read_env_file
from recon_stream.stack import local, state
from recon_stream.stack.downloads import Cache
from recon_stream.stack.errors import StartFailed
from recon_stream.stack.service import Context
from recon_stream.stack.services import IDENTITY
from recon_stream.stack.services.keycloak import CONFIGURED, Keycloak, administrator
from recon_stream.stack.state import PORT_SETTINGS, SECRETS, Folders, State


@pytest.fixture
def older(tmp_path: Path) -> Settings:
    """A state folder as a version without Keycloak left it."""
    settings = Settings(state_dir=tmp_path, stack_ports="free")
    folders = Folders.of(settings)
    folders.make()
    made = state.prepare(folders, settings, set())
    ports = {name: port for name, port in made.ports.items() if not name.startswith("keycloak")}
    passwords = {name: password for name, password in made.passwords.items() if not name.startswith("keycloak")}
    folders.state_file.write_text(json.dumps({"ports": ports, "passwords": passwords}))
    return settings


async def test_an_older_state_folder_shows_its_services_and_keycloak_as_stopped(older: Settings) -> None:
    """Before the first `up` of this version."""
    rows = {row.service: row for row in await local.status(older)}
    assert rows["keycloak"].state == "stopped"
    assert rows["keycloak"].port is None
    assert rows["kafka"].port


def test_an_older_state_folder_gets_what_it_lacks_and_keeps_what_it_has(older: Settings) -> None:
    """Clients of the services that ran before see no change."""
    folders = Folders.of(older)
    before = json.loads(folders.state_file.read_text())
    after = state.prepare(folders, older, set())
    assert set(after.ports) == set(PORT_SETTINGS)
    assert len(set(after.ports.values())) == len(PORT_SETTINGS)
    assert set(after.passwords) == set(SECRETS)
    assert before["ports"].items() <= after.ports.items()
    assert before["passwords"].items() <= after.passwords.items()
    environment = read_env_file(folders.env_file)
    assert environment["KEYCLOAK_SERVER_URL"] == f"http://127.0.0.1:{after.ports['keycloak']}"
    assert environment["KEYCLOAK_CLIENT_SECRET"] == after.passwords["keycloak_client"]
    assert load_settings({"RECON_STATE_DIR": str(older.state_dir)}).keycloak_client_secret


def test_no_two_default_ports_are_the_same() -> None:
    """Apicurio and Keycloak would both take 9000 for their management."""
    ports = [getattr(Settings(), name) for name in PORT_SETTINGS.values()]
    assert len(set(ports)) == len(ports)


@pytest.fixture
def context(identity: Settings) -> Iterator[Context]:
    """The surroundings of the running Keycloak; its realm is set back to them afterwards."""
    folders, known = Folders.of(identity), local.read_state(identity)
    assert known is not None
    yield Context(identity, folders, known, Cache(folders.cache))
    asyncio.run(local.up(identity, services=IDENTITY))


@pytest.mark.stack
def test_the_realm_follows_the_web_role_to_where_it_listens_now(identity: Settings, context: Context) -> None:
    """Another port at the next `up`: the dashboard's one address, and where both clients are told of log-outs; nothing else."""
    admin = administrator(context.state)
    client_id = admin.get_client_id(DASHBOARD)
    assert client_id is not None
    before = admin.get_client(client_id)
    assert before["redirectUris"] == ["http://127.0.0.1:8000/dashboard/"]
    moved = replace(identity, web_port=8123, web_host="0.0.0.0")

    asyncio.run(local.up(moved, services=IDENTITY))

    after = admin.get_client(client_id)
    assert (after["redirectUris"], after["webOrigins"]) == (
        ["http://127.0.0.1:8123/dashboard/"],
        ["http://127.0.0.1:8123"],
    )
    assert after["attributes"]["post.logout.redirect.uris"] == "http://127.0.0.1:8123/dashboard/"
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"redirectUris", "webOrigins", "baseUrl", "attributes"}
    api_id = admin.get_client_id(API)
    assert api_id is not None
    for attributes in (after["attributes"], admin.get_client(api_id)["attributes"]):
        assert attributes["backchannel.logout.url"] == "http://127.0.0.1:8123/backchannel-logout"
        assert attributes["backchannel.logout.session.required"] == "true"


@pytest.mark.stack
async def test_passwords_that_were_not_made_with_the_data_are_told(context: Context) -> None:
    """Who lost stack.json and kept the data is told so, and what to do."""
    passwords = context.state.passwords | {"keycloak_admin": "another"}
    other = replace(context, state=State(context.state.ports, passwords))
    with pytest.raises(StartFailed, match=r"not made with these data.*stack reset"):
        await Keycloak().configure(other)


@pytest.mark.stack
def test_data_of_a_first_start_that_was_killed_are_thrown_away(context: Context, tmp_path: Path) -> None:
    """Half a realm would look like a whole one to the next start; a realm that once was whole is kept."""
    settings = replace(context.settings, state_dir=tmp_path)
    folders = Folders.of(settings)
    folders.make()
    fresh = replace(context, settings=settings, folders=folders)
    home = folders.data("keycloak")
    database = home / "data" / "h2" / "keycloakdb.mv.db"
    for whole in (False, True):
        database.parent.mkdir(parents=True)
        database.write_text("data")
        if whole:
            (home / CONFIGURED).write_text("hash")
        Keycloak().prepare(fresh)
        assert database.exists() is whole
        assert (home / "data" / "import" / "reconciliation-users-0.json").is_file()
        assert (home / "lib" / "quarkus-run.jar").is_file()
