"""Every endpoint by every role, on tokens of the real Keycloak. The table is written here once more, by hand: a change of the
product's own, or an endpoint that is in nobody's mind, fails."""

from __future__ import annotations

import re
from typing import Any

import pytest

from recon_stream.security.roles import Role
from recon_stream.web import api
from recon_stream.web.endpoints import ENDPOINTS
from tests.web.serving import Desk

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

PUBLIC = "public"
BY_TICKET, BY_LOGOUT_TOKEN = "by ticket", "by logout token"
ALL, ALL_BUT_VIEWERS, OVERSEERS = "admin auditor operator viewer", "admin auditor operator", "admin auditor"

TABLE = {
    "GET /": PUBLIC,
    "GET /dashboard": PUBLIC,
    "GET /dashboard/config.json": PUBLIC,
    "GET /dashboard/": PUBLIC,
    "GET /dashboard/{page}": PUBLIC,
    "GET /dashboard/{page}/{item}": PUBLIC,
    "GET /health": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "GET /docs": PUBLIC,
    "GET /docs/{file}": PUBLIC,
    "GET /me": ALL,
    "GET /status": ALL,
    "GET /transactions": ALL,
    "GET /transactions/stats": ALL,
    "GET /transactions/{txn_id}": ALL,
    "GET /transactions/{txn_id}/records": ALL_BUT_VIEWERS,
    "GET /mismatches": ALL,
    "GET /mismatches/facets": ALL,
    "GET /mismatches/stats": ALL,
    "GET /mismatches/{break_id}": ALL,
    "GET /transactions/export": ALL_BUT_VIEWERS,
    "GET /mismatches/export": ALL_BUT_VIEWERS,
    "GET /dead-letters": ALL_BUT_VIEWERS,
    "GET /dead-letters/reasons": ALL_BUT_VIEWERS,
    "GET /dead-letters/{letter_id}": ALL_BUT_VIEWERS,
    "POST /dead-letters/{letter_id}/replay": "admin operator",
    "POST /dead-letters/{letter_id}/discard": "admin operator",
    "GET /audit": OVERSEERS,
    "GET /audit/export": OVERSEERS,
    "GET /audit/verification": OVERSEERS,
    "GET /reports/daily": OVERSEERS,
    "GET /admin/system-health": OVERSEERS,
    "GET /admin/users": OVERSEERS,
    "POST /backchannel-logout": BY_LOGOUT_TOKEN,
    "POST /ws/ticket": ALL,
    "GET /ws": BY_TICKET,
}
"""Operation -> who may."""
PATHS = {
    "page": "transactions",
    "item": "T003",
    "file": "start.js",
    "txn_id": "T003",
    "break_id": "b003",
    "letter_id": "core_txns:0:1",
}
ASKING = {"request_key": "request-1", "dry_run": True}
"""Of each POST: nothing is done."""
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
CALLERS: tuple[Role | None, ...] = (*Role, None)


def path_of(operation: str) -> tuple[str, str]:
    """Method and path, with something that exists in its variable parts."""
    method, path = operation.split(" ")
    return method, re.sub(r"{(\w+)}", lambda part: PATHS[part[1]], path)


def test_every_endpoint_is_in_the_table() -> None:
    """An endpoint that was added without a thought about who may is a failure here."""
    assert api.__all__
    assert sorted(f"{each.method} {each.path}" for each in ENDPOINTS) == sorted(TABLE)


@pytest.mark.parametrize("caller", CALLERS, ids=str)
@pytest.mark.parametrize("operation", TABLE)
def test_who_may(rest: Desk, operation: str, caller: Role | None) -> None:
    """Those in the table are answered; others are told 403, nobody 401, and neither learns more."""
    method, path = path_of(operation)
    body = ASKING if path.startswith("/dead-letters/") and method == "POST" else None
    answer = rest.person(caller).ask(method, path, body)
    if TABLE[operation] in (BY_TICKET, BY_LOGOUT_TOKEN):
        # no access token opens it; see tests/web/live and test_logout.py
        assert answer.status_code == (400 if TABLE[operation] == BY_TICKET else 415), answer.text
        return
    if TABLE[operation] == PUBLIC or (caller is not None and caller.value in TABLE[operation].split()):
        assert answer.status_code == 200, answer.text
        return
    expected = 401 if caller is None else 403
    assert answer.status_code == expected, answer.text
    _is_problem(answer.json(), expected, answer.headers["X-Request-ID"])
    assert answer.headers["Content-Type"] == "application/problem+json; charset=utf-8"
    assert ("WWW-Authenticate" in answer.headers) == (caller is None)


@pytest.mark.parametrize("path", sorted({operation.split(" ")[1] for operation in TABLE}))
def test_a_path_takes_no_other_method(rest: Desk, path: str) -> None:
    """Whoever asks, and whatever method a library would answer by itself; told which ones there are."""
    taken = {method for method, known in (operation.split(" ") for operation in TABLE) if known == path}
    administrator = rest.person(Role.ADMIN)
    for method in METHODS - taken:
        answer = administrator.ask(method, path_of(f"{method} {path}")[1])
        assert (answer.status_code, set(answer.headers["Allow"].split(","))) == (405, taken), method


def _is_problem(body: dict[str, Any], status: int, request_id: str) -> None:
    assert set(body) == {"type", "title", "status", "detail", "request_id"}
    assert (body["status"], body["request_id"]) == (status, request_id)
