"""Applies the migrations of the package, in order, once each, one process at a time."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import LiteralString, NamedTuple

import psycopg

from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.storage.pool import Connection
from recon_stream.storage.queries import QUERIES


class MigrationError(ConfigurationError):
    """The database does not fit the migrations of this version; install the version that migrated it, or write a new migration instead of editing one."""


class Migration(NamedTuple):
    """One file of migrations/."""

    name: str
    sql: LiteralString

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """The migrations of the package in order of their names."""
    folder = files(__package__).joinpath("migrations")
    found = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return [Migration(file.name.removesuffix(".sql"), file.read_text()) for file in sorted(found, key=lambda f: f.name)]


def pending(known: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """The migrations still to apply, given name -> checksum of those applied.

    Raises MigrationError where an applied one was edited, is unknown here, or comes after one that is not applied.
    """
    by_name = {migration.name: migration for migration in known}
    for name, checksum in applied.items():
        if name not in by_name:
            raise MigrationError(f"migration {name} was applied by another version")
        if by_name[name].checksum != checksum:
            raise MigrationError(f"migration {name} was edited after it had been applied")
    left = [migration for migration in known if migration.name not in applied]
    if left and applied and left[0].name < max(applied):
        raise MigrationError(f"migration {left[0].name} comes before {max(applied)}, which is applied")
    return left


async def pending_migrations(owner_url: str) -> list[str]:
    """The names still to apply; changes nothing. Raises as `migrate` does."""
    async with await _connect(owner_url) as connection:
        return [migration.name for migration in pending(migrations(), await _applied(connection))]


async def migrate(owner_url: str) -> list[str]:
    """Apply what is missing and return the names applied, in order; each in a transaction with its record.

    Raises MigrationError (see `pending`), ConfigurationError where the role may not do it, TransientFailure where
    PostgreSQL does not answer.
    """
    async with await _connect(owner_url) as connection:
        await connection.execute(QUERIES["lock_migrations"])
        await connection.execute(QUERIES["make_migrations_table"])
        await connection.commit()
        left = pending(migrations(), await _applied(connection))
        for migration in left:
            await _apply(connection, migration)
        await connection.execute(QUERIES["ensure_days"], {"days": []})
        await connection.commit()
    return [migration.name for migration in left]


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                QUERIES["record_migration"], {"name": migration.name, "checksum": migration.checksum}
            )
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"migration {migration.name}: {str(error).strip()}; RECON_DATABASE_OWNER_URL must name the owner of the database"
        ) from error


async def _applied(connection: Connection) -> dict[str, str]:
    cursor = await connection.execute(QUERIES["migrations_table"])
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        return {}
    cursor = await connection.execute(QUERIES["applied_migrations"])
    return dict(await cursor.fetchall())


async def _connect(owner_url: str) -> Connection:
    try:
        return await psycopg.AsyncConnection.connect(
            owner_url, connect_timeout=5, application_name="recon-stream migrate", options="-c timezone=UTC"
        )
    except psycopg.OperationalError as error:
        raise TransientFailure(f"PostgreSQL: {str(error).strip()}") from error
