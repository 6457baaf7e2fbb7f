"""The schema file, the migrations and the rights of the three roles."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

from recon_stream.settings import Settings
from recon_stream.stack import local
from recon_stream.stack.services.postgres import grant_database
from recon_stream.storage.migrate import Migration, MigrationError, migrate, migrations, pending, pending_migrations

pytestmark = pytest.mark.stack

CATALOG = (Path(__file__).parent / "catalog.sql").read_text()


@pytest.fixture
def empty(settings: Settings) -> Iterator[str]:
    """The owner's URL of a database without tables."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    state = local.read_state(settings)
    assert state is not None
    with psycopg.connect(state.database_url("postgres", "postgres"), autocommit=True, connect_timeout=5) as server:
        server.execute(f"CREATE DATABASE {name} OWNER recon_owner")
        try:
            asyncio.run(grant_database(state, name))
            yield state.database_url("recon_owner", name)
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def catalog(url: str) -> list[str]:
    """Every object of a database, a line each."""
    with psycopg.connect(url) as connection:
        return [line for (line,) in connection.execute(CATALOG).fetchall()]


def test_schema_file_equals_all_migrations(database: Settings, empty: str) -> None:
    """Tables, columns, types, defaults, constraints, indexes, triggers, views, functions and grants are the same."""
    with psycopg.connect(empty) as connection:
        connection.execute(files("recon_stream.storage").joinpath("schema.sql").read_text())
    ours = catalog(empty)
    assert len(ours) > 100
    assert ours == catalog(database.database_owner_url)


async def test_migrations_are_applied_once_by_whoever_comes_first(empty: str) -> None:
    """Three processes that migrate at once apply each migration once between them; later ones find nothing to do."""
    names = [migration.name for migration in migrations()]
    assert await pending_migrations(empty) == names
    applied = await asyncio.gather(*[migrate(empty) for _ in range(3)])
    assert sorted(applied) == [[], [], names]
    assert await migrate(empty) == []
    assert await pending_migrations(empty) == []


async def test_an_edited_migration_is_refused(database: Settings) -> None:
    """A database whose record says another checksum is not touched, and the error names the migration."""
    with psycopg.connect(database.database_owner_url) as connection:
        connection.execute("UPDATE schema_migrations SET checksum = 'x' WHERE name = '0001_evidence'")
    with pytest.raises(MigrationError, match="0001_evidence was edited"):
        await migrate(database.database_owner_url)


def test_unknown_and_late_migrations_are_refused() -> None:
    """A database of a newer version, and a migration numbered below one that is applied, are refused."""
    first, second = Migration("0001_a", "SELECT 1"), Migration("0002_b", "SELECT 2")
    assert pending([first, second], {"0001_a": first.checksum}) == [second]
    with pytest.raises(MigrationError, match="0003_c was applied by another version"):
        pending([first, second], {"0003_c": "x"})
    with pytest.raises(MigrationError, match="0001_a comes before 0002_b"):
        pending([first, second], {"0002_b": second.checksum})


def test_the_command_migrates_and_checks(settings: Settings, empty: str) -> None:
    """`migrate --check` exits with 1 and lists what is missing; `migrate` applies it; then --check exits with 0."""
    environ = {"RECON_STATE_DIR": str(settings.state_dir), "RECON_DATABASE_OWNER_URL": empty}

    def run(*arguments: str) -> tuple[int, list[str]]:
        command = [sys.executable, "-m", "recon_stream", "migrate", *arguments]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        return ended.returncode, ended.stdout.splitlines()

    names = [migration.name for migration in migrations()]
    assert run("--check") == (1, [f"missing: {name}" for name in names])
    assert run() == (0, [f"applied: {name}" for name in names])
    assert run("--check", "--json") == (0, ['{"pending": []}'])


FORBIDDEN_TO_SINK = (
    "DROP TABLE raw_events",
    "ALTER TABLE raw_events ADD COLUMN x integer",
    "CREATE TABLE mine (x integer)",
    "DELETE FROM raw_events",
    "UPDATE raw_events SET status = 'READABLE'",
    "TRUNCATE raw_events",
    "DELETE FROM raw_events_default",
    "INSERT INTO raw_events_default DEFAULT VALUES",
    "UPDATE break_events SET move = 'OPENED'",
    "DELETE FROM break_events",
    "TRUNCATE break_events",
    "DELETE FROM breaks",
    "UPDATE breaks SET assignee = 'me'",
    "UPDATE breaks SET work_state = 'DONE'",
    "UPDATE breaks SET opened_at = now()",
    "INSERT INTO breaks (break_id, assignee) VALUES ('b', 'me')",
    "UPDATE dead_letters SET reason = ''",
    "DELETE FROM dead_letters",
    "DELETE FROM reconciliation_results",
    "UPDATE result_conflicts SET reason = 'UNREADABLE'",
    "DELETE FROM sink_offsets",
    "INSERT INTO audit_logs DEFAULT VALUES",
    "UPDATE audit_logs SET actor = ''",
    "DELETE FROM audit_logs",
    "UPDATE schema_migrations SET checksum = ''",
)


def test_the_sink_adds_evidence_and_cannot_take_any_back(database: Settings) -> None:
    """It cannot change or remove rows of evidence, nor alter the schema, nor write what people own."""
    with psycopg.connect(database.database_url, autocommit=True) as connection:
        for statement in FORBIDDEN_TO_SINK:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_the_reader_reads_everything_and_writes_nothing(database: Settings) -> None:
    """Every table and view answers the reader; inserts are refused by the grants, not only by its read-only setting."""
    with psycopg.connect(database.database_owner_url) as connection:
        kinds = dict(
            connection.execute(
                "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                "AND relkind IN ('r', 'p', 'v') AND NOT relispartition AND relname <> 'schema_migrations'"
            ).fetchall()
        )
    assert len(kinds) == 15
    with psycopg.connect(database.database_reader_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for name, kind in kinds.items():
            connection.execute(f"SELECT * FROM {name} LIMIT 1")
            for write in ("INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "TRUNCATE {}") if kind != "v" else ():
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(write.format(name))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT ensure_raw_events_days('{}')")


@pytest.mark.parametrize("table", ["break_events", "audit_logs"])
def test_append_only_tables_refuse_even_their_owner(database: Settings, table: str) -> None:
    """A slip of an administrator is refused too: the trigger stands above the rights of the owner."""
    for statement in (f"UPDATE {table} SET at = now()", f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with (
            psycopg.connect(database.database_owner_url) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
        ):
            connection.execute(statement)
