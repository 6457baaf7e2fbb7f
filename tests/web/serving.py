"""The web role as a process, and people who ask it with tokens of the real Keycloak."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import requests
from psycopg.types.json import Jsonb

from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from recon_stream.stack.ports import free_ports
from tests.secured.processes import SECONDS, role
from tests.secured.processes import Role as Process
from tests.security.logins import api_client

TIMEOUT = 60
TOLD_BROWSERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
"""Of every answer, written here once more, by hand."""
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self' {identity}",
    "frame-src": "{identity}",
    "form-action": "'self' {identity}",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "object-src": "'none'",
}
"""What a page may load, and who may show it; {identity} is the origin of Keycloak."""


class Person:
    """A demo user of one role, in front of the API; None: nobody who is known."""

    def __init__(self, settings: Settings, base: str, who: Role | None) -> None:
        self._base = base
        self.authorization = "" if who is None else f"Bearer {_token(settings, who)}"
        self.headers = {} if who is None else {"Authorization": self.authorization}

    def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> requests.Response:
        """Ask; lists in a query are given several times."""
        return requests.get(
            f"{self._base}{path}", params=query, headers=self.headers | (headers or {}), timeout=TIMEOUT
        )

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        """Any method, without parameters."""
        return requests.request(method, f"{self._base}{path}", json=body, headers=self.headers, timeout=TIMEOUT)

    def post(self, path: str, **body: Any) -> requests.Response:
        """Do."""
        return requests.post(f"{self._base}{path}", json=body, headers=self.headers, timeout=TIMEOUT)

    def every(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """All items of a list, page by page."""
        items, after = [], None
        while True:
            answer = self.get(path, **query, after=after)
            assert answer.status_code == 200, answer.text
            items += answer.json()["items"]
            after = answer.json()["next"]
            if after is None:
                return items


class Desk:
    """A web role that serves."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.base = f"http://127.0.0.1:{settings.web_port}"

    def person(self, who: Role | None) -> Person:
        """Somebody who asks."""
        return Person(self.settings, self.base, who)


class Served(Desk):
    """With the process that does it."""

    def __init__(self, settings: Settings, process: Process) -> None:
        super().__init__(settings)
        self.process = process


@contextmanager
def serving(database: Settings, identity: Settings, folder: Path, **changed: Any) -> Iterator[Served]:
    """The web role on that database and that Keycloak, with these settings changed."""
    (port,) = free_ports(1)
    settings = replace(
        database,
        keycloak_server_url=identity.keycloak_server_url,
        keycloak_client_secret=identity.keycloak_client_secret,
        web_port=port,
        rate_limits="",
        rate_limit_default=10_000,
    )
    settings = replace(settings, **changed)
    with role("web", settings, folder) as process:
        desk, deadline = Served(settings, process), time.monotonic() + SECONDS
        while not _answers(desk):
            assert process.process.poll() is None, process.log.read_text()
            assert time.monotonic() < deadline, process.log.read_text()
            time.sleep(0.1)
        yield desk


def _answers(desk: Desk) -> bool:
    try:
        return requests.get(f"{desk.base}/health", timeout=TIMEOUT).status_code == 200
    except requests.ConnectionError:
        return False


def keeps_browsers_safe(headers: Mapping[str, str], settings: Settings) -> None:
    """Every header that an answer has for the browser's sake is there, and allows what is needed and no more."""
    assert {name: headers.get(name) for name in TOLD_BROWSERS} == TOLD_BROWSERS
    scheme, _, rest = settings.keycloak_server_url.partition("://")
    identity = f"{scheme}://{rest.partition('/')[0]}"
    said = [part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")]
    assert len(said) == len(POLICY)
    assert dict(said) == {name: value.format(identity=identity) for name, value in POLICY.items()}


@cache
def _given(server: str, secret: str, who: Role, minute: int) -> str:
    settings = Settings(keycloak_server_url=server, keycloak_client_secret=secret)
    return str(api_client(settings).token(who.value, f"{who.value}123")["access_token"])


def _token(settings: Settings, who: Role) -> str:
    # one log-in a minute for each role: a token lasts five
    minute = int(time.time() // 60)
    return _given(settings.keycloak_server_url, settings.keycloak_client_secret, who, minute)


def trail(settings: Settings, action: str, at_least: int = 1, **having: Any) -> list[dict[str, Any]]:
    """Entries of the audit trail with these fields, once there are so many: reads are written behind their answers, in batches."""
    deadline = time.monotonic() + SECONDS
    query, wanted = (
        "SELECT to_jsonb(a) FROM audit_logs a WHERE to_jsonb(a) @> %s ORDER BY seq",
        Jsonb({"action": action, **having}),
    )
    with psycopg.connect(settings.database_reader_url, autocommit=True) as connection:
        while True:
            rows = connection.execute(query, [wanted]).fetchall()
            if len(rows) >= at_least:
                return [row[0] for row in rows]
            assert time.monotonic() < deadline, rows
            time.sleep(0.1)
