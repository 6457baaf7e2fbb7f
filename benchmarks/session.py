"""What every comparison of engines needs: the services in a folder of their own, one growing backlog, one run after the other."""

from __future__ import annotations

import asyncio
import platform
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from benchmarks.backlog import EVENTS_PER_TRANSACTION, MIX, Backlog
from benchmarks.children import RunFailed
from benchmarks.kafka import Broker
from benchmarks.measuring import Engine, Run, measure, measure_start
from benchmarks.publishing import keep_results, put, write_results
from recon_stream.errors import ReconError
from recon_stream.registration import register_schemas
from recon_stream.settings import Settings, load_settings
from recon_stream.stack import local
from recon_stream.stack.services import DATA_PATH
from recon_stream.topics import create_topics

console = Console()

T = TypeVar("T")


class Session:
    """Runs on one stack. Engines start on empty topics first, then the backlog grows, then they are measured on it."""

    def __init__(self, settings: Settings, folder: Path, broker: Broker, seed: int) -> None:
        self.settings, self.folder, self.seed = settings, folder, seed
        self.runs: list[Run] = []
        self._broker = broker
        self._backlog = Backlog(settings, folder, seed)
        self._numbers = count()
        self._start_cpu: dict[type[Engine], float] = {}

    @classmethod
    @asynccontextmanager
    async def of(cls, settings: Settings, folder: Path, seed: int) -> AsyncIterator[Session]:
        """With services that are up."""
        console.print("Starting Kafka, the schema registry, PostgreSQL and Valkey")
        await local.up(settings, services=DATA_PATH)
        settings = load_settings({"RECON_STATE_DIR": str(settings.state_dir)})
        await create_topics(settings)
        await register_schemas(settings)
        async with Broker.of(settings) as broker:
            yield cls(settings, folder, broker, seed)

    async def start(self, engines: Sequence[type[Engine]]) -> None:
        """Measure what each takes to start where there is nothing to do."""
        for engine in engines:
            self._start_cpu[engine] = await measure_start(self._new(engine))
            console.print(f"{engine.name} starts on empty topics with {self._start_cpu[engine]:.1f} s of CPU")

    async def grow(self, events: int) -> None:
        """Bring the backlog to about so many events."""
        seconds = await self._backlog.grow(events // EVENTS_PER_TRANSACTION)
        found = self._backlog
        console.print(f"Backlog of {found.events:,} events of {found.transactions:,} transactions, {seconds:.0f} s")

    async def run(self, engine: type[Engine]) -> None:
        """Measure it once on the backlog."""
        run = await measure(self._new(engine), self._backlog, self._start_cpu[engine])
        self.runs.append(run)
        verdict = "right" if run.judgement.ok else f"WRONG {run.judgement.wrong}"
        console.print(
            f"  {run.engine:<20} {run.cpu_us:7.1f} us/event  {run.events_per_second:7,} events/s  {run.memory_mb:4} MB  "
            f"yardstick {run.yardstick_us[0]:.2f}-{run.yardstick_us[1]:.2f} us  load {run.load}  {verdict}",
            soft_wrap=True,
        )

    def _new(self, engine: type[Engine]) -> Engine:
        return engine(self.settings, self._broker, self.folder, next(self._numbers))


def measured(work: Callable[[Settings, Path], Coroutine[None, None, T]]) -> T:
    """What `work` finds, given settings of a stack that is not up yet and a folder; the stack is down at the end. See in_folder."""

    async def with_stack(folder: Path) -> T:
        settings = load_settings({"RECON_STATE_DIR": str(folder / "stack"), "RECON_STACK_PORTS": "free"})
        try:
            return await work(settings, folder)
        finally:
            await local.down(load_settings({"RECON_STATE_DIR": str(settings.state_dir)}))

    return in_folder(with_stack)


def in_folder(work: Callable[[Path], Coroutine[None, None, T]]) -> T:
    """What `work` finds, given a folder that is gone at the end.

    Where something fails, the folder stays for its logs and the program ends with exit code 2.
    """
    folder = Path(tempfile.mkdtemp(prefix="recon-bench-"))
    folder.chmod(0o711)  # PostgreSQL passes through it as a user of its own where root measures
    try:
        found = asyncio.run(work(folder))
    except (ReconError, RunFailed) as error:
        console.print(f"[red]{error}[/]\nThe logs are in {folder}.")
        raise SystemExit(2) from error
    shutil.rmtree(folder)
    return found


def show(title: str, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A table; what is not in the first column is aligned to the right. A few lines wider than the terminal become columns."""
    table = _table(title, headings, lines)
    least = console.measure(table, options=console.options.update(max_width=1000)).minimum
    if least > console.width and len(lines) < len(headings) // 2:
        first, *others = zip(headings, *lines, strict=True)
        table = _table(title, first, others)
    console.print(table)


def _table(title: str, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    for line in lines:
        table.add_row(*line)
    return table


def tell(
    name: str, title: str, headings: Sequence[str], lines: Sequence[Sequence[str]], verdict: str,
    found: Mapping[str, object], *, publishing: bool,
) -> None:  # fmt: skip
    """Show table and verdict of `make bench-<name>` and write everything that was found; put it into the page, if asked to."""
    show(title, headings, lines)
    console.print(verdict, soft_wrap=True)
    path = write_results(name, found)
    console.print(f"Written to {path}", soft_wrap=True)
    if publishing:
        put(f"make bench-{name}", verdict, headings, lines)
        keep_results(path, name)
        console.print("Written to docs/performance.md")


def keep(name: str, seed: int, runs: Sequence[Run], figures: Mapping[str, object]) -> Path:
    """Write everything that was measured to a file of its own; its path."""
    path = write_results(name, {"seed": seed, "mix": MIX, **figures, "runs": [run.as_json() for run in runs]})
    console.print(f"Written to {path}", soft_wrap=True)
    return path


def noise(runs: Sequence[Run]) -> str:
    """How much the yardstick moved during the runs, and the interpreter, as some are built better than others."""
    values = [value for run in runs for value in run.yardstick_us]
    return f"yardstick {min(values):.2f}-{max(values):.2f} us, Python {platform.python_version()}"
