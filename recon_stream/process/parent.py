"""The parent of `--processes N`: keeps N children running, one for each index."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from recon_stream.errors import ConfigurationError
from recon_stream.process import exits

logger = logging.getLogger(__name__)

PROCESSES_MAX = 20  # operations ports of the roles are 20 apart
KILL_GRACE = 5.0  # seconds beyond the bound of a child's own stop


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between the end of a child and its next start."""

    first: float = 1.0
    limit: float = 30.0
    steady: float = 60.0

    def after(self, previous: float, lived: float) -> float:
        """The next wait, after a child that lived so long; doubled each time, forgotten after a steady life."""
        return self.first if lived >= self.steady else min(self.limit, max(self.first, previous * 2))


class Parent:
    """Starts, restarts and stops the children. `command(index)` gives the arguments of a child."""

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        processes: int,
        *,
        stop_timeout: float,
        environ: Mapping[str, str],
        backoff: Backoff | None = None,
    ) -> None:
        if not 1 <= processes <= PROCESSES_MAX:
            raise ConfigurationError(f"--processes {processes} is not between 1 and {PROCESSES_MAX}")
        self._command, self._processes = command, processes
        self._environ, self._backoff = environ, backoff or Backoff()
        self._kill_after = stop_timeout + KILL_GRACE
        self._children: dict[int, Process] = {}
        self._stopping = asyncio.Event()
        self._refused = False

    async def run(self) -> int:
        """Live until SIGTERM or SIGINT, or until a child refuses to start; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        codes = await asyncio.gather(*(self._keep(index) for index in range(self._processes)))
        if self._refused:
            return exits.CONFIGURATION
        return exits.CLEAN if all(code == exits.CLEAN for code in codes) else exits.CRASHED

    async def _keep(self, index: int) -> int:
        """Keep one child running; returns the code of its last end."""
        wait, restarts = 0.0, 0
        while True:
            began = time.monotonic()
            child = await self._start(index, restarts)
            code = await self._until_it_ends(child)
            del self._children[index]
            if self._stopping.is_set():
                return code
            if code == exits.CONFIGURATION:
                logger.critical("child %d refuses to start; see its message above", index)
                self._refused = True
                self._stopping.set()
                return code
            wait = self._backoff.after(wait, time.monotonic() - began)
            restarts += 1
            logger.error("child %d (pid %d) ended with %s, next start in %.0f s", index, child.pid, _named(code), wait)
            if await self._stops_within(wait):
                return code

    async def _start(self, index: int, restarts: int) -> Process:
        # The pipe is how a child learns that its parent is gone, even where the parent was killed.
        child = await asyncio.create_subprocess_exec(
            *self._command(index),
            stdin=PIPE,
            env={**self._environ, "RECON_PROCESS_RESTARTS": str(restarts)},
            # Ctrl-C reaches the whole group of the terminal: the parent alone is to pass it on.
            start_new_session=True,
        )
        self._children[index] = child
        logger.info("child %d runs as pid %d", index, child.pid)
        return child

    async def _until_it_ends(self, child: Process) -> int:
        ended = asyncio.ensure_future(child.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            child.send_signal(signal.SIGTERM)
            done, _ = await asyncio.wait({ended}, timeout=self._kill_after)
            if not done:
                logger.error("pid %d has not stopped within %.0f s and is killed", child.pid, self._kill_after)
                child.kill()
        return await ended

    async def _stops_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True


def _named(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def role_command(role: str) -> Callable[[int], list[str]]:
    """The command line of a child of that role."""
    return lambda index: [sys.executable, "-m", "recon_stream", role, "--index", str(index), "--supervised"]


def run_parent(role: str, processes: int, stop_timeout: float) -> int:
    """`recon-stream <role> --processes N`; returns the exit code."""

    async def live() -> int:
        parent = Parent(role_command(role), processes, stop_timeout=stop_timeout, environ=os.environ)
        return await parent.run()

    return asyncio.run(live())
