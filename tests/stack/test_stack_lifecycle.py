"""The life of a stack on real services: up, down, killed, data kept, reset."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from click.testing import CliRunner

from recon_stream.settings import Settings, load_settings
from recon_stream.stack import local, process
from recon_stream.stack.commands import stack as commands
from recon_stream.stack.errors import PortTaken
from recon_stream.stack.ports import COMMAND_LENGTH_MAX, described, free_ports
from recon_stream.stack.services import SERVICES
from recon_stream.stack.state import PORT_SETTINGS, Folders

WARM_START = 60.0  # seconds on a machine that does other work; alone it takes less than 8
SCHEMA = json.dumps({"schema": json.dumps({"type": "record", "name": "kept", "fields": []})}).encode()


@pytest.fixture(scope="module")
def environ() -> Iterator[dict[str, str]]:
    """The environment of a stack of this module's own; whatever a test leaves running is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="recon-stack-"))
    folder.chmod(0o711)
    environ = {"RECON_STATE_DIR": str(folder / "state"), "RECON_STACK_PORTS": "free"}
    yield environ
    asyncio.run(local.reset(load_settings(environ)))
    shutil.rmtree(folder)


def pids(settings: Settings) -> dict[str, int | None]:
    """The recorded pids by service."""
    folders = Folders.of(settings)
    return {service.name: process.running(folders.record(service.name)) for service in SERVICES}


def started_up(environ: dict[str, str]) -> Settings:
    """The settings of the stack of this module, running; for a test that is run alone."""
    asyncio.run(local.up(load_settings(environ)))
    return load_settings(environ)


def test_a_first_start_leaves_every_service_reachable_with_the_settings_it_wrote(environ: dict[str, str]) -> None:
    """After `up` a client needs nothing but load_settings; secrets are readable by their owner alone."""
    rows = asyncio.run(local.up(load_settings(environ)))

    assert {row.state for row in rows} == {"healthy"}
    settings = load_settings(environ)
    folder = Path(environ["RECON_STATE_DIR"])
    for name in ("stack.env", "stack.json", "data/valkey/valkey.conf"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    for url, role in (
        (settings.database_url, "recon_sink"),
        (settings.database_owner_url, "recon_owner"),
        (settings.database_reader_url, "recon_reader"),
    ):
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_user, current_database()").fetchone() == (role, "recon")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            settings.database_url.replace(":" + settings.database_url.split(":")[2].split("@")[0], ":wrong")
        )
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(settings.redis_url).ping()
    assert redis.Redis.from_url(settings.redis_url, password=settings.redis_password).ping()


def test_a_second_up_changes_nothing_and_says_so(environ: dict[str, str]) -> None:
    """`up` on a running stack keeps every process and is quick."""
    settings = started_up(environ)
    before, begun = pids(settings), time.monotonic()

    result = CliRunner().invoke(commands, ["up"], env=environ)

    assert result.exit_code == 0, result.output
    assert result.output.count("already up") == len(SERVICES)
    assert pids(settings) == before
    assert time.monotonic() - begun < WARM_START / 3


def test_services_that_were_killed_are_reported_and_started_again(environ: dict[str, str]) -> None:
    """SIGKILL leaves no pid file, lock or port that blocks the next `up`; the other services are not touched."""
    settings = started_up(environ)
    before = pids(settings)
    for name in ("valkey", "postgres"):
        pid = before[name]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_until_gone(settings, "valkey", "postgres")

    result = CliRunner().invoke(commands, ["status", "--json"], env=environ)

    assert result.exit_code == 1
    states = {row["service"]: row["state"] for row in json.loads(result.stdout)}
    assert states["valkey"] == states["postgres"] == "stopped"
    asyncio.run(local.up(settings))
    after = pids(settings)
    assert None not in after.values()
    assert {name for name in after if after[name] != before[name]} == {"valkey", "postgres"}
    result = CliRunner().invoke(commands, ["status", "--json"], env=environ)
    assert result.exit_code == 0, result.output


def wait_until_gone(settings: Settings, *names: str) -> None:
    """Until the recorded processes have ended."""
    deadline = time.monotonic() + 10
    while any(pids(settings)[name] for name in names):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_topics_and_schema_ids_survive_down_and_a_killed_up(environ: dict[str, str]) -> None:
    """Data are kept across `down`, an `up` that is killed half way, and the `up` after it."""
    settings = started_up(environ)
    asyncio.run(create_topic(settings, "kept"))
    register(settings, "first-value", SCHEMA.replace(b"kept", b"first"))
    schema_id = register(settings, "kept-value")

    assert set(asyncio.run(local.down(settings))) == {service.name for service in SERVICES}
    assert set(pids(settings).values()) == {None}
    killed = subprocess.Popen(
        [sys.executable, "-c", "from recon_stream.stack.commands import stack; stack()", "up"],
        env=environ | {"HOME": str(Path.home())},
        stdout=subprocess.DEVNULL,
    )
    try:
        while pids(settings)["kafka"] is None:
            time.sleep(0.01)
    finally:
        killed.kill()
        killed.wait()
    survivors = {name: pid for name, pid in pids(settings).items() if pid}
    begun = time.monotonic()
    asyncio.run(local.up(settings))

    assert time.monotonic() - begun < WARM_START
    assert survivors.items() <= pids(settings).items(), "a process without a record would hold its port"
    assert settings == load_settings(environ), "ports and passwords are kept"
    assert "kept" in asyncio.run(topics(settings))
    with urllib.request.urlopen(f"{settings.schema_registry_url}/schemas/ids/{schema_id}", timeout=10) as response:
        assert json.loads(json.load(response)["schema"])["name"] == "kept"
    assert register(settings, "kept-value") == schema_id
    assert register(settings, "other-value", SCHEMA.replace(b"kept", b"other")) > schema_id


async def create_topic(settings: Settings, name: str) -> None:
    """Create a topic."""
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    await admin.start()
    await admin.create_topics([NewTopic(name, 3, 1)])
    await admin.close()


async def topics(settings: Settings) -> list[str]:
    """The names of the broker's topics."""
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    await admin.start()
    names: list[str] = await admin.list_topics()
    await admin.close()
    return names


def register(settings: Settings, subject: str, schema: bytes = SCHEMA) -> int:
    """The id that the registry gives to a schema."""
    request = urllib.request.Request(
        f"{settings.schema_registry_url}/subjects/{subject}/versions",
        schema,
        {"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        found: int = json.load(response)["id"]
    return found


def test_logs_show_the_last_lines_of_a_service(environ: dict[str, str]) -> None:
    """`logs SERVICE -n 2` prints two lines; without a service each line says whose it is."""
    started_up(environ)

    one = CliRunner().invoke(commands, ["logs", "valkey", "-n", "2"], env=environ)
    every = CliRunner().invoke(commands, ["logs", "-n", "1"], env=environ)

    assert len(one.output.splitlines()) == 2
    assert "Ready to accept connections" in one.output
    assert [line.split("|")[0].strip() for line in every.output.splitlines()] == [service.name for service in SERVICES]


def test_reset_deletes_what_the_stack_wrote_and_nothing_else(environ: dict[str, str]) -> None:
    """Data, passwords and logs are gone, a file of another's making is not; without --yes it asks."""
    settings = started_up(environ)
    folder = Path(environ["RECON_STATE_DIR"])
    (folder / "data" / "mine").mkdir(exist_ok=True)

    asked = CliRunner().invoke(commands, ["reset"], env=environ, input="n\n")
    assert asked.exit_code == 1
    assert None not in pids(settings).values()
    answered = CliRunner().invoke(commands, ["reset", "--yes"], env=environ)

    assert answered.exit_code == 0, answered.output
    assert set(pids(settings).values()) == {None}
    left = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert left == {"data", "data/mine", "logs", "run", "stack.lock"}
    again = CliRunner().invoke(commands, ["down"], env=environ)
    assert "Nothing" in again.output


def test_a_taken_port_is_named_with_the_process_that_has_it(environ: dict[str, str], tmp_path: Path) -> None:
    """Before anything is started, `up` says which port, which setting chooses it, and the pid and command that hold it."""
    server = tmp_path / "a-foreign-server"
    server.write_text(
        "import socket, sys\n"
        "listening = socket.create_server(('127.0.0.1', 0))\n"
        "print(listening.getsockname()[1], flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, server.name], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    chosen = {"RECON_STATE_DIR": str(tmp_path / "state"), "RECON_STACK_PORTS": "default"}
    try:
        port = other.stdout.readline().strip()
        names = [setting.upper() for setting in PORT_SETTINGS.values() if setting != "stack_redis_port"]
        numbers = free_ports(len(names))
        chosen |= {f"RECON_{name}": str(number) for name, number in zip(names, numbers, strict=True)}
        chosen["RECON_STACK_REDIS_PORT"] = port
        with pytest.raises(PortTaken) as refused:
            asyncio.run(local.up(load_settings(chosen)))
        program = Path(psutil.Process(other.pid).cmdline()[0]).name
        holder = f"process {other.pid} ({program} a-foreign-server)"
        assert f"Port {port} of Valkey (RECON_STACK_REDIS_PORT) is taken by {holder}" in str(refused.value)
        assert set(pids(load_settings(chosen)).values()) == {None}
    finally:
        other.communicate()
        asyncio.run(local.reset(load_settings(chosen)))


def test_a_command_is_described_for_people() -> None:
    """However long the path of its interpreter is; titles that a server gives itself stay, and nothing acts on a terminal."""
    far = "/a/very/long" * 40
    assert described([f"{far}/bin/python3.11", "-m", "http.server", "9092"]) == "python3.11 -m http.server 9092"
    assert described(["nginx: master process /usr/sbin/nginx", "", ""]) == "nginx: master process /usr/sbin/nginx"
    assert described(["redis-server *:6379"]) == "redis-server *:6379"
    assert described([]) == ""
    assert described(["x", "\x1b[31m\n\ttwo"]) == "x ?[31m two"
    cut = described([f"{far}/java", *["-Dsome.option=value"] * 50])
    assert cut.startswith("java -Dsome.option=value ")
    assert (len(cut), cut[-1]) == (COMMAND_LENGTH_MAX, "…")
