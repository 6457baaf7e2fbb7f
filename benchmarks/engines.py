"""A worker of recon-stream as it is measured, natively built and as plain Python."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import aiohttp

from benchmarks.backlog import Backlog
from benchmarks.children import REPOSITORY, RunFailed
from benchmarks.kafka import Broker
from benchmarks.measuring import QUIET_SECONDS, Engine
from benchmarks.oracle import product_claim, product_said
from recon_stream.redis.client import connect
from recon_stream.rulebook import load_rules
from recon_stream.settings import Settings, read_env_file
from recon_stream.stack.ports import free_ports
from recon_stream.topics import MISMATCHES, RESULTS, changelog_topic, create_topics

SCRAPE_TIMEOUT = aiohttp.ClientTimeout(total=60)
_SAMPLE = re.compile(r"^(\w+?)(?:_total)?(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class PlainProduct(Engine):
    """One worker with a fresh state, a fresh group and an empty duplicate filter, run from its source."""

    name = "recon-stream, plain"
    results_topic = RESULTS
    mismatches_topic = MISMATCHES
    said_in = staticmethod(product_said)
    claim_of = staticmethod(product_claim)

    def __init__(self, settings: Settings, broker: Broker, folder: Path, number: int) -> None:
        super().__init__(settings, broker, folder, number)
        self.own = replace(settings, app_id=f"bench-{number}", state_dir=self.folder)
        self.port = free_ports(1)[0]
        # deadlines wait until it is known that no feed stands still; then the missing legs are told
        self.hold_seconds = load_rules(settings).current.stall.after_ms / 1000 + QUIET_SECONDS

    async def prepare(self) -> tuple[list[str], dict[str, str]]:
        await create_topics(self.own)
        async with connect(self.settings, connections_max=1) as redis:
            await redis.flushdb()
        environ = read_env_file(self.settings.state_dir / "stack.env") | {
            "RECON_STATE_DIR": str(self.folder),
            "RECON_APP_ID": self.own.app_id,
            "RECON_OPERATIONS_PORT": str(self.port),
        }
        return [sys.executable, "-m", "recon_stream", "worker"], environ | self._build()

    def _build(self) -> dict[str, str]:
        return {}

    async def done(self, backlog: Backlog) -> float:
        try:
            # this metric alone: all of them, four times a second, would be a cost of the benchmark and not of the product
            counted = await self._scraped(params={"name[]": "recon_events_total"})
        except aiohttp.ClientConnectionError:
            return 0.0  # it does not listen yet
        return sum(counted.values()) / backlog.events

    async def _scraped(self, params: dict[str, str] | None = None) -> dict[str, float]:
        """Values of /metrics by name and labels."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        async with aiohttp.ClientSession(timeout=SCRAPE_TIMEOUT) as session, session.get(url, params=params) as answer:
            text = await answer.text()
        return {f"{name}{{{labels}}}": float(value) for name, labels, value in _SAMPLE.findall(text)}

    async def details(self, backlog: Backlog) -> dict[str, float]:
        """Records a unit of work, wall clock of the stages that do not wait, and whether the filter was there."""
        async with connect(self.settings, connections_max=1) as redis:
            keys = await redis.dbsize()
        scraped = await self._scraped()
        units = scraped["recon_batch_records_count{}"]
        found = {
            "records_a_unit": round(backlog.events / units),
            "filter_failed_open": scraped["recon_filter_fail_open{}"],
            "filter_keys": keys,
        }
        for stage in ("decode", "state_get", "decide", "state_put"):
            seconds = scraped[f'recon_stage_seconds_sum{{stage="{stage}"}}']
            found[f"{stage}_wall_us"] = round(seconds / backlog.events * 1e6, 1)
        return found

    async def clean(self) -> None:
        await self.broker.delete([changelog_topic(self.own)])
        shutil.rmtree(self.folder)


class Product(PlainProduct):
    """The same worker from the native build, which `build_product` makes once for all runs."""

    name = "recon-stream"

    def _build(self) -> dict[str, str]:
        # without the safe path, `-m` would look into the repository first
        return {"PYTHONPATH": str(native_folder(self.folder.parent)), "PYTHONSAFEPATH": "1"}


def build_product(folder: Path) -> None:
    """Make the native build of the product; raises RunFailed with what the build said."""
    command = [sys.executable, str(REPOSITORY / "deploy" / "native.py"), str(native_folder(folder))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunFailed(done.stderr)


def native_folder(folder: Path) -> Path:
    """Where the native build of a measurement lies."""
    return folder / "native"
