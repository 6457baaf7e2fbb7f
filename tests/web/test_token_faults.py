"""What is no token of ours opens nothing, on a route of each guard: faults of real tokens, and of tokens that only an issuer can make."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import requests

from recon_stream.security.realm import demo_users
from recon_stream.security.roles import Permission, Role
from recon_stream.settings import Settings
from recon_stream.web.endpoints import ENDPOINTS
from tests.security import issuer as issuers
from tests.security.issuer import RSA_KEYS, Issuer
from tests.security.logins import api_client, as_administrator
from tests.web.serving import TIMEOUT, Desk, serving
from tests.web.test_permission_matrix import path_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

GUARDS = {(each.needs, each.method): f"{each.method} {each.path}" for each in ENDPOINTS if each.needs is not None} | {
    (Permission.DEAD_LETTERS_REPLAY, "POST"): "POST /dead-letters/{letter_id}/replay"
}
"""Permission and method -> an operation behind them."""
DOING = {"request_key": "token-faults"}
"""What a replay asks for: no dry run."""
INVALID = 'Bearer realm="reconciliation", error="invalid_token"'


def refusals(base: str, header: str | None) -> dict[str, tuple[int, str]]:
    """Operation -> (status, challenge) for this Authorization header."""
    headers = {} if header is None else {"Authorization": header}
    found = {}
    for operation in GUARDS.values():
        method, path = path_of(operation)
        body = DOING if path.endswith("/replay") else None
        answer = requests.request(method, base + path, json=body, headers=headers, timeout=TIMEOUT)
        found[operation] = (answer.status_code, answer.headers.get("WWW-Authenticate", ""))
    return found


def everywhere(challenge: str) -> dict[str, tuple[int, str]]:
    """Each guard refuses with 401 and this challenge."""
    return dict.fromkeys(GUARDS.values(), (401, challenge))


def without_signature(token: str) -> str:
    """alg: none, with the claims of a token that holds."""
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{header}.{token.split('.')[1]}."


def tampered(token: str) -> str:
    """One claim more, under the signature of another text."""
    head, claims, signature = token.split(".")
    text = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)).replace(b'"viewer"', b'"admin"')
    return f"{head}.{base64.urlsafe_b64encode(text).decode().rstrip('=')}.{signature}"


@pytest.fixture(autouse=True)
def nothing_is_done(filled: Settings) -> Iterator[None]:
    """Whatever a test here tries."""
    yield
    with psycopg.connect(filled.database_reader_url) as connection:
        query = "SELECT count(*) FROM dead_letter_actions WHERE request_key = %s"
        assert connection.execute(query, [DOING["request_key"]]).fetchone() == (0,)


def test_a_route_of_each_guard_is_tried(rest: Desk) -> None:
    """Those that change something among them; whoever may do that finds the letter."""
    assert {needs for needs, _ in GUARDS} == {each.needs for each in ENDPOINTS} - {None}
    assert {method for _, method in GUARDS} == {each.method for each in ENDPOINTS}
    _, path = path_of(GUARDS[Permission.DEAD_LETTERS_REPLAY, "POST"])
    assert rest.person(Role.OPERATOR).post(path, **DOING, dry_run=True).status_code == 200


@pytest.fixture(scope="module")
def given(identity: Settings) -> dict[str, str]:
    """Access, refresh and ID token of the viewer, from Keycloak."""
    viewer = next(user for user in demo_users() if user.role == "viewer")
    return {k: str(v) for k, v in api_client(identity).token(viewer.username, viewer.password, scope="openid").items()}


@pytest.mark.parametrize(
    "fault",
    [
        lambda given: without_signature(given["access_token"]),
        lambda given: tampered(given["access_token"]),
        lambda given: given["access_token"][:-4],
        lambda given: given["refresh_token"],
        lambda given: given["id_token"],
        lambda given: "garbage",
        lambda given: "a." * 5000,
    ],
    ids=["alg none", "tampered", "cut", "refresh token", "ID token", "garbage", "huge"],
)
def test_a_real_token_with_a_fault(rest: Desk, given: dict[str, str], fault: Callable[[dict[str, str]], str]) -> None:
    """The token as it came is taken, with the fault nothing is."""
    assert {status for status, _ in refusals(rest.base, f"Bearer {given['access_token']}").values()} <= {200, 403}
    assert refusals(rest.base, f"Bearer {fault(given)}") == everywhere(INVALID)


@pytest.mark.parametrize("header", [None, "", "Bearer ", "Basic dmlld2VyOnZpZXdlcjEyMw=="])
def test_no_token(rest: Desk, header: str | None) -> None:
    """Who sends none is told how to come, and of no error."""
    assert refusals(rest.base, header) == everywhere('Bearer realm="reconciliation"')


def test_a_token_of_another_realm(rest: Desk, identity: Settings) -> None:
    """Keycloak's own administrator is nobody here."""
    administrator = as_administrator(identity)
    administrator.connection.get_token()
    token = administrator.connection.token["access_token"]
    assert refusals(rest.base, f"Bearer {token}") == everywhere(INVALID)


async def test_tokens_that_only_an_issuer_can_make(filled: Settings, tmp_path: Path) -> None:
    """Signed by the right key: the one without a fault is taken, and each of the others is not."""
    async with issuers.serving() as issuer:
        with serving(filled, issuer.settings, tmp_path) as desk:
            good = await asyncio.to_thread(refusals, desk.base, f"Bearer {issuer.token()}")
            assert {status for status, _ in good.values()} == {200, 403}
            for fault, token in _faults(issuer).items():
                assert await asyncio.to_thread(refusals, desk.base, f"Bearer {token}") == everywhere(INVALID), fault


def _faults(issuer: Issuer) -> dict[str, str]:
    now = int(time.time())
    return {
        "expired": issuer.token(exp=now - 60),
        "not yet": issuer.token(nbf=now + 600),
        "audience": issuer.token(aud="account"),
        "issuer": issuer.token(iss="https://login.elsewhere/realms/reconciliation"),
        "client": issuer.token(azp="account-console"),
        "type": issuer.token(typ="ID"),
        "key": issuer.token(key=RSA_KEYS[1]),
        "subject": issuer.token(sub=None),
        "roles": issuer.token(roles="admin"),
    }
