"""The way to the real registry, which counts what is asked and can be taken away."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web


class RegistryPath:
    """Forwards requests to the registry; `failing` is the status it answers with instead, 0 for cutting the connection.

    With `user`, a name and a password, it answers 401 to everybody else.
    """

    def __init__(self, target: str, user: aiohttp.BasicAuth | None = None) -> None:
        self._target, self._user = target.rstrip("/"), user
        self.url = ""
        self.asked: Counter[str] = Counter()
        self.failing: int | None = None
        self._asked = asyncio.Condition()

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        async with self._asked:
            self.asked[request.path] += 1
            self._asked.notify_all()
        if self._user is not None and request.headers.get("Authorization") != self._user.encode():
            return web.Response(status=401, text="<html>who are you?</html>")
        if self.failing == 0:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if self.failing is not None:
            return web.Response(status=self.failing, text='{"error_code": 50001, "message": "not now"}')
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method,
                self._target + request.path,
                data=await request.read(),
                headers={"Content-Type": "application/json"},
            ) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    async def asked_often(self, times: int) -> None:
        """Wait until something has been asked for so many times."""
        async with asyncio.timeout(30), self._asked:
            await self._asked.wait_for(lambda: any(number >= times for number in self.asked.values()))

    def times(self, schema_id: int) -> int:
        """How often that schema has been asked for."""
        return self.asked[f"/schemas/ids/{schema_id}"]


@asynccontextmanager
async def registry_path(
    target: str, user: aiohttp.BasicAuth | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RegistryPath]:
    """A path that is open, on a free port of the loopback; https where there is a context."""
    path = RegistryPath(target, user)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", path.forward)
    runner: Any = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    path.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield path
    finally:
        await runner.cleanup()
