"""The records of one source of one case, in their order: what became of each, the leg, the breaks of one source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .records import FUTURE, Event, Seen
from .rules import Rules

ORDER = ("PENDING", "SUCCESS", "FAILED", "REVERSED")
CHAINS = (frozenset({"PENDING", "SUCCESS", "REVERSED"}), frozenset({"PENDING", "FAILED"}))

# What became of a record of a case.
NEW, CORRECTION, DUPLICATE, STALE, CONFLICT, REJECTED = (
    "NEW",
    "CORRECTION",
    "DUPLICATE",
    "STALE",
    "CONFLICT",
    "REJECTED",
)
ACCEPTED = (NEW, CORRECTION)


class Leg(NamedTuple):
    """A leg as a result lists it."""

    source: str
    event_id: str
    revision: int
    amount_minor: int
    currency: str
    direction: str
    status: str
    canonical_status: str
    occurred_at: int
    account: str
    reference: str | None
    topic: str
    partition: int
    offset: int
    schema_id: int


class SourceView(NamedTuple):
    """What one source says, after some of its records. Moments are min(occurred_at, Kafka timestamp)."""

    leg: Leg | None
    leg_moment: int | None
    status_moment: int | None
    invalid: bool
    conflict: bool
    surplus: bool
    any_rejected: bool
    entries: tuple[tuple[str, str], ...]


def fates(seen: Sequence[Seen]) -> list[str]:
    """What became of each record, given those before it.

    Same event id again: the same revision with the same content is a duplicate, with other content a conflict; a
    higher revision is a correction; a lower one is stale, whatever its content. A record whose only fault is that it is
    dated after its own Kafka timestamp is rejected unless it is a duplicate or stale: the filter may have dropped it.
    """
    standing: dict[str, Event] = {}
    became: list[str] = []
    for this in seen:
        before = standing.get(this.event.event_id) if this.event else None
        became.append(fate(this, before))
        if this.valid and this.event and (before is None or this.event.revision > before.revision):
            standing[this.event.event_id] = this.event
    return became


def fate(this: Seen, standing: Event | None) -> str:
    """What becomes of a record; `standing` is the first valid content of the highest revision of its event id so far."""
    if not this.valid and this.families != {FUTURE}:
        return REJECTED
    assert this.event is not None
    if standing is None:
        return NEW if this.valid else REJECTED
    if this.event.revision > standing.revision:
        return CORRECTION if this.valid else REJECTED
    if this.event.revision < standing.revision:
        return STALE
    if this.event == standing:
        return DUPLICATE
    return CONFLICT if this.valid else REJECTED


def in_force(seen: Sequence[Seen], became: Sequence[str], event_id: str) -> Seen:
    """The content of an event id is that of its last accepted record."""
    return [s for s, f in zip(seen, became, strict=True) if f in ACCEPTED and s.event and s.event.event_id == event_id][
        -1
    ]


def canonical(seen: Seen, rules: Rules) -> str:
    """The source's word in the canonical vocabulary."""
    assert seen.event is not None
    return rules.status_map[seen.source][seen.event.status]


def is_progress(new: Seen, entry: Seen, leg_events: Sequence[Seen], rules: Rules) -> bool:
    """Progress agrees with the entry in amount, currency and account, with the leg's events that are not REVERSED in
    direction (unless it is itself REVERSED), and its status fits with all of the leg's into one chain, none twice."""
    a, b = new.event, entry.event
    assert a is not None
    assert b is not None
    if (a.amount_minor, a.currency, a.account) != (b.amount_minor, b.currency, b.account):
        return False
    directions = {s.event.direction for s in [*leg_events, new] if s.event and canonical(s, rules) != "REVERSED"}
    if len(directions) > 1:
        return False
    statuses = [canonical(s, rules) for s in [*leg_events, new]]
    return len(set(statuses)) == len(statuses) and any(set(statuses) <= chain for chain in CHAINS)


def roles(seen: Sequence[Seen], became: Sequence[str], rules: Rules) -> dict[str, str]:
    """ENTRY, PROGRESS or SURPLUS of every event id, decided when it is first accepted, in order of first acceptance."""
    decided: dict[str, str] = {}
    for index, this in enumerate(seen):
        if became[index] != NEW:
            continue
        assert this.event is not None
        if not decided:
            decided[this.event.event_id] = "ENTRY"
            continue
        before, before_became = seen[:index], became[:index]
        of_leg = [in_force(before, before_became, e) for e, role in decided.items() if role != "SURPLUS"]
        entry = of_leg[0]
        decided[this.event.event_id] = "PROGRESS" if is_progress(this, entry, of_leg, rules) else "SURPLUS"
    return decided


def leg_of(of_leg: Sequence[Seen], rules: Rules) -> tuple[Leg, int, int]:
    """The leg, the moment of the event that dates it, the moment of the event that gives its status.

    `of_leg`: the events of the leg in force, in order of first acceptance (sorting is stable, so of equal statuses the
    earlier accepted is the lower). The lowest gives time, amount, currency, direction, account and coordinates, the
    highest the status; the reference comes from the highest event that has one, an empty one counts as none.
    """
    rising = sorted(of_leg, key=lambda s: ORDER.index(canonical(s, rules)))
    lowest, highest = rising[0], rising[-1]
    low, high = lowest.event, highest.event
    assert low is not None
    assert high is not None
    assert lowest.schema_id is not None
    references = [s.event.reference for s in reversed(rising) if s.event and s.event.reference]
    leg = Leg(
        source=lowest.source,
        event_id=low.event_id,
        revision=low.revision,
        amount_minor=low.amount_minor,
        currency=low.currency,
        direction=low.direction,
        status=high.status,
        canonical_status=canonical(highest, rules),
        occurred_at=low.occurred_at,
        account=low.account,
        reference=references[0] if references else None,
        topic=lowest.record.topic,
        partition=lowest.record.partition,
        offset=lowest.record.offset,
        schema_id=lowest.schema_id,
    )
    return leg, lowest.moment, highest.moment


def view(seen: Sequence[Seen], rules: Rules) -> SourceView:
    """What the source says after exactly these records."""
    became = fates(seen)
    role = roles(seen, became, rules)
    now = {event_id: in_force(seen, became, event_id) for event_id in role}
    of_leg = [now[event_id] for event_id in role if role[event_id] != "SURPLUS"]
    leg, leg_moment, status_moment = leg_of(of_leg, rules) if of_leg else (None, None, None)
    return SourceView(
        leg=leg,
        leg_moment=leg_moment,
        status_moment=status_moment,
        # a rejected record, and nothing of this source accepted since
        invalid=any(
            f == REJECTED and not any(later in ACCEPTED for later in became[i + 1 :]) for i, f in enumerate(became)
        ),
        # a conflicting copy, and no higher revision of that event since
        conflict=any(f == CONFLICT and not _corrected_since(seen, became, i) for i, f in enumerate(became)),
        # a surplus event whose own status is not REVERSED
        surplus=any(role[e] == "SURPLUS" and canonical(now[e], rules) != "REVERSED" for e in role),
        any_rejected=REJECTED in became,
        entries=tuple(role.items()),
    )


def _corrected_since(seen: Sequence[Seen], became: Sequence[str], index: int) -> bool:
    event_id = _event(seen[index]).event_id
    later = range(index + 1, len(seen))
    return any(became[j] == CORRECTION and _event(seen[j]).event_id == event_id for j in later)


def _event(seen: Seen) -> Event:
    assert seen.event is not None
    return seen.event
