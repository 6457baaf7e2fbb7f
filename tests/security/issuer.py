"""An issuer with keys made in the test: it serves them on the loopback, counts who asks, misbehaves on request, and signs anything."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from recon_stream.security.logout import EVENT
from recon_stream.settings import Settings

KID = "first"
PATH = "/realms/reconciliation/protocol/openid-connect/certs"
RSA_KEYS = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
"""Of the issuer, and of somebody else. Making one takes a tenth of a second, so all tests share them."""
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def jwk(kid: str, key: Any = RSA_KEYS[0], **more: Any) -> dict[str, Any]:
    """The public half of a key as an issuer publishes it."""
    kind = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    algorithm = next((one for base, one in kind.items() if isinstance(key, base)), OKPAlgorithm)
    return json.loads(algorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"} | more


class Issuer:
    """Serves `keys`, by https where there is a context; `mode` is well, error, redirect, huge, garbage, empty or silent."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.keys: list[dict[str, Any]] = [jwk(KID)]
        self.mode = "well"
        self.asked = 0
        self.held = asyncio.Event()
        """Set once somebody waits for an answer that does not come."""
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def settings(self) -> Settings:
        """Settings that name this issuer."""
        return Settings(keycloak_server_url=f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}")

    async def start(self) -> None:
        """Listen; after a stop on the same port."""
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        app.router.add_get("/elsewhere", self._elsewhere)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """As if it were switched off."""
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, _: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.mode == "silent":
            self.held.set()
            await asyncio.sleep(3600)
        if self.mode == "redirect":
            raise web.HTTPFound("/elsewhere")
        keys = [] if self.mode == "empty" else self.keys
        padding = " " * (1 << 19) if self.mode == "huge" else ""
        return web.Response(
            text="no json" if self.mode == "garbage" else json.dumps({"keys": keys}) + padding,
            status=503 if self.mode == "error" else 200,
        )

    async def _elsewhere(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": self.keys})

    def claims(self, **changed: Any) -> dict[str, Any]:
        """What Keycloak says of a viewer, with changes; None leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.settings.issuer,
            "aud": "reconciliation-api",
            "azp": "reconciliation-dashboard",
            "sub": "9b2f",
            "typ": "Bearer",
            "iat": now,
            "exp": now + 300,
            "sid": "a-session",
            "jti": "a-token",
            "preferred_username": "viewer",
            "roles": ["viewer", "default-roles-reconciliation", "offline_access"],
        } | changed
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, key: Any = RSA_KEYS[0], algorithm: str = "RS256", header: dict[str, Any] | None = None, **changed: Any
    ) -> str:
        """A signed access token."""
        return self._signed(self.claims(**changed), key, algorithm, header)

    def logout_token(
        self, key: Any = RSA_KEYS[0], algorithm: str = "RS256", header: dict[str, Any] | None = None, **changed: Any
    ) -> str:
        """A signed word that a session has ended, as Keycloak gives it, with changes; None leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.settings.issuer,
            "aud": "reconciliation-dashboard",
            "sub": "9b2f",
            "typ": "Logout",
            "iat": now,
            "exp": now + 120,
            "sid": "a-session",
            "jti": "a-logout",
            "events": {EVENT: {}},
        } | changed
        return self._signed(
            {name: value for name, value in claims.items() if value is not None}, key, algorithm, header
        )

    @staticmethod
    def _signed(claims: dict[str, Any], key: Any, algorithm: str, header: dict[str, Any] | None) -> str:
        payload = json.dumps(claims).encode()  # a claim of any type: encode() for tokens refuses some
        return jwt.PyJWS().encode(payload, key, algorithm, {"kid": KID} | (header or {}))


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Issuer]:
    """An issuer that listens."""
    issuer = Issuer(tls)
    await issuer.start()
    try:
        yield issuer
    finally:
        await issuer.stop()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now
