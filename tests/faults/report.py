"""Progress and tables of a run, and docs/reliability.md."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.faults.outcome import Row
from tests.faults.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Ended:
    """A scenario and its row; None where it broke off."""

    scenario: Scenario
    row: Row | None
    error: str = ""

    @property
    def ok(self) -> bool:
        """As it must be: a control has to be caught, everything else to be without fault."""
        return self.row is not None and self.row.ok is not self.scenario.must_fail

    @property
    def said(self) -> str:
        """In one word."""
        if self.row is None:
            return "BROKE OFF"
        if self.scenario.must_fail:
            return "caught" if self.ok else "NOT CAUGHT"
        return "ok" if self.ok else "WRONG"


HEADERS = (
    "fault", "seed", "strikes", "injected", "seen", "lost", "duplicate", "phantom", "wrong", "judge", "verify",
    "restarts", "recovery s", "peak MiB", "took s",
)  # fmt: skip


def cells(row: Row) -> list[str]:
    """A row as text, in the order of HEADERS."""
    return [
        row.scenario, str(row.seed), f"{row.strikes:,}", f"{row.injected:,}", f"{row.seen:,}", f"{row.lost:,}",
        f"{row.duplicate:,}", f"{row.phantom:,}", f"{row.wrong:,}", f"{row.judge:,}", f"{row.verify:,}",
        str(row.restarts), f"{row.recovery_seconds:.1f}", str(row.peak_mib), f"{row.seconds:.0f}",
    ]  # fmt: skip


class Terminal:
    """Says what happens, and prints the table."""

    def __init__(self, chosen: Sequence[Scenario]) -> None:
        self._console = Console(width=200)
        self._chosen = chosen
        self.ended: list[Ended] = []
        self._current: Scenario | None = None

    @property
    def ok(self) -> bool:
        """Every scenario ended as it must."""
        return all(one.ok for one in self.ended) and len(self.ended) == len(self._chosen)

    def begin(self, which: Scenario, _: float) -> None:
        """A scenario begins."""
        self._current = which
        self._console.print(f"[{len(self.ended) + 1}/{len(self._chosen)}] {which.name}: {which.about}", markup=False)

    def say(self, text: str) -> None:
        """What it does."""
        self._console.print(f"      {text}", style="dim", markup=False)

    def end(self, row: Row) -> None:
        """It ended."""
        assert self._current is not None
        self._note(Ended(self._current, row))
        self._console.print(f"      {row.as_json() | {'examples': '', 'scenario': ''}}", style="dim", markup=False)
        if not row.ok:
            for text in row.examples:
                self._console.print(f"      - {text}", markup=False)

    def broke_off(self, error: BaseException) -> None:
        """It could not be run to its end."""
        assert self._current is not None
        text = "".join(traceback.format_exception(error))
        self._note(Ended(self._current, None, text))
        self._console.print(text, markup=False)

    def _note(self, ended: Ended) -> None:
        self.ended.append(ended)
        self._console.print(f"      {ended.said}", style="green" if ended.ok else "bold red", markup=False)

    def table(self) -> None:
        """The whole table."""
        table = Table(box=None, padding=(0, 2, 0, 0))
        for header in HEADERS:
            table.add_column(header, justify="left" if header == "fault" else "right")
        table.add_column("")
        for ended in self.ended:
            line = cells(ended.row) if ended.row else [ended.scenario.name, *[""] * (len(HEADERS) - 1)]
            table.add_row(*line, ended.said)
        self._console.print(table)


def write_report(ended: Sequence[Ended], arguments: Sequence[str]) -> None:
    """Put the table of this run into docs/reliability.md."""
    raise NotImplementedError
