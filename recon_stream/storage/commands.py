"""`recon-stream migrate`."""

from __future__ import annotations

import asyncio
import json

import click

from recon_stream.settings import load_settings
from recon_stream.storage import migrate as migrations
from recon_stream.storage.pool import connection_string


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 where migrations are missing.")
@click.option("--json", "as_json", is_flag=True, help='Print {"applied": [...]} or, with --check, {"pending": [...]}.')
def migrate(check: bool, as_json: bool) -> None:
    """Bring the PostgreSQL schema up to this version.

    Connects as the owner of the schema (RECON_DATABASE_OWNER_URL, else DATABASE_URL). Each migration is applied once, in
    order, in one transaction; several processes may run this at the same time. A migration that was edited after
    it had been applied is refused.
    """
    settings = load_settings()
    url = connection_string(settings.database_owner_url or settings.database_url, settings, "migrate")
    names = asyncio.run(migrations.pending_migrations(url) if check else migrations.migrate(url))
    if as_json:
        click.echo(json.dumps({"pending" if check else "applied": names}))
    elif not names:
        click.echo("The schema is up to date.")
    else:
        for name in names:
            click.echo(f"{'missing' if check else 'applied'}: {name}")
    if check and names:
        raise SystemExit(1)
