"""Connections to PostgreSQL: bounded, named, with a limit on every wait."""

from __future__ import annotations

import logging

from psycopg import AsyncConnection, ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from recon_stream.errors import ConfigurationError
from recon_stream.settings import Settings

Connection = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]

# Seconds. A pool attempt is short, because the caller retries in place: so work resumes soon after PostgreSQL is back.
_CONNECT_TIMEOUT = 5
_POOL_TIMEOUT = 5
_RECONNECT_TIMEOUT = 2

# Milliseconds. A transaction of the sink takes tens of them; these only end what hangs.
_SESSION = "-c timezone=UTC -c lock_timeout=10000 -c idle_in_transaction_session_timeout=30000"
STATEMENT_SECONDS = 30
"""Of one statement, where nobody waits for the answer."""


_TOLD_AGAIN_AFTER = 60


class _ToldOnce(logging.Filter):
    """Lets the same line through once a minute: a pool says at each attempt why it cannot connect."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, int] = {}  # line -> second of the log

    def filter(self, record: logging.LogRecord) -> bool:
        text, second = record.getMessage(), int(record.created)
        if second - self._told.get(text, 0) < _TOLD_AGAIN_AFTER:
            return False
        self._told = {line: at for line, at in self._told.items() if second - at < _TOLD_AGAIN_AFTER}
        self._told[text] = second
        return True


logging.getLogger("psycopg.pool").addFilter(_ToldOnce())


def connection_string(url: str, settings: Settings, name: str, statement_seconds: int = STATEMENT_SECONDS) -> str:
    """The URL with our timeouts, that application name, and settings.postgres_password where it carries none.

    Raises ConfigurationError on a URL that libpq does not understand.
    """
    try:
        given = conninfo_to_dict(url)
    except ProgrammingError as error:
        # what it says may hold a part of the password
        hint = "special characters of a password in it are percent-encoded"
        raise ConfigurationError(f"a URL of PostgreSQL (DATABASE_URL, RECON_DATABASE_*_URL) is none; {hint}") from error
    session = f"{_SESSION} -c statement_timeout={statement_seconds * 1000}"
    wanted: dict[str, str | int] = {
        "application_name": f"recon-stream {name}",
        "connect_timeout": _CONNECT_TIMEOUT,
        # ends a connection whose other side vanished without a word; milliseconds
        "tcp_user_timeout": 20_000,
        "options": f"{given['options']} {session}" if given.get("options") else session,
    }
    if not given.get("password") and settings.postgres_password:
        wanted["password"] = settings.postgres_password
    return make_conninfo(url, **wanted)


def connection_pool(
    url: str,
    settings: Settings,
    name: str,
    size: int | None = None,
    statement_seconds: int = STATEMENT_SECONDS,
) -> Pool:
    """A pool of at most `size` connections (settings.database_pool_max where not given), to be opened by its user."""
    limit = settings.database_pool_max if size is None else min(size, settings.database_pool_max)
    return AsyncConnectionPool(
        connection_string(url, settings, name, statement_seconds),
        min_size=1,
        max_size=limit,
        max_waiting=100,
        timeout=_POOL_TIMEOUT,
        reconnect_timeout=_RECONNECT_TIMEOUT,
        check=AsyncConnectionPool.check_connection,
        name=name,
        open=False,
    )
