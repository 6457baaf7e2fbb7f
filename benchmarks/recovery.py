"""`make bench-recovery`: how long a worker without local state takes until it works, beside stock Faust."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import aiohttp
import click
import orjson
import psutil

from benchmarks.changelog import Filled, fill
from benchmarks.children import RunFailed, spawn, stop
from benchmarks.disk import Stored, databases, stored
from benchmarks.kafka import Broker
from benchmarks.machine import memory_at_its_highest, yardstick
from benchmarks.publishing import write_results
from benchmarks.session import console, measured, show
from benchmarks.stock_recovery import Config
from recon_stream.registration import register_schemas
from recon_stream.rulebook import load_rules
from recon_stream.settings import Settings, load_settings, read_env_file
from recon_stream.stack import local
from recon_stream.stack.ports import free_ports
from recon_stream.stack.services import DATA_PATH
from recon_stream.topics import changelog_topic, create_topics

SAMPLE_SECONDS = 0.05
RECOVERY_SECONDS_MAX = 1800.0
SCRAPE_TIMEOUT = aiohttp.ClientTimeout(total=5)
BAR_SECONDS, BAR_TRANSACTIONS = 60.0, 1_000_000
EMPTY_STARTS = 3
HEADINGS = (
    "engine", "transactions", "seconds", "rows/s", "until ready", "CPU us a row", "peak memory", "deadlines", "state",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """One recovery from nothing.

    `seconds`: from the first row to the last, as the process itself tells. `until_ready`: from the start of the process until it
    works. `cpu_us_a_row`: user + system until then, without what the same process takes where there is nothing to recover.
    `state` says whether rows and deadlines on disk are those of the changelog.
    """

    engine: str
    transactions: int
    rows: int
    changelog_mb: int
    seconds: float
    rows_per_second: int
    until_ready: float
    cpu_us_a_row: float
    memory_mb: int
    deadlines: int
    state: str
    yardstick_us: float
    load: float

    def cells(self) -> tuple[str, ...]:
        """A line of the table, by HEADINGS."""
        return (
            self.engine,
            f"{self.transactions:,}",
            f"{self.seconds:.1f}",
            f"{self.rows_per_second:,}",
            f"{self.until_ready:.1f}",
            f"{self.cpu_us_a_row:.1f}",
            f"{self.memory_mb} MB",
            f"{self.deadlines:,}",
            self.state,
        )


class Engine(ABC):
    """A process that recovers; a fresh one, without any state, for every run."""

    name: str

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder / f"{settings.app_id}-{self.name.replace(' ', '-')}"
        self.log = self.folder.with_suffix(".log")

    @abstractmethod
    def command(self) -> tuple[list[str], dict[str, str]]:
        """Command and environment."""

    @abstractmethod
    async def is_done(self) -> bool:
        """Whether it has recovered and works."""

    @abstractmethod
    async def recovering(self) -> float:
        """Seconds from the first row to the last, as the process tells once it is done."""

    @abstractmethod
    def judged(self, filled: Filled) -> tuple[int, str]:
        """(entries of the index of deadlines, right or what is wrong), once the process has ended."""


class Product(Engine):
    """One worker of recon-stream."""

    name = "recon-stream"

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings, folder)
        self.port = free_ports(1)[0]

    def command(self) -> tuple[list[str], dict[str, str]]:
        environ = read_env_file(self.settings.state_dir / "stack.env") | {
            "RECON_STATE_DIR": str(self.folder),
            "RECON_APP_ID": self.settings.app_id,
            "RECON_OPERATIONS_PORT": str(self.port),
        }
        return [sys.executable, "-m", "recon_stream", "worker"], environ

    async def is_done(self) -> bool:
        try:
            return (await self._asked("/readyz"))[0] == 200
        except (aiohttp.ClientConnectionError, TimeoutError):
            return False  # it does not listen yet

    async def recovering(self) -> float:
        found = re.search(r"^recon_recovery_seconds (\S+)", (await self._asked("/metrics"))[1], re.MULTILINE)
        assert found is not None, "the metric is there from the beginning"
        return float(found[1])

    async def _asked(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession(timeout=SCRAPE_TIMEOUT) as session, session.get(url) as answer:
            return answer.status, await answer.text()

    def judged(self, filled: Filled) -> tuple[int, str]:
        found = stored(self.folder)
        # beside the partition's own row stands the offset
        wanted = Stored(filled.rows - self.settings.partitions, filled.deadlines, 2 * self.settings.partitions)
        return found.deadlines, "right" if found == wanted else f"WRONG: {found}, not {wanted}"


class StockFaust(Engine):
    """Stock Faust's own recovery of the same changelog; see stock_recovery.py."""

    name = "stock Faust"

    def command(self) -> tuple[list[str], dict[str, str]]:
        config = Config(
            f"{self.settings.app_id}-worker",
            self.settings.kafka_bootstrap_servers,
            str(self.folder),
            self.settings.partitions,
            str(self.folder / "recovered"),
        )
        return [sys.executable, "-m", "benchmarks.stock_recovery", orjson.dumps(config._asdict()).decode()], {}

    async def is_done(self) -> bool:
        return (self.folder / "recovered").exists()

    async def recovering(self) -> float:
        return float((self.folder / "recovered").read_text())

    def judged(self, filled: Filled) -> tuple[int, str]:
        # its own folder layout and a changelog without an index: rows and the offset of each partition
        entries = sum(1 for db in databases(self.folder) for _ in db.keys())  # noqa: SIM118 an Rdict cannot be iterated
        rows = entries - self.settings.partitions
        return 0, "right" if rows == filled.rows else f"WRONG: {rows} rows, not {filled.rows}"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process has spent until it worked: seconds of the clock, of CPU, of recovery; bytes of memory at the highest."""

    seconds: float
    cpu: float
    memory: int
    recovering: float


async def recover(engine: Engine) -> Cost:
    """Start the process on an empty folder, wait until it works, stop it. Raises RunFailed."""
    engine.folder.mkdir()
    command, environ = engine.command()
    begun = time.monotonic()
    child = spawn(command, environ, engine.log)
    try:
        process = psutil.Process(child.pid)
        while not await engine.is_done():
            await asyncio.sleep(SAMPLE_SECONDS)
            if child.poll() is not None or time.monotonic() - begun > RECOVERY_SECONDS_MAX:
                raise RunFailed(f"{engine.name} ended or did not recover, see {engine.log}")
        spent = process.cpu_times()
        seconds, memory = time.monotonic() - begun, memory_at_its_highest(child.pid)
        return Cost(seconds, spent.user + spent.system, memory, await engine.recovering())
    finally:
        await stop(child, engine.log)


async def measure_all(settings: Settings, folder: Path, sizes: Sequence[int], stock_max: int) -> list[Run]:
    """Start on an empty changelog, then recover every size, the rival up to `stock_max` transactions."""
    console.print("Starting Kafka, the schema registry, PostgreSQL and Valkey")
    await local.up(settings, services=DATA_PATH)
    settings = load_settings({"RECON_STATE_DIR": str(settings.state_dir)})
    runs: list[Run] = []
    starts: dict[str, Cost] = {}
    async with Broker.of(settings) as broker:
        for size in (0, *sizes):
            own = replace(settings, app_id=f"bench-recovery-{size}")
            await create_topics(own)
            await register_schemas(own)
            filled = await fill(own, load_rules(own).current, size) if size else Filled(0, 0, 0, 0)
            for kind in (StockFaust, Product):
                if kind is StockFaust and size > stock_max:
                    continue
                if not size:
                    starts[kind.name] = await start_on_nothing(kind, own, folder)
                    continue
                engine = kind(own, folder)
                noise, cost = yardstick(), await recover(engine)
                runs.append(of(engine, size, filled, cost, starts[engine.name], noise))
                console.print("  " + "  ".join(runs[-1].cells()), soft_wrap=True)
                shutil.rmtree(engine.folder)
            await broker.delete([changelog_topic(own)])
    return runs


async def start_on_nothing(kind: type[StockFaust | Product], settings: Settings, folder: Path) -> Cost:
    """What the process takes to start where there is nothing to recover: the run with the median of CPU."""
    costs = []
    for _ in range(EMPTY_STARTS):
        engine = kind(settings, folder)
        costs.append(await recover(engine))
        shutil.rmtree(engine.folder)
    cost = sorted(costs, key=lambda each: each.cpu)[EMPTY_STARTS // 2]
    console.print(f"  {kind.name} starts on an empty changelog in {cost.seconds:.1f} s, {cost.cpu:.1f} s of CPU")
    return cost


def of(engine: Engine, transactions: int, filled: Filled, cost: Cost, start: Cost, noise: float) -> Run:
    """The figures of a run from what it cost."""
    deadlines, state = engine.judged(filled)
    return Run(
        engine=engine.name,
        transactions=transactions,
        rows=filled.rows,
        changelog_mb=filled.bytes >> 20,
        seconds=round(cost.recovering, 2),
        rows_per_second=round(filled.rows / cost.recovering),
        until_ready=round(cost.seconds, 1),
        cpu_us_a_row=round((cost.cpu - start.cpu) / filled.rows * 1e6, 1),
        memory_mb=cost.memory >> 20,
        deadlines=deadlines,
        state=state,
        yardstick_us=noise,
        load=round(os.getloadavg()[0], 1),
    )


def report(runs: Sequence[Run]) -> int:
    """Show the table and write the results; the exit code."""
    show("Recovery without local state", HEADINGS, [run.cells() for run in runs])
    path = write_results("recovery", {"runs": [asdict(run) for run in runs]})
    console.print(f"Written to {path}", soft_wrap=True)
    right = all(run.state == "right" for run in runs)
    missed = [
        run
        for run in runs
        if run.engine == Product.name and run.seconds > BAR_SECONDS * max(1, run.transactions / BAR_TRANSACTIONS)
    ]
    return 0 if right and not missed else 1


@click.command()
@click.option(
    "--transactions",
    "sizes",
    type=click.IntRange(1_000),
    multiple=True,
    default=(100_000, 300_000, 1_000_000),
    show_default=True,
    help="Open transactions to recover; may be given several times.",
)
@click.option(
    "--stock-transactions", type=click.IntRange(0), default=100_000, show_default=True, help="The most for stock Faust."
)
def main(sizes: tuple[int, ...], stock_transactions: int) -> None:
    """Fill a changelog with real rows of open transactions, then recover it with a worker that has no local state.

    Starts the local services on free ports in a folder of its own and stops them at the end. Exit code 1 where a state is not what
    the changelog says, or a million transactions would take more than 60 s.
    """
    raise SystemExit(report(measured(partial(measure_all, sizes=sizes, stock_max=stock_transactions))))


if __name__ == "__main__":
    main()
