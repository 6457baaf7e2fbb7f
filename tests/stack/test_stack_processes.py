"""Only the very process that was started is ever taken for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recon_stream.stack import process
from recon_stream.stack.errors import StartFailed
from recon_stream.stack.process import Command


def test_stop_leaves_a_process_alone_that_has_the_pid_of_a_record_by_chance(tmp_path: Path) -> None:
    """A record whose process ended, and whose pid another program has by now, ends nothing and is removed."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        record = tmp_path / "valkey.json"
        record.write_text(json.dumps({"pid": stranger.pid, "started": "another boot:1", "command": ["valkey-server"]}))

        assert process.running(record) is None
        assert process.stop(record, signal.SIGKILL, 1) is False
        time.sleep(0.1)
        assert stranger.poll() is None, "a foreign process was ended"
        assert not record.exists()
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": "1"}', '{"pid": 99999999, "started": "x"}'])
def test_a_broken_or_stale_record_means_not_running(tmp_path: Path, content: str) -> None:
    """Whatever a crash left in a record, it names no running process."""
    record = tmp_path / "valkey.json"
    record.write_text(content)

    assert process.running(record) is None
    assert process.stop(record, signal.SIGTERM, 1) is False


def test_a_launched_process_has_a_session_and_a_record_of_its_own_and_no_secret_of_its_starter(tmp_path: Path) -> None:
    """It outlives Ctrl-C at its starter's terminal, sees only the environment it was given, and logs to its file."""
    program = "import os, time; print(sorted(os.environ), flush=True); time.sleep(60)"
    command = Command(argv=[sys.executable, "-I", "-c", program], env={"LANG": "C.UTF-8"}, folder=tmp_path)
    record, log = tmp_path / "record.json", tmp_path / "log"
    pid = process.launch(command, record, log)
    try:
        assert process.running(record) == pid
        assert os.getsid(pid) == pid
        assert psutil.Process(pid).ppid() != os.getpid()
        deadline = time.monotonic() + 10
        while not log.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert log.read_text() == "['LANG']\n" or log.read_text() == "['LANG', 'LC_CTYPE']\n"
    finally:
        assert process.stop(record, signal.SIGTERM, 5) is True
    assert process.started(pid) is None


def test_a_process_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    """`stop` does not wait for ever."""
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    command = Command(argv=[sys.executable, "-I", "-c", program], env={}, folder=tmp_path)
    record, log = tmp_path / "record.json", tmp_path / "log"
    pid = process.launch(command, record, log)
    while "deaf" not in log.read_text():
        time.sleep(0.02)

    assert process.stop(record, signal.SIGTERM, 0.3) is True
    assert process.started(pid) is None


def test_a_program_that_is_not_there_is_a_clear_error_or_a_dead_process(tmp_path: Path) -> None:
    """A folder that cannot be entered fails the launch; a missing program leaves no running process."""
    with pytest.raises(StartFailed, match="could not be started"):
        process.launch(Command(argv=["/bin/true"], env={}, folder=tmp_path / "none"), tmp_path / "r", tmp_path / "log")
    process.launch(Command(argv=["/no/such/program"], env={}, folder=tmp_path), tmp_path / "r", tmp_path / "log")
    deadline = time.monotonic() + 10
    while process.running(tmp_path / "r") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.running(tmp_path / "r") is None
    assert "No such file" in "\n".join(process.tail(tmp_path / "log"))


def test_a_large_log_is_put_aside_at_the_next_start(tmp_path: Path) -> None:
    """The log of a service is bounded: at most one earlier file stays."""
    log = tmp_path / "log"
    log.write_bytes(b"x" * (process.LOG_BYTES_MAX + 1))
    process.launch(Command(argv=["/bin/echo", "new"], env={}, folder=tmp_path), tmp_path / "r", log)
    deadline = time.monotonic() + 10
    while log.read_text() != "new\n" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert log.read_text() == "new\n"
    assert (tmp_path / "log.1").stat().st_size > process.LOG_BYTES_MAX


def test_the_tail_of_a_log_begins_where_it_is_told(tmp_path: Path) -> None:
    """What an earlier start wrote is no explanation for why this one failed."""
    log = tmp_path / "log"
    log.write_text("before\n")
    since = process.size(log)
    with log.open("a") as file:
        file.write("now 1\nnow 2\nnow 3\n")
    assert process.tail(log, 2) == ["now 2", "now 3"]
    assert process.tail(log, 9, since) == ["now 1", "now 2", "now 3"]
    assert process.tail(log, 0) == process.tail(tmp_path / "none") == []
