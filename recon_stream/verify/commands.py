"""`recon-stream verify`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from recon_stream.settings import load_settings
from recon_stream.verify.report import Check, Report, State
from recon_stream.verify.verification import verify as run_verification

_STYLES = {State.PASSED: "green", State.FAILED: "bold red", State.NOT_CHECKED: "yellow"}
_MARKS = {State.PASSED: "✓", State.FAILED: "✗", State.NOT_CHECKED: "–"}


@click.command()
@click.option(
    "--answer-key",
    "answer_keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `produce --answer-key` wrote: makes I4 possible. May be given for several runs.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 86_400),
    default=0.0,
    help="Seconds in which worker and sink may catch up and deadlines pass before it begins. Without it: as things are.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def verify(answer_keys: tuple[Path, ...], wait: float, as_json: bool) -> None:
    """Prove on the running system that nothing was lost, invented or altered.

    Reads all of Kafka's source, result and mismatch topics (without a consumer group) and PostgreSQL (read only), changes
    nothing, and may run beside live feeds: what arrives after its start is left to the next run.

    \b
    I1   every Kafka record of the sources is in raw_events once, byte for byte, with the right status
    I2   at most one accepted record of an event revision, and legs name just those
    I3   one live verdict a transaction, one chain of revisions, none kept aside as conflicting
    I4   what the producers injected is what is reported, and nothing else (needs --answer-key)
    I5   no source was called missing before its deadline
    I6   breaks open, change, resolve and reopen, and each move is recorded
    I7   PostgreSQL has the last published revision of each transaction; recon_mismatches what changed open breaks
    I9   sums of money, in whole minor units, are the same in Kafka and PostgreSQL (and in the answer key)
    I11  deciding every case again from nothing, in another order, gives the same verdicts, breaks and ids

    A check that examined nothing has failed. It holds in memory what one partition number has in Kafka, about 2 kB a
    transaction. Exit code 0: nothing is wrong; 1: something is; 2: it could not be checked.
    """
    # a client's complaint would be written across the bar; what matters of it is in the error
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    report = asyncio.run(_verify(answer_keys, wait, show=not as_json))
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        Console().print(rendered(report))
    if not report.ok:
        raise SystemExit(1)


async def _verify(answer_keys: Sequence[Path], wait: float, *, show: bool) -> Report:
    console = Console(stderr=True)
    with Bar(console, show=show) as bar:
        return await run_verification(load_settings(), answer_keys, wait, bar)


class Bar:
    """A progress bar for a verification; nothing where nobody looks."""

    def __init__(self, console: Console, *, show: bool = True) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("Verifying"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.description}[/]"),
            console=console,
            transient=True,
            disable=not (show and console.is_terminal),
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """See verification.Progress."""
        self._progress.update(self._task, description=text)

    def expect(self, records: int) -> None:
        """See verification.Progress."""
        self._progress.update(self._task, total=records, completed=0)

    def advance(self, records: int) -> None:
        """See verification.Progress."""
        self._progress.advance(self._task, records)


def rendered(report: Report) -> RenderableType:
    """The report for people: a table, examples of what is wrong, and one closing line."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for title in ("", "CHECK", "EXAMINED", "", "VIOLATIONS", "SECONDS"):
        table.add_column(title, justify="right" if title in ("EXAMINED", "VIOLATIONS", "SECONDS") else "left")
    for check in report.checks:
        table.add_row(
            Text(f"{_MARKS[check.state]} {check.name}", style=_STYLES[check.state]),
            check.title,
            "-" if check.not_checked else f"{check.examined:,}",
            Text(check.examined_what, style="dim"),
            Text("-" if check.not_checked else f"{check.violations:,}", style="bold red" if check.violations else ""),
            "-" if check.not_checked else f"{check.seconds:.1f}",
        )
    lines = [line for check in report.checks for line in _lines(check)]
    failed = [check.name for check in report.checks if check.state is State.FAILED]
    unmade = [check.name for check in report.checks if check.state is State.NOT_CHECKED]
    closing = Text(f"FAILED: {', '.join(failed)}" if failed else "PASSED", style="bold red" if failed else "bold green")
    if unmade:
        closing.append(f"  not checked: {', '.join(unmade)}", style="yellow")
    return Group(table, *lines, closing)


def _lines(check: Check) -> list[Text]:
    lines = [Text(f"  {check.name} {text}: {count:,}", style="dim") for text, count in sorted(check.notes.items())]
    if check.not_checked:
        return [Text(f"  {check.name} NOT CHECKED: {check.not_checked}", style="yellow")]
    if not check.examined:
        lines.append(Text(f"  {check.name} examined nothing, so it proves nothing", style="red"))
    lines += [Text(f"  {check.name} {text}", style="red") for text in check.examples]
    if check.violations > len(check.examples):
        lines.append(Text(f"  {check.name} and {check.violations - len(check.examples):,} more", style="red"))
    return lines
