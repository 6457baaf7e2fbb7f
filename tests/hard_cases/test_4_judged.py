"""Everything that the tests before this one did is judged as a whole, twice: they look at what they expect, this at all."""

from __future__ import annotations

import pytest

from recon_stream.verify.report import State
from recon_stream.verify.verification import verify
from tests.end_to_end.system import System
from tests.end_to_end.test_end_to_end import Quiet
from tests.hard_cases.conftest import RULES
from tests.hard_cases.feeding import now_ms
from tests.judge import verdicts
from tests.judge.read import read_all
from tests.judge.rules import load_rules

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]


async def test_the_judge_and_verify_find_nothing_wrong(system: System) -> None:
    """No break came before its time, none is lost or invented, every revision follows from the records."""
    report = await verify(system.settings, [], 40.0, Quiet())
    assert [check.as_json() for check in report.checks if check.state is State.FAILED and check.name != "KEY"] == []
    topics = await read_all(system.settings.kafka_bootstrap_servers, system.settings.schema_registry_url)
    judged = verdicts.judge(topics, load_rules(RULES), verdicts.Options(clock_ms=now_ms(), live_slack_ms=1000))
    assert judged.violations == []
