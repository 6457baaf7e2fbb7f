"""Processes that stop making progress end themselves; those that wait on purpose do not."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from urllib.error import HTTPError

import pytest

pytestmark = pytest.mark.stack


def asked(member, path):
    """The JSON answer of the operations port; None while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{member.port}{path}", timeout=2) as answer:
            return json.loads(answer.read())
    except HTTPError as error:
        return json.loads(error.read())
    except OSError:
        return None


async def test_a_worker_with_work_and_no_progress_ends_with_70(group, until):
    """An agent that never finishes: /livez says so first, then the process leaves for its supervisor."""
    await group.produce(200)
    member = group.start("never-done", RECON_STALL_TIMEOUT=5)
    reasons = []

    def ended():
        answer = asked(member, "/livez")
        if answer is not None and not answer["live"]:
            reasons.append(answer["reason"])
        return member.process.poll() is not None

    await until(ended)
    assert member.process.returncode == 70, member.log.read_text()
    assert "in flight; no progress" in reasons[0]
    assert "stalled, ending the process" in member.log.read_text()


async def test_an_event_loop_that_does_not_turn_ends_with_70(group, until):
    """Noticed by a thread: nothing else in the process can."""
    await group.produce(10)
    member = group.start("block", RECON_STALL_TIMEOUT=3)
    await until(lambda: member.process.poll() is not None)
    assert member.process.returncode == 70
    assert "the event loop has not turned" in member.log.read_text()


async def test_a_recovery_without_progress_ends_with_71(group, until):
    """The seek never comes back."""
    member = group.start("table", "slow-seek=600", RECON_RECOVERY_TIMEOUT=3)
    await until(lambda: member.process.poll() is not None)
    assert member.process.returncode == 71, member.log.read_text()


async def test_a_pause_on_purpose_is_no_stall(group, until):
    """PostgreSQL away: the work waits, /readyz tells why, the process lives on."""
    await group.produce(200)
    member = group.start("pause", "never-done", RECON_STALL_TIMEOUT=2)
    await until(lambda: member.records() > 0)
    await asyncio.sleep(4)
    assert member.process.poll() is None
    assert asked(member, "/readyz")["reasons"] == {"paused": "a dependency is away"}


async def test_an_agent_that_raises_ends_the_process(group, until):
    """Faust would start the agent anew behind the batch that it lost; here nothing is committed and the process ends."""
    await group.produce(200)
    member = group.start("raise")
    await until(lambda: member.process.poll() is not None)
    assert member.process.returncode == 1
    assert "an agent that raises" in member.log.read_text()
    assert set((await group.committed()).values()) == {0}
