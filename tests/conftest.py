"""Real services for the tests: one local stack for the whole run, a database of its own for each test that asks.

The stack runs on free ports in a temporary state folder and ends with the run, however that ends. While developing,
RECON_TEST_STATE_DIR=<state folder of a running stack> saves the start.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from recon_stream.errors import ReconError
from recon_stream.settings import Settings, load_settings
from recon_stream.stack import local, ports
from recon_stream.stack.service import SELDOM_ASKED, Service
from recon_stream.stack.services import DATA_PATH, IDENTITY, kafka
from recon_stream.stack.services.postgres import grant_database

RUNNING = os.environ.get("RECON_TEST_STATE_DIR")
NAMES = {field.metadata["name"] for field in fields(Settings)}
for variable in list(os.environ):
    # what the person at the keyboard works with is none of the tests' business
    if variable.startswith("RECON_") or variable.removesuffix("_FILE") in NAMES:
        del os.environ[variable]

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # tests that run side by side never meet at a port
    share = len(ports.FREE_RANGE) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    start = ports.FREE_RANGE.start + share * int(worker.removeprefix("gw"))
    ports.FREE_RANGE = range(start, start + share)

# a broker of tests ends before it has given back what a second compiler costs
kafka.JAVA_OPTIONS = SELDOM_ASKED

REAPER = Path(__file__).parent / "stack" / "reaper.py"
REAP_TIMEOUT = 60.0


def pytest_collection_finish(session: pytest.Session) -> None:
    """Download what the stack needs before the first test's time runs."""
    names = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    services = DATA_PATH * ("stack" in names) + IDENTITY * ("identity" in names)
    if services and not RUNNING and not session.config.option.collectonly:
        try:
            asyncio.run(local.download(load_settings({}), services=services))
        except ReconError as error:
            pytest.exit(str(error), returncode=3)


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """The settings of a running stack: Kafka, schema registry, PostgreSQL, Valkey."""
    if RUNNING:
        yield running(DATA_PATH)
        return
    state_dir = Path(tempfile.mkdtemp(prefix="recon-tests-"))
    state_dir.chmod(0o711)  # PostgreSQL must pass through it, as a user of its own where root runs the tests
    environ = {"RECON_STATE_DIR": str(state_dir), "RECON_STACK_PORTS": "free"}
    # it stops the stack when its input ends: at the end of the run, and also when the run is killed
    reaper = subprocess.Popen(
        [sys.executable, str(REAPER), str(state_dir)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        asyncio.run(local.up(load_settings(environ), services=DATA_PATH))
        yield load_settings(environ)
    finally:
        reaper.communicate(timeout=REAP_TIMEOUT)


def running(services: Sequence[Service]) -> Settings:
    """The settings of the stack that RECON_TEST_STATE_DIR names."""
    assert RUNNING
    settings = load_settings({"RECON_STATE_DIR": RUNNING})
    unwell = [row for row in asyncio.run(local.status(settings, services)) if row.state != "healthy"]
    assert not unwell, f"RECON_TEST_STATE_DIR={RUNNING}: {unwell}"
    return settings


@pytest.fixture(scope="session")
def identity(stack: Settings) -> Settings:
    """The settings of the same stack with Keycloak beside it, for tests that need to know who asks."""
    if RUNNING:
        return running(IDENTITY)
    asyncio.run(local.up(stack, services=IDENTITY))
    # its port was kept free for it, but not held
    return load_settings({"RECON_STATE_DIR": str(stack.state_dir), "RECON_STACK_PORTS": stack.stack_ports})


@pytest.fixture
def settings(stack: Settings) -> Settings:
    """The stack's settings with an application of the test's own: consumer groups and changelog meet no other test's."""
    return replace(stack, app_id=f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def database_template(stack: Settings) -> Iterator[str]:
    """The name of a database in which the migrations ran; copied for each test that asks for `database`."""
    from recon_stream.storage.migrate import migrate

    name = f"template_{uuid.uuid4().hex[:12]}"
    state = local.read_state(stack)
    assert state is not None
    try:
        create_database(stack, name)
        asyncio.run(migrate(state.database_url("recon_owner", name)))
        yield name
    finally:
        drop_database(stack, name)


@pytest.fixture
def database(settings: Settings, database_template: str) -> Iterator[Settings]:
    """Settings whose database URLs lead to a fresh, migrated database of the test's own."""
    with own_database(settings, database_template) as its:
        yield its


@contextmanager
def own_database(settings: Settings, template: str) -> Iterator[Settings]:
    """The settings with the URLs of a new database, copied from `template`; it is dropped on leaving."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    state = local.read_state(settings)
    assert state is not None
    try:
        create_database(settings, name, template)
        yield replace(
            settings,
            database_url=state.database_url("recon_sink", name),
            database_owner_url=state.database_url("recon_owner", name),
            database_reader_url=state.database_url("recon_reader", name),
            database_web_url=state.database_url("recon_web", name),
        )
    finally:
        drop_database(settings, name)


def create_database(settings: Settings, name: str, template: str = "template1") -> None:
    """Make a database as the stack makes its own, with the same owner and grants."""
    state = local.read_state(settings)
    assert state is not None
    with superuser(settings) as connection:
        names = (sql.Identifier(name), sql.Identifier(template))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER recon_owner").format(*names))
    asyncio.run(grant_database(state, name))


def drop_database(settings: Settings, name: str) -> None:
    """Drop a database, and the connections that a test may have left."""
    with superuser(settings) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def superuser(settings: Settings) -> psycopg.Connection:
    """A connection that may create databases; statements are bounded, so that no fixture hangs."""
    state = local.read_state(settings)
    assert state is not None
    url = state.database_url("postgres", "postgres")
    return psycopg.connect(url, autocommit=True, connect_timeout=5, options="-c statement_timeout=30s")
