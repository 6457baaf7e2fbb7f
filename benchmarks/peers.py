"""`make bench-peers`: one worker of recon-stream beside stock Faust, a confluent-kafka loop and Kafka Streams on one backlog."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from benchmarks.engines import Product, build_product
from benchmarks.figure import draw
from benchmarks.kafka_streams.build import build
from benchmarks.measuring import Engine, Run
from benchmarks.publishing import PAGE, Group, keep_results, put, summarised, table
from benchmarks.rivals import ConfluentLoop, KafkaStreams, StockFaust
from benchmarks.session import Session, console, keep, measured, noise, show
from recon_stream.settings import Settings
from recon_stream.stack.commands import Shown

ENGINES: tuple[type[Engine], ...] = (StockFaust, ConfluentLoop, KafkaStreams, Product)
HEADINGS = (
    "engine", "events", "runs", "CPU us", "min-max", "second half", "with start", "services", "events/s", "memory",
    "failed open", "oracle",
)  # fmt: skip
DOES = (
    "engine",
    "missing legs",
    "duplicates",
    "corrections",
    "rows before results",
    "results before offsets",
    "evidence",
)
WHAT_EACH_DOES = (
    (Product.name, "told at the deadline", "Redis filter, state", "yes", "yes", "yes", "full"),
    (KafkaStreams.name, "no", "state", "no", "no: sent together", "yes", "full"),
    (ConfluentLoop.name, "no", "state", "no", "no: sent together", "yes", "full"),
    (StockFaust.name, "no", "no", "no", "no: not awaited", "no: not awaited", "legs, names of fields"),
)
DRAWING = PAGE.with_name("peers.svg")


@click.command()
@click.option("--events", envvar="EVENTS", type=click.IntRange(9_000), default=300_000, show_default=True)
@click.option("--repeats", envvar="REPEATS", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True)
@click.option("--publish", "publishing", is_flag=True, help="Put the figures into docs/performance.md.")
def main(events: int, repeats: int, seed: int, publishing: bool) -> None:
    """Measure one worker of recon-stream, natively built, and its peers on the same backlog of EVENTS.

    Starts the local services on free ports in a folder of its own and stops them at the end. Runs of the engines alternate; the
    table shows medians. Exit code 1 where an oracle finds anything wrong, where two engines that write the same evidence do not,
    or where recon-stream takes more CPU an event than Kafka Streams.
    """
    raise SystemExit(
        report(measured(partial(measure_all, events=events, repeats=repeats, seed=seed)), seed, publishing)
    )


async def measure_all(settings: Settings, folder: Path, events: int, repeats: int, seed: int) -> list[Run]:
    """All engines on one backlog, in turn."""
    console.print("Building the product natively, and Kafka Streams' program")
    build_product(folder)
    with Shown(console) as shown:
        KafkaStreams.class_path = build(settings, folder / "classes", shown)
    async with Session.of(settings, folder, seed) as session:
        await session.start(ENGINES)
        await session.grow(events)
        for _ in range(repeats):
            for engine in ENGINES:
                await session.run(engine)
        return session.runs


def report(runs: list[Run], seed: int, publishing: bool) -> int:
    """Show the tables, write the results; the exit code."""
    groups = summarised(runs)
    lines = [group.cells(HEADINGS) for group in groups]
    show("Medians; CPU is user + system of the process, in microseconds an event", HEADINGS, lines)
    show("What each does", DOES, WHAT_EACH_DOES)
    found = {group.engine: group for group in groups}
    ours, streams = found[Product.name], found[KafkaStreams.name]
    same, cheaper = same_evidence(runs), ours.cpu_us < streams.cpu_us
    verdict = (
        f"recon-stream {ours.cpu_us:.1f} us an event, Kafka Streams {streams.cpu_us:.1f} (bar: less, "
        f"{'held' if cheaper else 'missed'}); in the second half {ours.cpu_us_second_half:.1f} and "
        f"{streams.cpu_us_second_half:.1f}; {'the same evidence' if same else 'NOT THE SAME EVIDENCE'}; {noise(runs)}"
    )
    console.print(verdict, soft_wrap=True)
    figures = {"cpu_us": cost(groups, "cpu_us"), "cpu_us_second_half": cost(groups, "cpu_us_second_half")}
    path = keep("peers", seed, runs, figures)
    if publishing:
        drawn = f"![CPU an event in the second half of the backlog]({DRAWING.name})"
        put("make bench-peers", verdict, HEADINGS, lines, table(DOES, WHAT_EACH_DOES), drawn)
        bars = {(group.engine, group.events): group.cpu_us_second_half for group in groups}
        title = "CPU microseconds an event in the second half of the backlog"
        DRAWING.write_text(draw(bars, streams.cpu_us_second_half, title))
        keep_results(path, "peers")
        console.print("Written to docs/performance.md and its figure")
    right = all(run.judgement.ok for run in runs)
    return 0 if right and same and cheaper else 1


def cost(groups: Sequence[Group], figure: str) -> dict[str, float]:
    """A figure of each engine."""
    return {group.engine: getattr(group, figure) for group in groups}


def same_evidence(runs: list[Run]) -> bool:
    """Whether all engines that publish the product's records said the same of all legs and all breaks but missing legs."""
    return len({run.judgement.evidence for run in runs if run.judgement.evidence}) == 1


if __name__ == "__main__":
    main()
