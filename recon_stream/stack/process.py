"""Processes that outlive the command that started them, known by pid and start, never by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from recon_stream.stack.errors import StartFailed, StopFailed
from recon_stream.stack.files import read_json

LAUNCH_TIMEOUT = 20.0  # seconds until a launched process must have written its record
KILL_TIMEOUT = 10.0  # seconds after SIGKILL
LOG_BYTES_MAX = 8 << 20  # a larger log becomes .1 at the next start
TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run: nothing is inherited from the caller's environment. `user` is (uid, gid), None: the caller's."""

    argv: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    user: tuple[int, int] | None = None


@cache
def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.is_file() else ""


def started(pid: int) -> str | None:
    """What tells this process from a later one with the same pid; None when it is gone or a zombie.

    On Linux the boot and the clock ticks since it, which a correction of the wall clock does not change.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if boot := _boot():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return f"{boot}:{fields[19]}"
        return f"{process.create_time():.2f}"
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def running(record: Path) -> int | None:
    """The pid in a record, when that very process still runs."""
    written = read_json(record)
    pid = written.get("pid")
    return pid if isinstance(pid, int) and started(pid) == written.get("started") is not None else None


def launch(command: Command, record: Path, log_file: Path, lock: int | None = None) -> int:
    """Start a process in a session of its own and return its pid; raises StartFailed.

    It writes its own record before it becomes the program, and holds `lock`, a descriptor of the state folder's lock,
    until it has: however its starter dies, the next one finds it recorded or not there at all.
    """
    record.unlink(missing_ok=True)
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES_MAX:
        log_file.replace(log_file.with_name(log_file.name + ".1"))
    uid, gid = command.user or (-1, -1)
    head = [sys.executable, "-I", "-m", "recon_stream.stack.launch", str(record), str(uid), str(gid), str(lock or -1)]
    with log_file.open("ab") as log:
        try:
            subprocess.run(
                [*head, *command.argv],
                env=dict(command.env),
                cwd=command.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
                timeout=LAUNCH_TIMEOUT,
                pass_fds=() if lock is None else (lock,),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise StartFailed(f"{command.argv[0]} could not be started: {error}; log {log_file}") from error
    pid = read_json(record).get("pid")
    assert isinstance(pid, int), f"{record} names no process"
    return pid


def run_once(command: Command, log_file: Path, purpose: str, timeout: float, lock: int | None = None) -> None:
    """Run a preparing step to its end; raises StartFailed with the end of what it wrote. It holds the lock as `launch` does."""
    uid, gid = command.user or (None, None)
    before = size(log_file)
    with log_file.open("ab") as log:
        try:
            code = subprocess.run(
                command.argv,
                env=dict(command.env),
                cwd=command.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
                timeout=timeout,
                pass_fds=() if lock is None else (lock,),
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StartFailed(f"{purpose}: {type(error).__name__}; log {log_file}") from error
    if code != 0:
        raise StartFailed(
            f"{purpose}: exit code {code}; the end of {log_file}:\n" + "\n".join(tail(log_file, since=before))
        )


def stop(record: Path, with_signal: signal.Signals, timeout: float) -> bool:
    """End the recorded process, politely first; whether there was one. Raises StopFailed.

    Nothing but that very process is touched: a pid that another program has by now is left alone.
    """
    pid = running(record)
    if pid is None:
        record.unlink(missing_ok=True)
        return False
    for chosen, patience in ((with_signal, timeout), (signal.SIGKILL, KILL_TIMEOUT)):
        try:
            os.kill(pid, chosen)
        except ProcessLookupError:
            break
        except PermissionError as error:
            raise StopFailed(f"Process {pid} belongs to another user") from error
        deadline = time.monotonic() + patience
        while running(record) is not None and time.monotonic() < deadline:
            time.sleep(0.02)
        if running(record) is None:
            break
    else:
        raise StopFailed(f"Process {pid} does not end")
    record.unlink(missing_ok=True)
    return True


def size(log_file: Path) -> int:
    """Bytes of a log; 0 when there is none."""
    return log_file.stat().st_size if log_file.is_file() else 0


def tail(log_file: Path, lines: int = TAIL_LINES, since: int = 0) -> list[str]:
    """The last lines of a log after its byte `since`, reading no more than 64 KB for each hundred lines."""
    if not log_file.is_file() or lines == 0:
        return []
    with log_file.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(since if since <= end else 0, end - (1 + lines // 100) * 65536))
        return file.read().decode("utf-8", "replace").splitlines()[-lines:]
