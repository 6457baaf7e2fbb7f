"""Worker and sink as real processes, watched and started again as a supervisor does, with failpoints life by life."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.points import Plan
from tests.faults.stack import HOME

START_SECONDS = 120.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.1
RESTARTS_MAX = 60
CONFIGURATION = 2


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """In the child: however the harness ends, no process of it stays, frozen ones neither. Linux alone knows this."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Role:
    """One worker or sink. It is started again whenever it ends by itself; exit code 2 says that this would be in vain."""

    def __init__(self, name: str, index: int, environ: dict[str, str], port: int, folder: Path) -> None:
        self.name, self.index = name, index
        self.environ = environ | {"RECON_PROCESS_INDEX": str(index), "PYTHONPATH": str(HOME)}
        self.log = folder / f"{name}-{index}.log"
        self.plans: deque[Plan] = deque()
        """What the next lives do to themselves; afterwards, nothing."""
        self.always = Plan()
        """What every life without a plan of its own has wrong: its clock, its code."""
        self.exits: list[int] = []
        """How lives ended that nobody had asked to end."""
        self.struck: list[str] = []
        """Failpoints that were met, in order."""
        self.peak_bytes = 0
        self.before_start: Callable[[], None] | None = None
        """Called once, between two lives."""
        self._folder, self._url = folder, f"http://127.0.0.1:{port + index}"
        self._process: subprocess.Popen[bytes] | None = None
        self._plan = Plan()
        self._task: asyncio.Task[None] | None = None
        self._wanted = False

    @property
    def runs(self) -> bool:
        """Whether it is meant to run."""
        return self._wanted

    @property
    def pid(self) -> int:
        """Of the present life."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def datadir(self) -> Path:
        """Where a worker's state lies."""
        return self._folder / f"{self.environ['RECON_APP_ID']}-{self.name}-{self.index}"

    def start(self, *plans: Plan) -> None:
        """Begin to supervise it; each plan is for one life."""
        self.plans.extend(plans)
        self._wanted = True
        self._task = asyncio.create_task(self._supervise(), name=f"{self.name}-{self.index}")

    async def _supervise(self) -> None:
        while self._wanted:
            if self.before_start is not None:
                action, self.before_start = self.before_start, None
                await asyncio.to_thread(action)
            self._launch()
            process = self._process
            assert process is not None
            while process.poll() is None:
                self._measure(process.pid)
                await asyncio.sleep(POLL_SECONDS)
            self._note_strike()
            if self._wanted:
                if self._plan.point:
                    self.plans.appendleft(self._plan)  # it ended by something else before it came to its point
                    self._plan = Plan()
                self.exits.append(process.returncode)
                assert process.returncode != CONFIGURATION, f"{self.name} refuses to start: {self.log_end()}"
                assert len(self.exits) < RESTARTS_MAX, f"{self.name} ends again and again: {self.log_end()}"
                await asyncio.sleep(0.3)

    def _launch(self) -> None:
        self._plan = self.plans.popleft() if self.plans else self.always
        if self._plan.point:
            self._plan = replace(self._plan, marker=str(self._folder / f"marker-{self.name}-{self.index}"))
            Path(self._plan.marker).unlink(missing_ok=True)
        if self._plan == Plan():
            arguments, environ = ["-m", "recon_stream", self.name], self.environ
        else:
            arguments, environ = ["-m", "tests.faults.child", self.name], self.environ | self._plan.as_variable()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments], env=environ, cwd=HOME, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent,
            )  # fmt: skip

    def _note_strike(self) -> None:
        if self._plan.marker and Path(self._plan.marker).exists():
            self.struck.append(self._plan.point)
            Path(self._plan.marker).unlink()
            self._plan = Plan()

    def _measure(self, pid: int) -> None:
        try:
            self.peak_bytes = max(self.peak_bytes, psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return  # it ends just now

    def check(self) -> None:
        """Raise what the supervision found wrong."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def kill(self) -> None:
        """SIGKILL to the present life, or to the next where there is none just now; another one follows."""
        while self._process is None or self._process.poll() is not None:
            self.check()
            await asyncio.sleep(POLL_SECONDS)
        self._process.kill()

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def until_frozen(self) -> None:
        """Wait until it froze at its failpoint."""
        deadline = time.monotonic() + START_SECONDS
        while self._process is None or psutil.Process(self.pid).status() != psutil.STATUS_STOPPED:
            self.check()
            assert time.monotonic() < deadline, f"{self._plan.point} is not met: {self.log_end()}"
            await asyncio.sleep(POLL_SECONDS)
        self._note_strike()

    async def until_through(self) -> None:
        """Wait until every plan has struck."""
        await self.until_struck(len(self.struck) + len(self.plans) + bool(self._plan.point))

    async def until_struck(self, number: int) -> None:
        """Wait until so many failpoints in all were met."""
        known, since = -1, time.monotonic()
        while len(self.struck) < number:
            self.check()
            if len(self.struck) != known:
                known, since = len(self.struck), time.monotonic()
            assert time.monotonic() - since < START_SECONDS, f"{self._plan.point} is not met: {self.log_end()}"
            await asyncio.sleep(POLL_SECONDS)

    async def until_ready(self) -> None:
        """Wait until /readyz says so."""
        deadline = time.monotonic() + START_SECONDS
        while await asyncio.to_thread(self._get, "/readyz") is None:
            self.check()
            assert time.monotonic() < deadline, f"{self.name} is not ready: {self.log_end()}"
            await asyncio.sleep(POLL_SECONDS)

    async def counted(self, metric: str) -> int:
        """The sum of a counter over its labels in this life."""
        text = await asyncio.to_thread(self._get, "/metrics")
        families = text_string_to_metric_families(text or "")
        return sum(int(s.value) for family in families for s in family.samples if s.name == metric)

    async def until_counted(self, metric: str, number: int) -> None:
        """Wait until a counter has come so far in this life."""
        deadline = time.monotonic() + START_SECONDS
        while await self.counted(metric) < number:
            self.check()
            assert time.monotonic() < deadline, f"{metric} stays below {number}: {self.log_end()}"
            await asyncio.sleep(POLL_SECONDS)

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(self._url + path, timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None

    async def stop(self) -> int | None:
        """SIGTERM and the exit code; None where it did not run. SIGKILL after a minute."""
        self._wanted = False
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            return await asyncio.to_thread(process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return await asyncio.to_thread(process.wait, STOP_SECONDS)
        finally:
            self._process = None
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    def log_end(self) -> str:
        """The end of the log, for messages."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""
