"""A token is taken when all of it is right, and refused for the right reason when any of it is not."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.utils import base64url_decode, base64url_encode

from recon_stream.metrics.catalogue import AUTH_FAILURES
from recon_stream.security.keys import Keys
from recon_stream.security.roles import Permission, Role
from recon_stream.security.tokens import (
    LEEWAY,
    TOKEN_CHARACTERS_MAX,
    Principal,
    Reason,
    TokenVerifier,
    Unauthenticated,
)
from tests.security.issuer import EC_KEY, ED_KEY, KID, RSA_KEYS, Issuer, jwk

NOW = int(time.time())


async def refusal(verifier: TokenVerifier, token: str) -> Reason:
    """Why the token is refused; it must be, and be counted under that reason."""
    counted = {reason: AUTH_FAILURES.labels(reason)._value.get() for reason in Reason}
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(token)
    reason = refused.value.reason
    grown = [one for one, before in counted.items() if AUTH_FAILURES.labels(one)._value.get() != before]
    assert grown == [reason]
    return reason


def by_hand(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"x" * 256) -> str:
    """A token that no library would make."""
    return b".".join(
        base64url_encode(part) for part in (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    ).decode()


async def test_a_token_that_is_right_gives_its_person(issuer: Issuer, verifier: TokenVerifier) -> None:
    """Everything that the API knows of a person comes from the token; roles that are not ours mean nothing."""
    claims = issuer.claims()
    principal = await verifier.verify(issuer.token())
    assert replace(principal, expires_at=0) == Principal(
        issuer=issuer.settings.issuer,
        subject="9b2f",
        username="viewer",
        roles=frozenset({Role.VIEWER}),
        permissions=frozenset({Permission.STATS_READ, Permission.TRANSACTIONS_READ, Permission.PROFILE}),
        session_id="a-session",
        client="reconciliation-dashboard",
        expires_at=0,
        token_id="a-token",
    )
    assert abs(principal.expires_at - claims["exp"]) <= 1


async def test_a_service_account_has_no_session_and_no_role(issuer: Issuer, verifier: TokenVerifier) -> None:
    """It is somebody all the same, who may nothing; and an audience among others is enough."""
    token = issuer.token(azp="reconciliation-api", sid=None, roles=None, aud=["account", "reconciliation-api"])
    principal = await verifier.verify(token)
    assert (principal.session_id, principal.roles, principal.permissions) == ("", frozenset(), frozenset())
    assert principal.client == "reconciliation-api"


FAULTS = {
    "expired": ({"exp": NOW - LEEWAY - 5}, Reason.EXPIRED),
    "not yet valid": ({"nbf": NOW + 86_400}, Reason.NOT_YET),
    "issued in the future": ({"iat": NOW + 86_400}, Reason.NOT_YET),
    "another audience": ({"aud": "account"}, Reason.WRONG_AUDIENCE),
    "an audience that ours is a part of": ({"aud": "reconciliation-api-2"}, Reason.WRONG_AUDIENCE),
    "no audience": ({"aud": None}, Reason.MALFORMED),
    "another issuer": ({"iss": "http://127.0.0.1:1/realms/reconciliation"}, Reason.WRONG_ISSUER),
    "a list of issuers": ({"iss": ["http://127.0.0.1:1/realms/reconciliation"]}, Reason.WRONG_ISSUER),
    "no issuer": ({"iss": None}, Reason.MALFORMED),
    "another client": ({"azp": "account-console"}, Reason.WRONG_CLIENT),
    "a list of clients": ({"azp": ["reconciliation-api"]}, Reason.WRONG_CLIENT),
    "no client": ({"azp": None}, Reason.MALFORMED),
    "an ID token": ({"typ": "ID"}, Reason.WRONG_TYPE),
    "a refresh token": ({"typ": "Refresh"}, Reason.WRONG_TYPE),
    "a logout token": ({"typ": "Logout"}, Reason.WRONG_TYPE),
    "no type": ({"typ": None}, Reason.MALFORMED),
    "no subject": ({"sub": None}, Reason.MALFORMED),
    "an empty subject": ({"sub": ""}, Reason.MALFORMED),
    "an endless subject": ({"sub": "x" * 300}, Reason.MALFORMED),
    "no expiry": ({"exp": None}, Reason.MALFORMED),
    "an expiry that is none": ({"exp": "soon"}, Reason.MALFORMED),
    "an endless expiry": ({"exp": float("inf")}, Reason.MALFORMED),
    "no issue date": ({"iat": None}, Reason.MALFORMED),
    "roles as text": ({"roles": "admin"}, Reason.MALFORMED),
    "roles as an object": ({"roles": {"admin": True}}, Reason.MALFORMED),
    "a session that is none": ({"sid": 7}, Reason.MALFORMED),
    "a name with U+0000": ({"preferred_username": "view\0er"}, Reason.MALFORMED),
    "a name with a line break": ({"preferred_username": "viewer\nadmin"}, Reason.MALFORMED),
    "a session with half a pair": ({"sid": "a-\ud800"}, Reason.MALFORMED),
    "a subject with an escape": ({"sub": "\x1b[2J"}, Reason.MALFORMED),
    "an id with a delete": ({"jti": "\x7f"}, Reason.MALFORMED),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_claim_that_is_wrong_is_refused(issuer: Issuer, verifier: TokenVerifier, fault: str) -> None:
    """Signed by the issuer itself, and refused all the same."""
    changed, reason = FAULTS[fault]
    assert await refusal(verifier, issuer.token(**changed)) == reason


async def test_a_clock_may_be_off_by_the_leeway_and_no_more(issuer: Issuer, verifier: TokenVerifier) -> None:
    """Within it nothing is refused; it is a minute at most."""
    assert LEEWAY <= 60
    now = int(time.time())
    assert await verifier.verify(issuer.token(exp=now - 1, iat=now + LEEWAY - 1, nbf=now + LEEWAY - 1))


async def test_a_token_without_a_signature_is_refused(issuer: Issuer, verifier: TokenVerifier) -> None:
    """alg none, in any spelling, with and without a signature."""
    for algorithm in ("none", "None", "NONE", "nOnE", ""):
        header = {"alg": algorithm, "kid": KID}
        assert await refusal(verifier, by_hand(header, issuer.claims())) == Reason.ALGORITHM
        assert await refusal(verifier, by_hand(header, issuer.claims(), b"")) == Reason.MALFORMED
    assert await refusal(verifier, by_hand({"kid": KID}, issuer.claims())) == Reason.ALGORITHM


async def test_the_public_key_is_no_secret_to_sign_with(issuer: Issuer, verifier: TokenVerifier) -> None:
    """HS256 with the public key as the secret, which a verifier that trusts the header takes for RS256's key."""
    import hashlib
    import hmac

    public = RSA_KEYS[0].public_key()
    for form in (PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1):
        secret = public.public_bytes(Encoding.PEM, form)
        unsigned = by_hand({"alg": "HS256", "typ": "JWT", "kid": KID}, issuer.claims(roles=["admin"]), b"")
        signature = hmac.new(secret, unsigned.rstrip(".").encode(), hashlib.sha256).digest()
        forged = unsigned + base64url_encode(signature).decode()
        assert await refusal(verifier, forged) == Reason.ALGORITHM


async def test_a_payload_that_was_changed_is_refused(issuer: Issuer, verifier: TokenVerifier) -> None:
    """A viewer makes an admin of himself."""
    header, payload, signature = issuer.token().split(".")
    claims = json.loads(base64url_decode(payload)) | {"roles": ["admin"]}
    tampered = base64url_encode(json.dumps(claims).encode()).decode()
    assert await refusal(verifier, f"{header}.{tampered}.{signature}") == Reason.BAD_SIGNATURE


async def test_a_signature_by_another_key_is_refused(issuer: Issuer, verifier: TokenVerifier) -> None:
    """Under the name of the issuer's key."""
    assert await refusal(verifier, issuer.token(RSA_KEYS[1])) == Reason.BAD_SIGNATURE


@pytest.mark.parametrize("field", ["jku", "jwk", "x5u", "x5c"])
async def test_a_token_that_brings_its_own_key_is_refused(issuer: Issuer, verifier: TokenVerifier, field: str) -> None:
    """Before anything is asked of anybody: keys are the issuer's alone."""
    own = {"jwk": jwk("own", RSA_KEYS[1]), "x5c": ["MII"]}.get(field, f"http://127.0.0.1:{issuer.port}/elsewhere")
    assert await refusal(verifier, issuer.token(RSA_KEYS[1], header={field: own})) == Reason.MALFORMED
    assert issuer.asked == 0


@pytest.mark.parametrize("more", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": True}, {"b64": False}])
async def test_an_extension_that_must_be_understood_is_not(
    issuer: Issuer, verifier: TokenVerifier, more: dict[str, Any]
) -> None:
    """crit is refused whatever it lists (RFC 7515, 4.1.11), and so is b64, however well the token is signed."""
    unsigned = by_hand({"alg": "RS256", "kid": KID} | more, issuer.claims(), b"").rstrip(".")
    signature = RSA_KEYS[0].sign(unsigned.encode(), PKCS1v15(), SHA256())
    token = f"{unsigned}.{base64url_encode(signature).decode()}"
    assert await refusal(verifier, token) == Reason.MALFORMED


async def test_a_token_must_name_its_key(issuer: Issuer, verifier: TokenVerifier) -> None:
    """Without a name, with an empty one, with one that is no text or very long."""
    for kid in ({}, {"kid": ""}, {"kid": 7}, {"kid": ["first"]}, {"kid": "x" * 300}):
        header = {"alg": "RS256"} | kid
        assert await refusal(verifier, by_hand(header, issuer.claims())) == Reason.MALFORMED


async def test_only_algorithms_of_the_setting_are_taken_and_only_with_a_key_that_fits(issuer: Issuer) -> None:
    """The key's own type, its curve and what the issuer says of it, all three."""
    issuer.keys = [jwk("r"), jwk("r-only", alg="RS256"), jwk("e", EC_KEY), jwk("d", ED_KEY)]
    wide = replace(issuer.settings, jwt_algorithm="RS256, PS256,ES256,ES384,EdDSA")
    verifier = TokenVerifier(wide, Keys(wide))
    for kid, key, algorithm in (
        ("r", RSA_KEYS[0], "RS256"),
        ("r", RSA_KEYS[0], "PS256"),
        ("r-only", RSA_KEYS[0], "RS256"),
        ("e", EC_KEY, "ES256"),
        ("d", ED_KEY, "EdDSA"),
    ):
        assert (await verifier.verify(issuer.token(key, algorithm, {"kid": kid}))).subject == "9b2f"
    for kid, key, algorithm in (
        ("r-only", RSA_KEYS[0], "PS256"),
        ("e", RSA_KEYS[0], "RS256"),
        ("r", EC_KEY, "ES256"),
        ("r", RSA_KEYS[0], "RS512"),
    ):
        assert await refusal(verifier, issuer.token(key, algorithm, {"kid": kid})) == Reason.ALGORITHM
    unfit = by_hand({"alg": "ES384", "kid": "e"}, issuer.claims(), b"x" * 96)
    assert await refusal(verifier, unfit) == Reason.ALGORITHM


async def test_a_very_long_token_is_refused_before_any_work(issuer: Issuer, verifier: TokenVerifier) -> None:
    """However well it is signed."""
    long = issuer.token(padding="x" * TOKEN_CHARACTERS_MAX)
    assert await refusal(verifier, long) == Reason.MALFORMED
    assert issuer.asked == 0


JUNK = [
    ".", "..", "...", "a.b", "a.b.c.d", "Bearer a.b.c", " ", "a.b.c\n", "ä.b.c", "a.b.c=", "\0",
    base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=") + ".e30.e30",
    base64.urlsafe_b64encode(b"{\"a\":" * 1000).decode().rstrip("=") + ".e30.e30",
    "bnVsbA.e30.e30", "WzFd.e30.e30", "_w.e30.e30",
]  # fmt: skip


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
async def test_what_is_no_token_is_refused(verifier: TokenVerifier, junk: str) -> None:
    """Whatever comes in the header of a request, deeply nested JSON too."""
    assert await refusal(verifier, junk) in (Reason.MALFORMED, Reason.ALGORITHM)


async def test_a_request_without_a_token_is_told_no_code(verifier: TokenVerifier) -> None:
    """RFC 6750, 3.1: who brought nothing learns nothing, everybody else the same word."""
    assert await refusal(verifier, "") == Reason.MISSING
    assert Unauthenticated(Reason.MISSING).error == ""
    assert {Unauthenticated(reason, "said to the log").error for reason in Reason if reason is not Reason.MISSING} == {
        "invalid_token"
    }


PARTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "cty"]), PARTS),
    claims=st.dictionaries(st.sampled_from([*Issuer().claims(), "nbf"]), PARTS),
    data=st.data(),
)
async def test_whatever_a_signed_token_holds_it_is_a_person_or_a_refusal(
    issuer: Issuer, verifier: TokenVerifier, header: dict[str, Any], claims: dict[str, Any], data: st.DataObject
) -> None:
    """Nothing else is ever raised, and nobody gets in with a claim of another's type."""
    token = by_hand(header, issuer.claims(**claims)) if data.draw(st.booleans()) else issuer.token(**claims)
    try:
        principal = await verifier.verify(token)
    except Unauthenticated:
        return
    assert principal.issuer == issuer.settings.issuer
    assert principal.client in ("reconciliation-api", "reconciliation-dashboard")
    assert principal.subject
    assert isinstance(principal.username, str)
