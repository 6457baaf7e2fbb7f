"""`recon-stream produce` and the scripts of the single sources."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from producers.answer_key import described
from producers.feed import Sent, feed
from producers.plan import (
    CLEAN_MIX,
    DEFAULT_MIX,
    ENDLESS_BASE_MS,
    UNPACED_INTERVAL_US,
    Fault,
    Plan,
    endless_first,
    parse_mix,
)
from producers.rules import rules_in_force
from recon_stream.domain.event import SOURCES
from recon_stream.errors import ConfigurationError, ReconError
from recon_stream.settings import Settings, load_settings

_SOURCE_NAMES = [source.name.lower() for source in SOURCES]


@click.command(
    epilog=f"Faults of a mix: {', '.join(Fault)}. Weights are relative: amount=20,clean=980 makes 2 % wrong amounts."
)
@click.option(
    "--transactions", "-n", type=click.IntRange(1), default=1000, show_default=True, help="How many to begin."
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 100_000),
    default=100.0,
    show_default=True,
    help="Transactions begun a second. 0: as fast as possible, in planned order without waiting; late legs then may not "
    "be late, but the final verdicts of the answer key hold.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Another seed is another plan.")
@click.option("--mix", default=None, help="Which faults, as fault=weight,...; those not named do not occur.")
@click.option("--clean", is_flag=True, help="No faults at all.")
@click.option(
    "--answer-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what must have come of every transaction to this file (JSON Lines, totals last).",
)
@click.option(
    "--source",
    type=click.Choice([*_SOURCE_NAMES, "all"]),
    default="all",
    show_default=True,
    help="Send only this source's part of the plan.",
)
@click.option("--forever", is_flag=True, help="Go on until Ctrl-C, each time with fresh transactions.")
@click.option(
    "--start",
    type=click.IntRange(0),
    help="Instant at which the plan begins, in epoch milliseconds; default: now. Feeds that share a plan of a given "
    "number of transactions need the same one; endless feeds do not.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with what was sent, for programs.")
def produce(
    transactions: int,
    rate: float,
    seed: int,
    mix: str | None,
    clean: bool,
    answer_key: Path | None,
    source: str,
    forever: bool,
    start: int | None,
    as_json: bool,
) -> None:
    """Send simulated transactions of core banking, payment gateway and mobile app to Kafka.

    Most transactions agree; some have a fault, by the mix. Everything follows from the seed, the start, the rate and
    the mix, so three processes with the same ones and different --source send parts of one plan. Late legs are late by
    the rules in force (RECON_RULES_FILE).

    Ctrl-C begins no further transaction, sends the rest of those begun, waits for the brokers and says what was sent; a
    second Ctrl-C breaks off.
    """
    if mix is not None and clean:
        raise ConfigurationError("--mix and --clean exclude each other")
    if forever and start is not None:
        raise ConfigurationError("--start and --forever exclude each other: an endless plan has a fixed beginning")
    settings = load_settings()
    now_ms = time.time_ns() // 1_000_000
    interval_us = max(1, round(1_000_000 / rate)) if rate else UNPACED_INTERVAL_US
    timing, tolerances = rules_in_force(settings)
    plan = Plan(
        seed=seed,
        base_ms=ENDLESS_BASE_MS if forever else now_ms if start is None else start,
        interval_us=interval_us,
        transactions=None if forever else transactions,
        first=endless_first(now_ms, interval_us) if forever else 0,
        paced=rate > 0,
        mix=CLEAN_MIX if clean else DEFAULT_MIX if mix is None else parse_mix(mix),
        timing=timing,
        tolerances=tolerances,
    )
    sources = SOURCES if source == "all" else (SOURCES[_SOURCE_NAMES.index(source)],)
    sent = asyncio.run(_produce(settings, plan, answer_key, sources, show=not as_json))
    if as_json:
        click.echo(json.dumps(asdict(sent) | {"plan": described(plan)}))
    else:
        click.echo(_summary(sent, answer_key))


async def _produce(
    settings: Settings, plan: Plan, answer_key: Path | None, sources: tuple[Any, ...], *, show: bool
) -> Sent:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not (show and console.is_terminal),
    ) as bar:
        task = bar.add_task("transactions", total=plan.transactions)

        def progress(sent: Sent) -> None:
            behind = f", {sent.behind_ms / 1000:.0f} s behind" if sent.behind_ms > 1000 else ""
            behind = ", late ones are still due" if sent.transactions == plan.transactions else behind
            bar.update(
                task,
                completed=sent.transactions,
                description=f"{sum(sent.records.values()):,} records{behind}",
            )

        return await feed(settings, plan, answer_key, progress, stop, sources)


def _summary(sent: Sent, answer_key: Path | None) -> str:
    records = ", ".join(f"{count:,} to {topic}" for topic, count in sent.records.items())
    text = f"{'Stopped. ' if sent.stopped else ''}Sent {sent.transactions:,} transactions in {sent.seconds:.1f} s: {records}."
    return f"{text} Answer key: {answer_key}" if answer_key else text


def run_source(name: str) -> None:
    """The script of one source: the options of `produce`, its source given."""
    try:
        produce.main(args=["--source", name, *sys.argv[1:]], prog_name=f"{name}_producer")
    except ReconError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(2) from error
