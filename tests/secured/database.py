"""A PostgreSQL of a test's own that speaks TLS and nothing else, made of the local stack's archive."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg

from recon_stream.settings import Settings
from recon_stream.stack import process
from recon_stream.stack.downloads import Cache
from recon_stream.stack.ports import free_ports
from recon_stream.stack.service import Context
from recon_stream.stack.services.postgres import Postgres
from recon_stream.stack.state import SECRETS, Folders, State
from tests.secured.broker import REAPER
from tests.secured.certificates import Certificates

STARTED_WITHIN = 60.0
ACCESS = "hostssl all all 127.0.0.1/32 scram-sha-256\n"


@contextmanager
def secured_database(certificates: Certificates) -> Iterator[State]:
    """Its ports, passwords and URLs; ended and deleted on leaving."""
    state_dir = Path(tempfile.mkdtemp(prefix="recon-secured-"))
    state_dir.chmod(0o711)
    reaper = subprocess.Popen(
        [sys.executable, str(REAPER), str(state_dir)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        folders = Folders.of(Settings(state_dir=state_dir))
        folders.make()
        state = State({"postgres": free_ports(1)[0]}, {name: secrets.token_urlsafe(12) for name in SECRETS})
        asyncio.run(_start(Context(Settings(), folders, state, Cache(folders.cache)), certificates))
        yield state
    finally:
        reaper.communicate(timeout=60)


async def _start(context: Context, certificates: Certificates) -> None:
    server, folders = Postgres(), context.folders
    server.unpack(context)
    command = server.prepare(context)
    data = folders.postgres_data
    (data / "pg_hba.conf").write_text(ACCESS)
    for suffix in ("pem", "key"):
        file = data / f"server.{suffix}"
        shutil.copy(certificates.chain("server").with_suffix(f".{suffix}"), file)
        file.chmod(0o600)
        if folders.user is not None:
            os.chown(file, *folders.user)
    tls = ["-c", "ssl=on", "-c", "ssl_cert_file=server.pem", "-c", "ssl_key_file=server.key"]
    log = folders.log(server.name)
    process.launch(replace(command, argv=[*command.argv, *tls]), folders.record(server.name), log)
    deadline = time.monotonic() + STARTED_WITHIN
    while True:
        try:
            await server.probe(context)
            break
        except (ConnectionError, psycopg.Error):
            assert time.monotonic() < deadline, log.read_text()
            await asyncio.sleep(0.1)
    await server.configure(context)
