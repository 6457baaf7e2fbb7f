"""The demo's child processes: the local stack by its own commands, the roles with a log file each."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import IO, Self

import aiohttp

from recon_stream.apps import OPERATIONS_OFFSET
from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.process.operations import owner_of
from recon_stream.settings import Settings

HOST = "127.0.0.1"
ROLES = ("worker", "sink", "web")
READY_SECONDS = 90.0
POLL_SECONDS = 0.2
LOG_LINES = 15
FREE_PORT_TRIES = 50

# What the demo takes over from the environment. Everything else, and addresses above all, stays the local stack's: a demo
# must not send its transactions to a broker that someone works with.
_KEPT = (
    "RECON_STATE_DIR",
    "RECON_STACK_",
    "RECON_WEB_",
    "RECON_OPERATIONS_PORT",
    "RECON_RULES_FILE",
    "RECON_LOG_",
    "RECON_PARTITIONS",
)


class RoleEnded(TransientFailure):
    """A process of the demo ended by itself; its log says why."""


def demo_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process of the demo, without ports: only what may differ, and rules with short graces."""
    names = {field.metadata["name"] for field in fields(Settings)}
    kept = {
        name: value
        for name, value in environ.items()
        if name.startswith(_KEPT) or names.isdisjoint((name, name.removesuffix("_FILE")))
    }
    return {"RECON_RULES_FILE": str(files("recon_stream") / "rules" / "demo.toml")} | kept


def with_ports(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The environment with ports for the roles: free ones where the stack's are free ones, else those of the settings.

    Raises ConfigurationError that names a port which is taken, and by whom.
    """
    if settings.stack_ports == "free":
        return dict(environ) | {"RECON_OPERATIONS_PORT": str(_free_base()), "RECON_WEB_PORT": str(_free_port())}
    ports = {"web": settings.web_port} | {f"operations of {role}": _operations_port(settings, role) for role in ROLES}
    for what, port in ports.items():
        if not _is_free(port):
            variable = "RECON_WEB_PORT" if what == "web" else "RECON_OPERATIONS_PORT"
            raise ConfigurationError(
                f"port {port} ({what}) is taken by {owner_of(port)}; is another demo running? Stop it, or set {variable}, or "
                "let the demo pick free ports: RECON_STACK_PORTS=free"
            )
    return dict(environ)


def _operations_port(settings: Settings, role: str) -> int:
    return settings.operations_port + OPERATIONS_OFFSET[role]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _free_base() -> int:
    for _ in range(FREE_PORT_TRIES):
        base = random.randrange(10_000, 30_000)  # noqa: S311 - a port, no secret
        if all(_is_free(base + OPERATIONS_OFFSET[role]) for role in ROLES):
            return base
    raise ConfigurationError("no free ports were found for the roles; set RECON_OPERATIONS_PORT")


async def run_command(environ: Mapping[str, str], *arguments: str, quiet: bool = False) -> int:
    """Run `recon-stream …` in the terminal of the demo; its exit code."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "recon_stream", *arguments, env=dict(environ), stdout=PIPE if quiet else None,
        stderr=PIPE if quiet else None,
    )  # fmt: skip
    try:
        await child.communicate()
    except asyncio.CancelledError:
        child.terminate()
        await child.wait()
        raise
    assert child.returncode is not None
    return child.returncode


@dataclass(slots=True)
class Role:
    """A parent with its children, and where it writes."""

    name: str
    process: Process
    log: Path
    file: IO[bytes]


class Roles:
    """Worker, sink and web, each as `recon-stream <role> --processes 1`. `async with Roles(settings, environ) as roles`."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings, self._environ = settings, environ
        self._roles: list[Role] = []

    async def __aenter__(self) -> Self:
        try:
            for name in ROLES:
                self._roles.append(await self._start(name))
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    @property
    def logs(self) -> dict[str, Path]:
        """Role -> log file."""
        return {role.name: role.log for role in self._roles}

    async def _start(self, name: str) -> Role:
        folder = self._settings.state_dir / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{name}.log"
        file = log.open("ab")
        # a session of its own: Ctrl-C reaches the demo alone, which then stops them in order
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "recon_stream", name, "--processes", "1", env=dict(self._environ), stdin=asyncio.subprocess.DEVNULL,
            stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
        return Role(name, process, log, file)

    async def until_ready(self, say: Callable[[str], None]) -> None:
        """Wait until every role says that it is ready; raises where one ends or does not come."""
        try:
            async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
                for role in self._roles:
                    while reason := await self._missing(session, role):
                        say(f"{role.name}: {reason}")
                        self.check()
                        await asyncio.sleep(POLL_SECONDS)
        except TimeoutError as error:
            raise TransientFailure(f"the roles were not ready within {READY_SECONDS:.0f} s{self._tails()}") from error

    async def _missing(self, session: aiohttp.ClientSession, role: Role) -> str:
        """Why the role is not ready; empty when it is."""
        try:
            url = f"http://{HOST}:{_operations_port(self._settings, role.name)}/readyz"
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                body = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return "starting"
        return "" if body["ready"] else ", ".join(f"{name}: {why}" for name, why in body["reasons"].items())

    def check(self) -> None:
        """Raise where a role has ended."""
        for role in self._roles:
            code = role.process.returncode
            if code is not None:
                raise RoleEnded(f"{role.name} ended with exit code {code}{_tail(role.log)}")

    async def _stop(self) -> None:
        """The reader of the feeds first, then those that write what it said; whatever does not stop in time is killed."""
        for role in self._roles:
            if role.process.returncode is None:
                role.process.send_signal(signal.SIGTERM)
        for role in self._roles:
            try:
                # a parent gives its children stop_timeout and five seconds
                await asyncio.wait_for(role.process.wait(), self._settings.stop_timeout + 15)
            except TimeoutError:
                role.process.kill()
                await role.process.wait()
            role.file.close()

    def _tails(self) -> str:
        return "".join(_tail(role.log) for role in self._roles)


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return f"; the end of {log}:\n" + "\n".join(lines) + "\n"
