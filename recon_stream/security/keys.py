"""The public keys of the issuer (JWKS, RFC 7517), fetched when they are needed and held with bounds.

A key that is known and fresh costs no request. Keys are fetched again when they are older than TTL, and when a token names
one that is not known, which is how a rotation is noticed; but never twice within COOL_DOWN, however many such tokens come.
While Keycloak does not answer, the keys that are there go on serving, for STALE_MAX at most.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from recon_stream.errors import TransientFailure
from recon_stream.settings import ASYMMETRIC, Settings
from recon_stream.tls import trusting

TTL: Final = 600.0
"""Seconds after which the keys are asked for again."""
COOL_DOWN: Final = 30.0
"""Seconds after an answer in which an unknown key asks no new question."""
RETRY: Final = 3.0
"""Seconds between two questions while there is no answer."""
STALE_MAX: Final = 3600.0
"""Seconds that keys serve without an answer; then no token is taken any more."""
TIMEOUT: Final = 3.0
BYTES_MAX: Final = 1 << 18
KEYS_MAX: Final = 50
UNKNOWN_MAX: Final = 1000
RSA_BITS_MIN: Final = 2048

# The key's own type and curve -> what may be signed with it.
_FITTING: Final[Mapping[tuple[str, str | None], frozenset[str]]] = {
    ("RSA", None): frozenset(name for name in ASYMMETRIC if name.startswith(("RS", "PS"))),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}

logger = logging.getLogger(__name__)


class KeysAway(TransientFailure):
    """No token can be verified: Keycloak gives no keys. Look at Keycloak and at KEYCLOAK_SERVER_URL; it is asked again by itself."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, as cryptography has it, and the algorithms that its own type and its issuer allow."""

    public: Any
    algorithms: frozenset[str]


class Keys:
    """The keys of the realm that the settings name, and of nobody else."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds that only grow."""
        self._url = f"{settings.issuer}/protocol/openid-connect/certs"
        self._ssl = trusting(settings.keycloak_cafile, "RECON_KEYCLOAK_CAFILE")
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: dict[str, Key] = {}
        self._answered_at = self._may_ask_at = float("-inf")
        self._unknown: dict[str, float] = {}
        """Until when nobody asks for it again: an answer may have been that of before a rotation."""

    async def get(self, kid: str) -> Key | None:
        """The key of that id; None where the issuer has none. Raises KeysAway where that cannot be told."""
        if self._age() > TTL or (kid not in self._keys and self._unknown.get(kid, float("-inf")) <= self._clock()):
            await self._refresh(kid)
        if self._age() > STALE_MAX:
            raise KeysAway(self._url)
        return self._keys.get(kid)

    def _age(self) -> float:
        return self._clock() - self._answered_at

    async def _refresh(self, kid: str) -> None:
        """Ask, unless another does or has just done so; whoever has a key that still serves does not wait for it."""
        if kid in self._keys and self._age() <= STALE_MAX and self._lock.locked():
            return
        async with self._lock:
            if self._clock() < self._may_ask_at:
                return
            try:
                keys = await _fetched(self._url, self._ssl)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                self._may_ask_at = self._clock() + RETRY
                logger.warning("the keys of %s did not come: %s", self._url, str(error) or type(error).__name__)
                return
            self._answered_at = self._clock()
            self._may_ask_at = self._answered_at + COOL_DOWN
            self._keys = keys
            if kid not in keys:
                self._unknown[kid] = self._may_ask_at
                if len(self._unknown) > UNKNOWN_MAX:
                    del self._unknown[next(iter(self._unknown))]


async def _fetched(url: str, tls: Any) -> dict[str, Key]:
    """The keys at the address; raises ValueError for an answer that is none. Nothing but this address is asked."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    connector = aiohttp.TCPConnector(ssl=tls)
    async with (
        # a compressed answer could be small on the wire and without bound here
        aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False) as session,
        session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer,
    ):
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > BYTES_MAX:
                raise ValueError(f"more than {BYTES_MAX} bytes")
    keys = parsed(bytes(body))
    if not keys:
        raise ValueError("no key that a signature could be verified with")
    return keys


def parsed(body: bytes) -> dict[str, Key]:
    """The keys for signatures in a JWKS, by their ids; others are left out. Raises ValueError where it is no JWKS."""
    content = orjson.loads(body)
    entries = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(entries, list) or len(entries) > KEYS_MAX:
        raise ValueError("no JWKS")
    keys = {}
    for entry in entries:
        key = _key(entry) if isinstance(entry, dict) else None
        if key is not None:
            keys[str(entry["kid"])] = key
    return keys


def _key(entry: dict[str, Any]) -> Key | None:
    """The key of a JWK; None for one that is meant for something else, lacks an id or is too weak."""
    kind, curve, kid, algorithm = (entry.get(name) for name in ("kty", "crv", "kid", "alg"))
    if entry.get("use", "sig") != "sig" or not isinstance(kid, str) or not kid:
        return None
    allowed = _FITTING.get((kind, curve)) if isinstance(kind, str) and isinstance(curve, str | None) else None
    if allowed is None:
        return None
    if algorithm is not None:
        allowed &= {algorithm}
    if not allowed:
        return None
    try:
        public = PyJWK(entry, algorithm=min(allowed)).key
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
        return None
    # a JWK may carry the private half; it is of no use here and must not be
    if hasattr(public, "private_bytes") or getattr(public, "key_size", RSA_BITS_MIN) < (
        RSA_BITS_MIN if kind == "RSA" else 0
    ):
        return None
    return Key(public, allowed)
