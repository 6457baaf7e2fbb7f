"""The expected final picture of every case, and the expected dead letters, from the source topics alone.

What the topics do not tell is how the records of different sources interleaved on their way in. The final verdict, open
breaks and legs do not depend on it: what a source says is a function of the order inside its own partition, and the
rest compares the three. It shows only in which breaks came and went meanwhile, in resolutions, revision numbers and
decided_at (module explain judges those), and in two places here:

- a record further behind its partition's watermark than closed cases are kept is TOO_LATE only if its case was not
  stored then: with other records of the case about, both are allowed (`Case` once with and once without it);
- a deadline between «must have passed» and «cannot have passed» (a held feed, an instant just now): both are allowed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

from .onesource import DUPLICATE, STALE, SourceView, fates, view
from .picture import Due, Picture, draw, dues
from .records import LATE, Record, Seen, see_all
from .rules import SOURCES, Rules

Counts = tuple[int, int, int]
ARGUABLE_RECORDS_MAX = 6


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far time has passed.

    `watermarks` by (source, partition), at the end of the topics. `clock_ms`: the wall clock when the topics had been
    read to their end by the workers; what it passed less than `settle_ms` ago may still be on its way. The clock lets a
    deadline pass `lag_ms` later, because only then it is known whether the feed was stalled. `held`: sources that may be
    stalled, or late, whose deadlines the clock does not pass for certain.
    """

    watermarks: Mapping[tuple[str, int], int] = field(default_factory=dict)
    clock_ms: int = 0
    settle_ms: int = 0
    held: frozenset[str] = frozenset()
    lag_ms: int = 0

    def passed(self, due: Due, partition: int) -> bool | None:
        """True: it must have passed; False: it cannot have; None: either."""
        answers = {self._by(source, partition, due.instant) for source in due.sources}
        return True if True in answers else None if None in answers else False

    def _by(self, source: str, partition: int, instant: int) -> bool | None:
        watermark = self.watermarks.get((source, partition))
        if watermark is not None and watermark > instant:
            return True
        by_clock = self.clock_ms - self.lag_ms
        if by_clock - self.settle_ms > instant and source not in self.held:
            return True
        return None if by_clock > instant else False


EVERYTHING_PASSED = Horizon(clock_ms=1 << 60)
NOTHING_PASSED = Horizon()


class Case:
    """The records of one case by source, in their order; what is said of each combination of their prefixes."""

    def __init__(self, txn_id: str, by_source: Mapping[str, Sequence[Seen]], rules: Rules) -> None:
        self.txn_id = txn_id
        self.rules = rules
        self.seen = {s: list(by_source.get(s, ())) for s in SOURCES}
        self._views: dict[tuple[str, int], SourceView] = {}
        self._dues: dict[Counts, dict[str, Due]] = {}
        self._pictures: dict[tuple[Counts, frozenset[str]], Picture] = {}

    @cached_property
    def all(self) -> Counts:
        """How many records there are of each source."""
        return tuple(len(self.seen[s]) for s in SOURCES)  # type: ignore[return-value]

    @cached_property
    def partitions(self) -> frozenset[int]:
        """The partitions that hold its records; more than one where a producer partitions otherwise."""
        return frozenset(s.record.partition for s in self.records())

    @property
    def partition(self) -> int:
        """Its partition."""
        return min(self.partitions)

    def records(self) -> list[Seen]:
        """All of its records."""
        return [s for source in SOURCES for s in self.seen[source]]

    def views(self, counts: Counts) -> dict[str, SourceView]:
        """What each source says after so many of its records."""
        for source, count in zip(SOURCES, counts, strict=True):
            if (source, count) not in self._views:
                self._views[source, count] = view(self.seen[source][:count], self.rules)
        return {source: self._views[source, count] for source, count in zip(SOURCES, counts, strict=True)}

    def dues(self, counts: Counts) -> dict[str, Due]:
        """The deadlines after so many records."""
        if counts not in self._dues:
            self._dues[counts] = dues(self.views(counts), self.rules)
        return self._dues[counts]

    def picture(self, counts: Counts, passed: frozenset[str]) -> Picture:
        """The picture after so many records and these deadlines."""
        if (counts, passed) not in self._pictures:
            self._pictures[counts, passed] = draw(self.txn_id, self.views(counts), passed, self.rules)
        return self._pictures[counts, passed]

    def final_pictures(self, horizon: Horizon) -> list[Picture]:
        """The allowed final pictures; one, unless a deadline may be seen either way."""
        answers = {key: horizon.passed(due, self.partition) for key, due in self.dues(self.all).items()}
        open_keys = [key for key, answer in answers.items() if answer is None]
        sure = {key for key, answer in answers.items() if answer}
        found = []
        for chosen in product((False, True), repeat=len(open_keys)):
            passed = sure | {key for key, yes in zip(open_keys, chosen, strict=True) if yes}
            found.append(self.picture(self.all, frozenset(passed)))
        return found

    def lattice(self) -> Iterable[Counts]:
        """Every combination of prefixes, so that one precedes all that contain it."""
        a, b, c = (range(n + 1) for n in self.all)
        return product(a, b, c)

    def must_have_existed(self, horizon: Horizon) -> frozenset[str]:
        """Break ids that were open at some time in every order of arrival (deadlines not helping), or are at the end."""
        everywhere = {b.break_id for counts in self.lattice() for b in self.picture(counts, frozenset()).breaks}
        unavoidable = {break_id for break_id in everywhere if not self._avoidable(break_id)}
        finals = [{b.break_id for b in picture.breaks} for picture in self.final_pictures(horizon)]
        return frozenset(unavoidable | set.intersection(*finals))

    def may_have_existed(self) -> frozenset[str]:
        """Break ids that can have been open at some time in some order of arrival."""
        return frozenset(
            b.break_id for counts in self.lattice() for b in self.picture(counts, frozenset(self.dues(counts))).breaks
        )

    def _avoidable(self, break_id: str) -> bool:
        reachable: set[Counts] = set()
        for counts in self.lattice():
            if break_id in {b.break_id for b in self.picture(counts, frozenset()).breaks}:
                continue
            if sum(counts) == 0 or any(one_less in reachable for one_less in _predecessors(counts)):
                reachable.add(counts)
        return self.all in reachable


def _predecessors(counts: Counts) -> list[Counts]:
    a, b, c = counts
    return [p for p in ((a - 1, b, c), (a, b - 1, c), (a, b, c - 1)) if min(p) >= 0]


@dataclass(frozen=True, slots=True)
class CaseTruth:
    """A case as it may be seen: once with and once without each record of which one may argue whether it was too late.
    `unjudged` says why nothing can be said of it, or is empty."""

    txn_id: str
    alternatives: list[Case]
    unjudged: str

    def final_pictures(self, horizon: Horizon) -> list[Picture]:
        """All allowed final pictures."""
        return [picture for case in self.alternatives for picture in case.final_pictures(horizon)]


@dataclass(frozen=True, slots=True)
class Truth:
    """`dead_letters`: the allowed families of reasons by coordinates; `optional_dead_letters`: those that need not be
    there. `fates`: what became of each record of a case (onesource), or the family of its dead letter."""

    seen: list[Seen]
    cases: dict[str, CaseTruth]
    dead_letters: dict[tuple[str, int, int], frozenset[str]]
    optional_dead_letters: frozenset[tuple[str, int, int]]
    fates: dict[tuple[str, int, int], str]
    watermarks: dict[tuple[str, int], int]

    def horizon(
        self, clock_ms: int, settle_ms: int = 0, held: frozenset[str] = frozenset(), lag_ms: int = 0
    ) -> Horizon:
        """The horizon at the end of these topics."""
        return Horizon(self.watermarks, clock_ms, settle_ms, held, lag_ms)


def certainly_late(this: Seen, of_case: Sequence[Seen]) -> bool:
    """Too late, and no other record could have kept its case stored: none before it in its own topic, none elsewhere."""
    if not this.behind:
        return False
    earlier = [s for s in of_case if s.record.topic == this.record.topic and s.record.offset < this.record.offset]
    elsewhere = [s for s in of_case if s.record.topic != this.record.topic]
    return all(certainly_late(s, of_case) for s in earlier) and all(
        s.behind and not any(t.record.topic == s.record.topic and not t.behind for t in of_case) for s in elsewhere
    )


def unjudged_because(of_case: Sequence[Seen], rules: Rules) -> str:
    """Why nothing can be said of the case."""
    if len({s.record.partition for s in of_case}) > 1:
        return "its records lie in several partitions: a producer partitions otherwise"
    if any(s.arguable for s in of_case):
        return "a currency of which one may argue whether it is in ISO 4217"
    moments = [s.moment for s in of_case]
    if max(moments) - min(moments) > rules.retention_ms:
        return "it may have expired between its records"
    if sum(s.behind for s in of_case) > ARGUABLE_RECORDS_MAX:
        return "too many records of which one may argue whether they were too late"
    return ""


def case_truth(txn_id: str, of_case: Sequence[Seen], rules: Rules) -> tuple[CaseTruth | None, list[Seen], list[Seen]]:
    """The case (None: no record opens it), its records that are certainly too late, those that may be."""
    late = [s for s in of_case if certainly_late(s, of_case)]
    kept = [s for s in of_case if s not in late]
    if not kept:
        return None, late, []
    reason = unjudged_because(kept, rules)
    maybe = [s for s in kept if s.behind]
    alternatives = []
    for chosen in product((True, False), repeat=0 if reason else len(maybe)):
        dropped = [s for s, keep in zip(maybe, chosen, strict=False) if not keep]
        by_source = {source: [s for s in kept if s.source == source and s not in dropped] for source in SOURCES}
        alternatives.append(Case(txn_id, by_source, rules))
    return CaseTruth(txn_id, alternatives, reason), late, maybe


def find_truth(records: Iterable[Record], schemas: Mapping[int, Any], rules: Rules) -> Truth:
    """Everything that the records of the three source topics imply."""
    seen = see_all(records, schemas, rules)
    by_case: dict[str, list[Seen]] = defaultdict(list)
    watermarks: dict[tuple[str, int], int] = {}
    for s in seen:
        if s.event is not None:
            where = (s.source, s.record.partition)
            watermarks[where] = max(s.moment, watermarks.get(where, s.moment))
            if s.case is not None:
                by_case[s.case].append(s)
    cases: dict[str, CaseTruth] = {}
    dead = {s.record.at: s.families for s in seen if s.families}
    became = {s.record.at: "/".join(sorted(s.families)) for s in seen if s.families}
    optional = set()
    for txn_id, of_case in by_case.items():
        case, late, maybe = case_truth(txn_id, of_case, rules)
        if case is not None:
            cases[txn_id] = case
            for source in SOURCES:
                ours = case.alternatives[0].seen[source]
                became.update({s.record.at: f for s, f in zip(ours, fates(ours), strict=True)})
                for s in ours:
                    if s.families and became[s.record.at] in (DUPLICATE, STALE):
                        del dead[s.record.at]
        for s in late:
            dead[s.record.at], became[s.record.at] = frozenset({LATE}), LATE
        for s in maybe:
            dead[s.record.at] = s.families | {LATE}
            if not s.families:
                optional.add(s.record.at)
    return Truth(seen, cases, dead, frozenset(optional), became, watermarks)
