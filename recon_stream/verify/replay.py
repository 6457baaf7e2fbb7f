"""I11: every case decided again from nothing, by the same domain, in another order than the worker had. Pure.

Records of one source keep their order, as their partition has them; the three sources are mixed anew for each case, and
deadlines pass as early as the watermarks allow, or only in the end. What is final must not depend on any of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from random import Random
from typing import NamedTuple

from recon_stream.domain.case import Case, Result
from recon_stream.domain.event import SOURCE_TOPICS, SOURCES, Direction, Source, Status
from recon_stream.domain.facts import Deadline, DeadlineKind, Received
from recon_stream.domain.matching import decide, is_old_news, let_pass, reject
from recon_stream.domain.rules import Rules
from recon_stream.domain.validation import Reason, invalid
from recon_stream.verify.evidence import Body, PartitionEvidence, Reader, SourceRecord
from recon_stream.verify.report import Check

CLOCK_SLACK_MS = 10_000
"""How far clocks may differ, and how long a passed deadline may be on its way to recon_results."""


OF_NO_CASE = (Reason.TOO_LATE, Reason.CASE_FULL)
"""Records that were valid and yet went to no case."""


class Horizon(NamedTuple):
    """How far the deadlines of a partition can have passed: watermarks by source, the clock, all in epoch milliseconds.

    `held`: sources whose feed may be found stalled, so that the clock alone passes no deadline of theirs.
    `slack_ms`: deadlines closer to the clock than that may or may not have passed.
    """

    watermarks: tuple[int, int, int]
    clock_ms: int
    held: frozenset[int]
    slack_ms: int


class Picture(NamedTuple):
    """What is finally said of a case; two pictures are equal when verdict, open breaks and legs are."""

    verdict: str
    open_breaks: frozenset[tuple[object, ...]]
    legs: tuple[tuple[object, ...], ...]


def picture_of(result: Result | None) -> Picture | None:
    """The picture of a decision; None where nothing is said."""
    if result is None:
        return None
    open_breaks = frozenset(
        (
            each.break_id, each.finding.break_class.value, *each.finding[2:], each.severity,
        )
        for each in result.breaks
        if each.is_open
    )  # fmt: skip
    return Picture(result.verdict.value, open_breaks, tuple(leg.fields() for leg in result.legs))


def picture_of_body(body: Body) -> Picture:
    """The picture of a published result."""
    open_breaks = frozenset(
        (
            each["break_id"], each["class"], each["subtype"], each["subject"], each["field"], each["expected"],
            each["actual"], each["delta_minor"], each["severity"],
        )
        for each in body["breaks"]
        if each["state"] == "OPEN"
    )  # fmt: skip
    legs = tuple(
        (
            Source[leg["source"]].value, leg["event_id"], leg["revision"], leg["amount_minor"], leg["currency"],
            Direction[leg["direction"]].value, leg["status"], Status[leg["canonical_status"]].value, leg["occurred_at"],
            leg["account"], leg["reference"], leg["offset"], leg["schema_id"],
        )
        for leg in body["legs"]
    )  # fmt: skip
    return Picture(body["verdict"], open_breaks, legs)


class Replay:
    """Replays the cases of one partition."""

    def __init__(self, evidence: PartitionEvidence, reader: Reader, rules: Rules, horizon: Horizon) -> None:
        self._evidence, self._reader, self._rules, self._horizon = evidence, reader, rules, horizon

    def check(self, check: Check, key: bytes, last: Body | None) -> None:
        """I11 for one case; `last` is its last published revision. A case that still waits is noted in the evidence."""
        records = [
            record
            for record in self._evidence.cases.get(key, ())
            if self._evidence.reasons.get((SOURCE_TOPICS[record.source], record.offset)) not in OF_NO_CASE
        ]
        reason = self._left_out(key, records, last)
        if reason:
            check.notes[f"left out: {reason}"] += 1
            return
        check.examined += 1
        said = None if last is None else picture_of_body(last)
        pictures = list(self._pictures(key.decode(), records))
        if said == pictures[0]:
            return
        if said in pictures:
            self._evidence.waiting.add(key)
            return
        check.violated(f"{key.decode()}: {_difference(pictures[0], said)}")

    def _left_out(self, key: bytes, records: Sequence[SourceRecord], last: Body | None) -> str:
        if key in self._evidence.moving:
            return "records of it came while this ran"
        if last is not None and last["rules_version"] != self._rules.version:
            return f"decided under rules {last['rules_version']}, not {self._rules.version} (RECON_RULES_FILE)"
        if last is not None and any(not (each["resolution"] or "AUTO_").startswith("AUTO_") for each in last["breaks"]):
            return "people decided"
        moments = [record.timestamp for record in records]
        if moments and max(moments) - min(moments) > self._rules.retention_ms:
            return "it may have expired between its records"
        return ""

    def _pictures(self, txn_id: str, records: Sequence[SourceRecord]) -> Iterator[Picture | None]:
        """What may be said in the end; first when every deadline has passed that the clock has reached."""
        case, result = self._folded(txn_id, records)
        result = self._pass(case, result, self._has_passed_surely)
        facts = list(case.facts)
        maybe = [deadline for deadline in _waiting(case) if deadline.instant <= self._latest()]
        kept = [deadline for deadline in maybe if deadline.instant > self._horizon.clock_ms]
        for passed in [tuple(each for each in maybe if each not in kept), *_subsets(maybe)]:
            again = Case(txn_id, facts)
            yield picture_of(self._pass(again, result, passed.__contains__))

    def _folded(self, txn_id: str, records: Sequence[SourceRecord]) -> tuple[Case, Result | None]:
        rng = Random(txn_id)  # noqa: S311 - reproducible on purpose, nothing secret
        queues = [[record for record in records if record.source == source] for source in SOURCES]
        eager = rng.random() < 0.5
        case, result = Case(txn_id), None
        while any(queues):
            queue = rng.choice([queue for queue in queues if queue])
            result = self._take(case, queue.pop(0)) or result
            if eager:
                reached = [
                    left[0].watermark if left else final
                    for left, final in zip(queues, self._horizon.watermarks, strict=True)
                ]
                result = self._pass(case, result, partial(_is_reached, reached))
        return case, result

    def _take(self, case: Case, record: SourceRecord) -> Result | None:
        event = self._reader.read(record.value)
        assert event is not None, "only readable records belong to a case"
        source, offset, timestamp = record.source, record.offset, record.timestamp
        problem = invalid(event, case.txn_id, source, timestamp, self._rules)
        if problem is not None and not (problem[0] is Reason.FUTURE_DATED and is_old_news(case, source, event)):
            return reject(case, source, offset, timestamp, problem[0], self._rules).result
        schema_id = int.from_bytes(record.value[1:5], "big")
        return decide(case, Received(source, offset, timestamp, self._rules, schema_id, event)).result

    def _pass(self, case: Case, result: Result | None, has_passed: Callable[[Deadline], bool]) -> Result | None:
        """Let deadlines pass until none is left that has; the newest result."""
        while True:
            due = [deadline for deadline in _waiting(case) if has_passed(deadline)]
            if not due:
                return result
            for deadline in due:
                decision = let_pass(case, deadline, self._rules)
                if decision is not None:
                    result = decision.result or result

    def _has_passed_surely(self, deadline: Deadline) -> bool:
        horizon = self._horizon
        by_clock = deadline.gate not in horizon.held and deadline.instant < horizon.clock_ms - horizon.slack_ms
        return by_clock or deadline.instant < horizon.watermarks[deadline.gate]

    def _latest(self) -> int:
        return self._horizon.clock_ms + CLOCK_SLACK_MS


def _is_reached(watermarks: Sequence[int], deadline: Deadline) -> bool:
    return deadline.instant < watermarks[deadline.gate]


def _waiting(case: Case) -> list[Deadline]:
    return [deadline for deadline in case.deadlines() if deadline.kind is not DeadlineKind.EXPIRY]


def _subsets(deadlines: Sequence[Deadline]) -> Iterator[tuple[Deadline, ...]]:
    for size in range(len(deadlines) + 1):
        yield from combinations(deadlines, size)


def _difference(expected: Picture | None, said: Picture | None) -> str:
    if expected is None or said is None:
        return (
            "published, and a replay says nothing"
            if expected is None
            else f"a replay says {expected.verdict}, nothing is published"
        )
    parts = (
        [] if expected.verdict == said.verdict else [f"a replay says {expected.verdict}, published is {said.verdict}"]
    )
    parts += [f"replayed only: {each[1]} of {each[3]} {each[0]}" for each in expected.open_breaks - said.open_breaks]
    parts += [f"published only: {each[1]} of {each[3]} {each[0]}" for each in said.open_breaks - expected.open_breaks]
    if expected.legs != said.legs:
        parts.append("the legs differ")
    return "; ".join(parts)
