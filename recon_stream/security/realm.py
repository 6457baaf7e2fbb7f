"""The realm that deploy/keycloak brings: its names, its files and its demo users."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from recon_stream.errors import ConfigurationError
from recon_stream.security.roles import Role

REALM: Final = "reconciliation"
API: Final = "reconciliation-api"
"""The client of the API and of scripts in that realm."""
DASHBOARD: Final = "reconciliation-dashboard"
"""The client of browsers in that realm."""

_FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy" / "keycloak"
REALM_FILE: Final = _FOLDER / "reconciliation-realm.json"
DEMO_USERS_FILE: Final = _FOLDER / "demo-users.json"


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A user whom everybody knows the password of, for a look at the product; never in production."""

    username: str
    email: str
    password: str = field(repr=False)
    role: Role


def ensure_files() -> None:
    """Raise ConfigurationError where the realm's files are not there."""
    for file in (REALM_FILE, DEMO_USERS_FILE):
        if not file.is_file():
            raise ConfigurationError(f"there is no {file}: run this from a checkout that `make setup` has set up")


def demo_users() -> tuple[DemoUser, ...]:
    """The users in demo-users.json, one a role, in the order of the roles. Raises ConfigurationError where it is not there."""
    ensure_files()
    users = orjson.loads(DEMO_USERS_FILE.read_bytes())["users"]
    by_role = {
        role: DemoUser(user["username"], user["email"], user["credentials"][0]["value"], role)
        for role in Role
        for user in users
        if role in user["realmRoles"]
    }
    return tuple(by_role.values())
