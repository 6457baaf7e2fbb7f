"""Clients of the real Keycloak, as a script and as a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from keycloak import KeycloakAdmin, KeycloakOpenID

from recon_stream.security.realm import DASHBOARD
from recon_stream.settings import Settings
from recon_stream.stack import local
from recon_stream.stack.services.keycloak import administrator

REDIRECT = "http://127.0.0.1:8000/dashboard/"
TIMEOUT = 60


def api_client(settings: Settings) -> KeycloakOpenID:
    """The client of the API, which may log users in directly."""
    return KeycloakOpenID(
        server_url=settings.keycloak_server_url,
        realm_name=settings.keycloak_realm,
        client_id=settings.keycloak_client_id,
        client_secret_key=settings.keycloak_client_secret,
        timeout=TIMEOUT,
    )


def as_administrator(settings: Settings) -> KeycloakAdmin:
    """Keycloak's own administrator."""
    state = local.read_state(settings)
    assert state is not None
    admin = administrator(state)
    # making a realm takes its time on a machine that does other work
    admin.connection.timeout = TIMEOUT
    return admin


@contextmanager
def dashboard_client(settings: Settings, **changed: Any) -> Iterator[None]:
    """The dashboard's client with these of its settings changed and these attributes added; as it was again on leaving."""
    admin = as_administrator(settings)
    client = admin.get_client(admin.get_client_id(DASHBOARD) or "")
    changed["attributes"] = client["attributes"] | changed.get("attributes", {})
    admin.update_client(client["id"], client | changed)
    try:
        yield
    finally:
        # Keycloak keeps an attribute that is not named, and takes away one that is empty
        before = {"attributes": dict.fromkeys(changed["attributes"], "") | client["attributes"]}
        # the administrator's own session may be over by now
        as_administrator(settings).update_client(client["id"], client | before)


def logging_in(settings: Settings, **changed: str | None) -> requests.Response:
    """What a browser is answered that asks for the log-in of the dashboard, with changes to the request."""
    with requests.Session() as browser:
        return _asked(browser, settings, changed)


def _asked(browser: requests.Session, settings: Settings, changed: dict[str, str | None]) -> requests.Response:
    asked = {
        "client_id": DASHBOARD,
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": "openid",
        "state": "s",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    } | changed
    address = f"{settings.issuer}/protocol/openid-connect/auth"
    return browser.get(address, params=asked, allow_redirects=False, timeout=TIMEOUT)


def error_of(answer: requests.Response) -> str:
    """The error that a redirect brings back to the dashboard."""
    query = urlsplit(answer.headers["Location"])
    return parse_qs(query.query or query.fragment)["error"][0]


def logged_in(settings: Settings, username: str, password: str, verifier: str | None = None) -> dict[str, Any]:
    """What the dashboard gets for a person who fills in the form; `verifier` is sent in place of the right one."""
    secret = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()).decode().rstrip("=")
    with requests.Session() as browser:
        page = _asked(browser, settings, {"code_challenge": challenge})
        action = re.search(r'action="([^"]+)"', page.text)
        assert action is not None
        form = {"username": username, "password": password}
        # browsers take the loopback for safe and send secure cookies there; this client does not by itself
        sent = {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies)}
        back = browser.post(html.unescape(action[1]), form, headers=sent, allow_redirects=False, timeout=TIMEOUT)
        assert back.headers["Location"].startswith(f"{REDIRECT}?")
        code = parse_qs(urlsplit(back.headers["Location"]).query)["code"][0]
        return requests.post(
            f"{settings.issuer}/protocol/openid-connect/token",
            data={
                "grant_type": "authorization_code",
                "client_id": DASHBOARD,
                "code": code,
                "redirect_uri": REDIRECT,
                "code_verifier": verifier or secret,
            },
            timeout=TIMEOUT,
        ).json()
