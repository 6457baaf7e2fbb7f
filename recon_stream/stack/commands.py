"""`recon-stream stack …`: the real services on this machine."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from recon_stream.errors import ConfigurationError
from recon_stream.process.output import ensure_reader
from recon_stream.settings import load_settings
from recon_stream.stack import local
from recon_stream.stack.local import ServiceStatus
from recon_stream.stack.process import tail
from recon_stream.stack.service import Service
from recon_stream.stack.services import SERVICES

COLOURS = {"healthy": "green", "unhealthy": "yellow", "stopped": "red"}
FOLLOW_PAUSE = 0.3
NAMES = tuple(service.name for service in SERVICES)


class Shown:
    """Progress for a person: one bar for the downloads, one line for a service that is up or stopped."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self.bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
        self.task: TaskID | None = None
        self.lock = threading.Lock()
        self.begun = time.monotonic()

    def __enter__(self) -> Shown:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def downloading(self, total: int) -> None:
        """Show the bar."""
        self.console.print(f"Downloading {total / 1e6:.0f} MB from Maven Central, once")
        self.task = self.bar.add_task("Downloads", total=total)

    def received(self, count: int) -> None:
        """Move the bar."""
        with self.lock:
            if self.task is not None:
                self.bar.advance(self.task, count)

    def service(self, service: Service, step: str) -> None:
        """Say what a person wants to know; the steps between are in the log files."""
        if step in ("healthy", "already up", "stopped"):
            seconds = time.monotonic() - self.begun
            mark = "[green]✓[/]" if step != "stopped" else "[dim]■[/]"
            self.console.print(f"{mark} {service.title} {service.version} [dim]{step}, {seconds:.1f} s[/]")


@click.group()
def stack() -> None:
    """The local services: Kafka, schema registry, PostgreSQL, Valkey, Keycloak.

    They run from packages alone, without containers or system packages, listen on the loopback only, and keep their data under
    .recon/ (RECON_STATE_DIR). What `up` starts goes on running until `down`.
    """


@stack.command()
@click.option("--json", "as_json", is_flag=True, help="Print the services as JSON.")
def up(as_json: bool) -> None:
    """Start what does not run yet, and wait until all of it is healthy.

    The first time it downloads about 380 MB into ~/.cache/recon-stream (RECON_STACK_CACHE_DIR), each file checked by its
    SHA-256. Addresses and generated passwords are written to .recon/stack.env, which every command reads. Ports are settings
    (RECON_STACK_KAFKA_PORT and so on); RECON_STACK_PORTS=free picks free ones.
    """
    console = Console(stderr=as_json)
    settings = load_settings()
    with Shown(console) as shown:
        rows = asyncio.run(local.up(settings, shown))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows]))
    else:
        _show(console, rows)


@stack.command()
@click.option("--json", "as_json", is_flag=True, help="Print the services as JSON.")
def status(as_json: bool) -> None:
    """Show every service; the exit code is 0 only when all are healthy."""
    rows = asyncio.run(local.status(load_settings()))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows]))
    else:
        _show(Console(), rows)
    if any(row.state != "healthy" for row in rows):
        raise SystemExit(1)


@stack.command()
def down() -> None:
    """Stop the services that `up` started, and nothing else; data stay."""
    console = Console()
    with Shown(console) as shown:
        stopped = asyncio.run(local.down(load_settings(), shown))
    if not stopped:
        console.print("Nothing of this state folder is running.")


@stack.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Stop the services and delete their data, logs, ports and passwords.

    Topics, schemas and tables are gone after that; downloads stay, and so does the workers' own state.
    """
    settings = load_settings()
    if not yes:
        click.confirm(
            f"Delete all topics, schemas and tables of the stack in {settings.state_dir.absolute()}?", abort=True
        )
    console = Console()
    with Shown(console) as shown:
        asyncio.run(local.reset(settings, shown))
    console.print("The stack is empty; downloads are kept.")


@stack.command()
@click.argument("service", type=click.Choice(NAMES), required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(0, 100_000), default=30, show_default=True, help="Last lines shown.")
def logs(service: str | None, follow: bool, lines: int) -> None:
    """Show the log of one service, or of all."""
    names = (service,) if service else NAMES
    files = {name: Path(local.log_file(load_settings(), name)) for name in names}
    if not any(file.is_file() for file in files.values()):
        raise ConfigurationError(
            f"There is no log yet in {next(iter(files.values())).parent}: `recon-stream stack up` first"
        )
    # taken before the last lines are read, so that nothing falls between the two
    positions = {name: file.stat().st_size if file.is_file() else 0 for name, file in files.items()}
    for name, file in files.items():
        for line in tail(file, lines):
            click.echo(_prefixed(name, line, names))
    if follow:
        try:
            _follow(files, positions, names)
        except KeyboardInterrupt:
            click.echo()


def _follow(files: dict[str, Path], positions: dict[str, int], names: Sequence[str]) -> None:
    while True:
        ensure_reader()
        for name, file in files.items():
            size = file.stat().st_size if file.is_file() else 0
            if size < positions[name]:
                positions[name] = 0  # a new start of the service began a new file
            if size > positions[name]:
                with file.open("rb") as opened:
                    opened.seek(positions[name])
                    whole = opened.read().rpartition(b"\n")[0]
                if whole:
                    positions[name] += len(whole) + 1
                    for line in whole.decode("utf-8", "replace").splitlines():
                        click.echo(_prefixed(name, line, names))
        time.sleep(FOLLOW_PAUSE)


def _prefixed(name: str, line: str, names: Sequence[str]) -> str:
    return line if len(names) == 1 else f"{name:<9}| {line}"


def _show(console: Console, rows: Sequence[ServiceStatus]) -> None:
    console.print(_table(rows))
    console.print(f"Logs in {Path(rows[0].log).parent}", style="dim", soft_wrap=True)
    for row in rows:
        if row.detail:
            console.print(f"{row.title}: {row.detail}", markup=False, highlight=False, soft_wrap=True)


def _table(rows: Sequence[ServiceStatus]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title, justify in (("SERVICE", "left"), ("STATE", "left"), ("PID", "right"), ("PORT", "right")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for title in ("MEMORY", "UPTIME", "VERSION"):
        table.add_column(title, justify="right")
    table.add_column("LOG")
    for row in rows:
        table.add_row(
            row.title,
            f"[{COLOURS[row.state]}]{row.state}[/]",
            str(row.pid or "-"),
            str(row.port or "-"),
            f"{row.memory / 2**20:.0f} MB" if row.memory else "-",
            _duration(row.uptime),
            row.version,
            Path(row.log).name,
        )
    return table


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
