"""A case: everything that is known of one transaction, folded from its facts in order.

Whatever is said of a case follows from a prefix of its facts alone. `apply` takes the next fact and returns the
revision that it makes, if it makes one; folding the same facts again gives the same revisions with the same content.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from recon_stream.domain.breaks import (
    PRECEDENCE,
    BreakClass,
    Finding,
    Leg,
    agree_exactly,
    differences,
    of_source,
)
from recon_stream.domain.event import SOURCES, Status, Verdict
from recon_stream.domain.facts import (
    EVERY_SOURCE,
    Conflicting,
    Deadline,
    DeadlineKind,
    Decided,
    Fact,
    Passed,
    Received,
    Rejected,
)
from recon_stream.domain.ids import identity
from recon_stream.domain.rules import Rules
from recon_stream.domain.severity import severity
from recon_stream.domain.source_state import SILENT, SourceState

VOID = "VOID"


class Break(NamedTuple):
    """A break as it is published; `resolution` is None while it is open."""

    break_id: str
    finding: Finding
    severity: str
    is_open: bool
    resolution: str | None


class Result:
    """One revision of what is said about a transaction. `decided_at` in epoch milliseconds."""

    __slots__ = (
        "breaks", "decided_at", "legs", "open_breaks_changed", "opened", "resolved", "revision", "rules_version",
        "txn_id", "verdict",
    )  # fmt: skip

    def __init__(
        self, txn_id: str, revision: int, verdict: Verdict, legs: tuple[Leg, ...], rules_version: str, decided_at: int
    ) -> None:
        self.txn_id = txn_id
        self.revision = revision
        self.verdict = verdict
        self.legs = legs
        self.rules_version = rules_version
        self.decided_at = decided_at
        self.breaks: tuple[Break, ...] = ()
        self.opened: tuple[BreakClass, ...] = ()
        """Classes of breaks that were not open before."""
        self.resolved: tuple[BreakClass, ...] = ()
        self.open_breaks_changed = False
        """Whether the set or the content of the open breaks is another one than before: what recon_mismatches carries."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def _fields(self) -> tuple[object, ...]:
        return (
            self.txn_id, self.revision, self.verdict, self.legs, self.rules_version, self.decided_at, self.breaks,
            self.opened, self.resolved, self.open_breaks_changed,
        )  # fmt: skip

    @property
    def result_id(self) -> str:
        """The identity of this revision."""
        return identity(self.txn_id, self.revision)

    @property
    def primary_class(self) -> BreakClass | None:
        """Class of the first open break."""
        return next((one.finding.break_class for one in self.breaks if one.is_open), None)


_NONE_YET: Final[list[Result | None]] = []
_NO_BREAKS: Final[dict[tuple[BreakClass, int], Break]] = {}
_NONE_PASSED: Final[dict[tuple[DeadlineKind, int], int]] = {}
"""Shared, never written to: most cases have neither a break nor a deadline that passed."""


class Case:
    """All facts of one transaction, folded. Not shared between partitions; `apply` is the only way it changes."""

    __slots__ = (
        "_breaks", "_latest", "_passed", "_places", "_results", "_rules", "_void", "facts", "legs", "revision", "sources", "txn_id", "verdict",
    )  # fmt: skip

    def __init__(self, txn_id: str, facts: Iterable[Fact] = ()) -> None:
        self.txn_id = txn_id
        self.facts: list[Fact] = []
        self.sources: list[SourceState] = [SILENT, SILENT, SILENT]
        self.legs: tuple[Leg, ...] = ()
        self.verdict = Verdict.PENDING
        self.revision = 0
        self._breaks = _NO_BREAKS
        self._passed = _NONE_PASSED
        self._rules: Rules | None = None
        self._latest = 0
        self._void = False
        self._results: list[Result | None] = _NONE_YET
        self._places: dict[tuple[int, int], int] | None = None
        for fact in facts:
            self.apply(fact)

    def apply(self, fact: Fact) -> Result | None:
        """Fold in the next fact; the revision that it makes, or None where nothing that is said changes."""
        said, legs_said, breaks_said = self.verdict, self.legs, self._breaks
        corrects = self._take(fact)
        legs = tuple([state.leg for state in self.sources if state.leg is not None])
        found = self._findings(legs, fact.rules)
        breaks = self._moved(found, legs, fact, corrects=corrects) if found or self._breaks else self._breaks
        verdict = self._verdict(legs, breaks)
        self.verdict, self.legs, self._breaks, self._rules = verdict, legs, breaks, fact.rules
        if self._places is not None and isinstance(fact, Received | Conflicting | Rejected):
            self._places[fact.source, fact.offset] = len(self.facts)
        self.facts.append(fact)
        if self.revision:
            if verdict is said and legs == legs_said and breaks == breaks_said:
                return None
        elif len(legs) < 2 and not self._passed and not (breaks and any(one.is_open for one in breaks.values())):
            return None  # one leg that is merely early
        self.revision += 1
        decided_at = fact.instant if isinstance(fact, Passed) else fact.timestamp
        result = Result(self.txn_id, self.revision, verdict, legs, fact.rules.version, decided_at)
        if breaks:
            _set_breaks(result, breaks_said, breaks)
        return result

    def place_of(self, source: int, offset: int) -> int | None:
        """Index of the fact that a record of the source at that offset made."""
        if self._places is None:
            self._places = {
                (fact.source, fact.offset): index
                for index, fact in enumerate(self.facts)
                if isinstance(fact, Received | Conflicting | Rejected)
            }
        return self._places.get((source, offset))

    def result_of(self, index: int) -> Result | None:
        """The revision that the fact at `index` made, folded again."""
        if index >= len(self._results):
            # All of them at once: whoever reads one record of a case again reads the others too.
            again = Case(self.txn_id)
            self._results = [again.apply(fact) for fact in self.facts]
        return self._results[index]

    def deadlines(self) -> list[Deadline]:
        """What must be noticed next, as things stand; at most one entry a gate and kind."""
        legs, rules = self.legs, self._rules
        if rules is None or not legs:
            return []
        found = self._missing_deadlines(rules) if len(legs) < len(SOURCES) else []
        if len(legs) > 1:
            found += self._status_deadlines(legs, rules)
        if not found and self.is_closed():
            found.append(Deadline(EVERY_SOURCE, DeadlineKind.EXPIRY, self._latest + rules.retention_ms))
        return found

    def is_closed(self) -> bool:
        """Whether nothing more is expected: a terminal verdict and no open break."""
        return self.verdict not in (Verdict.PENDING, Verdict.BROKEN)

    def _missing_deadlines(self, rules: Rules) -> list[Deadline]:
        base = min([state.base_time for state in self.sources if state.leg is not None])
        found = []
        for source, state in enumerate(self.sources):
            if state.leg is None and not state.ever_rejected:
                instant = base + rules.missing_grace_ms[source]
                if self._passed.get((DeadlineKind.MISSING, source), instant - 1) < instant:
                    found.append(Deadline(source, DeadlineKind.MISSING, instant))
        return found

    def _status_deadlines(self, legs: tuple[Leg, ...], rules: Rules) -> list[Deadline]:
        canonical = {leg.canonical_status for leg in legs}
        if len(canonical) > 1:
            if Status.FAILED in canonical and not canonical.isdisjoint((Status.SUCCESS, Status.REVERSED)):
                return []  # a contradiction needs no grace
            kind, instant = DeadlineKind.STATUS, self._status_time() + rules.status_grace_ms
        elif Status.PENDING in canonical and len(legs) == len(SOURCES):
            kind, instant = DeadlineKind.PENDING, self._status_time() + rules.pending_limit_ms
        else:
            return []
        if self._has_passed(kind, instant):
            return []
        lowest = min(canonical)
        return [Deadline(leg.source, kind, instant) for leg in legs if leg.canonical_status == lowest]

    def _status_time(self) -> int:
        return max(state.status_time for state in self.sources if state.leg is not None)

    def _has_passed(self, kind: DeadlineKind, instant: int) -> bool:
        # which source let it pass does not matter
        return self._passed.get((kind, EVERY_SOURCE), instant - 1) >= instant

    def _is_awaited(self, source: int) -> bool:
        state = self.sources[source]
        return state.leg is None and not state.ever_rejected

    def _take(self, fact: Fact) -> bool:
        """Put the fact where it belongs; whether it is a correction."""
        if isinstance(fact, Received):
            state = self._source(fact.source, fact.offset)
            corrects = state.receive(fact)
            occurred_at, timestamp = fact.event.occurred_at, fact.timestamp
            time = occurred_at if occurred_at < timestamp else timestamp
            if time > self._latest:
                self._latest = time
            return corrects
        if isinstance(fact, Passed):
            key = (fact.kind, fact.source if fact.kind is DeadlineKind.MISSING else EVERY_SOURCE)
            self._passed = self._passed | {key: max(fact.instant, self._passed.get(key, fact.instant))}
            return False
        self._latest = max(self._latest, fact.timestamp)
        if isinstance(fact, Decided):
            self._decide(fact)
            return False
        state = self._source(fact.source, fact.offset)
        if isinstance(fact, Conflicting):
            state.conflicts |= {fact.event_id}
        else:
            state.invalid = state.ever_rejected = True
        return False

    def _source(self, source: int, offset: int) -> SourceState:
        """The state of a source that a record at that offset changes."""
        state = self.sources[source]
        if state is SILENT:
            state = self.sources[source] = SourceState()
        if offset > state.last_offset:
            state.last_offset = offset
        return state

    def _decide(self, fact: Decided) -> None:
        if not fact.break_id:
            self._void = fact.resolution == VOID
            return
        for key, one in self._breaks.items():
            if one.break_id == fact.break_id and one.is_open:
                # a new dict: the one before is what was said before
                self._breaks = self._breaks | {key: one._replace(is_open=False, resolution=fact.resolution)}
                return

    def _findings(self, legs: tuple[Leg, ...], rules: Rules) -> list[Finding]:
        """Every condition that holds now, in no particular order."""
        found = []
        for source, state in enumerate(self.sources):
            if state.invalid:
                found.append(of_source(BreakClass.INVALID_RECORD, source))
            if state.conflicts:
                found.append(of_source(BreakClass.IDENTITY_CONFLICT, source))
            if state.surplus_live:
                found.append(of_source(BreakClass.DUPLICATE_ENTRY, source))
        if self._passed and legs:
            found += self._overdue(rules)
        if len(legs) < 2 or (legs[0].canonical_status != Status.PENDING and agree_exactly(legs, rules)):
            return found
        now = self._status_time()
        return found + differences(
            legs,
            rules,
            grace_passed=self._has_passed(DeadlineKind.STATUS, now + rules.status_grace_ms),
            limit_passed=self._has_passed(DeadlineKind.PENDING, now + rules.pending_limit_ms),
        )

    def _overdue(self, rules: Rules) -> list[Finding]:
        base = min(state.base_time for state in self.sources if state.leg is not None)
        return [
            of_source(BreakClass.MISSING_ENTRY, source)
            for source in SOURCES
            if self._is_awaited(source)
            and self._passed.get((DeadlineKind.MISSING, source), base - 1) >= base + rules.missing_grace_ms[source]
        ]

    def _moved(
        self, found: list[Finding], legs: tuple[Leg, ...], fact: Fact, *, corrects: bool
    ) -> dict[tuple[BreakClass, int], Break]:
        """The breaks after the fact."""
        before = self._breaks
        after = dict(before)
        amount_minor, currency = (legs[0].amount_minor, legs[0].currency) if legs else (None, None)
        holding = {(one.break_class, one.source): one for one in found}
        for key, finding in holding.items():
            known = before.get(key)
            if known is not None and not known.is_open and _by_people(known.resolution) and known.finding == finding:
                continue  # closed by people, and nothing new since
            break_id = known.break_id if known else identity(self.txn_id, key[0], _source_name(key[1]))
            grade = severity(finding, amount_minor, currency, fact.rules)
            after[key] = Break(break_id, finding, grade, is_open=True, resolution=None)
        for key, known in before.items():
            if known.is_open and key not in holding:
                resolution = self._resolution(key, legs, fact, corrects=corrects)
                after[key] = known._replace(is_open=False, resolution=resolution)
        return after

    def _resolution(self, key: tuple[BreakClass, int], legs: tuple[Leg, ...], fact: Fact, *, corrects: bool) -> str:
        break_class, source = key
        if break_class is BreakClass.MISSING_ENTRY and self.sources[source].leg is not None:
            return "AUTO_LATE_ARRIVAL"
        if corrects:
            return "AUTO_CORRECTED"
        if self._rules is not None and self._rules.digest != fact.rules.digest:
            earlier = {(one.break_class, one.source) for one in self._findings(legs, self._rules)}
            if key in earlier:
                return "AUTO_SUPERSEDED"
        return "AUTO_AGREED"

    def _verdict(self, legs: tuple[Leg, ...], breaks: dict[tuple[BreakClass, int], Break]) -> Verdict:
        if self._void:
            return Verdict.VOID
        if breaks:
            if any(one.is_open for one in breaks.values()):
                return Verdict.BROKEN
            if any(_by_people(one.resolution) for one in breaks.values()):
                return Verdict.ACCEPTED
        if len(legs) < len(SOURCES) or legs[0].canonical_status == Status.PENDING:
            return Verdict.PENDING
        # every difference that counts is an open break by now, but for statuses inside their grace
        if legs[0].canonical_status != legs[1].canonical_status or legs[0].canonical_status != legs[2].canonical_status:
            return Verdict.PENDING
        if legs[0].amount_minor == legs[1].amount_minor == legs[2].amount_minor:
            return Verdict.MATCHED
        return Verdict.MATCHED_WITHIN_TOLERANCE


def _set_breaks(
    result: Result, before: dict[tuple[BreakClass, int], Break], after: dict[tuple[BreakClass, int], Break]
) -> None:
    was, now = _open(before), _open(after)
    result.breaks = tuple([after[key] for key in sorted(after, key=_in_precedence)])
    result.opened = tuple([key[0] for key in now.keys() - was.keys()])
    result.resolved = tuple([key[0] for key in was.keys() - now.keys()])
    result.open_breaks_changed = was != now


def _open(breaks: dict[tuple[BreakClass, int], Break]) -> dict[tuple[BreakClass, int], Break]:
    return {key: one for key, one in breaks.items() if one.is_open}


def _by_people(resolution: str | None) -> bool:
    return resolution is not None and not resolution.startswith("AUTO_")


def _in_precedence(key: tuple[BreakClass, int]) -> tuple[int, int]:
    return PRECEDENCE[key[0]], key[1]


def _source_name(source: int) -> str:
    return SOURCES[source].name if source >= 0 else ""
