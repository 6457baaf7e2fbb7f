"""Worker and sink as processes on a clean stack: all faults, then SIGKILLs, judged by the independent judge and by verify.

One system serves the whole file, step after step; the last steps damage it on purpose and see verify notice.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from producers.feed import feed
from producers.plan import Fault
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.transport.log import Log
from recon_stream.verify.report import Report, State
from recon_stream.verify.verification import verify
from tests.end_to_end.damage import damage_kafka, damaged_database
from tests.end_to_end.system import MIX, RULES, System, own_system
from tests.judge import verdicts
from tests.judge.read import read_all
from tests.judge.rules import load_rules

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TRANSACTIONS = 3000
RATE = 400
KILLS = 3
KILLED_RATE = 100
UNITS_BEFORE_DEATH = (3,)
WAIT = 90.0


class Quiet:
    """Progress that nobody looks at."""

    def say(self, text: str) -> None: ...

    def expect(self, records: int) -> None: ...

    def advance(self, records: int) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """What came of a run, judged twice."""

    report: Report
    judged: verdicts.Report
    totals: dict[str, dict[str, int]]
    reread: tuple[int, ...] = ()
    """Records read again, by life of the worker."""


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with own_system() as system:
        yield system


@pytest.fixture(scope="module")
def key(system: System) -> Path:
    return system.settings.state_dir / "first.jsonl"


@pytest.fixture(scope="module")
def killed_key(system: System) -> Path:
    return system.settings.state_dir / "killed.jsonl"


@pytest.fixture(scope="module")
def first(system: System, key: Path) -> Outcome:
    async def run() -> Outcome:
        system.worker.start()
        system.sink.start()
        await asyncio.gather(system.worker.until_ready(), system.sink.until_ready())
        await feed(system.settings, system.plan(seed=1, transactions=TRANSACTIONS, rate=RATE), key)
        return await judged(system, [key], key)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def killed(system: System, first: Outcome, key: Path, killed_key: Path) -> Outcome:
    async def run() -> Outcome:
        stop = asyncio.Event()
        plan = system.plan(seed=2, transactions=100_000, rate=KILLED_RATE)
        feeding = asyncio.create_task(feed(system.settings, plan, killed_key, stop=stop))
        reread = [await kill(system, 0, 0)]
        for life in range(1, KILLS):
            begun_at = await committed(system)
            system.worker.start()
            reread.append(await kill(system, life, begun_at))
        system.worker.start()
        await system.worker.until_ready()
        # the feed goes on a little: that the feeds grow is known again
        await asyncio.sleep(2)
        stop.set()
        await feeding
        outcome = await judged(system, [key, killed_key], killed_key)
        reread.append(await system.worker.counted("recon_reread_total"))
        return Outcome(outcome.report, outcome.judged, outcome.totals, tuple(reread))

    return asyncio.run(run())


async def kill(system: System, life: int, begun_at: int) -> int:
    """Kill the worker while it works: in the flow of the feed, or with what came meanwhile just begun; and when it has
    applied records whose offsets are not committed. In the second life the sink goes with it.

    `begun_at`: what was committed when this life began. Returns how many records this life had read again.
    """
    before = await system.worker.counted("recon_events_total")
    await system.worker.until_counted("recon_events_total", before + (1 if life % 2 else 400))
    reread = await system.worker.counted("recon_reread_total")
    while True:
        applied = begun_at + await system.worker.counted("recon_events_total")
        system.worker.freeze()
        if await committed(system) < applied:
            break
        system.worker.thaw()
        await asyncio.sleep(0.05)
    system.worker.kill()
    if life == 1:
        system.sink.kill()
        system.sink.start()
    return reread


async def committed(system: System) -> int:
    """Records of the sources whose offsets the worker has committed; the topics begin at 0."""
    async with Log(system.settings) as log:
        offsets = await log.committed(f"{system.settings.app_id}-worker")
    return sum(offset for (topic, _), offset in offsets.items() if topic in SOURCE_TOPICS)


async def judged(system: System, keys: list[Path], of_run: Path) -> Outcome:
    """Both judgements, once everything has come to rest."""
    report = await verify(system.settings, keys, WAIT, Quiet())
    topics = await read_all(system.settings.kafka_bootstrap_servers, system.settings.schema_registry_url)
    options = verdicts.Options(clock_ms=time.time_ns() // 1_000_000)
    return Outcome(report, verdicts.judge(topics, load_rules(RULES), options), totals_of(of_run))


def totals_of(key: Path) -> dict[str, dict[str, int]]:
    """What was sent in a run."""
    totals: dict[str, dict[str, int]] = json.loads(key.read_text().splitlines()[-1])["totals"]
    return totals


def assert_proved(outcome: Outcome, transactions: int) -> None:
    """Every check was made, looked at enough, and found nothing; the judge neither."""
    failed = [check.as_json() for check in outcome.report.checks if check.state is not State.PASSED]
    assert failed == []
    assert all(check.examined >= transactions for check in outcome.report.checks if check.name not in ("I6",))
    assert outcome.judged.violations == []
    assert outcome.judged.examined["transactions"] >= transactions


def test_all_faults_are_found_and_nothing_else(first: Outcome) -> None:
    """Every kind of fault occurs, and verify and the judge agree that each was reported rightly and nothing was invented."""
    assert set(first.totals["faults"]) == {str(fault) for fault in Fault} == {str(fault) for fault in MIX}
    assert_proved(first, TRANSACTIONS)


def test_killed_workers_lose_nothing_and_invent_nothing(first: Outcome, killed: Outcome) -> None:
    """SIGKILL in the middle of work, three times, and once of the sink: the same guarantees, over everything so far."""
    assert_proved(killed, TRANSACTIONS + 500)


def test_the_kills_met_work_in_flight(killed: Outcome) -> None:
    """After a kill records are read again that were applied before: else the test above would prove little."""
    assert len(killed.reread) == KILLS + 1
    assert all(count > 0 for count in killed.reread[1:]), killed.reread


def test_verify_notices_damage_in_postgresql(system: System, killed: Outcome, key: Path, killed_key: Path) -> None:
    """A row that is lost, altered or invented fails just the checks that speak of it, and they name it."""
    system.worker.stop()
    system.sink.stop()
    with damaged_database(system.settings) as (settings, damage):
        report = asyncio.run(verify(settings, [key, killed_key], 0.0, Quiet()))
    by_name = {check.name: check for check in report.checks}
    for name, text in damage:
        assert any(text in example for example in by_name[name].examples), (name, text, by_name[name].examples)
    assert {name for name, check in by_name.items() if check.state is State.FAILED} == {name for name, _ in damage}


def test_death_between_changelog_and_results_keeps_the_order_of_revisions(
    system: System, killed: Outcome, key: Path, killed_key: Path
) -> None:
    """When the state knows revisions that were not published yet, they are published in order, whatever is re-read first."""
    death_key = system.settings.state_dir / "death.jsonl"

    async def run() -> Outcome:
        system.sink.start()
        stop = asyncio.Event()
        plan = system.plan(seed=3, transactions=100_000, rate=KILLED_RATE)
        feeding = asyncio.create_task(feed(system.settings, plan, death_key, stop=stop))
        for units in UNITS_BEFORE_DEATH:
            system.worker.start_to_die(units)
            await system.worker.until_dead()
        system.worker.start()
        await system.worker.until_ready()
        await asyncio.sleep(2)
        stop.set()
        await feeding
        return await judged(system, [key, killed_key, death_key], death_key)

    assert_proved(asyncio.run(run()), TRANSACTIONS + 1000)


def test_verify_notices_damage_in_kafka(
    system: System, killed: Outcome, key: Path, killed_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forged result, and a break that comes before its time, fail the checks of the published chain."""
    monkeypatch.setattr("recon_stream.verify.report.EXAMPLES_MAX", 10_000)
    damage = asyncio.run(damage_kafka(system))
    report = asyncio.run(verify(system.settings, [key, killed_key], WAIT, Quiet()))
    by_name = {check.name: check for check in report.checks}
    for name, text in damage:
        assert any(text in example for example in by_name[name].examples), (name, text, by_name[name].examples)


def test_verify_that_examines_nothing_does_not_pass(system: System) -> None:
    """Zero rows prove nothing: a check without any is a failure, not a pass."""
    report = Report()
    assert {check.state for check in report.checks} == {State.FAILED}
    assert not report.ok
