"""`make bench-dashboard`: the dashboard in a real browser, in front of a million results, while 2,000 updates a second come."""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click

from benchmarks.api import Api, fill
from benchmarks.children import RunFailed
from benchmarks.engines import build_product
from benchmarks.looking import VIEWS, Seen, look, script_bytes, seat
from benchmarks.machine import yardstick
from benchmarks.roles import Role, fresh_stack
from benchmarks.session import console, in_folder, tell
from benchmarks.updates import Writer, broken
from recon_stream.security.realm import demo_users
from recon_stream.security.roles import Role as Who
from recon_stream.settings import Settings
from recon_stream.stack.ports import free_ports
from recon_stream.stack.services import SERVICES
from recon_stream.topics import MISMATCHES, RESULTS
from tests.dashboard.chromium import browser

RATE = 2_000
LONGEST_MS = 100.0
HEAP_GROWTH_MAX = 1.1
SCRIPT_BYTES_MAX = 250_000
PAGES_READ = 20
"""Of the list of breaks: their rows are what some of the updates change."""
HEADINGS = (
    "page", "updates/s", "long tasks", "longest ms", "of it CPU", "of it script", "script ms/s", "showing ms/s", "heap MB", "growth",
    "frame p50", "p95", "most", "key handled p50", "p95", "most", "key shown p50", "p95", "most", "load",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """One page, as it was seen, while so many updates a second came."""

    seen: Seen
    updates_per_second: float
    load: float

    @property
    def longest_cpu(self) -> float:
        """Milliseconds of the processor in the task that took the most of them."""
        return max((task.cpu for task in self.seen.tasks), default=0.0)

    @property
    def growth(self) -> float:
        """The least heap of the last third, as times of that of the middle one.

        What is on its way at the moment is in all of them. In the first third a page fills what it may keep, which has its bounds.
        """
        third = len(self.seen.heap) // 3
        return min(self.seen.heap[2 * third :]) / min(self.seen.heap[third : 2 * third])

    @property
    def is_held(self) -> bool:
        """Whether the page keeps its bars."""
        return self.longest_cpu <= LONGEST_MS and self.growth <= HEAP_GROWTH_MAX

    def cells(self) -> tuple[str, ...]:
        """A line of the table, by HEADINGS."""
        seen = self.seen
        return (
            seen.view, f"{self.updates_per_second:,.0f}", str(len(seen.told)), f"{max(seen.told, default=0):.0f}",
            f"{self.longest_cpu:.0f}", f"{max((task.script for task in seen.tasks), default=0):.0f}",
            f"{seen.script / seen.seconds:.0f}", f"{seen.showing / seen.seconds:.0f}",
            f"{min(seen.heap) / 1e6:.1f}-{max(seen.heap) / 1e6:.1f}", f"{self.growth:.2f}", *cuts(seen.frames), *cuts(seen.handled),
            *cuts(seen.keys), f"{self.load:.1f}",
        )  # fmt: skip


def cuts(values: Sequence[float]) -> tuple[str, str, str]:
    """Median, 95th percentile, most."""
    found = statistics.quantiles(values, n=20)
    return f"{found[9]:.0f}", f"{found[18]:.0f}", f"{max(values):.0f}"


@dataclass(frozen=True, slots=True)
class Found:
    """What all pages were like; `script_bytes` that the overview loads, compressed."""

    script_bytes: int
    runs: list[Run]


async def measure_all(folder: Path, transactions: int, seconds: float, seed: int) -> Found:
    """Let worker and sink make the rows from events, then look at the pages while updates come."""
    console.print("Building the product natively")
    build_product(folder)
    # Keycloak lets the dashboard return to where the web role listens
    listening = {"RECON_WEB_PORT": str(free_ports(1)[0])}
    async with fresh_stack(folder / "stack", "dashboard", SERVICES, listening) as settings:
        await fill(settings, folder, transactions, seed)
        return await measure(settings, folder, seconds)


async def measure(settings: Settings, folder: Path, seconds: float) -> Found:
    """On services with rows in them."""
    environ = {"RECON_WEB_PORT": str(settings.web_port)}
    web, api = Role("web", settings, folder, environ), Api(settings, settings.web_port)
    try:
        await api.until_ready(web)
        await api.log_in()
        breaks, _ = await api.first_rows("/mismatches", PAGES_READ)
        if not breaks:
            raise RunFailed("there is no break among the results")
        writer = Writer(settings, RATE, broken(breaks), [RESULTS, MISMATCHES])
        async with writer.writing():
            # the driver of the browser has an event loop of its own
            return await asyncio.to_thread(look_at_all, f"http://127.0.0.1:{settings.web_port}", writer, seconds)
    finally:
        await api.close()
        await web.stop()


def look_at_all(base: str, writer: Writer, seconds: float) -> Found:
    """One page after the other, in one browser."""
    admin = next(user for user in demo_users() if user.role is Who.ADMIN)
    runs = []
    with browser() as started, seat(started, base, admin) as page:
        size = script_bytes(page)
        for view in VIEWS:
            sent = writer.sent
            seen = look(started, page, base, view, seconds)
            runs.append(Run(seen, (writer.sent - sent) / seen.total_seconds, os.getloadavg()[0]))
            console.print(
                "  ".join(f"{h}: {c}" for h, c in zip(HEADINGS, runs[-1].cells(), strict=True)), soft_wrap=True
            )
    return Found(size, runs)


def report(found: Found, transactions: int, noise: float, publishing: bool) -> int:
    """Show the table, write the results; the exit code."""
    held = all(run.is_held for run in found.runs) and found.script_bytes < SCRIPT_BYTES_MAX
    longest = max(run.longest_cpu for run in found.runs)
    wall = max(max(run.seen.told, default=0) for run in found.runs)
    growth = max(run.growth for run in found.runs)
    verdict = (
        f"{transactions:,} results, {RATE:,} updates a second, {found.runs[0].seen.seconds:.0f} s each page: longest task "
        f"{longest:.0f} ms of CPU (bar: {LONGEST_MS:.0f}; by the clock {wall:.0f}), heap at the end {growth:.2f} times that before "
        f"(bar: {HEAP_GROWTH_MAX}), first load {found.script_bytes / 1000:.0f} kB of script (bar: {SCRIPT_BYTES_MAX // 1000}): "
        f"{'held' if held else 'missed'}; yardstick {noise:.2f} us"
    )
    tell(
        "dashboard",
        f"The dashboard in front of {transactions:,} results",
        HEADINGS,
        [run.cells() for run in found.runs],
        verdict,
        {"transactions": transactions, "rate": RATE, **asdict(found)},
        publishing=publishing,
    )
    return 0 if held else 1


@click.command()
@click.option("--transactions", type=click.IntRange(10_000), default=1_000_000, show_default=True)
@click.option("--minutes", type=click.FloatRange(0.5), default=2.0, show_default=True, help="On each page.")
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True)
@click.option("--publish", "publishing", is_flag=True, help="Put the figures into docs/performance.md.")
def main(transactions: int, minutes: float, seed: int, publishing: bool) -> None:
    """Measure the dashboard with so many TRANSACTIONS in PostgreSQL, made by worker and sink from events.

    The local services run on free ports in a folder that is deleted at the end. Exit code 1 where a bar is missed.
    """
    noise = yardstick()
    found = in_folder(partial(measure_all, transactions=transactions, seconds=minutes * 60, seed=seed))
    raise SystemExit(report(found, transactions, noise, publishing))


if __name__ == "__main__":
    main()
