"""One process of a role: its operations port, its lock, its end. The web role needs no broker, so it stands for all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recon_stream.apps import web as app
from recon_stream.stack.ports import free_ports

SECONDS = 60
"""For a start or an end, on a machine that does other work."""


def free_port() -> int:
    return free_ports(1)[0]


class Role:
    """`recon-stream <role>` with settings of the test's own."""

    def __init__(self, folder: Path, role: str, *arguments: str, **settings: object) -> None:
        self.operations_port, self.web_port = free_port(), free_port()
        self.log = folder / f"{role}-{self.operations_port}.log"
        environ = {
            "PATH": os.environ["PATH"],
            "RECON_STATE_DIR": str(folder / "state"),
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
            "RECON_OPERATIONS_PORT": str(self.operations_port - {"worker": 0, "sink": 20, "web": 40}[role]),
            "RECON_WEB_PORT": str(self.web_port),
            **{name: str(value) for name, value in settings.items()},
        }
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "recon_stream", role, *arguments],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def get(self, path: str, port: int | None = None) -> tuple[int, str]:
        """(status, body); (0, "") while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.operations_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def until_ready(self) -> None:
        deadline = time.monotonic() + SECONDS
        while self.get("/readyz")[0] != 200:
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)


@pytest.fixture
def role(tmp_path: Path) -> Iterator[Callable[..., Role]]:
    roles: list[Role] = []

    def start(name: str, *arguments: str, **settings: object) -> Role:
        roles.append(Role(tmp_path, name, *arguments, **settings))
        return roles[-1]

    yield start
    for each in roles:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait(10)


def test_web_answers_and_ends_cleanly_while_kafka_is_away(role):
    """/health on the web port; /livez, /readyz and /metrics on the operations port; SIGTERM ends it with 0."""
    web = role("web")
    web.until_ready()
    assert json.loads(web.get("/health", web.web_port)[1])["status"] == "ok"
    assert web.get("/livez") == (200, '{"live":true,"reason":null}')
    metrics = web.get("/metrics")[1]
    assert 'recon_build_info{python="' in metrics
    assert "process_resident_memory_bytes" in metrics
    one = web.get("/metrics?name[]=recon_build_info")[1]
    assert 'recon_build_info{python="' in one
    assert "process_resident_memory_bytes" not in one
    for open_by_default in ("/table/", "/router/", "/performance/"):
        assert web.get(open_by_default, web.web_port)[0] == 404
    web.process.send_signal(signal.SIGTERM)
    assert web.process.wait(SECONDS) == 0


def test_web_is_not_ready_before_it_listens():
    """Whoever sends requests to those that are ready must not meet a closed port."""
    assert app.readiness["server"]() == "it does not listen yet"


def test_a_taken_operations_port_is_named_with_its_owner(role):
    """Refused with exit code 2, and the message says which process has the port and which setting moves it."""
    first = role("web")
    first.until_ready()
    second = role("web", RECON_OPERATIONS_PORT=first.operations_port - 41, RECON_PROCESS_INDEX=1)
    assert second.process.wait(SECONDS) == 2
    assert f"process {first.process.pid}" in second.log.read_text()
    assert "RECON_OPERATIONS_PORT" in second.log.read_text()


def test_a_taken_web_port_is_named_with_its_owner(role):
    """The same for the port that people use."""
    first = role("web")
    first.until_ready()
    second = role("web", RECON_WEB_PORT=first.web_port - 1, RECON_PROCESS_INDEX=1)
    assert second.process.wait(SECONDS) == 2
    assert f"process {first.process.pid}" in second.log.read_text()
    assert "RECON_WEB_PORT" in second.log.read_text()


def test_a_state_folder_belongs_to_one_process(role):
    """Two processes in one folder would corrupt each other: the second is refused."""
    first = role("web")
    first.until_ready()
    second = role("web")
    assert second.process.wait(SECONDS) == 2
    assert f"in use by process {first.process.pid}" in second.log.read_text()


def test_a_child_ends_when_its_parent_is_gone(role):
    """The pipe from the parent closes however the parent ends; the child stops cleanly then."""
    child = role("web", "--index", "0", "--supervised")
    child.until_ready()
    child.process.stdin.close()
    assert child.process.wait(SECONDS) == 0
    assert "the parent process is gone" in child.log.read_text()


def test_a_worker_without_a_broker_ends_for_its_supervisor(role):
    """Not 0 and not 2: a supervisor tries again."""
    worker = role("worker")
    assert worker.process.wait(SECONDS) == 1
    assert "does not answer" in worker.log.read_text()


def test_json_logs_are_one_object_a_line(role):
    """Each line with time, level, role and index."""
    web = role("web", RECON_LOG_FORMAT="json", RECON_PROCESS_INDEX=0)
    web.until_ready()
    web.process.send_signal(signal.SIGTERM)
    web.process.wait(SECONDS)
    for line in web.log.read_text().splitlines():
        entry = json.loads(line)
        assert (entry["role"], entry["index"]) == ("web", 0)
        assert entry["time"].endswith("Z")
