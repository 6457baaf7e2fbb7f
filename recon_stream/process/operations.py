"""/livez, /readyz and /metrics of one process, on loopback, from before recovery until the end."""

from __future__ import annotations

import errno
from collections.abc import Callable

import orjson
import psutil
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from recon_stream.apps import ReconApp
from recon_stream.errors import ConfigurationError
from recon_stream.transport.recovery import Progress

HOST = "127.0.0.1"


class Operations:
    """A small server of its own: it answers when Faust does not."""

    def __init__(self, app: ReconApp, stall: Callable[[], str | None]) -> None:
        self._app, self._stall = app, stall
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; raises ConfigurationError that says who has the port."""
        routes = web.Application()
        routes.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(routes, access_log=None)
        await self._runner.setup()
        port = self._app.operations_port
        try:
            await web.TCPSite(self._runner, HOST, port).start()
        except OSError as error:
            await self.stop()
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(f"operations port {HOST}:{port}: {error.strerror}") from error
            raise ConfigurationError(
                f"operations port {HOST}:{port} is taken by {owner_of(port)}; set RECON_OPERATIONS_PORT"
            ) from error

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _livez(self, _: web.Request) -> web.Response:
        reason = self._stall()
        return _answer({"live": reason is None, "reason": reason})

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = not_ready(self._app)
        body: dict[str, object] = {"ready": not reasons, "reasons": reasons}
        progress = recovery_progress(self._app)
        if progress is not None:
            partitions = {str(number): rows for number, rows in progress.partitions.items()}
            body["recovery"] = progress._asdict() | {"partitions": partitions}
        return _answer(body)

    async def _metrics(self, request: web.Request) -> web.Response:
        # as the clients of Prometheus take it: to write down all of them is some milliseconds of work
        names = request.query.getall("name[]", [])
        registry = REGISTRY.restricted_registry(names) if names else REGISTRY
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def not_ready(app: ReconApp) -> dict[str, str]:
    """Check -> what is missing; empty when the process does its work."""
    phase = starting_phase(app)
    reasons = {"process": phase} if phase else {}
    if app.pauses:
        reasons["paused"] = "; ".join(app.pauses)
    for name, check in app.readiness.items():
        reason = check()
        if reason is not None:
            reasons[name] = reason
    return reasons


def starting_phase(app: ReconApp) -> str | None:
    """What the process still does before it works on records; None when it is through.

    A worker that finds all partitions with others has nothing to do and is through as well.
    """
    if app.should_stop:
        return "stopping"
    if not app.started:
        return "starting"
    if app.producer_only:
        return None
    if app.recovery.in_recovery:
        return "recovering"
    if app.rebalancing:
        return "rebalancing"
    return None if app.recovery.completed.is_set() else "recovering"


def recovery_progress(app: ReconApp) -> Progress | None:
    """How far the recovery of the state is; None while there is none."""
    return None if app.producer_only or not app.started else app.recovery.progress()


def owner_of(port: int) -> str:
    """The process that listens on a TCP port, in words."""
    try:
        listening = [
            c
            for c in psutil.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port
        ]
        pid = next((c.pid for c in listening if c.pid), None)
        return f"process {pid} ({psutil.Process(pid).name()})" if pid else "another user's process"
    except psutil.Error:
        return "a process that cannot be named"


def _answer(body: dict[str, object]) -> web.Response:
    good = bool(body.get("live", body.get("ready")))
    return web.Response(body=orjson.dumps(body), status=200 if good else 503, content_type="application/json")
