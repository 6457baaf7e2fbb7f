"""A whole system of one's own for a test: stack, topics, schemas, tables, worker and sink as real processes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from producers.plan import DEFAULT_MIX, Fault, Plan
from producers.rules import rules_in_force
from recon_stream.registration import register_schemas
from recon_stream.settings import Settings, load_settings
from recon_stream.stack import local, ports
from recon_stream.stack.services import DATA_PATH
from recon_stream.storage.migrate import migrate
from recon_stream.topics import create_topics

HOME = Path(__file__).parent.parent.parent
RULES = Path(__file__).parent / "rules.toml"
DYING = Path(__file__).parent / "dying_worker.py"
REAPER = HOME / "tests" / "stack" / "reaper.py"
OFFSETS = {"worker": 0, "sink": 20}
START_SECONDS = 60.0
STOP_SECONDS = 40.0

MIX = dict(DEFAULT_MIX) | {Fault.CLEAN: 350, Fault.UNKNOWN_SCHEMA: 2}
"""Every fault, and more of each than in a feed that is to look real."""


class Role:
    """A worker or sink without a parent, so that a test may kill it and start it again."""

    def __init__(self, name: str, environ: dict[str, str], port: int, log: Path) -> None:
        self.name, self._environ, self._log = name, environ, log
        self._url = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a life."""
        self._run("-m", "recon_stream", self.name)

    def start_to_die(self, units: int) -> None:
        """Start a worker that kills itself in that unit of work, when its changelog is acknowledged and nothing else."""
        self._run(str(DYING), str(units))

    def _run(self, *arguments: str) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                env=self._environ | {"PYTHONPATH": str(HOME)}, cwd=HOME, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def runs(self) -> bool:
        """Whether it was started and not ended by the test."""
        return self._process is not None

    def freeze(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is finished, nothing is committed."""
        assert self._process is not None
        assert self._process.poll() is None, f"it had ended before: {self.log_end()}"
        self._process.kill()
        assert self._process.wait(STOP_SECONDS) == -signal.SIGKILL
        self._process = None

    async def until_dead(self) -> None:
        """Wait until it has killed itself."""
        assert self._process is not None
        assert await asyncio.to_thread(self._process.wait, START_SECONDS) == -signal.SIGKILL, self.log_end()
        self._process = None

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process = None

    def _get(self, path: str) -> str | None:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended by itself: {self.log_end()}"
        try:
            with urllib.request.urlopen(self._url + path, timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None

    def answer(self, path: str) -> str:
        """What the process answers, whatever the status is."""
        try:
            with urllib.request.urlopen(self._url + path, timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()

    async def until_ready(self) -> None:
        """Wait until /readyz says so."""
        deadline = time.monotonic() + START_SECONDS
        while await asyncio.to_thread(self._get, "/readyz") is None:
            assert time.monotonic() < deadline, f"{self.name} is not ready: {self.log_end()}"
            await asyncio.sleep(0.2)

    async def counted(self, metric: str, **labels: str) -> int:
        """The sum of a metric in this life over all of its labels but these."""
        text = await asyncio.to_thread(self._get, "/metrics")
        families = text_string_to_metric_families(text or "")
        samples = [sample for family in families for sample in family.samples if sample.name == metric]
        return sum(int(sample.value) for sample in samples if labels.items() <= sample.labels.items())

    async def until_counted(self, metric: str, number: int) -> None:
        """Wait until the counter has come so far in this life."""
        deadline = time.monotonic() + START_SECONDS
        while await self.counted(metric) < number:
            assert time.monotonic() < deadline, f"{metric} stays below {number}: {self.log_end()}"
            await asyncio.sleep(0.05)

    def log_end(self, characters: int = 2000) -> str:
        """The end of the log."""
        return self._log.read_text(errors="replace")[-characters:]


class System:
    """The settings of the test's own stack, its worker and its sink."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.settings = load_settings(environ)
        base = free_base()
        environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **environ,
            "RECON_OPERATIONS_PORT": str(base),
            # the least that brokers allow: how long the partitions of a killed member stay with it
            "RECON_SESSION_TIMEOUT": "6",
        }
        self.environ = environ
        logs = self.settings.state_dir
        self.worker = Role("worker", environ, base + OFFSETS["worker"], logs / "worker.log")
        self.sink = Role("sink", environ, base + OFFSETS["sink"], logs / "sink.log")

    def plan(self, seed: int, transactions: int, rate: int) -> Plan:
        """A plan that begins now."""
        timing, tolerances = rules_in_force(self.settings)
        return Plan(
            seed=seed,
            base_ms=time.time_ns() // 1_000_000,
            interval_us=1_000_000 // rate,
            transactions=transactions,
            mix=MIX,
            timing=timing,
            tolerances=tolerances,
        )


@contextmanager
def own_system(rules: Path = RULES) -> Iterator[System]:
    """A clean system; topics have fixed names, so no other test's records may be in them."""
    state_dir = Path(tempfile.mkdtemp(prefix="recon-end-to-end-"))
    state_dir.chmod(0o711)  # PostgreSQL must pass through it, as a user of its own where root runs the tests
    environ = {"RECON_STATE_DIR": str(state_dir), "RECON_STACK_PORTS": "free", "RECON_RULES_FILE": str(rules)}
    # it stops the stack when its input ends: at the end of the test, and also when the run is killed
    reaper = subprocess.Popen(
        [sys.executable, str(REAPER), str(state_dir)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        asyncio.run(_set_up(load_settings(environ), environ))
        system = System(environ)
        try:
            yield system
        finally:
            system.worker.stop()
            system.sink.stop()
    finally:
        reaper.communicate(timeout=60)


async def _set_up(settings: Settings, environ: dict[str, str]) -> None:
    await local.up(settings, services=DATA_PATH)
    settings = load_settings(environ)
    await create_topics(settings)
    await register_schemas(settings)
    await migrate(settings.database_owner_url)


def free_base() -> int:
    """A first operations port with the ports of both roles free."""
    while True:
        base = random.choice(ports.FREE_RANGE)
        if all(_is_free(base + offset) for offset in OFFSETS.values()):
            return base


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
