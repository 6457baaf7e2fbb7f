"""The check of `doctor` on Keycloak: the realm, whom its tokens name as issuer, the API's client and its token."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import orjson

from recon_stream.security.keys import Keys, KeysAway
from recon_stream.security.tokens import Reason, TokenVerifier, Unauthenticated
from recon_stream.settings import Settings
from recon_stream.tls import trusting
from recon_stream.verify.doctor_findings import Report, short
from recon_stream.verify.doctor_services import CLOCK_WARN

_TIMEOUT: Final = aiohttp.ClientTimeout(total=2.5)
_BYTES_MAX: Final = 1 << 16
_DATE_PRECISION: Final = 1.0
"""Seconds by which the Date of an answer may be old: it counts whole ones."""
_ADVICE: Final = {
    Reason.ALGORITHM: "let the realm sign with an algorithm of JWT_ALGORITHM, or correct that",
    Reason.UNKNOWN_KEY: "let the realm sign with an algorithm of JWT_ALGORITHM, by a key of 2048 bits or more",
    Reason.WRONG_AUDIENCE: "give the client an audience mapper for JWT_AUDIENCE, or correct that",
    Reason.EXPIRED: "keep all machines on NTP",
    Reason.NOT_YET: "keep all machines on NTP",
}


async def check_keycloak(settings: Settings, report: Report) -> None:
    """Whether it answers, serves the realm under the expected name, and knows the client of the API."""
    connector = aiohttp.TCPConnector(ssl=trusting(settings.keycloak_cafile, "RECON_KEYCLOAK_CAFILE"))
    async with aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector) as session:
        try:
            if await _realm(session, settings, report):
                await _client(session, settings, report)
        except aiohttp.ClientSSLError as error:
            advice = "set RECON_KEYCLOAK_CAFILE to the authority, and use a name that stands in the certificate"
            report.fail("answer", f"{settings.keycloak_server_url}: {short(error)}", advice)


async def _realm(session: aiohttp.ClientSession, settings: Settings, report: Report) -> bool:
    begun = time.monotonic()
    address = f"{settings.issuer}/.well-known/openid-configuration"
    async with session.get(address, allow_redirects=False) as answer:
        found, now = await _object(answer), time.time()
    millis = (time.monotonic() - begun) * 1000
    if answer.status != 200 or "issuer" not in found:
        advice = "correct KEYCLOAK_SERVER_URL and KEYCLOAK_REALM, or make the realm (docs/security.md)"
        report.fail("realm", f"{settings.issuer} answers {answer.status}", advice)
        return False
    report.ok("realm", f"{settings.issuer}, {millis:.0f} ms")
    if found["issuer"] != settings.issuer:
        advice = (
            "set KEYCLOAK_SERVER_URL to the address that Keycloak names, or its hostname to that of KEYCLOAK_SERVER_URL"
        )
        report.fail("issuer", f"tokens name {str(found['issuer'])[:200]}, not {settings.issuer}", advice)
        return False
    difference = abs(now - _DATE_PRECISION / 2 - _date(answer, now))
    if difference > CLOCK_WARN + _DATE_PRECISION:
        report.warn("clock", f"{difference:.1f} s away from this machine's", "keep all machines on NTP")
    return True


def _date(answer: aiohttp.ClientResponse, now: float) -> float:
    """What the answer says the time is; `now` where it does not say."""
    try:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return now


async def _client(session: aiohttp.ClientSession, settings: Settings, report: Report) -> None:
    """Log in as the API's own client; what it is given must be a token that the API takes."""
    form = {
        "grant_type": "client_credentials",
        "client_id": settings.keycloak_client_id,
        "client_secret": settings.keycloak_client_secret,
    }
    address = f"{settings.issuer}/protocol/openid-connect/token"
    async with session.post(address, data=form, allow_redirects=False) as answer:
        found = await _object(answer)
    name = f"client {settings.keycloak_client_id}"
    if answer.status != 200 or not isinstance(found.get("access_token"), str):
        said = str(found.get("error_description") or found.get("error") or answer.status)[:200]
        advice = "correct KEYCLOAK_CLIENT_ID and KEYCLOAK_CLIENT_SECRET; the client needs a service account"
        report.fail(name, f"refused: {said}", advice)
        return
    report.ok(name, "its secret works")
    try:
        principal = await TokenVerifier(settings, Keys(settings)).verify(found["access_token"])
    except Unauthenticated as error:
        advice = _ADVICE.get(error.reason, "compare the realm with deploy/keycloak/reconciliation-realm.json")
        report.fail("token", f"the API would refuse it, {error.reason}: {error.detail}", advice)
    except KeysAway as error:
        report.fail("keys", f"{error.detail} gives none", "see that Keycloak is well")
    else:
        report.ok("token", f"verifies by the realm's keys ({settings.jwt_algorithm}), as {principal.username}")


async def _object(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The JSON object of an answer; empty where it is none."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _BYTES_MAX:
            return {}
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
