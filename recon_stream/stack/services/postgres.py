"""PostgreSQL: the evidence, and the registry's schemas."""

from __future__ import annotations

import os
import shutil
import signal
from importlib import resources
from pathlib import Path
from typing import ClassVar

import psutil
import psycopg
from psycopg import sql

from recon_stream.stack import process
from recon_stream.stack.artifacts import POSTGRES, Artifact, postgres_archive
from recon_stream.stack.downloads import unpack_postgres
from recon_stream.stack.errors import StartFailed
from recon_stream.stack.files import make_folder, write_private
from recon_stream.stack.ports import HOST
from recon_stream.stack.process import Command
from recon_stream.stack.service import Context, Service
from recon_stream.stack.state import State

INIT_TIMEOUT = 60.0
CONNECT_TIMEOUT = 5
ROLES = ("recon_owner", "recon_sink", "recon_reader", "recon_web", "registry")
ENV = {"LANG": "C.UTF-8", "TZ": "UTC"}

# PostgreSQL's own locale, the same on every operating system
LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")

# TCP alone: a socket file would have to fit into 107 characters with its folder
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "5min",
}


class Postgres(Service):
    """The server, as a user of its own where root starts it: it refuses to run as root."""

    name: ClassVar = "postgres"
    title: ClassVar = "PostgreSQL"
    version: ClassVar = POSTGRES
    ports: ClassVar = ("postgres",)
    stop_signal: ClassVar = signal.SIGINT  # "fast": sessions are ended, data is written
    stop_timeout: ClassVar = 30.0

    def artifacts(self) -> tuple[Artifact, ...]:
        """The archive for this machine."""
        return (postgres_archive(),)

    def unpack(self, context: Context) -> None:
        """Unpack the server where its user may run it."""
        self._programs(context)

    def prepare(self, context: Context) -> Command:
        """Make the cluster at the first start, and clear away what a killed server left."""
        data, programs = context.folders.postgres_data, self._programs(context)
        if not (data / "PG_VERSION").is_file():
            self._initialise(context, programs, data)
        _remove_stale_lock(data)
        options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        argv = [str(programs / "postgres"), "-D", str(data), "-p", str(context.port("postgres")), *options]
        return Command(argv=argv, env=ENV, folder=data, user=context.folders.user)

    async def probe(self, context: Context) -> None:
        """A statement is answered."""
        try:
            async with await _connect(context.state, "postgres") as connection:
                await connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StartFailed(
                    f"PostgreSQL refuses the password in {context.folders.state_file}, which was not made with these "
                    "data. Put that file back, or delete the data with `recon-stream stack reset`"
                ) from error
            raise ConnectionError(str(error)) from error

    async def configure(self, context: Context) -> None:
        """Roles and databases; the tables and their grants are made by the migrations."""
        try:
            await _create_roles(context.state)
            await grant_database(context.state, "recon")
        except psycopg.Error as error:
            log_file = context.folders.log(self.name)
            raise StartFailed(f"PostgreSQL's roles and databases could not be made: {error}; log {log_file}") from error

    def _programs(self, context: Context) -> Path:
        (archive,) = self.artifacts()
        return context.cache.unpacked(archive, unpack_postgres, context.folders.postgres_programs) / "bin"

    def _initialise(self, context: Context, programs: Path, data: Path) -> None:
        """Make the cluster beside its place and move it there whole: an interrupted attempt is thrown away."""
        make_folder(data.parent, 0o711)
        half, password = data.with_name("postgres.part"), data.with_name("postgres.password")
        if half.exists():
            shutil.rmtree(half)
        make_folder(half, 0o700)
        write_private(password, context.state.passwords["postgres"])
        user = context.folders.user
        if user is not None:
            os.chown(half, *user)
            os.chown(password, *user)
        command = [str(programs / "initdb"), "-D", str(half), "-U", "postgres", "-A", "scram-sha-256"]
        command += [f"--pwfile={password}", "--no-sync", "--data-checksums", *LOCALE]
        initdb = Command(argv=command, env=ENV, folder=half, user=user)
        try:
            log_file = context.folders.log(self.name)
            process.run_once(initdb, log_file, "PostgreSQL's data could not be initialised", INIT_TIMEOUT, context.lock)
        finally:
            password.unlink()
        half.rename(data)


async def _create_roles(state: State) -> None:
    async with await _connect(state, "postgres") as connection:
        for role in ROLES:
            await connection.execute("SELECT set_config(%s, %s, false)", (f"recon.{role}", state.passwords[role]))
        await connection.execute(_statements("roles.sql"))
        for name, owner in (("recon", "recon_owner"), ("registry", "registry")):
            found = await connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
            if await found.fetchone() is None:
                names = (sql.Identifier(name), sql.Identifier(owner))
                await connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))


async def grant_database(state: State, database: str) -> None:
    """Let the product's roles, and nobody else, use a database; CREATE DATABASE … TEMPLATE copies no such grant."""
    async with await _connect(state, database) as connection:
        await connection.execute(_statements("database.sql"))


async def _connect(state: State, database: str) -> psycopg.AsyncConnection:
    url = state.database_url("postgres", database)
    return await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT)


def _statements(name: str) -> bytes:
    return resources.files("recon_stream.stack").joinpath(name).read_bytes()


def _remove_stale_lock(data: Path) -> None:
    """Remove postmaster.pid when its process is not a server of these data: by now its pid may be anybody's.

    The caller has made sure that no server of ours runs.
    """
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    if process.started(pid) is None or str(data) not in _command_line(pid):
        lock.unlink()


def _command_line(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []
