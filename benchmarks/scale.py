"""`make bench-scale`: memory, disk and CPU an event of a worker beside millions of open transactions in its state."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click

from benchmarks.backlog import EVENTS_PER_TRANSACTION, Backlog, Expected, send
from benchmarks.changelog import fill, leg
from benchmarks.disk import Stored, size, stored
from benchmarks.engines import build_product
from benchmarks.kafka import Broker
from benchmarks.machine import memory_at_its_highest, yardstick
from benchmarks.measuring import QUIET_SECONDS, follow, quiet
from benchmarks.oracle import Judgement, judge, product_claim, product_said
from benchmarks.roles import Role, fresh_stack
from benchmarks.session import console, in_folder, tell
from producers.plan import Record
from recon_stream.domain.event import Source
from recon_stream.rulebook import load_rules
from recon_stream.settings import Settings
from recon_stream.topics import RESULTS

MEMORY_MB_MAX = 1536
RATIO_MAX = 1.3
READY_SECONDS = 1800.0
REST_SECONDS = 600.0
EVENTS_TOLD = "recon_events_total"
KNOWN_SHARE = 4
"""Every so many events that are fed of new transactions, one open transaction gets its two other legs."""
MATCHED = Expected("MATCHED", frozenset(), EVENTS_PER_TRANSACTION)
HEADINGS = (
    "open transactions", "disk bytes each", "recovery", "at rest", "at the highest", "CPU us", "to empty", "events/s",
    "CPU us, known", "load", "oracle",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fed:
    """What a feed has cost: user + system of the worker in microseconds an event; memory is the most that was sampled."""

    events: int
    cpu_us: float
    events_per_second: int
    memory_mb: int
    stage_wall_us: dict[str, float]
    """What an event took in each stage of its unit of work, by the clock."""
    load: float


@dataclass(frozen=True, slots=True)
class Run:
    """One worker: recovered from nothing, brought to rest, then fed.

    `disk_bytes`: of the state at rest, an open transaction. Memory is resident: at rest, and the most of all as the kernel keeps
    it. `new`: transactions that the state does not know; `known`: the other legs of transactions that stand open in it. `state`:
    right, or what is wrong with the rows that were left.
    """

    transactions: int
    recovery_seconds: float
    disk_bytes: float
    rest_mb: int
    highest_mb: int
    new: Fed
    known: Fed | None
    filter_failed_open: int
    left: Stored
    state: str
    judgement: Judgement
    yardstick_us: tuple[float, float]
    load: float

    @property
    def is_right(self) -> bool:
        """Whether results and state are what they must be."""
        return self.judgement.ok and self.state == "right"

    def cells(self, empty_us: float) -> tuple[str, ...]:
        """A line of the table, by HEADINGS; `empty_us`: CPU an event on an empty state."""
        load = max(self.load, self.new.load, self.known.load if self.known else 0.0)
        return (
            f"{self.transactions:,}",
            f"{self.disk_bytes:.0f}" if self.transactions else "-",
            f"{self.recovery_seconds:.0f} s" if self.transactions else "-",
            f"{self.rest_mb} MB",
            f"{self.highest_mb} MB",
            f"{self.new.cpu_us:.1f}",
            f"{self.new.cpu_us / empty_us:.2f}",
            f"{self.new.events_per_second:,}",
            f"{self.known.cpu_us:.1f}" if self.known else "-",
            f"{load:.1f}",
            "right" if self.is_right else f"WRONG {self.judgement.wrong or self.state}",
        )


async def measure(folder: Path, transactions: int, events: int, seed: int) -> Run:
    """Recover so many open transactions on a stack of their own, then feed so many events. Raises RunFailed."""
    load, noise = os.getloadavg()[0], yardstick()
    async with fresh_stack(folder / "stack", "scale") as settings, Broker.of(settings) as broker:
        filled = await fill(settings, load_rules(settings).current, transactions)
        backlog = Backlog(settings, folder, seed)
        new = await asyncio.to_thread(backlog.planned, events // EVENTS_PER_TRANSACTION)
        known = missing_legs(transactions, min(transactions, events // KNOWN_SHARE), filled.base_ms)
        worker = Role("worker", settings, folder)
        try:
            await worker.until_ready(READY_SECONDS)
            recovery = (await worker.told())["recon_recovery_seconds"]
            await worker.until_at_rest(REST_SECONDS)
            rest, disk = worker.process.memory_info().rss, size(worker.folder)
            fed = [await feed(worker, settings, broker, records) for records in (new, known) if records]
            told, highest = await worker.told(), memory_at_its_highest(worker.child.pid)
        finally:
            await worker.stop()
        ends = await broker.ends(RESULTS)
        completed = {record.event.txn_id: MATCHED for record in known if record.event}
        values = broker.values(dict.fromkeys(ends, 0), ends)
        judgement = await judge(values, backlog.expected | completed, product_said, product_claim)
    left = stored(worker.folder)
    # a transaction that is complete waits for its expiry alone; new ones that match do so too
    wanted = (transactions + backlog.transactions, filled.deadlines - len(completed))
    right = left.cases == wanted[0] and left.deadlines >= wanted[1]
    return Run(
        transactions=transactions,
        recovery_seconds=round(recovery, 1),
        disk_bytes=round(disk / transactions, 1) if transactions else 0.0,
        rest_mb=rest >> 20,
        highest_mb=highest >> 20,
        new=fed[0],
        known=fed[1] if known else None,
        filter_failed_open=round(told["recon_filter_fail_open_total"]),
        left=left,
        state="right" if right else f"{left}: not {wanted[0]} cases, or fewer than {wanted[1]} deadlines",
        judgement=judgement,
        yardstick_us=(noise, yardstick()),
        load=round(load, 1),
    )


def missing_legs(transactions: int, number: int, base_ms: int) -> list[Record]:
    """What gateway and mobile app say of so many of the open transactions, chosen evenly, as records in the order of sending."""
    step = transactions // number if number else 1
    places = range(0, number * step, step)
    events = (leg(source, place, base_ms) for place in places for source in (Source.GATEWAY, Source.MOBILE))
    return [Record(0, event.source, event.txn_id.encode(), event) for event in events]


async def feed(worker: Role, settings: Settings, broker: Broker, records: Sequence[Record]) -> Fed:
    """Send the records as fast as the broker takes them and follow the worker to their end, and to that of their deadlines."""
    before, stages, cpu = (await worker.told()).get(EVENTS_TOLD, 0.0), await worker.stages(), worker.cpu()

    async def share() -> float:
        return ((await worker.told()).get(EVENTS_TOLD, 0.0) - before) / len(records)

    following = follow("the worker", worker.log, worker.process, share)
    flown, _ = await asyncio.gather(following, send(settings, records))
    load, after = os.getloadavg()[0], await worker.stages()
    # deadlines wait until it is known that no feed stands still; then the missing legs are told
    stall = load_rules(settings).current.stall.after_ms / 1000
    await quiet(broker, RESULTS, time.monotonic() + stall + QUIET_SECONDS)
    return Fed(
        events=len(records),
        cpu_us=round((flown.cpu - cpu) / len(records) * 1e6, 1),
        events_per_second=round(len(records) / (flown.done_at - flown.idle_until)),
        memory_mb=flown.memory >> 20,
        stage_wall_us={
            stage: round((seconds - stages.get(stage, 0.0)) / len(records) * 1e6, 1) for stage, seconds in after.items()
        },
        load=round(load, 1),
    )


async def measure_all(folder: Path, sizes: Sequence[int], events: int, seed: int) -> list[Run]:
    """Every size, an empty state first."""
    console.print("Building the product natively")
    build_product(folder)
    runs: list[Run] = []
    for transactions in sorted({0, *sizes}):
        run = await measure(folder, transactions, events, seed)
        runs.append(run)
        cells = run.cells(runs[0].new.cpu_us)
        console.print("  " + "  ".join(f"{heading}: {cell}" for heading, cell in zip(HEADINGS, cells, strict=True)))
        for name in ("stack", "scale-worker"):
            shutil.rmtree(folder / name)
    return runs


def report(runs: Sequence[Run], publishing: bool) -> int:
    """Show the table, write the results; the exit code."""
    lines = [run.cells(runs[0].new.cpu_us) for run in runs]
    highest, ratio = max(run.highest_mb for run in runs), max(run.new.cpu_us for run in runs) / runs[0].new.cpu_us
    noise = [value for run in runs for value in run.yardstick_us]
    verdict = (
        f"{highest} MB at the highest (bar: {MEMORY_MB_MAX}), {ratio:.2f} times the CPU of an empty state at most "
        f"(bar: {RATIO_MAX}), {runs[0].new.events:,} events; yardstick {min(noise):.2f}-{max(noise):.2f} us"
    )
    tell(
        "scale",
        "A worker beside open transactions; CPU is user + system during the feed, an event",
        HEADINGS,
        lines,
        verdict,
        {"runs": [asdict(run) for run in runs]},
        publishing=publishing,
    )
    met = highest <= MEMORY_MB_MAX and ratio <= RATIO_MAX
    return 0 if all(run.is_right for run in runs) and met else 1


@click.command()
@click.option(
    "--transactions",
    "sizes",
    type=click.IntRange(1_000),
    multiple=True,
    default=(1_000_000, 5_000_000),
    show_default=True,
    help="Open transactions in the state, beside none; may be given several times.",
)
@click.option("--events", type=click.IntRange(9_000), default=600_000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True)
@click.option("--publish", "publishing", is_flag=True, help="Put the figures into docs/performance.md.")
def main(sizes: tuple[int, ...], events: int, seed: int, publishing: bool) -> None:
    """Fill a changelog with open transactions, let a worker without local state recover them, then feed it EVENTS.

    Each size has the local services for itself, on free ports in a folder that is deleted at the end. Exit code 1 where
    results or state are wrong, or a bar is missed.
    """
    runs = in_folder(partial(measure_all, sizes=sizes, events=events, seed=seed))
    raise SystemExit(report(runs, publishing))


if __name__ == "__main__":
    main()
