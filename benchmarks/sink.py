"""`make bench-sink`: rows a second and CPU a row of one sink on a backlog, first of source records, then of results."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import LiteralString, Self

import click
import psutil
import psycopg

from benchmarks.backlog import EVENTS_PER_TRANSACTION, Backlog
from benchmarks.engines import build_product
from benchmarks.kafka import Broker
from benchmarks.machine import memory_at_its_highest, yardstick
from benchmarks.measuring import QUIET_SECONDS, follow, quiet
from benchmarks.roles import Role, fresh_stack
from benchmarks.session import console, in_folder, tell
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.rulebook import load_rules
from recon_stream.settings import Settings
from recon_stream.stack import local
from recon_stream.storage.migrate import migrate
from recon_stream.topics import RESULTS

RAW_EVENTS_A_SECOND_MIN = 15_000
READY_SECONDS, REST_SECONDS = 60.0, 60.0
HEADINGS = ("agent", "records", "records/s", "min-max", "CPU us", "PostgreSQL us", "memory", "load", "rows")

COUNTS: dict[str, LiteralString] = {
    "raw_events": "SELECT count(*) FROM raw_events WHERE status = 'READABLE'",
    "reconciliation_results": "SELECT count(*) FROM reconciliation_results",
    "open breaks": "SELECT count(*) FROM breaks WHERE state = 'OPEN'",
    "result_conflicts": "SELECT count(*) FROM result_conflicts",
}


@dataclass(frozen=True, slots=True)
class Run:
    """A backlog of one kind, stored by one process.

    `cpu_us`: user + system of the sink a record, without its start; `server_us`: of PostgreSQL's processes, in the same time.
    `rows` by table, as they are counted in the database in the end; `state`: right, or what is wrong with them.
    """

    agent: str
    records: int
    records_per_second: int
    cpu_us: float
    server_us: float
    memory_mb: int
    rows: dict[str, int]
    state: str
    yardstick_us: float
    load: float


class Database:
    """What the sink has stored, and what the server needs of the machine. `async with Database(settings) as database`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Self:
        services = await local.status(self._settings)
        self._server = psutil.Process(next(each.pid for each in services if each.service == "postgres"))
        self._connection = await psycopg.AsyncConnection.connect(self._settings.database_reader_url, autocommit=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def reached(self, topics: Sequence[str]) -> int:
        """The offsets below which the records of these topics are stored, summed."""
        return await self.number(
            "SELECT coalesce(sum(next_offset), 0)::bigint FROM sink_offsets WHERE topic = ANY (%s)", list(topics)
        )

    async def number(self, query: LiteralString, *values: object) -> int:
        """What a query answers that asks for one number."""
        row = await (await self._connection.execute(query, values)).fetchone()
        assert row is not None, "an aggregate always answers"
        return int(row[0])

    def cpu(self) -> float:
        """User and system seconds of the server's processes, those that have ended included."""
        ended = self._server.cpu_times()
        living = [process.cpu_times() for process in self._server.children()]
        return ended.children_user + ended.children_system + sum(each.user + each.system for each in living)


async def measure(
    settings: Settings, folder: Path, broker: Broker, agent: str, topics: Sequence[str], wanted: Mapping[str, int]
) -> Run:
    """Start a sink that finds a backlog in these topics and nothing new in others; wait until all of it is stored.

    `wanted`: what COUNTS must say then. Raises RunFailed.
    """
    noise, load = yardstick(), os.getloadavg()[0]
    ends = [await broker.ends(topic) for topic in topics]
    records = sum(sum(each.values()) for each in ends)
    async with Database(settings) as database:
        before = database.cpu()
        sink = Role("sink", settings, folder)

        async def share() -> float:
            return await database.reached(topics) / records

        try:
            flown = await follow("the sink", sink.log, sink.process, share)
            server, memory = database.cpu() - before, memory_at_its_highest(sink.child.pid)
        finally:
            await sink.stop()
        rows = {table: await database.number(COUNTS[table]) for table in wanted}
    return Run(
        agent=agent,
        records=records,
        records_per_second=round(records / (flown.done_at - flown.idle_until)),
        cpu_us=round((flown.cpu - flown.idle_cpu) / records * 1e6, 1),
        server_us=round(server / records * 1e6, 1),
        memory_mb=memory >> 20,
        rows=rows,
        state="right" if rows == dict(wanted) else f"WRONG: {rows}, not {wanted}",
        yardstick_us=noise,
        load=round(load, 1),
    )


async def reconcile(settings: Settings, folder: Path, broker: Broker, backlog: Backlog) -> None:
    """Let a worker publish all results of the backlog."""
    worker = Role("worker", settings, folder)

    async def share() -> float:
        return (await worker.told()).get("recon_events_total", 0.0) / backlog.events

    try:
        await follow("the worker", worker.log, worker.process, share)
        # deadlines wait until it is known that no feed stands still; then the missing legs are told
        held = time.monotonic() + load_rules(settings).current.stall.after_ms / 1000 + QUIET_SECONDS
        await quiet(broker, RESULTS, held)
    finally:
        await worker.stop()


async def measure_all(folder: Path, events: int, repeats: int, seed: int) -> list[Run]:
    """On a fresh stack each time: the archive of the sources, then the results that a worker has made of them meanwhile."""
    console.print("Building the product natively")
    build_product(folder)
    runs: list[Run] = []
    for _ in range(repeats):
        async with fresh_stack(folder / "stack", "sink") as settings, Broker.of(settings) as broker:
            await migrate(settings.database_owner_url)
            backlog = Backlog(settings, folder, seed)
            await backlog.grow(events // EVENTS_PER_TRANSACTION)
            for agent, topics, wanted in (
                ("archive", SOURCE_TOPICS, {"raw_events": backlog.events}),
                ("persist", (RESULTS,), stored_results(backlog)),
            ):
                if topics == (RESULTS,):
                    await reconcile(settings, folder, broker, backlog)
                runs.append(await measure(settings, folder, broker, agent, topics, wanted))
                console.print(f"  {runs[-1]}", soft_wrap=True)
        for name in ("stack", "sink-worker", "sink-sink"):
            shutil.rmtree(folder / name)
    return runs


def stored_results(backlog: Backlog) -> dict[str, int]:
    """What must be stored of the results of a backlog."""
    breaks = sum(len(expected.breaks) for expected in backlog.expected.values())
    return {"reconciliation_results": backlog.transactions, "open breaks": breaks, "result_conflicts": 0}


def cells(agent: str, runs: Sequence[Run]) -> tuple[str, ...]:
    """A line of the table, by HEADINGS: medians of the runs of an agent."""
    rates = [run.records_per_second for run in runs]
    return (
        agent,
        f"{runs[0].records:,}",
        f"{statistics.median(rates):,.0f}",
        f"{min(rates):,}-{max(rates):,}",
        f"{statistics.median(run.cpu_us for run in runs):.1f}",
        f"{statistics.median(run.server_us for run in runs):.1f}",
        f"{max(run.memory_mb for run in runs)} MB",
        f"{min(run.load for run in runs):.1f}-{max(run.load for run in runs):.1f}",
        next((run.state for run in runs if run.state != "right"), "right"),
    )


def report(runs: Sequence[Run], publishing: bool) -> int:
    """Show the table, write the results; the exit code."""
    by_agent = {agent: [run for run in runs if run.agent == agent] for agent in ("archive", "persist")}
    lines = [cells(agent, members) for agent, members in by_agent.items()]
    rate = statistics.median(run.records_per_second for run in by_agent["archive"])
    noise = [run.yardstick_us for run in runs]
    verdict = (
        f"{rate:,.0f} raw events a second (bar: {RAW_EVENTS_A_SECOND_MIN:,}), {len(by_agent['archive'])} runs; "
        f"yardstick {min(noise):.2f}-{max(noise):.2f} us"
    )
    tell(
        "sink",
        "One sink on a backlog, medians",
        HEADINGS,
        lines,
        verdict,
        {"runs": [asdict(run) for run in runs]},
        publishing=publishing,
    )
    return 0 if all(run.state == "right" for run in runs) and rate >= RAW_EVENTS_A_SECOND_MIN else 1


@click.command()
@click.option("--events", type=click.IntRange(9_000), default=600_000, show_default=True)
@click.option("--repeats", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True)
@click.option("--publish", "publishing", is_flag=True, help="Put the figures into docs/performance.md.")
def main(events: int, repeats: int, seed: int, publishing: bool) -> None:
    """Measure one sink on a backlog of EVENTS in the source topics, then on the results that a worker has made of them.

    Each repetition has the local services for itself, on free ports in a folder that is deleted at the end. Exit code 1
    where rows are missing or wrong, or the bar is missed.
    """
    runs = in_folder(partial(measure_all, events=events, repeats=repeats, seed=seed))
    raise SystemExit(report(runs, publishing))


if __name__ == "__main__":
    main()
