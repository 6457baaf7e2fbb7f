"""`recon-stream audit verify`."""

from __future__ import annotations

import asyncio
import json

import click
import psycopg
from rich.console import Console

from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.settings import Settings, load_settings
from recon_stream.storage import audit_chain
from recon_stream.storage.audit_chain import Verification
from recon_stream.storage.pool import connection_string
from recon_stream.verify.commands import Bar


@click.group()
def audit() -> None:
    """The audit trail: who did what, as a chain of hashes."""


@audit.command()
@click.option(
    "--reached",
    type=click.IntRange(min=0),
    default=0,
    help="A number that the trail has reached, as you know it: from the metric recon_audit_last_seq, or noted after a run.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def verify(reached: int, as_json: bool) -> None:
    """Prove that no entry of the audit trail was changed, removed, moved or put in.

    Reads the chain from its first entry to its last as the web role does (RECON_DATABASE_WEB_URL, else DATABASE_URL), 2,000
    entries in memory at a time, and computes every hash again. Entries that are removed at the very end leave a chain that is
    whole in itself: so each run remembers in audit_verifications where the chain ended, and the next one wants to
    find that entry again. Whoever can write there too is found by --reached.

    Exit code 0: the chain holds, or the trail is empty and says so; 1: it does not; 2: it could not be read.
    """
    found = asyncio.run(_verify(load_settings(), reached, show=not as_json))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        _say(found)
    if found.faults:
        raise SystemExit(1)


async def _verify(settings: Settings, reached: int, *, show: bool) -> Verification:
    conninfo = connection_string(settings.database_web_url or settings.database_url, settings, "audit verify")
    try:
        with Bar(Console(stderr=True), show=show) as bar:
            async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
                return await audit_chain.verify(connection, reached, bar.expect, bar.advance)
    except psycopg.errors.UndefinedTable as error:
        raise ConfigurationError("the database is not at this version's schema: run `recon-stream migrate`") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(f"{error.diag.message_primary}; RECON_DATABASE_WEB_URL must name recon_web") from error
    except psycopg.OperationalError as error:
        raise TransientFailure(f"PostgreSQL: {str(error).strip()}") from error


def _say(found: Verification) -> None:
    for fault in found.examples:
        click.secho(f"  entry {fault.seq} {fault.what}", fg="red")
    if found.faults > len(found.examples):
        click.secho(f"  and {found.faults - len(found.examples):,} more faults", fg="red")
    if found.faults:
        click.secho(f"FAILED: {found.examined:,} entries examined, {found.faults:,} faults", fg="red", bold=True)
    elif not found.examined:
        click.secho("The audit trail is empty: there is nothing to verify.", fg="yellow")
    else:
        click.secho(f"PASSED: {found.examined:,} entries examined", fg="green", bold=True)
        click.echo(f"The chain ends with entry {found.last_seq}, hash {found.last_hash.hex()}.")
