"""A command that follows something ends with the program that reads it, also while it has nothing to write."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest
from operate_samples import environment

from recon_stream.settings import Settings
from recon_stream.topics import create_topics

FOLLOWERS = (
    ("mismatches", "tail"),
    ("mismatches", "tail", "--group", "nobody-reads", "--json"),
    ("watch",),
    ("stack", "logs", "--follow", "--lines", "0", "valkey"),
)
END_TIMEOUT = 60.0
LIVES_FOR = 3.0


def follower(settings: Settings, *command: str) -> subprocess.Popen[str]:
    """A following command with nothing to write: no result comes, and what is looked at stands still."""
    return subprocess.Popen(
        [sys.executable, "-m", "recon_stream", *command],
        env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(params=FOLLOWERS, ids=" ".join)
def silent(request: pytest.FixtureRequest, settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """One of the following commands, running."""
    asyncio.run(create_topics(settings))
    process = follower(settings, *request.param)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.stack
def test_a_follower_that_is_idle_ends_when_its_reader_does(silent: subprocess.Popen[str]) -> None:
    """`… | head -1` when all lines were written before head ended: no further write would ever fail."""
    assert silent.stdout is not None
    assert silent.stderr is not None
    silent.stdout.close()
    silent.wait(END_TIMEOUT)
    assert silent.stderr.read() == "", "quietly"
    assert silent.returncode == 1, "not by a signal; as when a write fails"


@pytest.mark.stack
def test_a_follower_goes_on_while_somebody_reads(settings: Settings) -> None:
    """A reader that is there and takes nothing is no reader that has ended."""
    asyncio.run(create_topics(settings))
    process = follower(settings, *FOLLOWERS[0])
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(LIVES_FOR)
    finally:
        process.kill()
        process.communicate()
