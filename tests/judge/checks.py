"""What every published result must be in itself, beside the records that it names and beside the revision before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .history import Body
from .picture import OF_ONE_SOURCE, PRECEDENCE, identity, position
from .records import Seen
from .rules import SOURCES, Rules

AUTOMATIC = ("AUTO_LATE_ARRIVAL", "AUTO_CORRECTED", "AUTO_AGREED")
FIELD_OF = {
    "CURRENCY_MISMATCH": "currency",
    "DIRECTION_MISMATCH": "direction",
    "ACCOUNT_MISMATCH": "account",
    "AMOUNT_MISMATCH": "amount_minor",
    "STATUS_MISMATCH": "status",
    "REFERENCE_MISMATCH": "reference",
    "TIMESTAMP_MISMATCH": "occurred_at",
}
SUBTYPES = ("TERMINAL_CONFLICT", "LAGGING", "ONE_SIDED_REVERSAL", "STUCK")
# The fields that a leg takes from the record at its coordinates; status and reference may come from another one.
FROM_COORDINATES = ("event_id", "amount_minor", "currency", "direction", "occurred_at", "account", "revision")

Problem = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sources:
    """The records of the source topics, to look up by coordinates and by case."""

    by_coordinates: Mapping[tuple[str, int, int], Seen]
    by_case: Mapping[str, list[Seen]]


def check_identity(body: Body, key: bytes | None, rules: Rules) -> Iterator[Problem]:
    """Ids, key and rules version."""
    if key != body["txn_id"].encode():
        yield "key", f"the key is {key!r}"
    if body["result_id"] != identity(body["txn_id"], body["revision"]):
        yield "result_id", f"result_id {body['result_id']} is not H(txn_id, {body['revision']})"
    if body["rules_version"] != rules.version:
        yield "rules_version", f"rules_version {body['rules_version']!r}, not {rules.version!r}"


def check_verdict(body: Body) -> Iterator[Problem]:
    """Verdict, primary class and top-level amount follow from breaks and legs."""
    now_open = [b for b in body["breaks"] if b["state"] == "OPEN"]
    verdict = body["verdict"]
    if (verdict == "BROKEN") != bool(now_open):
        yield "verdict", f"{verdict} with {len(now_open)} open breaks"
    if verdict in ("MATCHED", "MATCHED_WITHIN_TOLERANCE") and len(body["legs"]) != 3:
        yield "verdict", f"{verdict} with {len(body['legs'])} legs"
    if verdict not in ("PENDING", "MATCHED", "MATCHED_WITHIN_TOLERANCE", "BROKEN"):
        yield "verdict", f"{verdict} without a decision of people"
    ranked = sorted((b["class"] for b in now_open if b["class"] in PRECEDENCE), key=PRECEDENCE.index)
    first = ranked[0] if ranked else None
    if body["primary_class"] != first:
        yield "primary_class", f"primary_class {body['primary_class']}, the first open break is {first}"
    top = (body["legs"][0]["amount_minor"], body["legs"][0]["currency"]) if body["legs"] else (None, None)
    if (body["amount_minor"], body["currency"]) != top:
        yield "amount", f"amount {body['amount_minor']} {body['currency']}, the first leg has {top[0]} {top[1]}"


def check_breaks(body: Body) -> Iterator[Problem]:
    """Known classes, right ids, once each, in order; a resolution where and only where resolved; something differs."""
    known = [b for b in body["breaks"] if b["class"] in PRECEDENCE]
    for b in body["breaks"]:
        if b["class"] not in PRECEDENCE:
            yield "break", f"unknown class {b['class']}"
    if [b["break_id"] for b in known] != [
        b["break_id"] for b in sorted(known, key=lambda b: position(b["class"], b["subject"]))
    ]:
        yield "break_order", "breaks are not in order of precedence and source"
    if len({b["break_id"] for b in known}) < len(known):
        yield "break", "a break is listed twice"
    for b in known:
        yield from check_break(body["txn_id"], b)
        if b["state"] == "OPEN":
            yield from check_difference(b, body["legs"])


def check_break(txn_id: str, b: Body) -> Iterator[Problem]:
    """One break in itself."""
    cls, one_source = b["class"], b["class"] in OF_ONE_SOURCE
    if b["break_id"] != identity(txn_id, cls, b["subject"] if one_source else ""):
        yield "break_id", f"{cls}: break_id {b['break_id']} is not H(txn_id, class, source or empty)"
    if (b["subtype"] in SUBTYPES) != (cls == "STATUS_MISMATCH") or (cls != "STATUS_MISMATCH" and b["subtype"]):
        yield "break", f"{cls} has the subtype {b['subtype']!r}"
    if b["subject"] not in SOURCES and (one_source or b["subject"] != "ALL"):
        yield "subject", f"{cls} has the subject {b['subject']!r}"
    if (b["resolution"] is None) != (b["state"] == "OPEN"):
        yield "resolution", f"{cls} is {b['state']} with the resolution {b['resolution']}"
    if b["resolution"] is not None and b["resolution"] not in AUTOMATIC:
        yield "resolution", f"{cls} was resolved by {b['resolution']} without a decision of people or new rules"
    nothing = (b["expected"], b["actual"], b["delta_minor"]) == (None, None, None)
    if b["field"] != FIELD_OF.get(cls, "") or (one_source and not nothing):
        yield "evidence", f"{cls}: field {b['field']!r}, {b['expected']} / {b['actual']} / {b['delta_minor']}"
    if (b["delta_minor"] is None) == (cls == "AMOUNT_MISMATCH"):
        yield "evidence", f"{cls} has delta_minor {b['delta_minor']}"


def check_difference(b: Body, legs: list[Body]) -> Iterator[Problem]:
    """No break without a field that differs; no missing entry of a source that is there; evidence as the legs have it."""
    cls, field = b["class"], FIELD_OF.get(b["class"])
    there = {leg["source"]: leg for leg in legs}
    if cls == "MISSING_ENTRY" and b["subject"] in there:
        yield "missing", f"MISSING_ENTRY of {b['subject']}, which has a leg"
    if field is None:
        return
    values = {s: leg[field] for s, leg in there.items() if leg[field] is not None}
    if len(set(values.values())) < 2 and b["subtype"] != "STUCK":
        yield "phantom", f"{cls} is open and no two legs differ in {field}"
    if b["expected"] is None:
        text = ";".join(f"{s}={v}" for s, v in values.items())
        if b["actual"] != text:
            yield "evidence", f"{cls}: actual {b['actual']!r}, the legs say {text!r}"
    elif b["actual"] != str(values.get(b["subject"])) or b["expected"] not in {str(v) for v in values.values()}:
        yield "evidence", f"{cls}: {b['expected']!r} / {b['actual']!r} are not what the legs say"


def check_legs(body: Body, sources: Sources, rules: Rules) -> Iterator[Problem]:
    """Coordinates point to records that exist and decode to exactly these fields; status and reference were said by
    that source of that transaction."""
    named = [leg["source"] for leg in body["legs"]]
    if named != [s for s in SOURCES if s in named] or len(set(named)) < len(named):
        yield "legs", f"legs {named} are not once each in order"
    for leg in body["legs"]:
        at = (leg["topic"], leg["partition"], leg["offset"])
        seen = sources.by_coordinates.get(at)
        where = f"{leg['source']} leg at {leg['topic']}[{leg['partition']}]@{leg['offset']}"
        if seen is None or seen.event is None or not seen.valid:
            yield "coordinates", f"{where}: there is no valid record"
            continue
        if (seen.source, seen.case, seen.schema_id) != (leg["source"], body["txn_id"], leg["schema_id"]):
            yield "coordinates", f"{where}: that record is {seen.source} of {seen.case}, schema {seen.schema_id}"
        for name in FROM_COORDINATES:
            if getattr(seen.event, name) != leg[name]:
                yield "coordinates", f"{where}: {name} {leg[name]!r}, the record says {getattr(seen.event, name)!r}"
        said = [
            s.event
            for s in sources.by_case.get(body["txn_id"], [])
            if s.source == leg["source"] and s.valid and s.event
        ]
        if leg["status"] not in {event.status for event in said}:
            yield "legs", f"{where}: {leg['source']} never said {leg['status']!r}"
        if rules.status_map.get(leg["source"], {}).get(leg["status"]) != leg["canonical_status"]:
            yield "legs", f"{where}: {leg['status']!r} is not {leg['canonical_status']}"
        if leg["reference"] is not None and leg["reference"] not in {event.reference for event in said}:
            yield "legs", f"{where}: {leg['source']} never gave the reference {leg['reference']!r}"


def check_step(before: Body | None, body: Body, sources: Sources, rules: Rules) -> Iterator[Problem]:
    """From one revision to the next: something changed, no break got lost, none missing before its deadline."""
    old = {b["break_id"]: b for b in before["breaks"]} if before else {}
    new = {b["break_id"]: b for b in body["breaks"]}
    if before and all(before[name] == body[name] for name in ("verdict", "legs", "breaks")):
        yield "unchanged", "nothing changed since the revision before"
    for break_id, b in old.items():
        if break_id not in new:
            yield "lost_break", f"{b['class']} of {b['subject']} was listed before and is not any more"
        elif new[break_id]["state"] == b["state"] == "RESOLVED" and new[break_id] != b:
            yield "resolved_changed", f"{b['class']} was resolved and changed without being opened again"
    for break_id, b in new.items():
        if b["state"] == "RESOLVED" and break_id not in old:
            yield "never_open", f"{b['class']} of {b['subject']} is resolved and was never open"
        newly_open = b["state"] == "OPEN" and old.get(break_id, {}).get("state") != "OPEN"
        if newly_open and b["class"] == "MISSING_ENTRY" and b["subject"] in SOURCES:
            due = due_instant(body, b["subject"], sources, rules)
            if due is not None and body["decided_at"] < due:
                yield "premature", f"MISSING_ENTRY of {b['subject']} at {body['decided_at']}, due at {due}"


def due_instant(body: Body, source: str, sources: Sources, rules: Rules) -> int | None:
    """The deadline of a source by the legs of a result; None where their records do not exist."""
    moments = []
    for leg in body["legs"]:
        seen = sources.by_coordinates.get((leg["topic"], leg["partition"], leg["offset"]))
        if seen is not None and seen.event is not None:
            moments.append(seen.moment)
    return min(moments) + rules.missing_grace_ms[source] if moments else None


def differences(expected: Any, actual: Any, path: str = "") -> list[str]:
    """What differs between two bodies, in words."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        names = list(dict.fromkeys([*expected, *actual]))
        return [d for n in names for d in differences(expected.get(n), actual.get(n), f"{path}.{n}".lstrip("."))]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [d for i, (e, a) in pairs for d in differences(e, a, f"{path}[{i}]")]
    if expected == actual:
        return []
    return [f"{path} expected {_brief(expected)}, found {_brief(actual)}"]


def _brief(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_brief(item) for item in value) + "]"
    if isinstance(value, dict) and "class" in value:
        resolution = f" {value['resolution']}" if value.get("resolution") else ""
        return f"{value['class']} {value.get('subtype', '')} {value.get('subject')} {value.get('state')}{resolution}"
    if isinstance(value, dict) and "event_id" in value:
        return f"{value.get('source')} {value['event_id']} r{value.get('revision')}"
    return repr(value)
