"""`make bench-overview`: what many people who look at the overview cost, while results come in: how often the cache has their answer."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import click

from benchmarks.api import Api, fill
from benchmarks.engines import build_product
from benchmarks.machine import yardstick
from benchmarks.roles import Role, fresh_stack
from benchmarks.session import console, in_folder, tell
from benchmarks.updates import Writer, matched
from recon_stream.settings import Settings
from recon_stream.stack.ports import free_ports
from recon_stream.stack.services import SERVICES
from recon_stream.topics import RESULTS

RATE = 500
"""Results a second, each of which makes all statistics that were kept old."""
PERIODS = (timedelta(hours=24), timedelta(hours=24), timedelta(hours=1), timedelta(days=7))
"""What people look at, in turn: most leave the page as it opens."""
STATS, STATUS = ("/transactions/stats", "/mismatches/stats"), "/status"
STATS_SECONDS, STATUS_SECONDS = 15.0, 10.0
"""From one question of a page to the next; as dashboard/src/api/queries.ts has it."""
HIT_RATE_MIN = 0.95
HEADINGS = (
    "cache", "looks", "hits", "counted by who asked", "counted ahead", "stats p50 ms", "p95", "p99", "most", "/status p95", "web cores",
    "load",
)  # fmt: skip


@dataclass(slots=True)
class Run:
    """One measurement. Milliseconds to the last byte, as clients on the same machine see them; counts are of answers of statistics.

    `shared`: who asked while somebody else's answer was being counted. `cores` that the web process used.
    """

    has_cache: bool
    hits: int = 0
    missed: int = 0
    shared: int = 0
    ahead: int = 0
    stats: list[float] = field(default_factory=list)
    status: list[float] = field(default_factory=list)
    cores: float = 0.0
    load: float = 0.0

    @property
    def hit_rate(self) -> float:
        """The share of answers for which nobody waited while the database counted."""
        return self.hits / max(1, self.hits + self.missed + self.shared)

    def cells(self) -> tuple[str, ...]:
        """A line of the table, by HEADINGS."""
        cuts = statistics.quantiles(self.stats, n=100)
        return (
            "Valkey" if self.has_cache else "none", f"{len(self.stats):,}", f"{self.hit_rate:.1%}", f"{self.missed:,}", f"{self.ahead:,}",
            f"{cuts[49]:.1f}", f"{cuts[94]:.1f}", f"{cuts[98]:.1f}", f"{max(self.stats):.1f}",
            f"{statistics.quantiles(self.status, n=20)[18]:.1f}", f"{self.cores:.2f}", f"{self.load:.1f}",
        )  # fmt: skip


class Page:
    """An overview that somebody has open."""

    def __init__(self, api: Api, period: timedelta, run: Run) -> None:
        self._api, self._period, self._run = api, period, run

    async def look(self, opened_after: float, until: float) -> None:
        """Ask what the page asks: all of it when it is opened, and then again and again."""
        await asyncio.sleep(opened_after)
        await asyncio.gather(
            self._again(STATUS_SECONDS, until, partial(self._ask, STATUS, {}, self._run.status)),
            *(self._again(STATS_SECONDS, until, partial(self._ask_stats, path)) for path in STATS),
        )

    async def _again(self, seconds: float, until: float, ask: Callable[[], Awaitable[None]]) -> None:
        while time.monotonic() < until:
            await ask()
            await asyncio.sleep(seconds)

    async def _ask_stats(self, path: str) -> None:
        since = (datetime.now(UTC) - self._period).isoformat()
        await self._ask(path, {"since": since}, self._run.stats)

    async def _ask(self, path: str, query: Mapping[str, str], took: list[float]) -> None:
        begun = time.monotonic()
        await self._api.get(path, query)
        took.append((time.monotonic() - begun) * 1000)


async def measure_all(folder: Path, transactions: int, viewers: int, seconds: float, seed: int) -> list[Run]:
    """Let worker and sink make the rows from events; then people look, with the cache and without."""
    console.print("Building the product natively")
    build_product(folder)
    async with fresh_stack(folder / "stack", "overview", SERVICES) as settings:
        await fill(settings, folder, transactions, seed)
        sink = Role("sink", settings, folder)
        async with Writer(settings, RATE, matched(), [RESULTS]).writing():
            try:
                runs = []
                for has_cache in (True, False):
                    runs.append(await measure(settings, folder, viewers, seconds, has_cache=has_cache))
                    cells = zip(HEADINGS, runs[-1].cells(), strict=True)
                    console.print("  ".join(f"{heading}: {cell}" for heading, cell in cells), soft_wrap=True)
                return runs
            finally:
                await sink.stop()


async def measure(settings: Settings, folder: Path, viewers: int, seconds: float, *, has_cache: bool) -> Run:
    """People who have opened the page one after the other within its first round, and leave it open."""
    port, run, chance = free_ports(1)[0], Run(has_cache), random.Random(viewers)
    # everybody comes from one address here, which the limiter would stop
    environ = {"RECON_WEB_PORT": str(port), "RECON_RATE_LIMITS": "", "RECON_RATE_LIMIT_DEFAULT": "1000000"}
    if not has_cache:
        environ["REDIS_URL"] = f"redis://127.0.0.1:{free_ports(1)[0]}/0"
    web, api = Role("web", settings, folder, environ), Api(settings, port)
    try:
        await api.until_ready(web)
        await api.log_in()
        cpu, begun = web.cpu(), time.monotonic()
        pages = [Page(api, PERIODS[number % len(PERIODS)], run) for number in range(viewers)]
        await asyncio.gather(*(page.look(chance.uniform(0, STATS_SECONDS), begun + seconds) for page in pages))
        run.cores = round((web.cpu() - cpu) / (time.monotonic() - begun), 3)
        told = await web.labelled("recon_cache_total")
        run.hits, run.missed, run.shared, run.ahead = (
            int(told.get(f'{{category="stats",outcome="{outcome}"}}', 0))
            for outcome in ("hit", "miss", "shared", "ahead")
        )
        run.load = round(os.getloadavg()[0], 1)
        return run
    finally:
        await api.close()
        await web.stop()


def report(runs: Sequence[Run], transactions: int, viewers: int, seconds: float, noise: float, publishing: bool) -> int:
    """Show the table, write the results; the exit code."""
    kept = next(run for run in runs if run.has_cache)
    held = kept.hit_rate > HIT_RATE_MIN
    verdict = (
        f"{viewers} overviews in front of {transactions:,} transactions, {RATE} results a second, {seconds:.0f} s: {kept.hit_rate:.1%} of the "
        f"statistics were there (bar: {HIT_RATE_MIN:.0%}): {'held' if held else 'missed'}; yardstick {noise:.2f} us"
    )
    found = {"transactions": transactions, "viewers": viewers, "rate": RATE, "runs": [asdict(run) for run in runs]}
    tell(
        "overview",
        f"{viewers} overviews while results come in",
        HEADINGS,
        [run.cells() for run in runs],
        verdict,
        found,
        publishing=publishing,
    )
    return 0 if held else 1


@click.command()
@click.option("--transactions", type=click.IntRange(10_000), default=1_000_000, show_default=True)
@click.option("--viewers", type=click.IntRange(1), default=20, show_default=True, help="Who have the page open.")
@click.option(
    "--seconds", type=click.FloatRange(30), default=120.0, show_default=True, help="With the cache, and without."
)
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True)
@click.option("--publish", "publishing", is_flag=True, help="Put the figures into docs/performance.md.")
def main(transactions: int, viewers: int, seconds: float, seed: int, publishing: bool) -> None:
    """Measure the overview's statistics with so many TRANSACTIONS in PostgreSQL, while a sink stores 500 results a second.

    The local services run on free ports in a folder that is deleted at the end. Exit code 1 where the bar is missed.
    """
    noise = yardstick()
    runs = in_folder(partial(measure_all, transactions=transactions, viewers=viewers, seconds=seconds, seed=seed))
    raise SystemExit(report(runs, transactions, viewers, seconds, noise, publishing))


if __name__ == "__main__":
    main()
