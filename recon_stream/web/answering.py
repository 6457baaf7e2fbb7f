"""Every answer is one of ours: errors in one shape, the same headers, a request id, a count; whatever a client sends, and whatever
happens inside.

aiohttp answers some requests before any middleware, in words and headers of its own: what its parser cannot read, and expectations
that it does not know. So this lies around its whole server, not in its chain of middlewares.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import psycopg
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web import BaseRequest, HTTPException, Request, RequestHandler, Server, StreamResponse
from multidict import CIMultiDict, CIMultiDictProxy
from psycopg_pool import PoolTimeout, TooManyRequests

from recon_stream.errors import TransientFailure
from recon_stream.metrics.catalogue import HTTP_REQUESTS
from recon_stream.web.call import request_id_of
from recon_stream.web.problems import Fault, Problem, internal, invalid, of_http, unavailable, unreadable

logger = logging.getLogger(__name__)

REQUEST_ID, QUOTA = "request_id", "quota"
"""Of a request: its id, and the headers that say what is left of the limit."""
NOWHERE = "-"
"""In metrics, the method and path of what is for no endpoint; there is no end to what clients could name."""
SAID_BYTES_MAX, SAID_SECONDS = 1 << 20, 10.0
"""What a client may send over a websocket in how long, pings and parts of messages among it: as much as its messages can have."""

Handler = Callable[[Any], Awaitable[StreamResponse]]


def dress(response: StreamResponse, headers: Mapping[str, str], request_id: str) -> None:
    """Give an answer the headers that all have; it may have its own instead of some of them, but what it varies by is added up."""
    for name, value in headers.items():
        own = response.headers.setdefault(name, value)
        if name == "Vary" and value not in own:
            response.headers[name] = f"{own}, {value}"
    response.headers["X-Request-ID"] = request_id
    # who serves is nobody's business
    response.headers["Server"] = "recon-stream"


def sound(message: RawRequestMessage) -> RawRequestMessage:
    """A request whose headers are plain text and whose address is a path here.

    aiohttp decodes host names and encodes parts of headers again, where what is no text would fail outside of every handler; and it
    would take the host of an address for the one that was asked.
    """
    if message.url.absolute:
        message = message._replace(url=message.url.relative())
    if all(value.isascii() for value in message.headers.values()):
        return message
    headers = ((name, value.encode("ascii", "replace").decode()) for name, value in message.headers.items())
    return message._replace(headers=CIMultiDictProxy(CIMultiDict(headers)))


class AnsweringServer(Server):
    """As `plain`, which aiohttp made for an application, but for the answers to what that application is never asked.

    `headers` are those of every answer.
    """

    def __init__(self, plain: Server, headers: Mapping[str, str]) -> None:
        handler: Handler = plain.request_handler
        request_of = plain.request_factory

        async def answer(request: Any) -> StreamResponse:
            return await _answered(request, handler)

        def sound_request_of(message: RawRequestMessage, *rest: Any) -> BaseRequest:
            return request_of(sound(message), *rest)

        super().__init__(
            answer,
            request_factory=sound_request_of,
            handler_cancellation=plain.handler_cancellation,
            loop=plain._loop,  # noqa: SLF001 - aiohttp offers no other way to a handler of connections of one's own
            **plain._kwargs,  # noqa: SLF001
        )
        self._headers = headers

    def __call__(self) -> RequestHandler:
        """What handles one connection."""
        return _Connection(self._headers, self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ("_headers", "_said", "_said_since")

    def __init__(self, headers: Mapping[str, str], manager: Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._headers = headers
        self._said, self._said_since = 0, 0.0

    def data_received(self, data: bytes) -> None:
        """Cuts off a websocket whose client says too much; aiohttp would work through all of it before a message is there to count."""
        if self._payload_parser is not None:
            now = self._loop.time()
            if now - self._said_since > SAID_SECONDS:
                self._said, self._said_since = 0, now
            self._said += len(data)
            if self._said > SAID_BYTES_MAX and self.transport is not None:
                self.transport.abort()
                return
        super().data_received(data)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """The answer to what is no request, after which the connection ends. Raises ConnectionError where an answer is under way."""
        request_id = secrets.token_hex(8)
        if status == HTTPStatus.BAD_REQUEST:
            # Nothing of the content, for that may be an account number; and no more than a line, for anybody can cause it.
            logger.info("request %s from %s cannot be read: %s", request_id, request.remote, type(exc).__name__)
            problem = unreadable(_why(exc))
        else:
            logger.error("request %s failed", request_id, exc_info=exc)
            problem = internal()
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer was sent already")
        HTTP_REQUESTS.labels(NOWHERE, NOWHERE, str(problem.status.value)).inc()
        response = problem.answer(request_id)
        dress(response, self._headers, request_id)
        response.force_close()
        return response


def _why(exc: BaseException | None) -> str:
    if isinstance(exc, LineTooLong):
        return f"The address or a header has more than {exc.args[1]} bytes."
    return "That is no HTTP request."


async def _answered(request: Request, handler: Handler) -> StreamResponse:
    """What the handler answers, and where it fails, an answer that says so: never a stack trace, never aiohttp's own pages."""
    request[REQUEST_ID] = request_id_of(request.headers.get("X-Request-ID"), secrets.token_hex(8))
    response = await _attempted(request, handler)
    resource = request.match_info.route.resource
    method, path = (request.method, resource.canonical) if resource is not None else (NOWHERE, NOWHERE)
    HTTP_REQUESTS.labels(method, path, str(response.status)).inc()
    return response


async def _attempted(request: Request, handler: Handler) -> StreamResponse:
    request_id = request[REQUEST_ID]
    try:
        return await handler(request)
    except Problem as problem:
        return problem.answer(request_id)
    except HTTPException as error:
        return of_http(error).answer(request_id)
    except psycopg.DataError as error:
        logger.warning("request %s: %s", request_id, str(error).strip())
        # a cursor that was made up holds anything
        return invalid([Fault("query", "", "a value in it is out of range")]).answer(request_id)
    except psycopg.errors.QueryCanceled:
        return unavailable("That takes the database too long; narrow the filters. It").answer(request_id)
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TooManyRequests, TransientFailure) as error:
        logger.warning("request %s: %s", request_id, str(error).strip())
        return unavailable("A service that this needs").answer(request_id)
    except (ConnectionError, RuntimeError) as error:
        # RuntimeError is what uvloop says of a write to a connection that was reset a moment ago
        if request.transport is None or request.transport.is_closing():
            logger.info("request %s: its client went away: %s", request_id, type(error).__name__)
            return unreadable("The connection ended.").answer(request_id)
        return _failed(request_id)
    except Exception:
        return _failed(request_id)


def _failed(request_id: str) -> StreamResponse:
    logger.exception("request %s failed", request_id)
    return internal().answer(request_id)
