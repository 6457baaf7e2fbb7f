"""Too many calls are refused before anything else is done for them, with the headers that tell a client when to come again."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from tests.web.serving import serving, trail

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

LIMIT = 3


def test_too_many_calls(filled: Settings, identity: Settings, tmp_path: Path) -> None:
    """Also of whoever has no token; another endpoint and another address are not affected, and the refusal is a problem as all are."""
    changed = {"rate_limits": f"/mismatches/stats={LIMIT}", "trusted_proxies": "127.0.0.1"}
    client = {"X-Forwarded-For": "192.0.2.77"}
    with serving(filled, identity, tmp_path, **changed) as desk:
        nobody = desk.person(None)
        answers = [nobody.get("/mismatches/stats", client) for _ in range(LIMIT + 1)]
        # calls leave the window while a slow machine makes more
        while answers[-1].status_code != 429 and len(answers) < 1000:
            answers.append(nobody.get("/mismatches/stats", client))
        first, refused = answers[0], answers[-1]
        assert first.status_code == 401
        assert first.headers["RateLimit"].startswith(f'"default";r={LIMIT - 1};t=')
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:recon:problem:too-many-requests")
        assert refused.headers["Content-Type"].startswith("application/problem+json")
        assert refused.headers["RateLimit-Policy"] == f'"default";q={LIMIT};w=10'
        assert refused.headers["RateLimit"].startswith('"default";r=0;t=')
        assert 1 <= int(refused.headers["Retry-After"]) <= 10
        assert desk.person(None).get("/mismatches/stats", {"X-Forwarded-For": "192.0.2.78"}).status_code == 401
        # the addresses of one IPv6 network are one client
        inside = [nobody.get("/mismatches/stats", {"X-Forwarded-For": f"2001:db8::{n:x}"}) for n in range(1, 200)]
        assert {answer.status_code for answer in inside} == {401, 429}
        assert nobody.get("/mismatches/stats", {"X-Forwarded-For": "2001:db8:0:1::1"}).status_code == 401
        allowed = desk.person(Role.VIEWER).get("/mismatches", client)
        assert allowed.status_code == 200
        assert allowed.headers["RateLimit-Policy"] == '"default";q=10000;w=10'


def test_who_is_no_proxy_of_ours_names_no_other_client(filled: Settings, identity: Settings, tmp_path: Path) -> None:
    """Unless RECON_TRUSTED_PROXIES says so, the calls are those of who made them: for the limit and in the audit trail."""
    # a Valkey in which no other test has spent anything
    own = {"redis_url": filled.redis_url.rsplit("/", 1)[0] + "/8", "rate_limits": f"/mismatches/stats={LIMIT}"}
    with serving(filled, identity, tmp_path, **own) as desk:
        nobody, request = desk.person(None), f"request-{uuid.uuid4().hex}"
        claims = ({"X-Forwarded-For": f"192.0.{n >> 8}.{n & 255}"} for n in range(1000))
        # calls leave the window while a slow machine makes more
        statuses = (nobody.get("/mismatches/stats", claim).status_code for claim in claims)
        assert next((status for status in statuses if status != 401), None) == 429
        claimed = {"X-Forwarded-For": "192.0.2.77, 127.0.0.1", "X-Request-ID": request}
        assert desk.person(Role.AUDITOR).get("/audit", claimed).status_code == 200
        (read,) = trail(desk.settings, "audit.list", request_id=request)
        assert read["address"] == "127.0.0.1"
