"""An ordered list of facts, and every result that must be published on the way.

Nothing is carried from fact to fact but the result published last: the picture after n facts is drawn anew from the
first n facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .onesource import CORRECTION, Leg, SourceView, fates, view
from .picture import MISSING, Break, Picture, draw, dues, identity, position
from .records import Seen
from .rules import SOURCES, Rules

Body = dict[str, Any]


class Passed(NamedTuple):
    """The fact that the time of a deadline (its key, as in picture.dues) has passed this instant."""

    key: str
    instant: int


class Cause(NamedTuple):
    """What made a result: the fate of a record (or DEADLINE), its source, the instant of the decision."""

    fate: str
    source: str
    instant: int


def record_cause(seen: Sequence[Seen]) -> Cause:
    """The last of these records of one source as a cause."""
    last = seen[-1]
    return Cause(fates(seen)[-1], last.source, last.record.timestamp)


def leg_body(leg: Leg) -> Body:
    """A leg as the published record has it."""
    return leg._asdict()


def break_body(found: Break, state: str, resolution: str | None) -> Body:
    """A break as the published record has it."""
    body = found._asdict()
    body["class"] = body.pop("cls")
    return {**body, "state": state, "resolution": resolution}


def resolution_of(listed: Body, cause: Cause, picture: Picture) -> str:
    """The missing leg has come; a higher revision; anything else that made the condition false."""
    arrived = any(leg.source == listed["subject"] for leg in picture.legs)
    if listed["class"] == "MISSING_ENTRY" and arrived:
        return "AUTO_LATE_ARRIVAL"
    return "AUTO_CORRECTED" if cause.fate == CORRECTION else "AUTO_AGREED"


def list_breaks(before: Sequence[Body], picture: Picture, cause: Cause) -> list[Body]:
    """Open breaks, and every earlier one that is not open any more with its last evidence."""
    listed = [break_body(b, "OPEN", None) for b in picture.breaks]
    now_open = {b.break_id for b in picture.breaks}
    for old in before:
        if old["break_id"] in now_open:
            continue
        if old["state"] == "RESOLVED":
            listed.append(old)
        else:
            listed.append({**old, "state": "RESOLVED", "resolution": resolution_of(old, cause, picture)})
    return sorted(listed, key=lambda b: position(b["class"], b["subject"]))


def next_result(
    txn_id: str, before: Body | None, picture: Picture, cause: Cause, rules: Rules, *, deadline_passed: bool
) -> Body | None:
    """The result that this fact makes, None if it makes none.

    The first one needs two legs, an open break or a passed deadline; after that each change of verdict, legs or breaks
    makes one.
    """
    if before is None and not (len(picture.legs) >= 2 or picture.breaks or deadline_passed):
        return None
    breaks = list_breaks(before["breaks"] if before else [], picture, cause)
    legs = [leg_body(leg) for leg in picture.legs]
    if before and (before["verdict"], before["legs"], before["breaks"]) == (picture.verdict, legs, breaks):
        return None
    revision = before["revision"] + 1 if before else 1
    return {
        "result_id": identity(txn_id, revision),
        "txn_id": txn_id,
        "revision": revision,
        "verdict": picture.verdict,
        "primary_class": picture.breaks[0].cls if picture.breaks else None,
        "breaks": breaks,
        "legs": legs,
        "amount_minor": picture.amount_minor,
        "currency": picture.currency,
        "rules_version": rules.version,
        "decided_at": cause.instant,
    }


def open_part(body: Body | None) -> list[Body]:
    """The open breaks of a result."""
    return [b for b in body["breaks"] if b["state"] == "OPEN"] if body else []


def is_mismatch_news(before: Body | None, body: Body) -> bool:
    """Whether the set or the content of the open breaks changed, so that recon_mismatches carries the result too."""
    return open_part(before) != open_part(body)


def passed_keys(facts: Sequence[Seen | Passed], views: Mapping[str, SourceView], rules: Rules) -> frozenset[str]:
    """The deadlines of the case as it stands that the passed instants reach."""
    reached = [f for f in facts if isinstance(f, Passed)]
    return frozenset(
        key
        for key, due in dues(views, rules).items()
        if any(fact.key == key and fact.instant >= due.instant for fact in reached)
    )


def history(txn_id: str, facts: Sequence[Seen | Passed], rules: Rules) -> list[Body | None]:
    """For every fact the result that it makes, or None."""
    results: list[Body | None] = []
    for count in range(1, len(facts) + 1):
        prefix, last = facts[:count], facts[count - 1]
        by_source = {s: [f for f in prefix if isinstance(f, Seen) and f.source == s] for s in SOURCES}
        views = {s: view(by_source[s], rules) for s in SOURCES}
        passed = passed_keys(prefix, views, rules)
        if isinstance(last, Passed):
            cause = Cause("DEADLINE", last.key.removeprefix(MISSING), last.instant)
        else:
            cause = record_cause(by_source[last.source])
        published = [r for r in results if r is not None]
        before = published[-1] if published else None
        picture = draw(txn_id, views, passed, rules)
        results.append(next_result(txn_id, before, picture, cause, rules, deadline_passed=bool(passed)))
    return results
