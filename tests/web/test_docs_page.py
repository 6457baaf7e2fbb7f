"""The page that shows the API: all of it comes from us, and nothing of it needs what the policy forbids."""

from __future__ import annotations

import re

import pytest

from tests.web.serving import Desk

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


def test_everything_on_the_page_is_served_here_and_the_policy_allows_it(rest: Desk) -> None:
    """No other host, no script or style within the page; what it links to is there and says what it is."""
    page = rest.person(None).get("/docs")
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=", page.text) == []
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 5
    kinds = {"css": "text/css", "js": "text/javascript", "png": "image/png", "json": "application/json"}
    for link in links:
        assert link.startswith(("/docs/", "/openapi.json"))
        found = rest.person(None).get(link)
        assert found.status_code == 200, link
        assert found.headers["Content-Type"].split(";")[0] == kinds[link.rpartition(".")[2]]
        assert found.headers["X-Content-Type-Options"] == "nosniff"
    start = rest.person(None).get("/docs/start.js").text
    assert 'url: "/openapi.json"' in start


@pytest.mark.parametrize("name", ["..%2fdocuments.py", "swagger-ui-bundle.js.map", "index.html%00.js", "%2e%2e"])
def test_nothing_else_of_the_file_system_is_served(rest: Desk, name: str) -> None:
    """The names that exist are a list; what is not in it is not looked for."""
    assert rest.person(None).get(f"/docs/{name}").status_code in (400, 404)
