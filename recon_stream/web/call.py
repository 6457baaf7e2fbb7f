"""One request, understood: who asks, for what, with which parameters. Everything is bounded and typed from here on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from recon_stream.security.tokens import Principal
from recon_stream.web.endpoints import Endpoint, Parameters
from recon_stream.web.problems import Fault, Problem, invalid

if TYPE_CHECKING:
    from recon_stream.web.services import Services
    from recon_stream.web.trail import Trail

QUERY_CHARACTERS_MAX = 4096
FORM_FIELDS_MAX = 20
BODY_SECONDS = 10.0
"""In which all of a body must come."""
PATH_PART_CHARACTERS_MAX = 600
"""Somewhat more than an identifier has in the tables."""

Q = TypeVar("Q", bound=Parameters)
B = TypeVar("B", bound=Parameters | None)

_LAID_OUT = str.maketrans("\n\r\t", "   ")
"""What people lay a comment out with."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """What a handler is given."""

    request: web.Request
    request_id: str
    address: str
    """Of the client, behind proxies that are trusted."""
    principal: Principal | None
    path: Mapping[str, str]
    query: Q
    body: B
    services: Services
    trail: Trail

    @property
    def who(self) -> Principal:
        """The caller of an endpoint that is not public."""
        assert self.principal is not None, "a public endpoint has no caller"
        return self.principal


def request_id_of(header: str | None, fresh: str) -> str:
    """The caller's own id where it is harmless, else a fresh one."""
    return header if header is not None and _REQUEST_ID.fullmatch(header) else fresh


def path_of(request: web.Request) -> dict[str, str]:
    """The variable parts of the path, decoded once. Raises Problem."""
    parts = dict(request.match_info)
    for name, value in parts.items():
        if not 0 < len(value) <= PATH_PART_CHARACTERS_MAX or not _is_text(value):
            raise invalid([Fault("path", name, "is empty, too long, or no plain text")])
    return parts


def query_of(request: web.Request, model: type[Q]) -> Q:
    """The parameters behind the question mark. Raises Problem that names each fault."""
    if len(request.query_string) > QUERY_CHARACTERS_MAX:
        raise Problem(HTTPStatus.REQUEST_URI_TOO_LONG, "too-long", f"A query has at most {QUERY_CHARACTERS_MAX} bytes.")
    lists = {name for name, field in model.model_fields.items() if _is_list(field.annotation)}
    names = {field.alias or name: name for name, field in model.model_fields.items()}
    given: dict[str, Any] = {}
    for name in request.query:
        values = request.query.getall(name)
        if not all(_is_text(value) for value in values):
            raise invalid([Fault("query", name, "is no plain text")])
        if names.get(name) in lists:
            given[name] = values
        elif len(values) > 1:
            raise invalid([Fault("query", name, "is given twice")])
        else:
            given[name] = values[0]
    return _validated(model, given, "query")


async def body_of(request: web.Request, endpoint: Endpoint) -> Parameters | None:
    """The body, where the endpoint takes one. Raises Problem."""
    if endpoint.body is None:
        if request.can_read_body:
            raise invalid([Fault("body", "", "this operation takes no body")])
        return None
    is_plain = "Content-Encoding" not in request.headers and (request.charset or "utf-8").lower() == "utf-8"
    if request.content_type != endpoint.body_media or not is_plain:
        detail = f"The body must be {endpoint.body_media} in UTF-8, not compressed."
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media-type", detail)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            # aiohttp itself refuses bodies that are too large
            body = await request.read()
    except TimeoutError:
        detail = f"The body did not come within {BODY_SECONDS:.0f} s."
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "too-slow", detail) from None
    try:
        given = (
            orjson.loads(body)
            if endpoint.body_media == "application/json"
            else dict(parse_qsl(body.decode(), max_num_fields=FORM_FIELDS_MAX))
        )
    except ValueError:
        raise invalid([Fault("body", "", f"is no {endpoint.body_media}")]) from None
    for name, value in given.items() if isinstance(given, dict) else ():
        if isinstance(value, str) and not _is_text(value.translate(_LAID_OUT)):
            raise invalid([Fault("body", name, "is no plain text")])
    return _validated(endpoint.body, given, "body")


M = TypeVar("M", bound=BaseModel)


def _validated(model: type[M], given: Any, place: str) -> M:
    try:
        return model.model_validate(given, strict=True if place == "body" else None)
    except ValidationError as error:
        faults = [
            Fault(place, ".".join(str(part) for part in each["loc"]), _sentence(each))
            for each in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise invalid(faults[:20]) from None


def _sentence(error: Any) -> str:
    return "is not known here" if error["type"] == "extra_forbidden" else str(error["msg"])


def _is_list(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) in (tuple, list)


def _is_text(value: str) -> bool:
    """Without control characters and halves of pairs: neither a log nor a database should meet them."""
    return all(
        character >= " " and character != "\x7f" and not "\ud800" <= character <= "\udfff" for character in value
    )
