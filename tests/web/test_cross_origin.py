"""What pages of other origins may do: those of ALLOWED_ORIGINS ask and read, all others are told nothing, and no cache mixes them up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests

from recon_stream.settings import Settings
from tests.web.serving import TIMEOUT, Desk, serving

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

PAGE, OTHER_PAGE = "https://recon.example", "http://127.0.0.1:5173"
STRANGERS = [
    "https://evil.example", f"{PAGE}.evil.example", "https://evilrecon.example", f"{PAGE}:444", "http://recon.example", f"{PAGE}/", "null",
    "*", "",
]  # fmt: skip
ASKING = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture(scope="module")
def shared(filled: Settings, identity: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The API for the pages of two other origins."""
    folder = tmp_path_factory.mktemp("shared")
    with serving(filled, identity, folder, allowed_origins=f"{PAGE},{OTHER_PAGE}") as desk:
        yield desk


def asked(desk: Desk, method: str, path: str, origin: str | None, **headers: str) -> requests.Response:
    """A request as a browser makes it for a page of that origin."""
    named = {} if origin is None else {"Origin": origin}
    return requests.request(method, desk.base + path, headers=named | headers, timeout=TIMEOUT)


def opened(headers: Mapping[str, str]) -> dict[str, str]:
    """What of an answer lets a page of another origin read it."""
    return {
        name: value for name, value in headers.items() if name.startswith("Access-Control-Allow-") and value != "GET"
    }


@pytest.mark.parametrize("origin", [PAGE, OTHER_PAGE])
def test_a_page_of_an_allowed_origin_may_ask_and_read(shared: Desk, origin: str) -> None:
    """By its own name; with a token, and without cookies. Errors can be read as well."""
    before = asked(shared, "OPTIONS", "/me", origin, **ASKING)
    assert (before.status_code, before.headers["Access-Control-Allow-Methods"]) == (200, "GET")
    assert opened(before.headers) == {
        "Access-Control-Allow-Origin": origin, "Access-Control-Allow-Headers": "AUTHORIZATION",
    }  # fmt: skip
    for path, status in (("/health", 200), ("/me", 401)):
        answer = asked(shared, "GET", path, origin)
        assert answer.status_code == status
        assert opened(answer.headers) == {"Access-Control-Allow-Origin": origin}
        assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", STRANGERS)
def test_a_page_of_any_other_origin_is_told_nothing(shared: Desk, origin: str) -> None:
    """Not by a name that looks alike, not as `null`; what it has to ask for beforehand is refused."""
    before = asked(shared, "OPTIONS", "/me", origin, **ASKING)
    assert before.status_code == 403
    for answer in (before, asked(shared, "GET", "/health", origin), asked(shared, "GET", "/me", origin)):
        assert [name for name in answer.headers if name.startswith("Access-Control-")] == []


def test_a_page_may_not_ask_for_what_the_api_does_not_take(shared: Desk) -> None:
    """Another method, another header: refused before it is sent."""
    for wish in ({"Access-Control-Request-Method": "DELETE"}, {"Access-Control-Request-Headers": "x-forwarded-for"}):
        before = asked(shared, "OPTIONS", "/me", PAGE, **ASKING | wish)
        assert (before.status_code, opened(before.headers)) == (403, {})


def test_cookies_are_taken_of_allowed_origins_alone_and_only_where_that_is_set(
    filled: Settings, identity: Settings, tmp_path: Path
) -> None:
    """ALLOWED_CREDENTIALS opens nothing to strangers."""
    changed = {"allowed_origins": PAGE, "allowed_credentials": True}
    with serving(filled, identity, tmp_path, **changed) as desk:
        for method in ("OPTIONS", "GET"):
            answer = asked(desk, method, "/me", PAGE, **ASKING)
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            for origin in ("https://evil.example", "null"):
                assert opened(asked(desk, method, "/me", origin, **ASKING).headers) == {}


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/docs/start.js", "/dashboard/", "/me", "/nowhere"])
@pytest.mark.parametrize("origin", [PAGE, "https://evil.example", None])
def test_no_cache_gives_the_answer_for_one_origin_to_another(shared: Desk, path: str, origin: str | None) -> None:
    """Every answer says that it may be another one for another origin, whoever asked first and whether it was allowed."""
    for method in ("GET", "OPTIONS"):
        assert asked(shared, method, path, origin, **ASKING).headers["Vary"] == "Origin"


def test_what_else_an_answer_varies_by_stays(shared: Desk) -> None:
    """A file that is compressed for those who take that."""
    links = re.findall(r'src="(/dashboard/assets/[^"]+)"', asked(shared, "GET", "/dashboard/", None).text)
    for origin in (PAGE, None):
        assert asked(shared, "GET", links[0], origin).headers["Vary"] == "Accept-Encoding, Origin"


def test_where_no_origin_is_allowed_nothing_is_said_of_them(rest: Desk) -> None:
    """As it is unless somebody sets ALLOWED_ORIGINS."""
    for origin in (PAGE, rest.base, "null"):
        assert asked(rest, "OPTIONS", "/me", origin, **ASKING).status_code == 405
        for path in ("/health", "/me", "/docs/start.js"):
            headers = asked(rest, "GET", path, origin).headers
            assert [name for name in headers if name.startswith("Access-Control-")] == []
            assert "Origin" not in headers.get("Vary", "")
