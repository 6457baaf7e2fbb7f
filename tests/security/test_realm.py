"""The realm on the real Keycloak: who gets which token, and what it refuses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from keycloak.exceptions import KeycloakError, KeycloakPostError

from recon_stream.security.keys import COOL_DOWN, Keys
from recon_stream.security.realm import API, DASHBOARD, DemoUser, demo_users
from recon_stream.security.roles import PERMISSIONS, Role
from recon_stream.security.tokens import Reason, TokenVerifier, Unauthenticated
from recon_stream.settings import Settings
from tests.security.issuer import Clock
from tests.security.logins import REDIRECT, api_client, as_administrator, error_of, logged_in, logging_in
from tests.security.realms import realm_in, realm_of_files

pytestmark = pytest.mark.stack
PASSWORD = "a-Password-of-the-test"


@pytest.fixture
def real(identity: Settings) -> TokenVerifier:
    """A verifier of the real realm's tokens."""
    return TokenVerifier(identity, Keys(identity))


@pytest.fixture
def username(identity: Settings) -> Iterator[str]:
    """A viewer of the test's own, whom it may lock out."""
    admin, name = as_administrator(identity), f"test-{uuid.uuid4().hex[:8]}"
    names = {"email": f"{name}@demo.invalid", "firstName": "Test", "lastName": "Viewer", "emailVerified": True}
    credentials = [{"type": "password", "value": PASSWORD, "temporary": False}]
    user_id = admin.create_user({"username": name, "enabled": True, "credentials": credentials} | names)
    admin.assign_realm_roles(user_id, [admin.get_realm_role("viewer")])
    yield name
    admin.delete_user(user_id)


async def refusal(verifier: TokenVerifier, token: str) -> Reason:
    """Why the token is refused."""
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(token)
    return refused.value.reason


def test_there_is_a_demo_user_for_each_role() -> None:
    """And their passwords are those that the documents name."""
    assert [(user.role, user.username, user.password) for user in demo_users()] == [
        (role, role.value, f"{role.value}123") for role in Role
    ]


@pytest.mark.parametrize("user", demo_users(), ids=lambda user: user.username)
async def test_a_demo_users_token_verifies_to_the_role_and_its_permissions(
    identity: Settings, real: TokenVerifier, user: DemoUser
) -> None:
    """Exactly those, by the direct grant of scripts."""
    given = api_client(identity).token(user.username, user.password)
    principal = await real.verify(given["access_token"])
    assert (principal.username, principal.roles) == (user.username, {user.role})
    assert principal.permissions == PERMISSIONS[user.role]
    assert principal.client == identity.keycloak_client_id
    assert principal.session_id
    assert given["expires_in"] <= 300


async def test_a_browser_gets_a_token_for_the_dashboard_by_code_and_pkce(
    identity: Settings, real: TokenVerifier
) -> None:
    """The whole flow of a person at the form; the ID token that comes along is no access token."""
    given = logged_in(identity, "operator", "operator123")
    principal = await real.verify(given["access_token"])
    assert (principal.client, principal.roles) == (DASHBOARD, {Role.OPERATOR})
    assert await refusal(real, given["id_token"]) == Reason.WRONG_AUDIENCE
    assert await refusal(real, given["refresh_token"]) == Reason.ALGORITHM
    assert logged_in(identity, "operator", "operator123", "x" * 64)["error"] == "invalid_grant"


async def test_tokens_of_another_kind_or_client_are_refused(identity: Settings, real: TokenVerifier) -> None:
    """An ID token of the API's client names the right audience and is refused by its type; other clients name none."""
    client = api_client(identity)
    given = client.token("viewer", "viewer123", scope="openid")
    assert await refusal(real, given["id_token"]) == Reason.WRONG_TYPE
    assert await refusal(real, given["refresh_token"]) == Reason.ALGORITHM
    client.client_id, client.client_secret_key = "admin-cli", None
    foreign = client.token("viewer", "viewer123")["access_token"]
    assert await refusal(real, foreign) in (Reason.WRONG_AUDIENCE, Reason.MALFORMED)


async def test_the_service_account_is_known_and_may_nothing_of_ours(identity: Settings, real: TokenVerifier) -> None:
    """It sees users at Keycloak; it is nobody's role here."""
    principal = await real.verify(api_client(identity).token(grant_type="client_credentials")["access_token"])
    assert (principal.username, principal.permissions) == ("service-account-reconciliation-api", frozenset())


def test_a_refresh_token_is_good_once(identity: Settings) -> None:
    """Whoever stole one and comes second gets nothing, and takes the session with him."""
    client = api_client(identity)
    first = client.token("viewer", "viewer123")["refresh_token"]
    second = client.refresh_token(first)["refresh_token"]
    assert second != first
    for token in (first, second):
        with pytest.raises(KeycloakPostError, match="invalid_grant"):
            client.refresh_token(token)


def test_a_user_whose_password_is_guessed_at_is_locked(identity: Settings, username: str) -> None:
    """The right password does not help any more; the administrator sees why, and so does the log of events."""
    client, admin = api_client(identity), as_administrator(identity)
    assert client.token(username, PASSWORD)["access_token"]
    for _ in range(5):
        with pytest.raises(KeycloakError, match="invalid_grant"):
            client.token(username, "a wrong one")
    with pytest.raises(KeycloakError, match="invalid_grant"):
        client.token(username, PASSWORD)
    user_id = admin.get_user_id(username)
    assert user_id is not None
    assert admin.get_bruteforce_detection_status(user_id)["disabled"] is True
    failed = admin.get_events({"type": "LOGIN_ERROR", "max": 50})
    assert username in [event.get("details", {}).get("username") for event in failed]


@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
    ],
    ids=["none", "no method", "plain"],
)
def test_the_dashboard_is_refused_without_pkce(identity: Settings, changed: dict[str, str | None]) -> None:
    """A code that is caught on its way would else be good for anybody; nothing but S256 will do."""
    assert logging_in(identity).status_code == 200, "the same request with it is asked for the password"
    assert error_of(logging_in(identity, **changed)) == "invalid_request"


def test_the_dashboard_may_use_no_other_flow(identity: Settings) -> None:
    """No password through its hands, no token in an address, no session that outlives the log-out, no secret of its own."""
    client = api_client(identity)
    client.client_id, client.client_secret_key = DASHBOARD, None
    for grant in ("password", "client_credentials"):
        with pytest.raises(KeycloakError, match="unauthorized_client"):
            client.token("viewer", "viewer123", grant_type=grant)
    for kind in ("token", "id_token token"):
        assert error_of(logging_in(identity, response_type=kind, nonce="n")) == "unauthorized_client"
    assert error_of(logging_in(identity, scope="openid offline_access")) == "invalid_scope"


@pytest.mark.parametrize(
    "address",
    [
        f"{REDIRECT}other",
        f"{REDIRECT}?next=x",
        "http://127.0.0.1:8001/dashboard/",
        "http://127.0.0.1:8000/",
        "http://localhost:8000/dashboard/",
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
    ],
)
def test_a_code_is_brought_to_the_dashboard_alone(identity: Settings, address: str) -> None:
    """The address is compared to the letter, and an error is not brought there either."""
    answer = logging_in(identity, redirect_uri=address)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


@pytest.mark.parametrize("password", ["short12", "x" * 129, "{username}"])
def test_a_weak_password_is_refused(identity: Settings, username: str, password: str) -> None:
    """Too short, without end, or the name itself."""
    admin = as_administrator(identity)
    user_id = admin.get_user_id(username)
    assert user_id is not None
    with pytest.raises(KeycloakError, match=r"(?i)password"):
        admin.set_user_password(user_id, password.format(username=username), temporary=False)


def test_the_passwords_of_the_demo_users_are_good_enough(identity: Settings, username: str) -> None:
    """Whoever sets them again by hand is not refused."""
    admin = as_administrator(identity)
    user_id = admin.get_user_id(username)
    assert user_id is not None
    for user in demo_users():
        admin.set_user_password(user_id, user.password, temporary=False)
    assert api_client(identity).token(username, demo_users()[-1].password)["access_token"]


async def test_a_rotation_of_the_realms_key_is_noticed(identity: Settings) -> None:
    """Tokens by the new key are taken, and those by the old one while the realm publishes it."""
    clock, client, admin = Clock(), api_client(identity), as_administrator(identity)
    keys = Keys(identity, clock)
    verifier = TokenVerifier(identity, keys)
    old = client.token("viewer", "viewer123")["access_token"]
    await verifier.verify(old)
    config = {"priority": ["200"], "enabled": ["true"], "active": ["true"], "keySize": ["2048"]}
    kind = "org.keycloak.keys.KeyProvider"
    name = f"rotated-{uuid.uuid4().hex[:8]}"
    parent = admin.get_realm(identity.keycloak_realm)["id"]
    component = admin.create_component(
        {"name": name, "providerId": "rsa-generated", "providerType": kind, "parentId": parent, "config": config}
    )
    try:
        new = client.token("viewer", "viewer123")["access_token"]
        assert await refusal(verifier, new) == Reason.UNKNOWN_KEY, "it has asked a moment ago"
        clock.now += COOL_DOWN
        assert (await verifier.verify(new)).username == "viewer"
        assert (await verifier.verify(old)).username == "viewer"
    finally:
        admin.delete_component(component)


def test_the_realm_as_production_has_it_takes_no_password_of_a_program(identity: Settings) -> None:
    """No client may log people in directly, unless Keycloak is told that this is a demo; nor does one keep a known secret."""
    clients = realm_in({})["clients"]
    assert {client["clientId"]: client["directAccessGrantsEnabled"] for client in clients} == {
        API: "false",  # from a placeholder: Keycloak reads the word
        DASHBOARD: False,
    }
    assert [client.get("secret", "${KEYCLOAK_CLIENT_SECRET}") for client in clients] == [
        "${KEYCLOAK_CLIENT_SECRET}"
    ] * 2
    assert all("credentials" not in user for user in realm_in({})["users"]), "and it has no person"
    name, admin = f"production-{uuid.uuid4().hex[:8]}", as_administrator(identity)
    viewer = demo_users()[-1]
    realm = realm_of_files(identity, name, demo=False)
    person = next(user for user in realm_of_files(identity, name)["users"] if user["username"] == viewer.username)
    admin.create_realm(realm | {"users": [*realm["users"], person]})
    try:
        client = api_client(replace(identity, keycloak_realm=name))
        with pytest.raises(KeycloakPostError, match="not allowed for direct access grants"):
            client.token(viewer.username, viewer.password)
        assert client.token(grant_type="client_credentials")["access_token"]
    finally:
        admin.delete_realm(name)


def test_the_realm_keeps_what_happened(identity: Settings) -> None:
    """Log-ins and deeds of administrators, and it asks for TLS from anywhere but this machine."""
    realm = as_administrator(identity).get_realm(identity.keycloak_realm)
    for name in ("eventsEnabled", "adminEventsEnabled", "adminEventsDetailsEnabled", "bruteForceProtected"):
        assert realm[name] is True
    assert {"LOGIN", "LOGIN_ERROR", "REFRESH_TOKEN_ERROR"} <= set(realm["enabledEventTypes"])
    assert (realm["sslRequired"], realm["otpPolicyType"], realm["otpPolicyCodeReusable"]) == ("external", "totp", False)
    assert (realm["revokeRefreshToken"], realm["refreshTokenMaxReuse"]) == (True, 0)
