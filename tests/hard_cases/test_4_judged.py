"""Everything that the tests before this one did is judged as a whole, twice: they look at what they expect, this at all."""

from __future__ import annotations

import asyncio

import pytest

from recon_stream.pipeline.reading import UNKNOWN_PAUSE_SECONDS
from recon_stream.verify.report import State
from recon_stream.verify.verification import verify
from tests.end_to_end.system import System
from tests.end_to_end.test_end_to_end import Quiet
from tests.hard_cases.conftest import RULES
from tests.hard_cases.feeding import CORE, Feeder, now_ms, txn_in
from tests.hard_cases.listening import Listener
from tests.judge import verdicts
from tests.judge.read import read_all
from tests.judge.rules import load_rules

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]


async def test_an_unknown_schema_holds_its_own_partition_only(feeder: Feeder, said: Listener) -> None:
    """The first record of it waits for the registry for ten seconds; transactions of the other partitions do not. What
    becomes of the one behind it is judged below."""
    held, *free = (txn_in(partition) for partition in (3, 0, 1, 2, 4, 5))
    now = now_ms()
    await feeder.send_value(CORE, held.encode(), b"\0\x77\x77\x77\x77x")
    await asyncio.sleep(0.3)
    for txn_id in (held, *free):
        await feeder.transaction(txn_id, now)
    await said.until_said("MATCHED", *free, seconds=UNKNOWN_PAUSE_SECONDS)
    assert said.verdict(held) is None


async def test_the_judge_and_verify_find_nothing_wrong(system: System) -> None:
    """No break came before its time, none is lost or invented, every revision follows from the records."""
    report = await verify(system.settings, [], 40.0, Quiet())
    assert [check.as_json() for check in report.checks if check.state is State.FAILED and check.name != "KEY"] == []
    topics = await read_all(system.settings.kafka_bootstrap_servers, system.settings.schema_registry_url)
    judged = verdicts.judge(topics, load_rules(RULES), verdicts.Options(clock_ms=now_ms(), live_slack_ms=1000))
    assert judged.violations == []
