"""The API tells what it is, to programs and to people."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from mimetypes import guess_type
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from recon_stream.errors import ConfigurationError
from recon_stream.web.call import Call
from recon_stream.web.endpoints import ENDPOINTS, Reply, endpoint
from recon_stream.web.openapi import document
from recon_stream.web.problems import not_found

_OURS = ("index.html", "start.js")
_VIEWER = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
_KEEP = {"Cache-Control": "public, max-age=3600"}
"""The same for everybody, and no secret."""


@endpoint("GET", "/openapi.json", needs=None, tag="Service")
async def openapi(_: Call[Any, None]) -> Reply:
    """This document: OpenAPI 3.1."""
    return Reply(_document())


@endpoint("GET", "/docs", needs=None, tag="Service", media=("text/html",))
async def docs(_: Call[Any, None]) -> web.Response:
    """A page to read the API and to try it."""
    return _file("index.html")


@endpoint("GET", "/docs/{file}", needs=None, tag="Service", media=("text/css", "text/javascript", "image/png"))
async def docs_file(call: Call[Any, None]) -> web.Response:
    """What that page is made of."""
    return _file(call.path["file"])


@cache
def _document() -> bytes:
    return orjson.dumps(document(ENDPOINTS))


def _file(name: str) -> web.Response:
    content = _files().get(name)
    if content is None:
        raise not_found("file")
    kind = guess_type(name)[0]
    return web.Response(
        body=content, content_type=kind, charset=None if kind == "image/png" else "utf-8", headers=_KEEP
    )


@cache
def _files() -> dict[str, bytes]:
    """By name: a path from outside never reaches the file system."""
    ours = files("recon_stream.web") / "docs"
    # found, not imported: the package brings servers of its own
    spec = find_spec("swagger_ui")
    if spec is None or spec.origin is None:
        raise ConfigurationError("the package swagger-ui-py is not installed: `make setup`")
    viewer = Path(spec.origin).parent / "static"
    return {name: (ours / name).read_bytes() for name in _OURS} | {
        name: (viewer / name).read_bytes() for name in _VIEWER
    }
