"""`recon-stream setup`: from nothing to a system that is there and checked; its first half is the demo's too."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recon_stream.errors import ConfigurationError
from recon_stream.registration import register_schemas
from recon_stream.security.commands import Granted, obtain
from recon_stream.security.realm import demo_users
from recon_stream.settings import Settings, load_settings
from recon_stream.storage.migrate import migrate
from recon_stream.storage.pool import connection_string
from recon_stream.topics import create_topics
from recon_stream.verify.demo_roles import demo_environment, run_command
from recon_stream.verify.doctor import CHECKS, table_of
from recon_stream.verify.doctor_findings import Finding, State, examine

_EXAMINE_SECONDS = 15.0
"""Services that have just started take longer for their first answer than doctor waits."""


async def prepare(settings: Settings) -> None:
    """Create topics, schemas and tables where they are missing. Raises ConfigurationError where what is there is of other shape."""
    topics = await create_topics(settings)
    problems = [f"{topic.name} {problem}" for topic in topics for problem in topic.problems]
    if problems:
        raise ConfigurationError("; ".join(problems) + ". To begin anew: recon-stream stack reset")
    await register_schemas(settings)
    await migrate(connection_string(settings.database_owner_url or settings.database_url, settings, "migrate"))


@click.command()
def setup() -> None:
    """Start the local stack, create what is missing, check all of it, and say where everything is.

    \b
    1. the services: Kafka, schema registry, PostgreSQL, Valkey, Keycloak (the first time some downloads)
    2. topics, schemas, tables, the realm with its demo users
    3. a token of each role, held against the table of permissions; every dependency and setting, as doctor does
    4. addresses and demo users

    May be run again at any time: what is there stays. It works on the local stack only, whatever addresses are set. `recon-stream
    stack down` stops the services. Exit code 0 when all is well, 1 where something is not, 2 where it could not be set up.
    """
    # what does not answer is a finding
    for name in ("aiokafka", "psycopg", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if not asyncio.run(_set_up(Console())):
        raise SystemExit(1)


async def _set_up(console: Console) -> bool:
    environ = demo_environment(os.environ)
    if await run_command(environ, "stack", "up"):
        raise ConfigurationError(
            "the local stack did not start, see above. Where its ports are taken: RECON_STACK_PORTS=free make setup"
        )
    settings = load_settings(environ)
    with console.status("Creating topics, schemas and tables"):
        await prepare(settings)
    console.print("[green]✓[/] topics, schemas and tables are there")
    with console.status("Logging in as each demo user, examining every dependency"):
        granted, findings = await asyncio.gather(
            obtain(settings, demo_users()), examine(settings, CHECKS, _EXAMINE_SECONDS)
        )
    amiss = [finding for finding in findings if finding.state is not State.OK]
    fine = len(findings) - len(amiss)
    console.print(f"[green]✓[/] {fine} of {len(findings)} findings of `recon-stream doctor` are well", highlight=False)
    if amiss:
        console.print(table_of(amiss))
    console.print(Text("\nDemo users", style="bold"), _users(granted))
    console.print(Text("\nServices", style="bold"), _services(settings))
    console.print(
        "\nNext: [bold]make demo[/] shows it at work. [bold]make stack-down[/] stops the services.", highlight=False
    )
    return is_well(granted, findings)


def is_well(granted: Sequence[Granted], findings: Sequence[Finding]) -> bool:
    """Whether every token permits exactly what its role may, and nothing FAILs; warnings do not count."""
    return not any(one.problem for one in granted) and all(finding.state is not State.FAIL for finding in findings)


def _users(granted: Sequence[Granted]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for one in granted:
        verdict = Text(f"✗ {one.problem}", style="red")
        if one.principal is not None and not one.problem:
            verdict = Text(f"✓ {len(one.principal.permissions)} permissions", style="green")
        user = one.user
        grid.add_row(f"  {user.username}", user.password, f"{user.role} (level {user.role.level})", verdict)
    return grid


def _services(settings: Settings) -> Table:
    """Where everything is; secrets stand in the file that the last line names."""
    database, redis = urlsplit(settings.database_url), urlsplit(settings.redis_url)
    grid = Table.grid(padding=(0, 2, 0, 0))
    for what, where in (
        ("Kafka", settings.kafka_bootstrap_servers),
        ("schema registry", settings.schema_registry_url),
        ("PostgreSQL", f"{database.hostname}:{database.port}{database.path}"),
        ("Valkey", f"{redis.hostname}:{redis.port}"),
        ("Keycloak", f"{settings.keycloak_server_url}, realm {settings.keycloak_realm}"),
        ("API, once it runs", f"http://127.0.0.1:{settings.web_port}/docs (`recon-stream web`, or the demo)"),
        ("dashboard, too", f"http://127.0.0.1:{settings.web_port}/dashboard/"),
        ("all settings", str(settings.state_dir / "stack.env")),
    ):
        grid.add_row(f"  {what}", where)
    return grid
