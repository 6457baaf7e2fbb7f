"""A stack of the harness's own, whose broker is reached directly and through a proxy, and whose services can be struck."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import psycopg
from aiokafka.admin import AIOKafkaAdminClient
from psycopg import sql

from recon_stream.registration import register_schemas
from recon_stream.settings import load_settings
from recon_stream.stack import local, process
from recon_stream.stack.ports import free_ports
from recon_stream.stack.services import DATA_PATH, kafka
from recon_stream.stack.services.postgres import grant_database
from recon_stream.stack.state import Folders
from recon_stream.storage.migrate import migrate
from tests.faults.proxy import Network, Proxy, RegistryFront

HOME = Path(__file__).parent.parent.parent
REAPER = HOME / "tests" / "stack" / "reaper.py"
TEMPLATE = "faults_template"
STOP_SECONDS = 40.0
DIRECT = kafka.PROPERTIES
"""The broker's properties as the product writes them."""


class Stack:
    """The services, and the proxies in front of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.environ = {"RECON_STATE_DIR": str(folder), "RECON_STACK_PORTS": "free"}
        self._proxied_listener, *fronts = self._ports()
        kafka.PROPERTIES = with_proxied_listener(self._proxied_listener, fronts[0])
        asyncio.run(local.up(load_settings(self.environ), services=DATA_PATH))
        self.settings = load_settings(self.environ)
        state = local.read_state(self.settings)
        assert state is not None
        self.state = state
        self.folders = Folders.of(self.settings)
        asyncio.run(self._prepare())
        self.network = Network()
        targets = (self._proxied_listener, state.ports["postgres"], state.ports["valkey"])
        self.kafka, self.postgres, self.valkey = (
            Proxy(self.network, port, target, seed) for port, target in zip(fronts, targets, strict=False)
        )
        self.registry = RegistryFront(self.network, fronts[3], state.ports["registry"])
        for proxy in (self.kafka, self.postgres, self.valkey, self.registry):
            proxy.open()

    def _ports(self) -> list[int]:
        """Kept over restarts of the broker, which remembers what it advertised to nobody, but its clients do."""
        written = self.folder / "faults.json"
        if not written.is_file():
            written.write_text(json.dumps(free_ports(5)))
        ports: list[int] = json.loads(written.read_text())
        return ports

    async def _prepare(self) -> None:
        await register_schemas(self.settings)
        with self.superuser() as connection:
            known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {TEMPLATE} OWNER recon_owner")
        await grant_database(self.state, TEMPLATE)
        await migrate(self.state.database_url("recon_owner", TEMPLATE))

    def superuser(self, database: str = "postgres") -> psycopg.Connection:
        """A connection that may do anything; statements are bounded."""
        url = self.state.database_url("postgres", database)
        return psycopg.connect(url, autocommit=True, connect_timeout=5, options="-c statement_timeout=60s")

    def create_database(self, tablespace: str = "pg_default") -> str:
        """A fresh, migrated database; its name."""
        name = f"faults_{uuid.uuid4().hex[:12]}"
        with self.superuser() as connection:
            statement = "CREATE DATABASE {} TEMPLATE {} OWNER recon_owner TABLESPACE {}"
            names = (sql.Identifier(name), sql.Identifier(TEMPLATE), sql.Identifier(tablespace))
            connection.execute(sql.SQL(statement).format(*names))
        asyncio.run_coroutine_threadsafe(grant_database(self.state, name), self.network.loop).result(30)
        return name

    def drop_database(self, name: str) -> None:
        """Drop it and whatever still looks at it."""
        with self.superuser() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    async def delete_topics(self) -> None:
        """All of them: names are fixed, and no scenario's records may be in another's."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        await admin.start()
        try:
            async with asyncio.timeout(60):
                while names := [name for name in await admin.list_topics() if not name.startswith("__")]:
                    await admin.delete_topics(names)
                    await asyncio.sleep(0.2)
        finally:
            await admin.close()

    def calm(self) -> None:
        """Every service runs and every proxy passes everything on."""
        for proxy in (self.kafka, self.postgres, self.valkey):
            proxy.calm()
            proxy.open()
        self.registry.mode, self.registry.only, self.registry.strikes = "pass", "", 0
        self.registry.open()
        asyncio.run_coroutine_threadsafe(local.up(self.settings, services=DATA_PATH), self.network.loop).result(120)

    # Striking services

    def pid(self, service: str) -> int:
        """Its process."""
        pid = process.running(self.folders.record(service))
        assert pid is not None, f"{service} does not run"
        return pid

    def kill(self, service: str) -> None:
        """SIGKILL to the service and its children: what a power failure leaves behind on a disk that is kept."""
        top = psutil.Process(self.pid(service))
        family = [top, *top.children(recursive=True)]
        for member in family:
            if member.is_running():
                member.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=STOP_SECONDS)

    def stop(self, service: str) -> None:
        """As the product's `stack down` stops it."""
        (known,) = (one for one in DATA_PATH if one.name == service)
        process.stop(self.folders.record(service), known.stop_signal, known.stop_timeout)

    def freeze(self, service: str) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        os.kill(self.pid(service), signal.SIGSTOP)

    def thaw(self, service: str) -> None:
        """SIGCONT."""
        os.kill(self.pid(service), signal.SIGCONT)

    async def start(self) -> None:
        """Start what does not run, and wait until it is healthy."""
        await local.up(self.settings, services=DATA_PATH)

    # Full disks

    @contextmanager
    def small_disk(self, where: Path, size_mib: int = 64) -> Iterator[Callable[[], AbstractContextManager[None]]]:
        """Mount a small tmpfs there; gives a context in which it is full. Only root may mount: skips elsewhere."""
        where.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0777", "none", str(where)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            raise NotPossible("only root may mount a small disk")
        try:
            yield lambda: full(where)
        finally:
            subprocess.run(["umount", "-l", str(where)], check=True)

    @contextmanager
    def small_tablespace(self) -> Iterator[Callable[[], AbstractContextManager[None]]]:
        """A tablespace `small` on a small disk; gives a context in which it is full."""
        where = self.folders.postgres_data.parent / "small"
        with self.small_disk(where, 256) as fill:
            if self.folders.user is not None:
                os.chown(where, *self.folders.user)
            with self.superuser() as connection:
                connection.execute("DROP TABLESPACE IF EXISTS small")
                connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(where))))
            try:
                yield fill
            finally:
                with self.superuser() as connection:
                    connection.execute("DROP TABLESPACE small")

    def close(self) -> None:
        """Close the proxies."""
        for proxy in (self.kafka, self.postgres, self.valkey):
            proxy.refuse()
        self.registry.close()
        self.network.close()
        kafka.PROPERTIES = DIRECT


class NotPossible(Exception):
    """This machine does not let the harness do this."""


@contextmanager
def full(where: Path) -> Iterator[None]:
    """There is no room left on this disk, and again when something is deleted."""
    filler, stop = where / "filler", threading.Event()

    def fill() -> None:
        while not stop.wait(0.05):
            try:
                with filler.open("ab", buffering=0) as file:
                    while file.write(b"x" * 4096):
                        pass
            except OSError:
                continue

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        filler.unlink(missing_ok=True)


def with_proxied_listener(port: int, advertised: int) -> str:
    """The broker's properties with a second listener: who comes by it is sent back to the proxy's port."""
    text = DIRECT.replace("listeners=PLAINTEXT://{host}:{port},", f"listeners=PLAINTEXT://{{host}}:{{port}},PROXIED://{{host}}:{port},", 1)  # fmt: skip
    text = text.replace("advertised.listeners=PLAINTEXT://{host}:{port}", f"advertised.listeners=PLAINTEXT://{{host}}:{{port}},PROXIED://{{host}}:{advertised}")  # fmt: skip
    assert text.count("PROXIED") == 2, "the listeners of the stack's broker have changed"
    protocols = ",".join(f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "CONTROLLER", "PROXIED"))
    # sessions shorter than brokers allow by default: a killed member's partitions are soon another's
    return f"{text}listener.security.protocol.map={protocols}\ngroup.min.session.timeout.ms=1000\n"


@contextmanager
def running_stack(seed: int, folder: Path | None = None) -> Iterator[Stack]:
    """A stack that ends with the block and with this process; one in `folder` is kept, and found again the next time."""
    if folder is not None:
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        stack = Stack(folder, seed)
        try:
            yield stack
        finally:
            stack.close()
        return
    own = Path(tempfile.mkdtemp(prefix="recon-faults-"))
    own.chmod(0o711)  # PostgreSQL must pass through it, as a user of its own where root runs the tests
    reaper = subprocess.Popen([sys.executable, str(REAPER), str(own)], stdin=subprocess.PIPE, start_new_session=True)
    try:
        stack = Stack(own, seed)
        try:
            yield stack
        finally:
            stack.close()
    finally:
        reaper.communicate(timeout=90)
