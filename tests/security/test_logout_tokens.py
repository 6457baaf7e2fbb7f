"""Keycloak's word that a session has ended is taken when all of it is right, and for nothing else than that."""

from __future__ import annotations

import time
from typing import Any

import pytest

from recon_stream.security.logout import EVENT, EndedSession, ended_session
from recon_stream.security.tokens import LEEWAY, Reason, TokenVerifier, Unauthenticated
from tests.security.issuer import KID, RSA_KEYS, Issuer
from tests.security.test_access_tokens import by_hand


async def refusal(verifier: TokenVerifier, token: str) -> Reason:
    """Why it is refused."""
    with pytest.raises(Unauthenticated) as refused:
        await ended_session(token, verifier)
    return refused.value.reason


@pytest.mark.parametrize("audience", ["reconciliation-dashboard", ["elsewhere", "reconciliation-api"]])
async def test_a_logout_token_that_is_right_names_its_session(
    issuer: Issuer, verifier: TokenVerifier, audience: object
) -> None:
    """To either client; whose it was may be left unsaid."""
    client = audience if isinstance(audience, str) else "reconciliation-api"
    expected = EndedSession("a-session", "9b2f", client, "a-logout")
    assert await ended_session(issuer.logout_token(aud=audience), verifier) == expected
    assert (await ended_session(issuer.logout_token(sub=None), verifier)).subject == ""
    assert await ended_session(issuer.logout_token(header={"typ": "logout+jwt"}), verifier)


NOW = int(time.time())
FAULTS: dict[str, tuple[dict[str, Any], Reason]] = {
    "another's key": ({"key": RSA_KEYS[1]}, Reason.BAD_SIGNATURE),
    "another algorithm": ({"algorithm": "PS256"}, Reason.ALGORITHM),
    "another issuer": ({"iss": "https://login.elsewhere/realms/reconciliation"}, Reason.WRONG_ISSUER),
    "another client": ({"aud": "account-console"}, Reason.WRONG_AUDIENCE),
    "other clients": ({"aud": ["account-console", "reconciliation-api-2"]}, Reason.WRONG_AUDIENCE),
    "expired": ({"exp": NOW - LEEWAY - 5}, Reason.EXPIRED),
    "of tomorrow": ({"iat": NOW + 86_400}, Reason.NOT_YET),
    "no event": ({"events": {}}, Reason.WRONG_TYPE),
    "another event": ({"events": {"http://schemas.openid.net/event/other": {}}}, Reason.WRONG_TYPE),
    "event is no object": ({"events": {EVENT: "yes"}}, Reason.WRONG_TYPE),
    "events are no object": ({"events": [EVENT]}, Reason.WRONG_TYPE),
    "nonce": ({"nonce": "n-0S6_WzA2Mj"}, Reason.WRONG_TYPE),
    "empty nonce": ({"nonce": ""}, Reason.WRONG_TYPE),
    "neither session nor subject": ({"sid": None, "sub": None}, Reason.MALFORMED),
    "empty session": ({"sid": ""}, Reason.MALFORMED),
    "session of another type": ({"sid": 7}, Reason.MALFORMED),
    "endless session": ({"sid": "x" * 300}, Reason.MALFORMED),
    "empty id": ({"jti": ""}, Reason.MALFORMED),
    "id with a line break": ({"jti": "a\nlogout"}, Reason.MALFORMED),
    "subject with U+0000": ({"sub": "9b\0f"}, Reason.MALFORMED),
} | {f"no {claim}": ({claim: None}, Reason.MALFORMED) for claim in ("iss", "aud", "iat", "exp", "jti", "sid", "events")}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_logout_token_with_a_fault_ends_nothing(issuer: Issuer, verifier: TokenVerifier, fault: str) -> None:
    """Each for its own reason."""
    changed, reason = FAULTS[fault]
    assert await refusal(verifier, issuer.logout_token(**changed)) == reason


async def test_a_logout_token_without_a_signature_or_with_another_s_ends_nothing(
    issuer: Issuer, verifier: TokenVerifier
) -> None:
    """The words of one token under the signature of another, and alg none with and without something in its place."""
    header, _, signature = issuer.logout_token().split(".")
    _, payload, _ = issuer.logout_token(sid="another-session").split(".")
    assert await refusal(verifier, f"{header}.{payload}.{signature}") == Reason.BAD_SIGNATURE
    none = by_hand({"alg": "none", "kid": KID}, {}).split(".")[0]
    assert await refusal(verifier, f"{none}.{payload}.{signature}") == Reason.ALGORITHM
    assert await refusal(verifier, f"{none}.{payload}.") == Reason.MALFORMED


async def test_other_tokens_end_no_session_and_a_logout_token_opens_nothing(
    issuer: Issuer, verifier: TokenVerifier
) -> None:
    """An access token names a session too, and both are signed by the same key."""
    assert await refusal(verifier, issuer.token(aud="reconciliation-dashboard")) == Reason.MALFORMED
    for audience in ("reconciliation-api", "reconciliation-dashboard"):
        with pytest.raises(Unauthenticated):
            await verifier.verify(issuer.logout_token(aud=audience))
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.logout_token(aud="reconciliation-api", azp="reconciliation-dashboard"))
