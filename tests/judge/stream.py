"""A correct stream of transactions with every fault, its results and dead letters, for the judge's own tests.

The results come from the judge's own history, which the cases worked out by hand hold to the design; here they are
only the correct stream that gets spoilt.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from typing import Any

from .history import Body, Passed, history, is_mismatch_news
from .records import Record, see_all
from .rules import SOURCES, TOPIC_OF, Rules
from .truth import Case
from .verdicts import Options, Report, Topics, judge
from .wire import EVENT_ID, LETTER_ID, RESULT_ID, SCHEMAS, event_record, framed

PARTITIONS = 3
T0 = 1_790_000_000_000
SUCCESS = {"CORE": "POSTED", "GATEWAY": "CAPTURED", "MOBILE": "SUCCESS"}
PENDING = {"CORE": "PENDING", "GATEWAY": "AUTHORIZED", "MOBILE": "PROCESSING"}
FAILED = {"CORE": "REJECTED", "GATEWAY": "DECLINED", "MOBILE": "FAILED"}
UNKNOWN_SCHEMA_ID = 999

SCENARIOS = [
    "clean",
    "amount",
    "currency",
    "direction",
    "account",
    "reference",
    "timestamp",
    "missing",
    "late",
    "redelivered",
    "correction",
    "conflict",
    "entry",
    "progress",
    "lagging",
    "terminal",
    "invalid",
    "stuck",
    "tolerance",
    "alone",
]
DEADLINE = "deadline"

Step = tuple[str, dict[str, Any]]


def base(txn_id: str, source: str, at: int) -> dict[str, Any]:
    """An event that agrees with its siblings."""
    return {
        "event_id": f"{txn_id}-{source[0]}1",
        "txn_id": txn_id,
        "source": source,
        "amount_minor": 12_345,
        "currency": "EUR",
        "direction": "DEBIT",
        "status": SUCCESS[source],
        "occurred_at": at,
        "account": "ACC-1",
        "reference": "REF",
        "channel": None,
        "revision": 0,
    }


ONE_FIELD: dict[str, dict[str, Any]] = {
    "amount": {"amount_minor": 20_000},
    "currency": {"currency": "USD"},
    "direction": {"direction": "CREDIT"},
    "account": {"account": "ACC-2"},
    "reference": {"reference": "OTHER"},
    "tolerance": {"amount_minor": 12_347},
}


def steps_of(scenario: str, txn_id: str, at: int, rng: random.Random) -> list[Step]:
    """The facts of one transaction in order of arrival: (source, event), or DEADLINE: the next one passes."""
    order = list(SOURCES)
    rng.shuffle(order)
    steps: list[Step] = [(source, base(txn_id, source, at + 10 * i)) for i, source in enumerate(order)]
    source, odd = rng.choice(steps)
    odd.update(ONE_FIELD.get(scenario, {}))
    again = {**odd, "occurred_at": odd["occurred_at"]}
    if scenario == "timestamp":
        odd["occurred_at"] -= 100_000
    elif scenario == "missing":
        steps.pop()
    elif scenario == "alone":
        del steps[1:]
    elif scenario == "late":
        steps.insert(2, (DEADLINE, {}))
    elif scenario == "redelivered":
        steps.insert(rng.randint(steps.index((source, odd)) + 1, 3), (source, again))
    elif scenario == "terminal":
        odd["status"] = FAILED[source]
    elif scenario == "invalid":
        steps.insert(0, (source, {**again, "status": "NONSENSE"}))
        if rng.random() < 0.5:
            steps.remove((source, odd))
    elif scenario == "stuck":
        for s, event in steps:
            event["status"] = PENDING[s]
    return steps + more_of(scenario, source, odd, again, rng)


def more_of(scenario: str, source: str, odd: dict[str, Any], again: dict[str, Any], rng: random.Random) -> list[Step]:
    """Further events of one source, after all legs are there; `odd` is its event, `again` a good copy of it."""
    half = rng.random() < 0.5
    if scenario == "correction":
        odd["amount_minor"] = 1
        return [(source, {**again, "revision": 1})]
    if scenario == "conflict":
        settled: Step = (source, {**again, "revision": 3})
        return [(source, {**again, "channel": "POS"}), *([settled] if half else [])]
    if scenario == "entry":
        return [(source, {**again, "event_id": f"{again['txn_id']}-again"})]
    if scenario in ("progress", "lagging"):
        odd["status"] = PENDING[source]
    if scenario == "progress":
        following: Step = (source, {**again, "event_id": f"{again['txn_id']}-next", "reference": None})
        return [*([(DEADLINE, {})] if half else []), following]
    return []


@dataclass
class Stream:
    """Bodies in order of publication, to be spoilt; `scenario` and `partition` by transaction."""

    rules: Rules
    sources: list[Record] = field(default_factory=list)
    results: list[Body] = field(default_factory=list)
    mismatches: list[Body] = field(default_factory=list)
    letters: list[Body] = field(default_factory=list)
    scenario: dict[str, str] = field(default_factory=dict)
    partition: dict[str, int] = field(default_factory=dict)
    next_offset: dict[tuple[str, int], int] = field(default_factory=dict)
    raw_results: list[Record] = field(default_factory=list)

    def append(self, topic: str, partition: int, timestamp: int, key: bytes | None, value: bytes | None) -> Record:
        """One more source record."""
        offset = self.next_offset.get((topic, partition), 0)
        self.next_offset[topic, partition] = offset + 1
        self.sources.append(Record(topic, partition, offset, timestamp, key, value))
        return self.sources[-1]

    def transaction(self, txn_id: str, steps: list[Step], at: int, *, late: bool = True) -> None:
        """Its records, results, notes and dead letters. `late`: all of its deadlines pass in the end."""
        partition = self.partition[txn_id] = sum(txn_id.encode()) % PARTITIONS
        records: list[Record] = []
        facts: list[Any] = []
        for number, (source, event) in enumerate(steps):
            if source == DEADLINE:
                facts.append(self._next_deadline(txn_id, records))
                continue
            topic, timestamp = TOPIC_OF[source], at + 10 * number + 5
            offset = self.next_offset.get((topic, partition), 0)
            made = event_record(topic, partition, offset, timestamp, txn_id, event)
            records.append(self.append(topic, partition, timestamp, made.key, made.value))
            facts.append(records[-1])
            if event["status"] == "NONSENSE":
                self.letters.append(letter(records[-1], "UNKNOWN_STATUS"))
        seen = {s.record.at: s for s in see_all(records, SCHEMAS, self.rules)}
        facts = [seen[f.at] if isinstance(f, Record) else f for f in facts]
        while late and (deadline := self._next_deadline(txn_id, records, [f for f in facts if isinstance(f, Passed)])):
            facts.append(deadline)
        before = None
        for body in history(txn_id, facts, self.rules):
            if body is not None:
                self.results.append(copy.deepcopy(body))
                if is_mismatch_news(before, body):
                    self.mismatches.append(copy.deepcopy(body))
                before = body

    def _next_deadline(self, txn_id: str, records: list[Record], passed: list[Passed] | None = None) -> Passed | None:
        seen = see_all(records, SCHEMAS, self.rules)
        case = Case(txn_id, {s: [x for x in seen if x.source == s] for s in SOURCES}, self.rules)
        done = [p.key for p in passed or [] if any(p.key == k and p.instant >= d.instant for k, d in self._dues(case))]
        waiting = sorted((due.instant, key) for key, due in self._dues(case) if key not in done)
        return Passed(waiting[0][1], waiting[0][0]) if waiting else None

    @staticmethod
    def _dues(case: Case) -> list[tuple[str, Any]]:
        return list(case.dues(case.all).items())

    def poison(self, at: int) -> None:
        """Records that are dead letters only."""
        good = framed(EVENT_ID, base("POISON", "MOBILE", at))
        for key, value, reason in (
            (b"P1", None, "NULL_VALUE"),
            (b"P2", b"\x01" + good[1:], "BAD_MAGIC"),
            (b"P3", b"\x00" + UNKNOWN_SCHEMA_ID.to_bytes(4, "big") + good[5:], "UNKNOWN_SCHEMA"),
            (b"P4", good[:-3], "BAD_AVRO"),
            (b"P5", good + b"\x00", "BAD_AVRO"),
            (b"P6", b"\x00" + LETTER_ID.to_bytes(4, "big") + good[5:], "BAD_AVRO"),
            (None, good, "BAD_KEY"),
            (b"", good, "BAD_KEY"),
            (b"\xff\xfe", good, "BAD_KEY"),
        ):
            self.letters.append(letter(self.append("mobile_txns", 1, at, key, value), reason))
        old = framed(EVENT_ID, base("OLD", "MOBILE", at - 2 * self.rules.retention_ms))
        self.letters.append(letter(self.append("mobile_txns", 1, at, b"OLD", old), "TOO_LATE"))

    def of(self, scenario: str) -> list[Body]:
        """The results of the first transaction of a scenario that has any, in order."""
        for txn_id, name in self.scenario.items():
            bodies = [b for b in self.results if b["txn_id"] == txn_id]
            if name == scenario and bodies:
                return bodies
        raise LookupError(scenario)

    def topics(self) -> Topics:
        """The stream as Kafka would hand it out."""
        return Topics(
            sources=self.sources,
            results=self._published("recon_results", self.results) + self.raw_results,
            mismatches=self._published("recon_mismatches", self.mismatches),
            dead_letters=[
                Record("recon_dead_letters", 0, i, 0, x["key"], framed(LETTER_ID, x))
                for i, x in enumerate(self.letters)
            ],
            schemas=SCHEMAS,
        )

    def _published(self, topic: str, bodies: list[Body]) -> list[Record]:
        return [
            Record(topic, self.partition.get(b["txn_id"], 0), i, 0, b["txn_id"].encode(), framed(RESULT_ID, b))
            for i, b in enumerate(bodies)
        ]

    def judged(self, **options: Any) -> Report:
        """The judge's report on it, long after."""
        return judge(self.topics(), self.rules, Options(**{"clock_ms": T0 * 2, **options}))


def letter(record: Record, reason: str) -> Body:
    """The dead letter of a record."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key,
        "value": record.value,
        "reason": reason,
        "detail": "",
        "schema_id": None,
        "failed_at": 0,
    }


def correct_stream(rules: Rules, seed: int = 1, rounds: int = 3) -> Stream:
    """`rounds` transactions of every scenario, in random orders of arrival, and the poison."""
    rng, stream = random.Random(seed), Stream(rules)
    for number in range(rounds * len(SCENARIOS)):
        scenario, txn_id, at = SCENARIOS[number % len(SCENARIOS)], f"T{number:04}", T0 + number * 1000
        stream.scenario[txn_id] = scenario
        stream.transaction(txn_id, steps_of(scenario, txn_id, at, rng), at)
    stream.poison(T0 + 10_000_000)
    return stream
