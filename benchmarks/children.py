"""The processes that are measured: variables and a log of their own, and an end by SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
STOP_SECONDS = 60.0


class RunFailed(Exception):
    """The process ended, stood still or did not stop; its log says why."""


def spawn(command: Sequence[str], environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A process with these variables and PATH alone, and a log of its own."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command, env={"PATH": os.defpath, **environ}, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT
        )


async def stop(child: subprocess.Popen[bytes], log: Path) -> None:
    """By SIGTERM, so that state is closed properly; one that does not stop in time is killed and RunFailed raised."""
    child.send_signal(signal.SIGTERM)
    try:
        await asyncio.to_thread(child.wait, STOP_SECONDS)
    except subprocess.TimeoutExpired as error:
        child.kill()
        child.wait()
        raise RunFailed(f"the process did not stop within {STOP_SECONDS:.0f} s, see {log}") from error
