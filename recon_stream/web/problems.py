"""Errors as clients see them: RFC 9457, application/problem+json, one shape for all. Nothing in them tells of our insides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from aiohttp import web

MEDIA_TYPE = "application/problem+json"


class Fault(NamedTuple):
    """One thing that is wrong with a request."""

    place: str
    """path, query, header or body."""
    name: str
    message: str


class Problem(Exception):
    """An answer that is an error. `code` is a word for programs, `detail` a sentence for people."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.faults, self.headers = tuple(faults), dict(headers or {})

    def answer(self, request_id: str) -> web.Response:
        """The response; the request id leads from a complaint to our log."""
        body: dict[str, Any] = {
            "type": f"urn:recon:problem:{self.code}",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.faults:
            body["errors"] = [fault._asdict() for fault in self.faults]
        return web.Response(
            body=orjson.dumps(body), status=self.status, headers=self.headers, content_type=MEDIA_TYPE, charset="utf-8"
        )


def invalid(faults: Sequence[Fault]) -> Problem:
    """The request cannot be understood as it is."""
    return Problem(HTTPStatus.BAD_REQUEST, "invalid-request", "The request is not valid.", faults=faults)


def unreadable(detail: str) -> Problem:
    """What came is no request that could be answered otherwise."""
    return Problem(HTTPStatus.BAD_REQUEST, "unreadable", detail)


def unauthenticated(error: str = "") -> Problem:
    """Nobody knows who asks. `error` is a code of RFC 6750, empty where no token came."""
    challenge = 'Bearer realm="reconciliation"' + (f', error="{error}"' if error else "")
    detail = "The access token is not valid, or not any more." if error else "An access token is needed."
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthenticated", detail, headers={"WWW-Authenticate": challenge})


def forbidden() -> Problem:
    """It is known who asks, and they may not."""
    return Problem(HTTPStatus.FORBIDDEN, "forbidden", "Your roles do not allow this.")


def not_found(what: str) -> Problem:
    """There is no such thing, or none that may be seen."""
    return Problem(HTTPStatus.NOT_FOUND, "not-found", f"There is no such {what}.")


def unavailable(what: str, retry_after: int = 5) -> Problem:
    """Something that we need does not answer; `retry_after` in seconds."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        f"{what} does not answer. Nothing is lost; try again.",
        headers={"Retry-After": str(retry_after)},
    )


def too_many(code: str, detail: str, retry_after: int) -> Problem:
    """As many are under way as may be; `retry_after` in seconds."""
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, code, detail, headers={"Retry-After": str(retry_after)})


def internal() -> Problem:
    """A fault of ours."""
    detail = "Something went wrong here; the log tells more under this request id."
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail)


def of_http(error: web.HTTPException) -> Problem:
    """What aiohttp itself refuses: unknown paths, methods, bodies that are too large."""
    status = HTTPStatus(error.status)
    words = {
        HTTPStatus.NOT_FOUND: ("not-found", "There is nothing at this path."),
        HTTPStatus.METHOD_NOT_ALLOWED: ("method-not-allowed", "This path does not take that method."),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("too-large", "The body is too large."),
        HTTPStatus.EXPECTATION_FAILED: ("expectation-failed", "Of expectations only 100-continue is known here."),
    }
    code, detail = words.get(status, ("refused", "The request was refused."))
    kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    return Problem(status, code, detail, headers=kept)
