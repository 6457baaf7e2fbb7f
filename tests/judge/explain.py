"""Whether some order of arrival explains every published revision of a case, to the last field.

The order inside a source is known, the order between sources and the moments at which deadlines passed are not. So all
of them are tried, one fact after another: from what was published last and the facts so far follows what this fact must
publish, and that must be the next revision. The search ends when all records are used, all revisions are explained and
exactly those deadlines passed that had to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations

from .history import Body, Cause, next_result, record_cause
from .picture import MISSING, Due
from .rules import SOURCES
from .truth import Case, Counts, Horizon

STATES_MAX = 20_000


@dataclass(frozen=True, slots=True)
class State:
    """So many records of each source used, so many revisions explained, these deadlines passed."""

    counts: Counts
    explained: int
    passed: frozenset[str]


@dataclass(slots=True)
class Explanation:
    """`holds`, or what was expected instead of the revision at which every order failed. `gave_up`: too many orders."""

    holds: bool = False
    gave_up: bool = False
    furthest: int = -1
    expected: list[Body] = field(default_factory=list)

    def failed_at(self, explained: int, expected: Body | None) -> None:
        """Remember what stood in the way of the furthest explanations."""
        if explained > self.furthest:
            self.furthest, self.expected = explained, []
        if explained == self.furthest and expected is not None and expected not in self.expected:
            self.expected.append(expected)


def premature(case: Case, state: State, due: Due, live_slack_ms: int | None) -> bool:
    """Whether it can be proven that no source had come so far without reading its next record of this case.

    Before that record its partition's watermark was not beyond the instant; and the record was in the topic before the
    clock may let the instant pass, which is `stall_after` later, so the partition had not been read to its end. Proven where the Kafka timestamp is the broker's, or where
    the caller knows that producers send within `live_slack_ms` of the timestamp.
    """
    for source in due.sources:
        used = state.counts[SOURCES.index(source)]
        waiting = case.seen[source][used:]
        if not waiting:
            return False
        following = waiting[0]
        if following.watermark_before is not None and following.watermark_before > due.instant:
            return False
        slack = 0 if following.record.appended else live_slack_ms
        if slack is None or following.record.timestamp + slack > due.instant + case.rules.stall_after_ms:
            return False
    return True


def by_record(case: Case, state: State) -> Iterator[tuple[Counts, frozenset[str], Cause]]:
    """The next record of one source. A passed deadline to which the record gives another date may count either way:
    the source's time may or may not have passed the new date already."""
    for index, source in enumerate(SOURCES):
        used = state.counts[index]
        if used == len(case.seen[source]):
            continue
        a, b, c = (n + (i == index) for i, n in enumerate(state.counts))
        counts = (a, b, c)
        before, after = case.dues(state.counts), case.dues(counts)
        redated = [key for key in state.passed if key in after and before.get(key) != after[key]]
        cause = record_cause(case.seen[source][: used + 1])
        for dropped in _subsets(redated):
            yield counts, state.passed - set(dropped), cause


def by_deadline(
    case: Case, state: State, horizon: Horizon, live_slack_ms: int | None
) -> Iterator[tuple[Counts, frozenset[str], Cause]]:
    """The passing of a deadline, or of several at the same instant at once."""
    possible = {
        key: due
        for key, due in case.dues(state.counts).items()
        if key not in state.passed
        and horizon.passed(due, case.partition) is not False
        and not premature(case, state, due, live_slack_ms)
    }
    for instant in {due.instant for due in possible.values()}:
        keys = [key for key, due in possible.items() if due.instant == instant]
        for chosen in _subsets(keys):
            if chosen:
                cause = Cause("DEADLINE", chosen[0].removeprefix(MISSING), instant)
                yield state.counts, state.passed | set(chosen), cause


def finished(case: Case, state: State, revisions: Sequence[Body], horizon: Horizon) -> bool:
    """All records used, all revisions explained, every deadline passed that had to."""
    if state.counts != case.all or state.explained != len(revisions):
        return False
    return all(
        key in state.passed or horizon.passed(due, case.partition) is not True
        for key, due in case.dues(state.counts).items()
    )


def explain(case: Case, revisions: Sequence[Body], horizon: Horizon, live_slack_ms: int | None = None) -> Explanation:
    """Look for an order of arrival that publishes exactly these revisions."""
    found = Explanation()
    start = State((0, 0, 0), 0, frozenset())
    known, to_try = {start}, [start]
    while to_try:
        state = to_try.pop()
        if finished(case, state, revisions, horizon):
            found.holds = True
            return found
        if len(known) > STATES_MAX:
            found.gave_up = True
            return found
        for counts, passed, cause in chain(by_deadline(case, state, horizon, live_slack_ms), by_record(case, state)):
            before = revisions[state.explained - 1] if state.explained else None
            relevant = frozenset(passed & case.dues(counts).keys())
            expected = next_result(
                case.txn_id, before, case.picture(counts, relevant), cause, case.rules, deadline_passed=bool(relevant)
            )
            explained = state.explained
            if expected is not None:
                if explained == len(revisions) or expected != revisions[explained]:
                    found.failed_at(explained, expected)
                    continue
                explained += 1
            following = State(counts, explained, passed)
            if following not in known:
                known.add(following)
                to_try.append(following)
    found.failed_at(len(revisions) if found.furthest < 0 else found.furthest, None)
    return found


def _subsets(keys: Sequence[str]) -> list[tuple[str, ...]]:
    return [subset for size in range(len(keys) + 1) for subset in combinations(keys, size)]
