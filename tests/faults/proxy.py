"""Between the product and a service: a TCP proxy that can be slow, cut, reset, hang or refuse, and HTTP faults for the registry.

Proxies live in a thread with an event loop of its own: while the judge computes, the product's heartbeats still pass.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from random import Random
from typing import Any

from aiohttp import ClientSession, ClientTimeout, web

HOST = "127.0.0.1"
CHUNK = 65_536
RESET = struct.pack("ii", 1, 0)
CALL_SECONDS = 10.0
DELIVERY_SECONDS = 0.3


class Network:
    """The thread that carries all proxies."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run it in the thread and wait for it; it must be short."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        return future.result(CALL_SECONDS)

    def close(self) -> None:
        """End the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CALL_SECONDS)
        self.loop.close()


class Proxy:
    """One port in front of one service. The attributes may be set at any time and hold for every chunk from then on."""

    def __init__(self, network: Network, port: int, target: int, seed: int) -> None:
        self.port, self.target = port, target
        self._network, self._random = network, Random(seed)
        self._server: asyncio.Server | None = None
        self._links: set[Link] = set()
        self.strikes = 0
        """Connections that were ended by a fault."""
        self.calm()

    def calm(self) -> None:
        """Pass everything on as it comes."""
        self.latency = 0.0
        """Seconds by which every chunk is held back."""
        self.bandwidth = 0
        """Bytes a second and connection; 0: no bound."""
        self.reset_share = 0.0
        """Probability with which a chunk ends its connection by a reset."""
        self.cut_after = 0
        """Bytes of answers after which a connection is cut, the last chunk incomplete; 0: never."""
        self.is_hanging = False
        """Nothing passes and nothing ends: a network that drops packets."""
        self.watch: Callable[[bytes], str] | None = None
        """Looks at what clients send: "" passes on, "drop" cuts before it, "deliver" cuts after the service has it."""

    def open(self) -> None:
        """Listen."""
        self._network.call(self._open())

    def refuse(self) -> None:
        """Reset all connections and accept no further ones."""
        self._network.call(self._close())

    def reset(self) -> None:
        """Reset all connections; new ones are welcome."""
        self._network.call(self._reset())

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, limit=CHUNK)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for link in list(self._links):
            link.end()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection(HOST, self.target, limit=CHUNK)
        except OSError:
            abort(writer)
            return
        link = Link(self, self._random, (reader, writer), upstream)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """One connection through a proxy."""

    def __init__(self, proxy: Proxy, random: Random, client: Ends, service: Ends) -> None:
        self._proxy, self._random = proxy, random
        self._client, self._service = client, service
        self._answered = 0

    def end(self) -> None:
        """Reset both sides."""
        self._proxy.strikes += 1
        abort(self._client[1])
        abort(self._service[1])

    async def run(self) -> None:
        """Carry both directions until one of them ends."""
        pumps = {
            asyncio.create_task(self._pump(self._client[0], self._service[1], asks=True)),
            asyncio.create_task(self._pump(self._service[0], self._client[1], asks=False)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._client[1].close()
            self._service[1].close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asks: bool) -> None:
        proxy = self._proxy
        while data := await reader.read(CHUNK):
            while proxy.is_hanging:  # noqa: ASYNC110 set from another thread
                await asyncio.sleep(0.05)
            if proxy.latency:
                await asyncio.sleep(proxy.latency)
            if proxy.bandwidth:
                await asyncio.sleep(len(data) / proxy.bandwidth)
            wish = proxy.watch(data) if asks and proxy.watch is not None else ""
            if wish == "drop" or (proxy.reset_share and self._random.random() < proxy.reset_share):
                self.end()
                return
            if not asks:
                self._answered += len(data)
                if proxy.cut_after and self._answered > proxy.cut_after:
                    writer.write(data[: len(data) // 2])
                    await asyncio.sleep(0.01)
                    self.end()
                    return
            writer.write(data)
            await writer.drain()
            if wish == "deliver":
                await asyncio.sleep(DELIVERY_SECONDS)  # the service acts on it; its answer is not passed on
                self.end()
                return


def on_commit(wish: str, every: int) -> Callable[[bytes], str]:
    """For `watch` of a proxy in front of PostgreSQL: strike at every so-manieth COMMIT."""
    seen = 0

    def look(data: bytes) -> str:
        nonlocal seen
        if b"COMMIT" not in data:
            return ""
        seen += 1
        return wish if seen % every == 0 else ""

    return look


def abort(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as a crashed host or a firewall does."""
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


class RegistryFront:
    """An HTTP server in front of the schema registry. `mode`: pass, hang, cut, html, or an HTTP status as text."""

    def __init__(self, network: Network, port: int, target: int) -> None:
        self.port, self._target, self._network = port, target, network
        self.mode = "pass"
        self.only = ""
        """Part of a path to which the fault is confined; empty: all of them."""
        self.strikes = 0
        self._runner: web.AppRunner | None = None
        self._session: ClientSession | None = None

    def open(self) -> None:
        """Listen."""
        self._network.call(self._open())

    def close(self) -> None:
        """Stop listening."""
        self._network.call(self._close())

    async def _open(self) -> None:
        if self._runner is not None:
            return
        self._session = ClientSession(timeout=ClientTimeout(total=20))
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port).start()

    async def _close(self) -> None:
        if self._runner is not None and self._session is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()
            await self._session.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        mode = self.mode if self.only in request.path else "pass"
        if mode != "pass":
            self.strikes += 1
        if mode.isdecimal():
            return web.json_response({"error_code": int(mode) * 100, "message": "fault"}, status=int(mode))
        if mode == "html":
            return web.Response(text="<html>maintenance</html>", content_type="text/html")
        if mode == "hang":
            await asyncio.sleep(30)
            return web.Response(status=504)
        assert self._session is not None
        url = f"http://{HOST}:{self._target}{request.path_qs}"
        body = await request.read()
        kind = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        async with self._session.request(request.method, url, data=body, headers=kind) as answer:
            content = await answer.read()
            if mode == "cut":
                cut = web.StreamResponse(status=answer.status, headers={"Content-Length": str(len(content) + 1)})
                cut.content_type = "application/json"
                await cut.prepare(request)
                await cut.write(content[: len(content) // 2])
                assert request.transport is not None
                request.transport.abort()
                return cut
            return web.Response(body=content, status=answer.status, content_type="application/json")
