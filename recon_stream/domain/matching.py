"""The decision: what a record, a deadline or a person changes in a case.

`decide` and its siblings change the case only by appending a fact; what they return is everything there is to write.
A record that is read again (same coordinates) makes no fact: its revision is folded again and re-emitted as it was.
"""

from __future__ import annotations

from enum import StrEnum

from recon_stream.domain.case import Case, Result
from recon_stream.domain.event import Event
from recon_stream.domain.facts import Conflicting, Deadline, DeadlineKind, Fact, Passed, Received, Rejected
from recon_stream.domain.rules import Rules


class Outcome(StrEnum):
    """What became of a record."""

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    CONFLICT = "CONFLICT"
    DUPLICATE = "DUPLICATE"
    STALE = "STALE"
    REREAD = "REREAD"


class Decision:
    """`fact` is to be stored (None: the case stays as it was), `result` to be published (None: nothing new is said)."""

    __slots__ = ("fact", "outcome", "result")

    def __init__(self, outcome: Outcome, fact: Fact | None, result: Result | None) -> None:
        self.outcome = outcome
        self.fact = fact
        self.result = result


def decide(case: Case, record: Received) -> Decision:
    """What a valid record changes; `record` is the fact that it is if it is accepted."""
    source, offset, event = record.source, record.offset, record.event
    state = case.sources[source]
    known = state.accepted(event.event_id)
    if offset <= state.last_offset:
        index = case.place_of(source, offset)
        if index is not None:
            return Decision(Outcome.REREAD, None, case.result_of(index))
    if known is None or event.revision > known.event.revision:
        return Decision(Outcome.ACCEPTED, record, case.apply(record))
    if event.revision < known.event.revision:
        return Decision(Outcome.STALE, None, None)
    if event == known.event:
        return Decision(Outcome.DUPLICATE, None, None)
    if event.event_id in state.conflicts or offset <= state.last_offset:
        # a further conflicting copy says nothing new; below the last fact's offset it has been judged before
        return Decision(Outcome.CONFLICT, None, None)
    fact = Conflicting(source, offset, record.timestamp, record.rules, event.event_id, event.revision)
    return Decision(Outcome.CONFLICT, fact, case.apply(fact))


def reject(case: Case, source: int, offset: int, timestamp: int, reason: str, rules: Rules) -> Decision:
    """What a record changes that decoded but was invalid."""
    state = case.sources[source]
    if offset <= state.last_offset:
        index = case.place_of(source, offset)
        return Decision(Outcome.REREAD, None, None if index is None else case.result_of(index))
    if state.invalid:
        return Decision(Outcome.REJECTED, None, None)
    fact = Rejected(source, offset, timestamp, rules, reason)
    return Decision(Outcome.REJECTED, fact, case.apply(fact))


def is_old_news(case: Case, source: int, event: Event) -> bool:
    """Whether the record repeats an event that was accepted, or what a correction has replaced.

    Then it says nothing new, whatever its own Kafka timestamp is: with the duplicate filter it would not even come here.
    """
    known = case.sources[source].accepted(event.event_id)
    return known is not None and (event.revision < known.event.revision or event == known.event)


def let_pass(case: Case, deadline: Deadline, rules: Rules) -> Decision | None:
    """What a deadline changes that the partition of its gate has passed; None where the case no longer waits for it."""
    if deadline.kind is DeadlineKind.EXPIRY or deadline not in case.deadlines():
        return None
    fact = Passed(deadline.kind, deadline.gate, deadline.instant, rules)
    return Decision(Outcome.ACCEPTED, fact, case.apply(fact))


def every_result(case: Case) -> list[Result]:
    """All revisions of the case, in order."""
    made = [case.result_of(index) for index in range(len(case.facts))]
    return [result for result in made if result is not None]
