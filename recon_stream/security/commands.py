"""`recon-stream tokens`: access tokens of the demo users, for scripts and for a look at the API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.security.keys import Keys
from recon_stream.security.realm import DemoUser, demo_users
from recon_stream.security.roles import PERMISSIONS, Role
from recon_stream.security.tokens import Principal, TokenVerifier, Unauthenticated
from recon_stream.settings import Settings, load_settings

if TYPE_CHECKING:
    from keycloak import KeycloakOpenID
    from keycloak.exceptions import KeycloakError

_TIMEOUT: Final = 10
_LOCAL: Final = "`recon-stream stack up` starts a Keycloak whose realm has them"


@dataclass(frozen=True, slots=True)
class Granted:
    """The token of a demo user, whom it verified to, and what is wrong with that (empty: nothing)."""

    user: DemoUser
    token: str
    principal: Principal | None
    problem: str = ""


@click.command()
@click.option("--role", type=click.Choice([role.value for role in Role]), help="One role; its token alone is printed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on standard output, for programs.")
def tokens(role: str | None, as_json: bool) -> None:
    """Print an access token of each demo user.

    Logs in as the users of deploy/keycloak/demo-users.json, one a role, with the client KEYCLOAK_CLIENT_ID (direct grant),
    verifies each token as the API does, and compares what it permits with the table of permissions. A token is
    good for five minutes:

        curl -H "Authorization: Bearer $(recon-stream tokens --role viewer)" ...

    Refuses where the realm has no demo users, before it tries a password. Exit code 1 where a token does not verify to exactly
    the permissions of its role; 2 where there are none to be had.
    """
    settings = load_settings()
    users = [user for user in demo_users() if role in (None, user.role.value)]
    granted = asyncio.run(obtain(settings, users))
    if as_json:
        click.echo(json.dumps([_described(one) for one in granted], indent=2))
    else:
        for one in granted:
            click.echo(one.token if role else f"{one.user.role.value} {one.token}")
            click.secho(_summary(one), fg="red" if one.problem else "green", err=True)
    if any(one.problem for one in granted):
        raise SystemExit(1)


async def obtain(settings: Settings, users: Sequence[DemoUser]) -> list[Granted]:
    """Log the users in and verify what they are given; raises ConfigurationError, TransientFailure."""
    from keycloak.exceptions import KeycloakError  # takes a fifth of a second, and --help needs none of it

    verifier = TokenVerifier(settings, Keys(settings))
    try:
        client = await asyncio.to_thread(_client_of_demo_realm, settings, users)
        given = [await asyncio.to_thread(client.token, user.username, user.password) for user in users]
    except KeycloakError as error:
        raise _explained(settings, error) from error
    return [await _checked(verifier, user, answer["access_token"]) for user, answer in zip(users, given, strict=True)]


def _client_of_demo_realm(settings: Settings, users: Sequence[DemoUser]) -> KeycloakOpenID:
    """The client that logs in; refuses where one of the users is not there: admin may be somebody, and not for us to try."""
    from keycloak import KeycloakAdmin, KeycloakOpenIDConnection

    connection = KeycloakOpenIDConnection(
        server_url=settings.keycloak_server_url,
        realm_name=settings.keycloak_realm,
        client_id=settings.keycloak_client_id,
        client_secret_key=settings.keycloak_client_secret,
        verify=settings.keycloak_cafile or True,
        timeout=_TIMEOUT,
    )
    admin = KeycloakAdmin(connection=connection)
    for user in users:
        found = admin.get_users({"username": user.username, "exact": True})
        if [one.get("email") for one in found] != [user.email]:
            raise ConfigurationError(
                f"the realm {settings.issuer} has no demo user {user.username} ({user.email}); {_LOCAL}, in any other realm "
                "get tokens for users of your own"
            )
    return connection.keycloak_openid


async def _checked(verifier: TokenVerifier, user: DemoUser, token: str) -> Granted:
    try:
        principal = await verifier.verify(token)
    except Unauthenticated as error:
        return Granted(user, token, None, f"refused, {error.reason}: {error.detail}")
    surplus, missing = (
        ", ".join(sorted(one - other))
        for one, other in (
            (principal.permissions, PERMISSIONS[user.role]),
            (PERMISSIONS[user.role], principal.permissions),
        )
    )
    problems = [f"may {surplus}, which the role may not"] * bool(surplus) + [f"may not {missing}"] * bool(missing)
    return Granted(user, token, principal, "; ".join(problems))


def _explained(settings: Settings, error: KeycloakError) -> ConfigurationError | TransientFailure:
    """What to do about an answer of Keycloak, by its error code (RFC 6749, 5.2)."""
    said = str(error.error_message)
    if error.response_code is None:
        why = error.__cause__ or said
        return TransientFailure(
            f"Keycloak at {settings.keycloak_server_url} does not answer: {why}; correct KEYCLOAK_SERVER_URL or RECON_KEYCLOAK_CAFILE; {_LOCAL}"
        )
    if error.response_code == 404:
        advice = "correct KEYCLOAK_SERVER_URL and KEYCLOAK_REALM"
    elif "invalid_grant" in said:
        advice = "the demo user's password was changed, or too many wrong ones locked the user for some minutes"
    elif "client" in said:
        advice = "correct KEYCLOAK_CLIENT_ID and KEYCLOAK_CLIENT_SECRET, and allow the client direct access grants"
    else:
        advice = "the service account of KEYCLOAK_CLIENT_ID needs view-users of realm-management"
    return ConfigurationError(f"{settings.issuer} answers {error.response_code} {said}: {advice}")


def _summary(granted: Granted) -> str:
    user, principal = granted.user, granted.principal
    if granted.problem or principal is None:
        return f"✗ {user.username}: {granted.problem}"
    return f"✓ {user.username}: {len(principal.permissions)} permissions, those of {user.role.value}"


def _described(granted: Granted) -> dict[str, object]:
    principal = granted.principal
    return {
        "role": granted.user.role.value,
        "username": granted.user.username,
        "token": granted.token,
        "permissions": sorted(principal.permissions) if principal else [],
        "expires_at": principal.expires_at if principal else None,
        "problem": granted.problem,
    }
