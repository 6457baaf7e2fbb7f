"""Access tokens of Keycloak (JWT, RFC 7519, RFC 8725): verified here by the issuer's public keys, never by asking it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import jwt
from jwt import exceptions as refused

from recon_stream.errors import ReconError
from recon_stream.metrics.catalogue import AUTH_FAILURES
from recon_stream.security.keys import Keys
from recon_stream.security.roles import Permission, Role, permissions_of
from recon_stream.settings import Settings, by_commas

LEEWAY: Final = 30
"""Seconds by which the clocks of issuer and verifier may differ."""
TOKEN_CHARACTERS_MAX: Final = 8192
NAME_CHARACTERS_MAX: Final = 255
_NO_TEXT: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters and halves of pairs, which neither a log nor a database should meet."""
_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_FORBIDDEN: Final = ("crit", "jku", "jwk", "x5u", "x5c", "b64")
"""Header fields that would bring a key or a meaning of their own; an access token of Keycloak has none of them."""
_ACCESS_TOKEN: Final = "Bearer"  # noqa: S105 the word in the claim typ, where ID and Refresh mean other tokens
_REQUIRED: Final = ["iss", "sub", "aud", "exp", "iat", "azp", "typ"]


class Reason(StrEnum):
    """Why a token was refused; for the log and the metric, not for the client."""

    MISSING = "missing"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_CLIENT = "wrong_client"
    WRONG_TYPE = "wrong_type"
    ENDED = "session_ended"
    REPLAYED = "replayed"


class Unauthenticated(ReconError):
    """The request is refused (401); the client gets itself another access token and asks again."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        """`detail` is for the log: a client learns `error` and no more."""
        super().__init__(detail or reason.value)
        self.reason = reason

    @property
    def error(self) -> str:
        """The code for WWW-Authenticate (RFC 6750, 3.1); empty where the request carried no token."""
        return "" if self.reason is Reason.MISSING else "invalid_token"


Person = tuple[str, str]
"""Issuer and subject: names may change hands."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    issuer: str
    subject: str
    username: str
    roles: frozenset[Role]
    permissions: frozenset[Permission]
    session_id: str
    """Of the log-in; empty for a service account."""
    client: str
    """The client that got the token (azp)."""
    expires_at: int
    """Seconds of the epoch."""
    token_id: str

    @property
    def person(self) -> Person:
        """The same in all of their sessions."""
        return self.issuer, self.subject


class TokenVerifier:
    """Tells whose an access token is, or why it is none of ours."""

    def __init__(
        self, settings: Settings, keys: Keys, has_ended: Callable[[str], Awaitable[bool]] | None = None
    ) -> None:
        """`has_ended` tells of a session whether it ended before its tokens; without it they serve until they expire."""
        self._algorithms = frozenset(by_commas(settings.jwt_algorithm))
        self._issuer, self._audience = settings.issuer, settings.jwt_audience
        self.clients = (settings.keycloak_client_id, settings.dashboard_client_id)
        self._keys, self._has_ended = keys, has_ended

    async def verify(self, token: str) -> Principal:
        """The person or service that the token was given to.

        Raises Unauthenticated, which is counted by its reason, and KeysAway where Keycloak gives no keys to tell by.
        """
        try:
            principal = self._principal(await self.claims(token, (self._audience,), _REQUIRED))
            await self._ensure_goes_on(principal.session_id)
        except Unauthenticated as error:
            AUTH_FAILURES.labels(error.reason).inc()
            raise
        return principal

    async def _ensure_goes_on(self, session_id: str) -> None:
        if self._has_ended is not None and await self._has_ended(session_id):
            raise Unauthenticated(Reason.ENDED)

    async def claims(self, token: str, audiences: Sequence[str], required: Sequence[str]) -> Mapping[str, Any]:
        """What the issuer says in a token to one of these audiences. Raises Unauthenticated, KeysAway."""
        kid, algorithm = self._header(token)
        key = await self._keys.get(kid)
        if key is None:
            raise Unauthenticated(Reason.UNKNOWN_KEY, f"the issuer has no key {kid!r}")
        if algorithm not in key.algorithms:
            raise Unauthenticated(Reason.ALGORITHM, f"{algorithm} does not fit the key {kid!r}")
        return self._decoded(token, key.public, algorithm, audiences, required)

    def _header(self, token: str) -> tuple[str, str]:
        """Key id and algorithm; all that may be looked at before the signature is verified."""
        if not token:
            raise Unauthenticated(Reason.MISSING)
        if len(token) > TOKEN_CHARACTERS_MAX or not _FORM.fullmatch(token):
            raise Unauthenticated(Reason.MALFORMED, "no signed JWT, or a very long one")
        try:
            header = jwt.get_unverified_header(token)
        except (refused.PyJWTError, ValueError, RecursionError) as error:
            raise Unauthenticated(Reason.MALFORMED, f"the header is no header: {type(error).__name__}") from error
        if found := [name for name in _FORBIDDEN if name in header]:
            raise Unauthenticated(Reason.MALFORMED, f"the header has {', '.join(found)}")
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise Unauthenticated(Reason.ALGORITHM, f"{str(algorithm)[:NAME_CHARACTERS_MAX]!r} is not in JWT_ALGORITHM")
        if not isinstance(kid, str) or not 0 < len(kid) <= NAME_CHARACTERS_MAX:
            raise Unauthenticated(Reason.MALFORMED, "the header names no key")
        return kid, algorithm

    def _decoded(
        self, token: str, public: Any, algorithm: str, audiences: Sequence[str], required: Sequence[str]
    ) -> Mapping[str, Any]:
        """The claims, after signature, times, issuer and audience."""
        try:
            return jwt.decode(
                token,
                public,
                algorithms=[algorithm],
                audience=audiences,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": list(required)},
            )
        except refused.PyJWTError as error:
            reason = next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), Reason.MALFORMED)
            raise Unauthenticated(reason, str(error)) from error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Unauthenticated(Reason.MALFORMED, f"the claims are no claims: {type(error).__name__}") from error

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        if claims["typ"] != _ACCESS_TOKEN:
            raise Unauthenticated(Reason.WRONG_TYPE, f"it is no access token: typ {claims['typ']!r}")
        if claims["azp"] not in self.clients:
            raise Unauthenticated(Reason.WRONG_CLIENT, f"it was given to the client {claims['azp']!r}")
        named = claims.get("roles", [])
        if not isinstance(named, list):
            raise Unauthenticated(Reason.MALFORMED, "roles is no list")
        roles = frozenset(role for role in Role if role in named)
        subject, session_id, token_id = (name_in(claims, claim) for claim in ("sub", "sid", "jti"))
        if not subject:
            raise Unauthenticated(Reason.MALFORMED, "sub is empty")
        return Principal(
            issuer=self._issuer,
            subject=subject,
            username=name_in(claims, "preferred_username") or subject,
            roles=roles,
            permissions=permissions_of(roles),
            session_id=session_id,
            client=claims["azp"],
            expires_at=int(claims["exp"]),
            token_id=token_id,
        )


_REASONS: Final = {
    refused.InvalidSignatureError: Reason.BAD_SIGNATURE,
    refused.ExpiredSignatureError: Reason.EXPIRED,
    refused.ImmatureSignatureError: Reason.NOT_YET,
    refused.InvalidIssuerError: Reason.WRONG_ISSUER,
    refused.InvalidAudienceError: Reason.WRONG_AUDIENCE,
    refused.InvalidAlgorithmError: Reason.ALGORITHM,
    refused.InvalidKeyError: Reason.ALGORITHM,
}


def name_in(claims: Mapping[str, Any], claim: str) -> str:
    """A text of bounded length without control characters; empty where there is none. Raises Unauthenticated."""
    value = claims.get(claim, "")
    if not isinstance(value, str) or len(value) > NAME_CHARACTERS_MAX or _NO_TEXT.search(value):
        raise Unauthenticated(Reason.MALFORMED, f"{claim} is no name")
    return value
