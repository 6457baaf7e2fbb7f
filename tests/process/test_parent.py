"""The parent of `--processes N`, with children that need no service."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from recon_stream.errors import ConfigurationError
from recon_stream.process.parent import Backoff, Parent

# Writes its pid once it can be told to stop, then lives until SIGTERM.
STEADY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(60)
"""
DEAF = STEADY.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")


def parent(script, folder, processes=2, **options):
    def command(index):
        return [sys.executable, "-c", script, str(folder / str(index))]

    options = {"stop_timeout": 5, "backoff": Backoff(first=0.1, limit=0.5)} | options
    return Parent(command, processes, environ={"PATH": os.environ["PATH"]}, **options)


async def pids(folder, index, count):
    path = folder / str(index)
    for _ in range(300):
        found = [int(line) for line in path.read_text().split()] if path.exists() else []
        if len(found) >= count:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"child {index} was not started {count} times")


async def test_a_killed_child_is_started_again_and_a_stop_reaches_all(tmp_path):
    """SIGKILL of one child: a new one in its place, the other undisturbed; SIGTERM of the parent ends both with 0."""
    running = asyncio.create_task(parent(STEADY, tmp_path).run())
    (victim,), (other,) = await pids(tmp_path, 0, 1), await pids(tmp_path, 1, 1)
    os.kill(victim, signal.SIGKILL)
    _, heir = await pids(tmp_path, 0, 2)
    assert await pids(tmp_path, 1, 1) == [other]
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 30) == 0
    for pid in (heir, other):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_child_that_does_not_stop_is_killed(tmp_path):
    """After the bound; the parent then ends with 1."""
    running = asyncio.create_task(parent(DEAF, tmp_path, 1, stop_timeout=-4).run())
    (pid,) = await pids(tmp_path, 0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 30) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_child_that_refuses_to_start_ends_the_parent(tmp_path):
    """Exit code 2 says that starting again is of no use."""
    assert await asyncio.wait_for(parent("raise SystemExit(2)", tmp_path).run(), 30) == 2


def test_the_wait_grows_to_its_limit_and_is_forgotten_after_a_steady_life():
    """1, 2, 4 … 30 seconds; 1 again after a minute of life."""
    backoff, waits = Backoff(), [0.0]
    for _ in range(7):
        waits.append(backoff.after(waits[-1], lived=1))
    assert waits[1:] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff.after(30, lived=61) == 1


async def test_the_number_of_processes_is_bounded(tmp_path):
    """Operations ports of the roles are 20 apart."""
    with pytest.raises(ConfigurationError):
        parent(STEADY, tmp_path, 21)
