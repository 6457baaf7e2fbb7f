"""Progress and tables of a run, and docs/reliability.md."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from recon_stream import __version__
from tests.faults.outcome import Row
from tests.faults.scenarios import Scenario
from tests.faults.stack import HOME, NotPossible

ROWS = HOME / "docs" / "reliability.json"
PAGE = HOME / "docs" / "reliability.md"
BEGIN, END = "<!-- rows: begin -->", "<!-- rows: end -->"

COLUMNS = {
    "fault": "scenario", "seed": "seed", "strikes": "strikes", "injected": "injected", "seen": "seen", "lost": "lost",
    "duplicate": "duplicate", "phantom": "phantom", "wrong": "wrong", "judge": "judge", "verify": "verify",
    "restarts": "restarts", "recovery s": "recovery_seconds", "peak MiB": "peak_mib", "took s": "seconds",
}  # fmt: skip
"""Header -> field of Row."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A scenario and its row; None where it broke off."""

    scenario: Scenario
    row: Row | None
    skipped: str = ""
    """Why this machine cannot do it."""

    @property
    def ok(self) -> bool:
        """As it must be: a control has to be caught, everything else to be without fault."""
        return bool(self.skipped) or (self.row is not None and self.row.ok is not self.scenario.must_fail)

    @property
    def said(self) -> str:
        """In one word."""
        if self.row is None:
            return f"skipped: {self.skipped}" if self.skipped else "BROKE OFF"
        if self.scenario.must_fail:
            return "caught" if self.ok else "NOT CAUGHT"
        return "ok" if self.ok else "WRONG"


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row as text, in the order of COLUMNS."""
    return [f"{row[name]:,}" if isinstance(row[name], int | float) else str(row[name]) for name in COLUMNS.values()]


class Terminal:
    """Says what happens, and prints the table."""

    def __init__(self, chosen: Sequence[Scenario]) -> None:
        self._console = Console(width=190, highlight=False)
        self._chosen = chosen
        self.ended: list[Ended] = []
        self._current: Scenario | None = None
        self._began = 0.0

    @property
    def ok(self) -> bool:
        """Every scenario ended as it must."""
        return all(one.ok for one in self.ended) and len(self.ended) == len(self._chosen)

    def begin(self, which: Scenario) -> None:
        """A scenario begins."""
        self._current, self._began = which, time.monotonic()
        self._print(f"[{len(self.ended) + 1}/{len(self._chosen)}] {which.name}: {which.about}")

    def say(self, text: str) -> None:
        """What it does."""
        self._print(f"  {time.monotonic() - self._began:6.1f} s  {text}", "dim")

    def end(self, row: Row) -> None:
        """It ended."""
        assert self._current is not None
        self._note(Ended(self._current, row))
        self._print(
            "            "
            + ", ".join(f"{header} {text}" for header, text in zip(COLUMNS, cells(row.as_json()), strict=True)),
            "dim",
        )
        if not row.ok:
            for text in row.examples:
                self._print(f"            - {text}")

    def broke_off(self, error: BaseException) -> None:
        """It could not be run to its end."""
        assert self._current is not None
        self._note(Ended(self._current, None, str(error) if isinstance(error, NotPossible) else ""))
        self._print("".join(traceback.format_exception(error)))

    def _note(self, ended: Ended) -> None:
        self.ended.append(ended)
        self._print(f"            {ended.said}", "bold green" if ended.ok else "bold red")

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, markup=False, soft_wrap=True)

    def table(self) -> None:
        """The whole table."""
        table = Table(box=None, padding=(0, 1, 0, 0))
        for header in COLUMNS:
            table.add_column(header, justify="left" if header == "fault" else "right")
        table.add_column("")
        for ended in self.ended:
            line = cells(ended.row.as_json()) if ended.row else [ended.scenario.name, *[""] * (len(COLUMNS) - 1)]
            table.add_row(*line, ended.said)
        self._console.print(table)


def machine() -> str:
    """Where it ran, in a line."""
    memory = psutil.virtual_memory().total / (1 << 30)
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"recon-stream {__version__}"
    )


def write_report(ended: Ended, known: Mapping[str, Scenario]) -> None:
    """Take the row of a scenario into docs/reliability.json, and write the table of docs/reliability.md from that.

    A scenario that is not run now keeps the row of the run before, with its date; one that broke off loses it.
    """
    with ROWS.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        rows: dict[str, dict[str, Any]] = json.loads(file.read() or "{}")
        rows.pop(ended.scenario.name, None)
        if ended.row is not None:
            when = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine(), "said": ended.said}
            row = {name.name: getattr(ended.row, name.name) for name in fields(Row) if name.name != "examples"}
            rows[ended.scenario.name] = row | when
        rows = {name: rows[name] for name in known if name in rows}
        file.seek(0)
        file.truncate()
        file.write(json.dumps(rows, indent=1) + "\n")
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{markdown(rows, known)}\n{END}{rest.split(END)[1]}")


def markdown(rows: Mapping[str, Mapping[str, Any]], known: Mapping[str, Scenario]) -> str:
    """The table, and what its rows stand for."""
    headers = [*COLUMNS, "outcome", "date"]
    lines = ["| " + " | ".join(headers) + " |", "|---|" + "---:|" * (len(headers) - 3) + "---|---|"]
    lines += [
        "| "
        + " | ".join(
            [f"`{cell}`" if at == 0 else cell for at, cell in enumerate(cells(row))] + [row["said"], row["date"]]
        )
        + " |"
        for row in rows.values()
    ]
    lines += ["", *(f"- `{name}`: {known[name].about}." for name in rows)]
    absent = [name for name in known if name not in rows]
    if absent:
        lines += ["", f"Not run yet: {', '.join(f'`{name}`' for name in absent)}."]
    machines = sorted({row["machine"] for row in rows.values()})
    return "\n".join([*lines, "", *(f"Machine: {one}." for one in machines), ""])
