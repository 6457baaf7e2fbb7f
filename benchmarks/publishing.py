"""The figures of docs/performance.md: summary of the runs, table, drawing, and the reference results."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from benchmarks.children import REPOSITORY
from benchmarks.figure import draw
from benchmarks.machine import description
from benchmarks.measuring import Run

PAGE = REPOSITORY / "docs" / "performance.md"
DRAWING = PAGE.with_suffix(".svg")
RESULTS_FOLDER = Path(__file__).parent / "results"
END = "<!-- end of figures -->\n"


@dataclass(frozen=True, slots=True)
class Group:
    """Medians of the runs of one engine on one backlog; `cpu_us` as in Run."""

    engine: str
    events: int
    cpu_us: float
    runs: tuple[Run, ...]

    @property
    def cpu_us_second_half(self) -> float:
        """As in Run."""
        return statistics.median(run.cpu_us_second_half for run in self.runs)

    @property
    def services_cpu_us(self) -> float:
        """Of all services together."""
        return statistics.median(sum(run.services_cpu_us.values()) for run in self.runs)

    def cells(self, headings: Sequence[str]) -> tuple[str, ...]:
        """A line of the table with these of COLUMNS."""
        return tuple(COLUMNS[heading](self) for heading in headings)

    def span(self) -> str:
        """Lowest and highest CPU."""
        return f"{min(run.cpu_us for run in self.runs):.1f}-{max(run.cpu_us for run in self.runs):.1f}"

    def failed_open(self) -> str:
        """Asks of the duplicate filter without an answer, all runs."""
        asked = [run.details["filter_failed_open"] for run in self.runs if "filter_failed_open" in run.details]
        return f"{sum(asked):.0f}" if asked else "-"


COLUMNS: dict[str, Callable[[Group], str]] = {
    "engine": lambda group: group.engine,
    "events": lambda group: f"{group.events:,}",
    "runs": lambda group: str(len(group.runs)),
    "CPU us": lambda group: f"{group.cpu_us:.1f}",
    "min-max": Group.span,
    "second half": lambda group: f"{group.cpu_us_second_half:.1f}",
    "with start": lambda group: f"{statistics.median(run.cpu_us_with_start for run in group.runs):.1f}",
    "services": lambda group: f"{group.services_cpu_us:.1f}",
    "events/s": lambda group: f"{statistics.median(run.events_per_second for run in group.runs):,.0f}",
    "memory": lambda group: f"{max(run.memory_mb for run in group.runs)} MB",
    "failed open": Group.failed_open,
    "oracle": lambda group: "right" if all(run.judgement.ok for run in group.runs) else "WRONG",
}
HEADINGS = (
    "engine",
    "events",
    "runs",
    "CPU us",
    "min-max",
    "with start",
    "events/s",
    "memory",
    "failed open",
    "oracle",
)


def summarised(runs: Sequence[Run]) -> list[Group]:
    """The runs by engine and backlog, in the order in which they were first run."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.engine, run.events), []).append(run)
    return [
        Group(engine, events, statistics.median(run.cpu_us for run in members), tuple(members))
        for (engine, events), members in groups.items()
    ]


def publish(groups: Sequence[Group], verdict: str, results: Path, limit_us: float) -> None:
    """Put table and drawing into the page, and keep the results as the reference."""
    put(
        "make bench", verdict, HEADINGS, [group.cells(HEADINGS) for group in groups], f"![CPU an event]({DRAWING.name})"
    )
    DRAWING.write_text(draw({(group.engine, group.events): group.cpu_us for group in groups}, limit_us))
    keep_results(results, "reference")


def put(command: str, verdict: str, headings: Sequence[str], lines: Sequence[Sequence[str]], *more: str) -> None:
    """Write the day, a sentence, a table and whatever else there is between the marks of the command that measured it."""
    begin = f"<!-- figures: written by {command} -->\n"
    head, rest = PAGE.read_text().split(begin)
    _, tail = rest.split(END, 1)
    text = "\n\n".join([f"{datetime.now(UTC):%Y-%m-%d}: {verdict}.", table(headings, lines), *more])
    PAGE.write_text(head + begin + text + "\n" + END + tail)


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """As Markdown; what is not in the first column is aligned to the right."""
    head = [f"| {' | '.join(headings)} |", f"|---|{'---:|' * (len(headings) - 1)}"]
    return "\n".join([*head, *[f"| {' | '.join(line)} |" for line in lines]])


def write_results(name: str, content: Mapping[str, object]) -> Path:
    """Write what a measurement found, with the time and the machine, to a file of its own; its path."""
    now = datetime.now(UTC)
    path = RESULTS_FOLDER / f"{name}-{now:%Y%m%dT%H%M%SZ}.json"
    head = {"measured_at": now.isoformat(timespec="seconds"), "machine": description()}
    path.write_bytes(orjson.dumps(head | dict(content), option=orjson.OPT_INDENT_2))
    return path


def keep_results(results: Path, name: str) -> None:
    """Keep the results of a run under a name that the page leads to."""
    shutil.copyfile(results, RESULTS_FOLDER / f"{name}.json")
