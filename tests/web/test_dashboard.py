"""The files of the dashboard, as the web role serves them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from recon_stream.web.api import dashboard
from recon_stream.web.problems import Problem
from tests.web.serving import Desk

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


def test_every_address_of_a_view_gets_the_page(rest: Desk) -> None:
    """A link to a view with its filters works in a fresh tab; the page is asked for anew each time."""
    nobody = rest.person(None)
    page = nobody.get("/dashboard/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-cache"
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=", page.text) == []
    for path in (
        "/dashboard/exceptions?class=%5B%22AMOUNT_MISMATCH%22%5D",
        "/dashboard/transactions/T%2F1?tab=history",
    ):
        assert nobody.get(path).content == page.content


def test_the_files_it_is_made_of_are_kept_and_compressed(rest: Desk) -> None:
    """Names change with contents, so browsers keep them for ever; who takes gzip gets it."""
    nobody = rest.person(None)
    links = re.findall(r'(?:src|href)="(/dashboard/assets/[^"]+)"', nobody.get("/dashboard/").text)
    assert len(links) > 3
    for link in links:
        packed = nobody.get(link, headers={"Accept-Encoding": "gzip"})
        plain = nobody.get(link, headers={"Accept-Encoding": "br, gzip;q=0, identity"})
        assert packed.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
        assert "Content-Encoding" not in plain.headers
        assert packed.content == plain.content
        assert int(packed.headers["Content-Length"]) < len(plain.content)


@pytest.mark.parametrize("name", ["assets/nope.js", "assets/..%2f..%2fserver.py", "assets/%2e%2e%2findex.html"])
def test_nothing_else_of_the_file_system_is_served(rest: Desk, name: str) -> None:
    """The names that exist are a list."""
    assert rest.person(None).get(f"/dashboard/{name}").status_code in (400, 404)


def test_the_root_leads_to_it_and_the_page_learns_where_to_log_in(rest: Desk) -> None:
    """Without anybody being known."""
    nobody = rest.person(None)
    assert nobody.get("/").url == f"{rest.base}/dashboard/"
    told = nobody.get("/dashboard/config.json").json()
    assert told["keycloak"]["url"] == rest.settings.keycloak_server_url
    assert told["keycloak"]["client_id"] == "reconciliation-dashboard"


def test_without_its_slash_it_leads_there_with_the_filters(rest: Desk) -> None:
    """Nothing of the query is lost or written differently, and no browser keeps for ever that it leads there."""
    query = "class=%5B%22AMOUNT_MISMATCH%22%5D&text=a+b&account=%2F"
    nobody = rest.person(None)
    for asked, place in (("", "/dashboard/"), (f"?{query}", f"/dashboard/?{query}")):
        arrived = nobody.get(f"/dashboard{asked}")
        (led,) = arrived.history
        assert (led.status_code, led.headers["Location"]) == (302, place)
        assert led.headers["Content-Type"] == "text/html; charset=utf-8"
        assert (arrived.status_code, arrived.content) == (200, nobody.get("/dashboard/").content)


ADDRESSES = {
    dashboard.start: {},
    dashboard.page: {"page": "exceptions"},
    dashboard.item: {"page": dashboard.ASSETS, "item": "index.js"},
}


@pytest.mark.parametrize("handler", ADDRESSES, ids=lambda handler: handler.__name__)
async def test_where_it_was_not_built_the_answer_says_what_to_do_and_a_build_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Callable[[Any], Awaitable[web.Response]]
) -> None:
    """At each of its addresses. Neither browser nor server remembers that it was missing."""
    call = SimpleNamespace(path=ADDRESSES[handler], request=SimpleNamespace(headers={}))
    monkeypatch.setattr(dashboard, "files", lambda _: tmp_path)
    dashboard._files.cache_clear()
    try:
        with pytest.raises(Problem) as missing:
            await handler(call)
        answer = missing.value.answer("r1")
        assert (answer.status, answer.headers["Cache-Control"]) == (503, "no-store")
        assert "`make dashboard`" in missing.value.detail
        (tmp_path / "dashboard" / dashboard.ASSETS).mkdir(parents=True)
        for name in ("index.html", f"{dashboard.ASSETS}/index.js"):
            (tmp_path / "dashboard" / name).write_text("built")
        built = await handler(call)
        assert (built.status, built.body) == (200, b"built")
    finally:
        dashboard._files.cache_clear()
