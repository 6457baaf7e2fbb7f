"""Roles and commands as processes with settings of a test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from recon_stream.apps import OPERATIONS_OFFSET
from recon_stream.settings import Settings
from recon_stream.stack.ports import free_ports

SECONDS = 90.0
"""For what a process does, on a machine that does other work."""


@dataclass(frozen=True)
class Role:
    """A process of a role, its operations port and its log."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    """The variables with which a process has these settings."""
    given = {f.metadata["name"]: str(getattr(settings, f.name)) for f in fields(Settings)}
    return {"PATH": os.environ["PATH"], "HOME": str(folder)} | given | {"RECON_STATE_DIR": str(folder / "state")}


@contextmanager
def role(name: str, settings: Settings, folder: Path, **changed: str) -> Iterator[Role]:
    """Started, and killed on leaving."""
    log, web_port = folder / f"{name}.log", changed.get("RECON_WEB_PORT", str(settings.web_port))
    port = next(port for port in free_ports(2) if str(port) != web_port)
    environ = environment(settings, folder) | {"RECON_OPERATIONS_PORT": str(port - OPERATIONS_OFFSET[name])} | changed
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "recon_stream", name], env=environ, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield Role(process, port, log)
    finally:
        process.kill()
        process.wait(30)


def command(settings: Settings, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One call of recon-stream."""
    return subprocess.run(
        [sys.executable, "-m", "recon_stream", *arguments],
        env=environment(settings, folder), capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
