"""What came of a scenario: counted by plain SQL against the answer keys, judged by the judge and by `verify`."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.transport.log import Log
from recon_stream.verify.report import State
from recon_stream.verify.verification import verify
from tests.faults.bench import EVENTS_MIN, Bench
from tests.judge import verdicts
from tests.judge.read import read_all
from tests.judge.rules import load_rules

REST_SECONDS = 180.0
REST_OF_CONTROLS_SECONDS = 30.0
"""What a spoilt copy has lost never comes."""
EXAMPLES_MAX = 12


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Counts of records (`injected`, `seen`) and of transactions or breaks (the others)."""

    scenario: str
    seed: int
    strikes: int
    """How often the fault struck: failpoints met, processes struck, connections ended."""
    injected: int
    """Records in the source topics."""
    seen: int
    """Of these, archived in PostgreSQL."""
    lost: int
    """Records not archived, transactions of the answer key without a verdict, breaks that are not reported."""
    duplicate: int
    """Records archived twice, events accepted twice, results kept aside as conflicting."""
    phantom: int
    """Transactions and open breaks that nobody injected."""
    wrong: int
    """Transactions with another verdict than the answer key's."""
    judge: int
    """Violations that the judge finds in Kafka."""
    verify: int
    """Violations that `recon-stream verify` finds, and checks that it could not make."""
    restarts: int
    """Lives of processes that ended without being told to."""
    recovery_seconds: float
    """The longest time from the end of a fault until all that was there then was applied and stored."""
    peak_mib: int
    """The largest resident memory of a process."""
    seconds: float
    examples: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing is wrong, enough flowed, and the fault really struck."""
        wrong = (self.lost, self.duplicate, self.phantom, self.wrong, self.judge, self.verify)
        return not any(wrong) and self.injected >= EVENTS_MIN and self.strikes > 0

    def as_json(self) -> dict[str, Any]:
        """For files."""
        return asdict(self) | {"ok": self.ok}


class Quiet:
    """Progress of a verification that nobody looks at."""

    def say(self, text: str) -> None: ...

    def expect(self, records: int) -> None: ...

    def advance(self, records: int) -> None: ...


async def outcome(bench: Bench, scenario: str, began: float, rest_seconds: float = REST_SECONDS) -> Row:
    """Wait until everything has come to rest, then count and judge."""
    bench.check()
    bench.say("waiting for rest, then verifying")
    report = await verify(bench.settings, bench.keys, rest_seconds, Quiet())
    bench.say("judging")
    topics = await read_all(bench.settings.kafka_bootstrap_servers, bench.settings.schema_registry_url)
    options = verdicts.Options(clock_ms=time.time_ns() // 1_000_000)
    judged = await asyncio.to_thread(verdicts.judge, topics, load_rules(bench.settings.rules_file), options)
    async with Log(bench.settings) as log:
        begins, ends = await log.bounds(bench.partitions(*SOURCE_TOPICS))
    injected = sum(ends.values()) - sum(begins.values())
    counts = await asyncio.to_thread(compare, bench, injected)
    failed = [check for check in report.checks if check.state is not State.PASSED]
    examples = [*counts.examples, *judged.violations]
    examples += [
        f"{check.name}: {text}"
        for check in failed
        for text in check.examples or [check.not_checked or "nothing examined"]
    ]
    return Row(
        scenario=scenario,
        seed=bench.seed,
        strikes=bench.faults + sum(len(role.struck) for role in bench.roles),
        injected=injected,
        seen=counts.seen,
        lost=counts.lost,
        duplicate=counts.duplicate,
        phantom=counts.phantom,
        wrong=counts.wrong,
        judge=judged.kinds.total(),
        verify=sum(max(1, check.violations) for check in failed),
        restarts=sum(len(role.exits) for role in bench.roles),
        recovery_seconds=round(max(bench.recovery_seconds, default=0.0), 1),
        peak_mib=max(role.peak_bytes for role in bench.roles) >> 20,
        seconds=round(time.monotonic() - began, 1),
        examples=examples[:EXAMPLES_MAX],
    )


class Counts:
    """The plain comparison of tables with answer keys."""

    def __init__(self) -> None:
        self.seen = self.lost = self.duplicate = self.phantom = self.wrong = 0
        self.examples: list[str] = []

    def say(self, texts: Iterable[str]) -> int:
        """Keep some in words; how many there are."""
        found = sorted(texts)
        self.examples += found[:3]
        return len(found)


def compare(bench: Bench, injected: int) -> Counts:
    """What PostgreSQL holds, against what the feeds injected; shares no code with the product or with the judge."""
    counts, key = Counts(), answers(bench.keys)
    with bench.stack.superuser(bench.database) as database:
        total, places = database.execute(
            "SELECT count(*), count(DISTINCT (topic, partition, kafka_offset)) FROM raw_events"
        ).fetchone() or (0, 0)
        (conflicts,) = database.execute("SELECT count(*) FROM result_conflicts").fetchone() or (0,)
        verdict_of = dict(database.execute("SELECT txn_id, verdict FROM reconciliation_results").fetchall())
        twice = database.execute(
            "SELECT txn_id FROM reconciliation_results, jsonb_array_elements(body -> 'legs') AS leg "
            "GROUP BY txn_id, leg ->> 'source' HAVING count(*) > 1"
        ).fetchall()
        opened: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for txn_id, kind, subject in database.execute("SELECT txn_id, class, subject FROM breaks WHERE state = 'OPEN'"):
            opened[txn_id].add((kind, subject))
    counts.seen = places
    counts.lost = max(0, injected - places)
    counts.duplicate = total - places + conflicts + len(twice)
    counts.lost += counts.say(f"{txn_id}: no verdict" for txn_id in key.keys() - verdict_of.keys())
    counts.phantom = counts.say(f"{txn_id}: nobody sent it" for txn_id in verdict_of.keys() - key.keys())
    both = key.keys() & verdict_of.keys()
    counts.lost += counts.say(f"{t}: break {b} is not reported" for t in both for b in key[t][1] - opened[t])
    counts.phantom += counts.say(f"{t}: break {b} is open" for t in both for b in opened[t] - key[t][1])
    counts.wrong = counts.say(f"{t}: {verdict_of[t]}, must be {key[t][0]}" for t in both if verdict_of[t] != key[t][0])
    return counts


def answers(paths: Iterable[Path]) -> dict[str, tuple[str, set[tuple[str, str]]]]:
    """Transaction -> verdict and open breaks, as (class, subject)."""
    found = {}
    for path in paths:
        for line in path.read_text().splitlines():
            answer = json.loads(line)
            if "txn_id" in answer:
                breaks = {(one["class"], one["subject"]) for one in answer["open"]}
                found[answer["txn_id"]] = (answer["verdict"], breaks)
    return found
