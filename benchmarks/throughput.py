"""`make bench`: CPU an event and events a second of one worker on a backlog, beside stock Faust on the same data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from benchmarks.engines import PlainProduct, Product, build_product
from benchmarks.measuring import Engine, Run
from benchmarks.publishing import HEADINGS, publish, summarised
from benchmarks.rivals import StockFaust
from benchmarks.session import Session, console, keep, measured, noise, show
from recon_stream.settings import Settings

ENGINES: tuple[type[Engine], ...] = (StockFaust, Product, PlainProduct)
SIZES = (90_000, 300_000)
"""Backlogs on the way to the full one, in events: how the cost grows."""
CPU_US_MAX = 35.0
RATIO_MIN = 10.0


@click.command()
@click.option("--events", envvar="EVENTS", type=click.IntRange(9_000), default=900_000, show_default=True)
@click.option("--stock-events", type=click.IntRange(9_000), default=90_000, show_default=True)
@click.option("--repeats", envvar="REPEATS", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True)
@click.option("--publish", "publishing", is_flag=True, help="Put the figures into docs/performance.md.")
def main(events: int, stock_events: int, repeats: int, seed: int, publishing: bool) -> None:
    """Measure one worker of recon-stream on a backlog of EVENTS; on the first STOCK_EVENTS of it also stock Faust, and
    recon-stream without its native build.

    Starts the local services on free ports in a folder of its own and stops them at the end. Runs of the two engines
    alternate; the table shows medians. Exit code 1 where an oracle finds anything wrong or the bar is missed.
    """
    work = partial(measure_all, events=events, stock_events=stock_events, repeats=repeats, seed=seed)
    raise SystemExit(report(measured(work), seed, publishing))


async def measure_all(
    settings: Settings, folder: Path, events: int, stock_events: int, repeats: int, seed: int
) -> list[Run]:
    """Load the backlog step by step; at every step run what is to be run on it."""
    console.print("Building the product natively")
    build_product(folder)
    async with Session.of(settings, folder, seed) as session:
        await session.start(ENGINES)
        for size in sorted({*(size for size in SIZES if size < events), min(stock_events, events), events}):
            await session.grow(size)
            for engine in plan(size, stock_events, repeats):
                await session.run(engine)
        return session.runs


def plan(size: int, stock_events: int, repeats: int) -> Iterator[type[Engine]]:
    """The engines in the order in which they run on a backlog of that size."""
    for _ in range(repeats):
        if size <= stock_events:
            yield StockFaust
            yield PlainProduct
        yield Product


def report(runs: list[Run], seed: int, publishing: bool) -> int:
    """Show the table, write the results; the exit code."""
    groups = summarised(runs)
    title = "Medians; CPU is user + system of the process, in microseconds an event"
    show(title, HEADINGS, [group.cells(HEADINGS) for group in groups])
    ours = max((group for group in groups if group.engine == Product.name), key=lambda group: group.events).cpu_us
    stock = min(group.cpu_us for group in groups if group.engine == StockFaust.name)
    verdict = (
        f"{stock / ours:.1f} times less CPU than stock Faust (bar: {RATIO_MIN:.0f}), {ours:.1f} us an event "
        f"(bar: {CPU_US_MAX:.0f}); {noise(runs)}"
    )
    console.print(verdict, soft_wrap=True)
    figures = {"cpu_us": ours, "stock_cpu_us": stock, "ratio": round(stock / ours, 1)}
    path = keep("throughput", seed, runs, figures)
    if publishing:
        publish(groups, verdict, path, CPU_US_MAX)
        console.print("Written to docs/performance.md and its figure")
    right = all(run.judgement.ok for run in runs)
    return 0 if right and ours <= CPU_US_MAX and stock / ours >= RATIO_MIN else 1


if __name__ == "__main__":
    main()
