"""Puts the table of endpoints onto Faust's web server, and each request through the same steps in the same order:

limiter, identity, guard, parameters, handler, audit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from hashlib import blake2b
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from aiohttp_cors import ResourceOptions
from faust.web.drivers.aiohttp import Web

from recon_stream.apps import web as app
from recon_stream.metrics.catalogue import HTTP_SECONDS
from recon_stream.security.addresses import client_of, counted_as
from recon_stream.security.roles import Permission
from recon_stream.security.tokens import Principal, Unauthenticated
from recon_stream.settings import Settings, by_commas
from recon_stream.web import api  # noqa: F401 - registers the endpoints
from recon_stream.web.answering import QUOTA, REQUEST_ID
from recon_stream.web.call import Call, body_of, path_of, query_of
from recon_stream.web.endpoints import ENDPOINTS, Endpoint, Reply
from recon_stream.web.exporting import filters_of
from recon_stream.web.problems import Problem, forbidden, unauthenticated
from recon_stream.web.services import Services, services_of
from recon_stream.web.trail import Trail

SERVICES = web.AppKey("services", Services)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def mount(faust: Web) -> None:
    """Add routes and services to the application that Faust will serve."""
    server = faust.web_app
    server.cleanup_ctx.append(_services)
    # before the server waits for its connections to end
    server.on_shutdown.append(_close_sockets)
    origins = dict.fromkeys(by_commas(app.settings.allowed_origins), _cross_origin(app.settings))
    for endpoint in ENDPOINTS:
        route = server.router.add_route(endpoint.method, endpoint.path, _handler(endpoint))
        if origins:
            faust.cors.add(route, origins)


def _cross_origin(settings: Settings) -> ResourceOptions:
    """What pages of the origins in ALLOWED_ORIGINS may do; those of all others, nothing."""
    return ResourceOptions(  # type: ignore[no-untyped-call]
        allow_credentials=settings.allowed_credentials,
        allow_headers=("Authorization", "Content-Type", "If-None-Match", "X-Request-ID"),
        expose_headers=("ETag", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID"),
        max_age=600,
    )


app.mounts.append(mount)


async def _services(server: web.Application) -> AsyncIterator[None]:
    async with services_of(app.settings) as services:
        server[SERVICES] = services
        yield


async def _close_sockets(server: web.Application) -> None:
    await server[SERVICES].live.close()


def _handler(endpoint: Endpoint) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        # a socket that lives for hours is no slow answer; the live feed has metrics of its own
        is_socket = endpoint.status == HTTPStatus.SWITCHING_PROTOCOLS
        with nullcontext() if is_socket else HTTP_SECONDS.labels(endpoint.method, endpoint.path).time():
            return await serve(endpoint, request)

    return handle


async def serve(endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
    """One request to one endpoint. Raises Problem."""
    services = request.app[SERVICES]
    address = client_of(request.remote or "", request.headers.getall("X-Forwarded-For", []), services.proxies)
    await _count(request, services, address, endpoint)
    trail = Trail(services, endpoint, request, address)
    principal = None
    if endpoint.needs is not None:
        principal = await _identified(request, services, trail)
        _ensure(endpoint.needs, endpoint, principal, trail)
    call: Call[Any, Any] = Call(
        request=request,
        request_id=request[REQUEST_ID],
        address=address,
        principal=principal,
        path=path_of(request),
        query=query_of(request, endpoint.query),
        body=await body_of(request, endpoint),
        services=services,
        trail=trail,
    )
    needs_too = call.query.needs_too()
    if principal is not None and needs_too is not None:
        _ensure(needs_too, endpoint, principal, trail)
    if (
        principal is not None
        and endpoint.records is not None
        and endpoint.method == "GET"
        and not endpoint.records_itself
    ):
        # noted before the data leaves: what cannot be recorded is not shown
        trail.read(principal, endpoint.records, call.path, filters_of(call.query))
    async with nullcontext() if principal is None else services.turns.turn(principal.subject):
        reply = await endpoint.handler(call)
    return reply if isinstance(reply, web.StreamResponse) else _response(request, reply)


def _ensure(needed: Permission, endpoint: Endpoint, principal: Principal, trail: Trail) -> None:
    """Raises Problem 403 where the caller may not, and leaves a trace of it."""
    if needed not in principal.permissions:
        trail.refused(principal, endpoint.records or endpoint.name, needs=needed.value)
        raise forbidden()


async def _count(request: web.Request, services: Services, address: str, endpoint: Endpoint) -> None:
    """Whatever the answer will be, it says what is left of the limit. Raises Problem 429."""
    if not endpoint.is_limited:
        return
    quota = await services.limiter.spend(counted_as(address), endpoint.path)
    request[QUOTA] = quota.headers()
    if not quota.allowed:
        detail = f"At most {quota.limit} calls in 10 seconds; try again in {quota.reset_seconds} s."
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", detail)


async def _identified(request: web.Request, services: Services, trail: Trail) -> Principal:
    """Whose token came with the request. Raises Problem 401, and leaves a trace of what was refused."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        return await services.verifier.verify(token.strip() if kind.lower() == "bearer" else "")
    except Unauthenticated as refused:
        trail.unknown(refused.reason.value)
        raise unauthenticated(refused.error) from None


def _response(request: web.Request, reply: Reply) -> web.Response:
    body = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
    headers = dict(reply.headers)
    if request.method == "GET" and reply.status == HTTPStatus.OK:
        tag = blake2b(body, digest_size=12).hexdigest()
        headers["ETag"] = f'"{tag}"'
        if any(known.value in (tag, "*") for known in request.if_none_match or ()):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return web.Response(
        body=body, status=reply.status, headers=headers, content_type="application/json", charset="utf-8"
    )
