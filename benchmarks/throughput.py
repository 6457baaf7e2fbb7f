"""`make bench`: CPU an event and events a second of one worker on a backlog, beside stock Faust on the same data."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.backlog import EVENTS_PER_TRANSACTION, MIX, Backlog
from benchmarks.children import RunFailed
from benchmarks.engines import PlainProduct, Product, StockFaust, build_product
from benchmarks.kafka import Broker
from benchmarks.machine import description
from benchmarks.measuring import Engine, Run, measure, measure_start
from benchmarks.publishing import HEADINGS, publish, summarised
from recon_stream.errors import ReconError
from recon_stream.registration import register_schemas
from recon_stream.settings import Settings, load_settings
from recon_stream.stack import local
from recon_stream.topics import create_topics

ENGINES: tuple[type[Engine], ...] = (StockFaust, Product, PlainProduct)
SIZES = (90_000, 300_000)
"""Backlogs on the way to the full one, in events: how the cost grows."""
RESULTS_FOLDER = Path(__file__).parent / "results"
CPU_US_MAX = 35.0
RATIO_MIN = 10.0

console = Console()


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
    folder = Path(tempfile.mkdtemp(prefix="recon-bench-"))
    folder.chmod(0o711)  # PostgreSQL passes through it as a user of its own where root measures
    settings = load_settings({"RECON_STATE_DIR": str(folder / "stack"), "RECON_STACK_PORTS": "free"})
    try:
        runs = asyncio.run(measure_all(settings, folder, events, stock_events, repeats, seed))
    except (ReconError, RunFailed) as error:
        console.print(f"[red]{error}[/]\nThe logs are in {folder}.")
        raise SystemExit(2) from error
    finally:
        asyncio.run(local.down(load_settings({"RECON_STATE_DIR": str(settings.state_dir)})))
    shutil.rmtree(folder)
    raise SystemExit(report(runs, seed, publishing))


async def measure_all(
    settings: Settings, folder: Path, events: int, stock_events: int, repeats: int, seed: int
) -> list[Run]:
    """Load the backlog step by step; at every step run what is to be run on it."""
    console.print("Building the product natively")
    build_product(folder)
    console.print("Starting Kafka, the schema registry, PostgreSQL and Valkey")
    await local.up(settings)
    settings = load_settings({"RECON_STATE_DIR": str(settings.state_dir)})
    await create_topics(settings)
    await register_schemas(settings)
    backlog = Backlog(settings, folder, seed)
    runs: list[Run] = []
    numbers = count()
    async with Broker.of(settings) as broker:
        start_cpu = {}
        for engine in ENGINES:
            start_cpu[engine] = await measure_start(engine(settings, broker, folder, next(numbers)))
            console.print(f"{engine.name} starts on empty topics with {start_cpu[engine]:.1f} s of CPU")
        for size in sorted({*(size for size in SIZES if size < events), min(stock_events, events), events}):
            seconds = await backlog.grow(size // EVENTS_PER_TRANSACTION)
            console.print(
                f"Backlog of {backlog.events:,} events of {backlog.transactions:,} transactions, {seconds:.0f} s"
            )
            for engine in plan(size, stock_events, repeats):
                run = await measure(engine(settings, broker, folder, next(numbers)), backlog, start_cpu[engine])
                runs.append(run)
                console.print(one_line(run), soft_wrap=True)
    return runs


def plan(size: int, stock_events: int, repeats: int) -> Iterator[type[Engine]]:
    """The engines in the order in which they run on a backlog of that size."""
    for _ in range(repeats):
        if size <= stock_events:
            yield StockFaust
            yield PlainProduct
        yield Product


def one_line(run: Run) -> str:
    """A finished run, as it is shown at once."""
    verdict = "right" if run.judgement.ok else f"WRONG {run.judgement.wrong}"
    return (
        f"  {run.engine:<13} {run.cpu_us:7.1f} us/event  {run.events_per_second:7,} events/s  {run.memory_mb:4} MB  "
        f"yardstick {run.yardstick_us[0]:.2f}-{run.yardstick_us[1]:.2f} us  load {run.load}  {verdict}"
    )


def report(runs: list[Run], seed: int, publishing: bool) -> int:
    """Show the table, write the results; the exit code."""
    groups = summarised(runs)
    table = Table(title="Medians; CPU is user + system of the process, in microseconds an event")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    for group in groups:
        table.add_row(*group.cells())
    console.print(table)
    ours = max((group for group in groups if group.engine == Product.name), key=lambda group: group.events).cpu_us
    stock = min(group.cpu_us for group in groups if group.engine == StockFaust.name)
    noise = [value for run in runs for value in run.yardstick_us]
    verdict = (
        f"{stock / ours:.1f} times less CPU than stock Faust (bar: {RATIO_MIN:.0f}), {ours:.1f} us an event "
        f"(bar: {CPU_US_MAX:.0f}); yardstick {min(noise):.2f}-{max(noise):.2f} us"
    )
    console.print(verdict, soft_wrap=True)
    now = datetime.now(UTC)
    content = {
        "measured_at": now.isoformat(timespec="seconds"),
        "machine": description(),
        "seed": seed,
        "mix": MIX,
        "cpu_us": ours,
        "stock_cpu_us": stock,
        "ratio": round(stock / ours, 1),
        "runs": [run.as_json() for run in runs],
    }
    path = RESULTS_FOLDER / f"throughput-{now:%Y%m%dT%H%M%SZ}.json"
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    console.print(f"Written to {path}", soft_wrap=True)
    if publishing:
        publish(groups, f"{now:%Y-%m-%d}: {verdict}.", path, CPU_US_MAX)
        console.print("Written to docs/performance.md and its figure")
    right = all(run.judgement.ok for run in runs)
    return 0 if right and ours <= CPU_US_MAX and stock / ours >= RATIO_MIN else 1


if __name__ == "__main__":
    main()
