"""The files of the dashboard, as the web role serves them."""

from __future__ import annotations

import re

import pytest

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
        plain = nobody.get(link, headers={"Accept-Encoding": "identity"})
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
