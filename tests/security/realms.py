"""Realms of a test's own, made of the product's files as Keycloak makes its realm of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from recon_stream.security.realm import DEMO_USERS_FILE, REALM_FILE
from recon_stream.settings import Settings


def realm_of_files(settings: Settings, name: str, *, demo: bool = True, **environ: str) -> dict[str, Any]:
    """The realm under another name, as the demo or as production has it; `environ` is what Keycloak finds in its environment."""
    values = {
        "KEYCLOAK_CLIENT_SECRET": settings.keycloak_client_secret,
        "RECON_DASHBOARD_URL": "https://recon.example",
        "RECON_WEB_URL": "https://recon.example",
    }
    if demo:
        values["RECON_DEMO_DIRECT_GRANTS"] = "true"
    realm = realm_in(values | environ) | {"realm": name}
    if demo:
        realm["users"] += json.loads(DEMO_USERS_FILE.read_text())["users"]
    return realm


def realm_in(environ: Mapping[str, str]) -> dict[str, Any]:
    """The realm's file with ${NAME} and ${NAME:default} replaced; a name that nobody set stays as it stands."""
    text = re.sub(
        r"\$\{(\w+)(?::(\w+))?\}", lambda part: environ.get(part[1], part[2] or part[0]), REALM_FILE.read_text()
    )
    realm: dict[str, Any] = json.loads(text)
    return realm
