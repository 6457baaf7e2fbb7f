"""The dashboard: the files of its build, and what a browser must know before it can log in. All of it is public and the same for all."""

from __future__ import annotations

import re
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from mimetypes import guess_type
from typing import Any

from aiohttp import web
from pydantic import ConfigDict

from recon_stream import __version__
from recon_stream.web.call import Call
from recon_stream.web.endpoints import Answer, Parameters, Reply, endpoint
from recon_stream.web.problems import Problem, not_found

ASSETS = "assets"
"""Folder of the files whose names change with their contents."""
_TAKES_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")
_KEEP_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_ASK_EACH_TIME = {"Cache-Control": "no-cache"}


class ViewQuery(Parameters):
    """The filters of a view; only the page itself reads them."""

    model_config = ConfigDict(extra="allow", frozen=True)


class KeycloakClient(Answer):
    """Where browsers log in, and as which client."""

    url: str
    realm: str
    client_id: str


class DashboardConfig(Answer):
    """What the page must know before anybody is logged in."""

    keycloak: KeycloakClient
    version: str


@endpoint("GET", "/", needs=None, tag="Dashboard", media=("text/html",), status=302)
async def root(_: Call[Any, None]) -> web.Response:
    """Leads to the dashboard."""
    return _to_start("")


@endpoint("GET", "/dashboard", needs=None, query=ViewQuery, tag="Dashboard", media=("text/html",), status=302)
async def without_slash(call: Call[ViewQuery, None]) -> web.Response:
    """Leads to the dashboard, with the filters of a view."""
    return _to_start(call.request.rel_url.raw_query_string)


def _to_start(query: str) -> web.Response:
    link = '<!doctype html><title>recon-stream</title><a href="/dashboard/">Dashboard</a>'
    location = f"/dashboard/?{query}" if query else "/dashboard/"
    return web.Response(status=HTTPStatus.FOUND, text=link, content_type="text/html", headers={"Location": location})


@endpoint("GET", "/dashboard/config.json", needs=None, answers=DashboardConfig, tag="Dashboard")
async def config(call: Call[Any, None]) -> Reply:
    """Where a browser logs in."""
    settings = call.services.settings
    keycloak = {
        "url": settings.keycloak_server_url,
        "realm": settings.keycloak_realm,
        "client_id": settings.dashboard_client_id,
    }
    return Reply({"keycloak": keycloak, "version": __version__})


@endpoint("GET", "/dashboard/", needs=None, query=ViewQuery, tag="Dashboard", media=("text/html",), is_limited=False)
async def start(call: Call[ViewQuery, None]) -> web.Response:
    """The dashboard."""
    return _file(call, "index.html")


@endpoint(
    "GET", "/dashboard/{page}", needs=None, query=ViewQuery, tag="Dashboard", media=("text/html", "image/svg+xml"),
    is_limited=False,
)  # fmt: skip
async def page(call: Call[ViewQuery, None]) -> web.Response:
    """A page of it; each address gets the same file, and the browser finds the page."""
    name = call.path["page"]
    return _file(call, name if name in _files() else "index.html")


@endpoint(
    "GET", "/dashboard/{page}/{item}", needs=None, query=ViewQuery, tag="Dashboard",
    media=("text/html", "text/javascript", "text/css", "font/woff2"), is_limited=False,
)  # fmt: skip
async def item(call: Call[ViewQuery, None]) -> web.Response:
    """A page about one thing, or one of the files that pages are made of."""
    if call.path["page"] == ASSETS:
        return _file(call, f"{ASSETS}/{call.path['item']}")
    return _file(call, "index.html")


def _file(call: Call[ViewQuery, None], name: str) -> web.Response:
    content = _files().get(name)
    if content is None:
        raise not_found("file")
    headers = dict(_KEEP_FOR_EVER if name.startswith(f"{ASSETS}/") else _ASK_EACH_TIME)
    packed = _files().get(f"{name}.gz")
    if packed is not None:
        headers["Vary"] = "Accept-Encoding"
        if _TAKES_GZIP.search(call.request.headers.get("Accept-Encoding", "")):
            content, headers["Content-Encoding"] = packed, "gzip"
    kind = guess_type(name)[0] or "application/octet-stream"
    return web.Response(
        body=content, content_type=kind, charset="utf-8" if kind.startswith("text/") else None, headers=headers
    )


@cache
def _files() -> dict[str, bytes]:
    """The build, by path within it: a path from outside never reaches the file system.

    Raises Problem where nothing was built. That is not remembered: a build that comes later needs no restart.
    """
    folder = files("recon_stream.web") / "dashboard"
    if not (folder / "index.html").is_file():
        detail = "The dashboard has not been built. Run `make dashboard`, then reload this page; the server may go on running."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-built", detail, headers={"Cache-Control": "no-store"})
    return dict(_walk(folder, ""))


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        name = prefix + entry.name
        found += _walk(entry, f"{name}/") if entry.is_dir() else [(name, entry.read_bytes())]
    return found
