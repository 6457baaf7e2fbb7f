"""Logout tokens of Keycloak (OpenID Connect Back-Channel Logout 1.0): it says that a session has ended, and we take its word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from recon_stream.security.tokens import Reason, TokenVerifier, Unauthenticated, name_in

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_REQUIRED: Final = ["iss", "aud", "iat", "exp", "jti", "sid", "events"]
"""The standard leaves the choice between `sid` and `sub`: we require the session, as our clients tell Keycloak to say it."""


class EndedSession(NamedTuple):
    """What a logout token says."""

    session_id: str
    subject: str
    """Whose it was; empty where the token does not say."""
    client: str
    """Of ours, which was told."""
    token_id: str


async def ended_session(token: str, verifier: TokenVerifier) -> EndedSession:
    """The session that a logout token ends. Raises Unauthenticated, KeysAway."""
    claims = await verifier.claims(token, verifier.clients, _REQUIRED)
    _ensure_logout(claims)
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    session_id, token_id = name_in(claims, "sid"), name_in(claims, "jti")
    if not session_id or not token_id:
        raise Unauthenticated(Reason.MALFORMED, "sid or jti is empty")
    return EndedSession(
        session_id=session_id,
        subject=name_in(claims, "sub"),
        client=next(client for client in verifier.clients if client in audience),
        token_id=token_id,
    )


def _ensure_logout(claims: Mapping[str, Any]) -> None:
    events = claims["events"]
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise Unauthenticated(Reason.WRONG_TYPE, "it is no logout token: events does not say so")
    if "nonce" in claims:
        # forbidden by the standard, so that no ID token can ever pass for one
        raise Unauthenticated(Reason.WRONG_TYPE, "it is no logout token: it has a nonce")
