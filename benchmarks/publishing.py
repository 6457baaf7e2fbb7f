"""The figures of docs/performance.md: summary of the runs, table, drawing, and the reference results."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import REPOSITORY
from benchmarks.figure import draw
from benchmarks.measuring import Run

PAGE = REPOSITORY / "docs" / "performance.md"
DRAWING = PAGE.with_suffix(".svg")
REFERENCE = Path(__file__).parent / "results" / "reference.json"
BEGIN, END = "<!-- figures: written by make bench -->\n", "<!-- end of figures -->\n"
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


@dataclass(frozen=True, slots=True)
class Group:
    """Medians of the runs of one engine on one backlog; `cpu_us` as in Run."""

    engine: str
    events: int
    cpu_us: float
    runs: tuple[Run, ...]

    def cells(self) -> tuple[str, ...]:
        """A line of the table, by HEADINGS. `failed open`: asks of the duplicate filter without an answer, all runs."""
        runs = self.runs
        unanswered = [run.details["filter_failed_open"] for run in runs if "filter_failed_open" in run.details]
        return (
            self.engine,
            f"{self.events:,}",
            str(len(runs)),
            f"{self.cpu_us:.1f}",
            f"{min(run.cpu_us for run in runs):.1f}-{max(run.cpu_us for run in runs):.1f}",
            f"{statistics.median(run.cpu_us_with_start for run in runs):.1f}",
            f"{statistics.median(run.events_per_second for run in runs):,.0f}",
            f"{max(run.memory_mb for run in runs)} MB",
            f"{sum(unanswered):.0f}" if unanswered else "-",
            "right" if all(run.judgement.ok for run in runs) else "WRONG",
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
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    lines = [verdict, "", f"| {' | '.join(HEADINGS)} |", f"|---|{'---:|' * (len(HEADINGS) - 1)}"]
    lines += [f"| {' | '.join(group.cells())} |" for group in groups]
    lines += ["", f"![CPU an event]({DRAWING.name})", ""]
    PAGE.write_text(head + BEGIN + "\n".join(lines) + END + tail)
    DRAWING.write_text(draw({(group.engine, group.events): group.cpu_us for group in groups}, limit_us))
    shutil.copyfile(results, REFERENCE)
