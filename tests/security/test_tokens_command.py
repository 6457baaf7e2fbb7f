"""`recon-stream tokens` on the real Keycloak: tokens that are right, and a refusal that says what to do wherever there are none."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from recon_stream.errors import ConfigurationError, ReconError, TransientFailure
from recon_stream.security.commands import tokens
from recon_stream.security.keys import Keys
from recon_stream.security.realm import REALM
from recon_stream.security.roles import PERMISSIONS, Role
from recon_stream.security.tokens import TokenVerifier
from recon_stream.settings import Settings
from recon_stream.verify.doctor_findings import Report, State
from recon_stream.verify.doctor_identity import check_keycloak
from tests.security.logins import api_client, as_administrator
from tests.security.realms import realm_of_files

pytestmark = pytest.mark.stack


@pytest.fixture
def environ(identity: Settings) -> dict[str, str]:
    """What leads a command to the running stack."""
    return {"RECON_STATE_DIR": str(identity.state_dir)}


@pytest.fixture(scope="module")
def bare(identity: Settings) -> Iterator[Settings]:
    """The realm without the demo users, as production has it, with the same secret of the API's client."""
    name = f"bare-{uuid.uuid4().hex[:8]}"
    admin = as_administrator(identity)
    admin.create_realm(realm_of_files(identity, name, demo=False))
    yield replace(identity, keycloak_realm=name)
    admin.delete_realm(name)


def run(environ: Mapping[str, str], *arguments: str) -> Result:
    """The command with its arguments."""
    return CliRunner().invoke(tokens, arguments, env=dict(environ))


def refused(environ: Mapping[str, str]) -> ReconError:
    """The error that the command ends with; the command line makes one line and exit code 2 of it."""
    error = run(environ).exception
    assert isinstance(error, ReconError)
    return error


def test_a_token_of_each_role_is_printed_and_checked(environ: dict[str, str]) -> None:
    """Tokens on standard output, for a person with the role before them; what was checked beside it."""
    done = run(environ)
    assert done.exit_code == 0, done.output
    assert [line.split(" ")[0] for line in done.stdout.splitlines()] == [role.value for role in Role]
    assert done.stderr.count("✓") == len(Role)


def test_the_token_of_one_role_is_printed_alone(identity: Settings, environ: dict[str, str]) -> None:
    """So that a shell can put it into a header."""
    done = run(environ, "--role", "viewer")
    principal = asyncio.run(TokenVerifier(identity, Keys(identity)).verify(done.stdout.strip()))
    assert principal.roles == {Role.VIEWER}


def test_programs_get_json(environ: dict[str, str]) -> None:
    """With the permissions of the table, and nothing wrong."""
    rows = json.loads(run(environ, "--json").stdout)
    assert {row["role"]: set(row["permissions"]) for row in rows} == {
        role.value: {permission.value for permission in PERMISSIONS[role]} for role in Role
    }
    assert {row["problem"] for row in rows} == {""}


def test_a_token_with_other_permissions_than_the_table_says_fails(identity: Settings, environ: dict[str, str]) -> None:
    """Somebody made the viewer an operator too: exit code 1, and it names what is too much and what is missing."""
    admin = as_administrator(identity)
    user_id = admin.get_user_id("viewer")
    assert user_id is not None
    operator, viewer = admin.get_realm_role("operator"), admin.get_realm_role("viewer")
    admin.assign_realm_roles(user_id, [operator])
    admin.delete_realm_roles_of_user(user_id, [viewer])
    try:
        done = run(environ, "--role", "viewer")
    finally:
        admin.delete_realm_roles_of_user(user_id, [operator])
        admin.assign_realm_roles(user_id, [viewer])
    assert done.exit_code == 1
    assert "breaks:work" in done.stderr
    assert run(environ, "--role", "viewer").exit_code == 0


def test_a_realm_without_demo_users_is_refused_before_a_password_is_tried(
    bare: Settings, environ: dict[str, str]
) -> None:
    """There may be another admin: he is not locked out by our guesses, and the error says what to do."""
    admin = as_administrator(bare)
    admin.change_current_realm(bare.keycloak_realm)
    admin.create_user({"username": "admin", "enabled": True, "email": "admin@bank.example"})
    error = refused(environ | {"KEYCLOAK_REALM": bare.keycloak_realm})
    assert isinstance(error, ConfigurationError)
    assert "no demo user admin" in error.detail
    assert "recon-stream stack up" in error.detail
    assert admin.get_events({"type": "LOGIN_ERROR"}) == []


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"KEYCLOAK_CLIENT_SECRET": "wrong"}, "KEYCLOAK_CLIENT_SECRET"),
        ({"KEYCLOAK_CLIENT_ID": "reconciliation-dashboard"}, "KEYCLOAK_CLIENT_ID"),
        ({"KEYCLOAK_REALM": "nowhere"}, "KEYCLOAK_REALM"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], wrong: dict[str, str], advice: str) -> None:
    """Keycloak's own words, and which setting to correct."""
    error = refused(environ | wrong)
    assert isinstance(error, ConfigurationError)
    assert advice in error.detail


def test_a_keycloak_that_is_away_is_told_as_such(environ: dict[str, str]) -> None:
    """As something that may come back, with how to start a local one."""
    error = refused(environ | {"KEYCLOAK_SERVER_URL": "http://127.0.0.1:1"})
    assert isinstance(error, TransientFailure)
    assert "recon-stream stack up" in error.detail


def test_a_locked_demo_user_is_told_as_such(identity: Settings, environ: dict[str, str]) -> None:
    """The password is right and the user is not let in: it says that this passes."""
    admin = as_administrator(identity)
    user_id = admin.get_user_id("auditor")
    assert user_id is not None
    for _ in range(5):
        with pytest.raises(Exception, match="invalid_grant"):
            api_client(identity).token("auditor", "wrong")
    try:
        assert "locked" in refused(environ).detail
    finally:
        admin.clear_bruteforce_attempts_for_user(user_id)
    assert run(environ).exit_code == 0


async def examined(settings: Settings) -> dict[str, tuple[State, str, str]]:
    """What doctor finds: name -> (state, seen, advice)."""
    report = Report("Keycloak")
    await check_keycloak(settings, report)
    return {finding.name: (finding.state, finding.seen, finding.advice) for finding in report.findings}


async def test_doctor_finds_the_real_realm_well(identity: Settings, bare: Settings) -> None:
    """Realm, issuer, client and a token that the API would take; the realm of production too."""
    for settings in (identity, bare):
        found = await examined(settings)
        assert {state for state, *_ in found.values()} == {State.OK}
        assert set(found) == {"realm", f"client {settings.keycloak_client_id}", "token"}
    assert REALM in (await examined(identity))["realm"][1]


async def test_doctor_names_what_is_wrong_with_identity(identity: Settings) -> None:
    """The realm, the name of the issuer, the secret, audience and algorithm, each with the setting to correct."""
    elsewhere = identity.keycloak_server_url.replace("127.0.0.1", "localhost")
    for changed, name, advice in (
        ({"keycloak_realm": "nowhere"}, "realm", "KEYCLOAK_REALM"),
        ({"keycloak_server_url": elsewhere}, "issuer", "KEYCLOAK_SERVER_URL"),
        ({"keycloak_client_secret": "wrong"}, "client reconciliation-api", "KEYCLOAK_CLIENT_SECRET"),
        ({"jwt_audience": "other"}, "token", "audience mapper"),
        ({"jwt_algorithm": "ES256"}, "token", "JWT_ALGORITHM"),
    ):
        state, _, said = (await examined(replace(identity, **changed)))[name]
        assert state is State.FAIL
        assert advice in said
