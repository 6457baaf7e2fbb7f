"""`recon-stream doctor`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any, Final

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recon_stream.errors import ConfigurationError
from recon_stream.settings import Settings, load_settings
from recon_stream.verify.doctor_findings import Check, Finding, State, examine, worst
from recon_stream.verify.doctor_identity import check_keycloak
from recon_stream.verify.doctor_machine import (
    check_machine,
    check_processes,
    check_python,
    check_rules,
    check_settings,
)
from recon_stream.verify.doctor_services import check_database, check_kafka, check_redis, check_registry
from recon_stream.verify.doctor_settings import setting_origins

_LOCAL = "for a local one run `recon-stream stack up`"
CHECKS: Final = (
    Check("Python", check_python, "install recon-stream into an environment of its own: `make setup`"),
    Check("Settings", check_settings, "see .env.example"),
    Check("Rules", check_rules, "correct the file of RECON_RULES_FILE"),
    Check("Machine", check_machine, "see the message"),
    Check("Kafka", check_kafka, f"start it or correct KAFKA_BOOTSTRAP_SERVERS and RECON_KAFKA_*; {_LOCAL}"),
    Check("Schema registry", check_registry, f"start it or correct SCHEMA_REGISTRY_URL; {_LOCAL}"),
    Check("PostgreSQL", check_database, f"start it or correct DATABASE_URL; {_LOCAL}"),
    Check("Redis", check_redis, f"start it or correct REDIS_URL and REDIS_PASSWORD; {_LOCAL}"),
    Check("Keycloak", check_keycloak, f"start it or correct KEYCLOAK_SERVER_URL; {_LOCAL}"),
    Check("Processes", check_processes, "read the logs of the processes"),
)
_STYLES = {State.OK: "green", State.WARN: "bold yellow", State.FAIL: "bold red"}


@click.command()
@click.option(
    "--settings", "with_settings", is_flag=True, help="List every setting too: value, where from; secrets hidden."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, for programs.")
def doctor(with_settings: bool, as_json: bool) -> None:
    """Check every dependency and setting, and say what to do.

    \b
    Looks at, all at once, each with a bound of 3 seconds:
      Python and packages, settings, rules, disk and limits of this machine
      Kafka (brokers, topics, groups and lag), schema registry (subjects)
      PostgreSQL (each URL, privileges, migrations), Redis (memory, scripts)
      Keycloak (realm, issuer, the API's client and its token)
      processes of this machine by their operations ports

    Changes nothing. Exit code 0 when nothing FAILs (warnings do not count), else 1.
    """
    # what does not answer is a finding
    for name in ("aiokafka", "psycopg", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        settings = load_settings()
    except ConfigurationError as error:
        findings, described = (
            [Finding("Settings", "values", State.FAIL, error.detail, "correct it, then run doctor again")],
            [],
        )
    else:
        findings, described = asyncio.run(examine(settings, CHECKS)), described_settings(settings)
    if as_json:
        click.echo(
            orjson.dumps({"state": worst(findings), "findings": [asdict(f) for f in findings], "settings": described})
        )
    else:
        _print(findings, described if with_settings else [])
    if worst(findings) is State.FAIL:
        raise SystemExit(1)


def described_settings(settings: Settings) -> list[dict[str, str]]:
    """Name, value (secrets hidden), origin and meaning of every setting."""
    origins = setting_origins()
    return [
        {"name": name, "value": value, "from": origins[name], "about": about}
        for name, value, about in settings.described()
    ]


def _print(findings: Sequence[Finding], described: Sequence[dict[str, Any]]) -> None:
    console = Console()
    for area, group in groupby(findings, key=lambda finding: finding.area):
        console.print(Text(area, style="bold"))
        console.print(table_of(list(group)))
    if described:
        console.print(Text("All settings", style="bold"))
        console.print(_settings_table(described))
    numbers = {state: sum(finding.state is state for finding in findings) for state in State}
    summary = Text("\n")
    for place, (state, number) in enumerate(numbers.items()):
        summary.append(", " if place else "").append(f"{number} {state}", style=_STYLES[state] if number else "")
    console.print(summary)


def table_of(findings: Sequence[Finding]) -> Table:
    """State, what, what was seen; below it, after an arrow, what to do."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=6, no_wrap=True)
    grid.add_column(min_width=22, max_width=22, overflow="fold")
    grid.add_column(overflow="fold")
    for finding in findings:
        seen = Text(finding.seen)
        if finding.advice:
            seen.append(f"\n→ {finding.advice}", style="bold")
        grid.add_row(Text(f"  {finding.state}", style=_STYLES[finding.state]), Text(finding.name), seen)
    return grid


def _settings_table(described: Sequence[dict[str, Any]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(no_wrap=True)
    for entry in described:
        origin = entry["from"]
        style = "bright_black" if origin == "default" else ""
        grid.add_row(
            Text(f"  {entry['name']}", style=style), Text(entry["value"], style=style), Text(origin, style=style)
        )
    return grid
