"""A role of the natively built product as a measured process, on a local stack of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil

from benchmarks.children import RunFailed, spawn, stop
from benchmarks.engines import SCRAPE_TIMEOUT, native_folder
from recon_stream.apps import OPERATIONS_OFFSET
from recon_stream.registration import register_schemas
from recon_stream.settings import Settings, load_settings, read_env_file
from recon_stream.stack import local
from recon_stream.stack.ports import free_ports
from recon_stream.stack.service import Service
from recon_stream.stack.services import DATA_PATH
from recon_stream.topics import create_topics

REST_SECONDS, REST_CORES = 4.0, 0.1
"""A process is at rest when it needed less than so much of a core for so long."""


@asynccontextmanager
async def fresh_stack(
    folder: Path, app_id: str, services: Sequence[Service] = DATA_PATH, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Settings]:
    """These services on free ports until the block ends, with the topics of an application; `environ`: further settings."""
    environ = dict(environ or {}) | {"RECON_STATE_DIR": str(folder)}
    wanted = load_settings(environ | {"RECON_STACK_PORTS": "free"})
    try:
        await local.up(wanted, services=services)
        settings = load_settings(environ | {"RECON_APP_ID": app_id})
        await create_topics(settings)
        await register_schemas(settings)
        yield settings
    finally:
        await local.down(wanted)


class Role:
    """A process of a role from the native build, and what it tells of itself."""

    def __init__(self, role: str, settings: Settings, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        name = f"{settings.app_id}-{role}"
        self.port = free_ports(1)[0]
        self.folder = folder / name
        own = {
            "RECON_STATE_DIR": str(self.folder),
            "RECON_APP_ID": settings.app_id,
            "RECON_OPERATIONS_PORT": str(self.port - OPERATIONS_OFFSET[role]),
            # without the safe path, `-m` would look into the repository first
            "PYTHONPATH": str(native_folder(folder)),
            "PYTHONSAFEPATH": "1",
        }
        stack = read_env_file(settings.state_dir / "stack.env")
        self.log = folder / f"{name}.log"
        self.child = spawn([sys.executable, "-m", "recon_stream", role], stack | own | dict(environ or {}), self.log)
        self.process = psutil.Process(self.child.pid)

    async def told(self) -> dict[str, float]:
        """Sums of its counters; empty before it listens."""
        sums: dict[str, float] = {}
        for name, value in await self._samples():
            name = name.partition("{")[0]
            sums[name] = sums.get(name, 0.0) + value
        return sums

    async def labelled(self, metric: str) -> dict[str, float]:
        """One of them, by its labels as they stand there."""
        return {
            name.removeprefix(metric): value for name, value in await self._samples() if name.startswith(f"{metric}{{")
        }

    async def stages(self) -> dict[str, float]:
        """Seconds that its units of work have spent in each stage, by the clock."""
        found = {}
        for name, value in await self._samples():
            if name.startswith("recon_stage_seconds_sum{"):
                found[name.split('"')[1]] = value
        return found

    async def _samples(self) -> list[tuple[str, float]]:
        url = f"http://127.0.0.1:{self.port}/metrics"
        try:
            async with aiohttp.ClientSession(timeout=SCRAPE_TIMEOUT) as session, session.get(url) as answer:
                text = await answer.text()
        except aiohttp.ClientConnectionError:
            return []
        split = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return [(name, float(value)) for name, _, value in split]

    def cpu(self) -> float:
        """User and system seconds so far."""
        times = self.process.cpu_times()
        return times.user + times.system

    async def until_ready(self, seconds: float) -> None:
        """Until it has its partitions; raises RunFailed where it ends or takes longer."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.child.poll() is None:
            async with aiohttp.ClientSession(timeout=SCRAPE_TIMEOUT) as session:
                try:
                    async with session.get(f"http://127.0.0.1:{self.port}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass  # it does not listen yet
            await asyncio.sleep(0.2)
        raise RunFailed(f"the process is not ready, see {self.log}")

    async def until_at_rest(self, seconds: float) -> None:
        """Until it needs next to no CPU, compaction over; raises RunFailed where that takes longer."""
        until, spent = time.monotonic() + seconds, self.cpu()
        while time.monotonic() < until:
            await asyncio.sleep(REST_SECONDS)
            before, spent = spent, self.cpu()
            if spent - before < REST_CORES * REST_SECONDS:
                return
        raise RunFailed(f"the process does not come to rest, see {self.log}")

    async def stop(self) -> None:
        """As children.stop."""
        await stop(self.child, self.log)
