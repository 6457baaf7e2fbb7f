"""What must be said of a case, from what its sources say and which of its deadlines have passed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from .onesource import Leg, SourceView
from .rules import EXPONENT, SOURCES, Rules

PRECEDENCE = (
    "INVALID_RECORD",
    "IDENTITY_CONFLICT",
    "DUPLICATE_ENTRY",
    "CURRENCY_MISMATCH",
    "DIRECTION_MISMATCH",
    "ACCOUNT_MISMATCH",
    "AMOUNT_MISMATCH",
    "STATUS_MISMATCH",
    "MISSING_ENTRY",
    "REFERENCE_MISMATCH",
    "TIMESTAMP_MISMATCH",
)
OF_ONE_SOURCE = ("INVALID_RECORD", "IDENTITY_CONFLICT", "DUPLICATE_ENTRY", "MISSING_ENTRY")

STATUS_GRACE = "STATUS_GRACE"
PENDING_LIMIT = "PENDING_LIMIT"
MISSING = "MISSING_ENTRY:"

LEVELS = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
BASE_SEVERITY = {
    "INVALID_RECORD": "HIGH",
    "IDENTITY_CONFLICT": "CRITICAL",
    "DUPLICATE_ENTRY": "HIGH",
    "CURRENCY_MISMATCH": "CRITICAL",
    "DIRECTION_MISMATCH": "CRITICAL",
    "ACCOUNT_MISMATCH": "CRITICAL",
    "AMOUNT_MISMATCH": "HIGH",
    "TERMINAL_CONFLICT": "CRITICAL",
    "ONE_SIDED_REVERSAL": "HIGH",
    "LAGGING": "MEDIUM",
    "STUCK": "MEDIUM",
    "MISSING_ENTRY": "MEDIUM",
    "REFERENCE_MISMATCH": "MEDIUM",
    "TIMESTAMP_MISMATCH": "LOW",
}
SEVERITY_CAP = {"MISSING_ENTRY": "HIGH", "TIMESTAMP_MISMATCH": "MEDIUM"}


class Break(NamedTuple):
    """An open break."""

    break_id: str
    cls: str
    subtype: str
    subject: str
    field: str
    expected: str | None
    actual: str | None
    delta_minor: int | None
    severity: str


class Evidence(NamedTuple):
    """Which source is the odd one out, and what is said about it."""

    subject: str
    expected: str | None
    actual: str | None


class Picture(NamedTuple):
    """Everything a result says, except what depends on how it came about."""

    verdict: str
    breaks: tuple[Break, ...]
    legs: tuple[Leg, ...]
    amount_minor: int | None
    currency: str | None


def identity(*parts: str | int) -> str:
    """H: SHA-256 over the UTF-8 parts (numbers in decimal), each preceded by its length as four bytes, big-endian;
    the first sixteen bytes in hex."""
    hashed = hashlib.sha256()
    for part in parts:
        encoded = str(part).encode("utf-8")
        hashed.update(len(encoded).to_bytes(4, "big") + encoded)
    return hashed.digest()[:16].hex()


def position(cls: str, subject: str) -> tuple[int, int]:
    """Where a break stands in a list: order of precedence, then order of the sources."""
    return PRECEDENCE.index(cls), SOURCES.index(subject) if subject in SOURCES else 0


def severity(cls: str, subtype: str, exposure: int | None, currency: str | None, rules: Rules) -> str:
    """Base level of the class, raised by the exposure (minor units; None: no legs), kept under the cap of the class."""
    level = LEVELS.index(BASE_SEVERITY[subtype or cls])
    if exposure is not None and currency is not None:
        unit = 10 ** EXPONENT.get(currency, 0)
        level += exposure >= rules.raise_one_major * unit
        level += exposure >= rules.raise_two_major * unit
    return LEVELS[min(level, LEVELS.index(SEVERITY_CAP.get(cls, "CRITICAL")))]


def listing(legs: Sequence[Leg], value: Callable[[Leg], object]) -> str:
    """`CORE=…;GATEWAY=…;MOBILE=…` of the legs there are."""
    return ";".join(f"{leg.source}={value(leg)}" for leg in legs)


def odd_one_out(legs: Sequence[Leg], alike: Callable[[Leg, Leg], bool]) -> tuple[Leg, Leg] | None:
    """With three legs of which exactly one pair is alike: (first leg of that pair, the third leg)."""
    if len(legs) != 3:
        return None
    pairs = [(a, b) for a, b in combinations(legs, 2) if alike(a, b)]
    if len(pairs) != 1:
        return None
    (a, b) = pairs[0]
    (odd,) = [leg for leg in legs if leg not in (a, b)]
    return a, odd


def evidence(legs: Sequence[Leg], value: Callable[[Leg], object], alike: Callable[[Leg, Leg], bool]) -> Evidence:
    """A majority gives expected and actual; without one: ALL, null and the list of the legs."""
    found = odd_one_out(legs, alike)
    if found is None:
        return Evidence("ALL", None, listing(legs, value))
    agreed, odd = found
    return Evidence(odd.source, str(value(agreed)), str(value(odd)))


def spread(values: Sequence[int]) -> int:
    """Largest minus smallest."""
    return max(values) - min(values) if values else 0


def amount_break(legs: Sequence[Leg], rules: Rules) -> tuple[Evidence, int] | None:
    """Over the tolerance, which is computed once, from the smallest of all legs. Delta is actual minus expected, or
    largest minus smallest where there is no odd one out. Different currencies: not compared at all."""
    if len(legs) < 2 or len({leg.currency for leg in legs}) > 1:
        return None
    amounts = [leg.amount_minor for leg in legs]
    allowed = rules.tolerance(legs[0].currency).allowed(min(amounts))
    if spread(amounts) <= allowed:
        return None
    said = evidence(legs, lambda x: x.amount_minor, lambda a, b: abs(a.amount_minor - b.amount_minor) <= allowed)
    if said.expected is None or said.actual is None:
        return said, spread(amounts)
    return said, int(said.actual) - int(said.expected)


def status_subtype(legs: Sequence[Leg], passed: frozenset[str]) -> str | None:
    """The first of the four that holds."""
    said = [leg.canonical_status for leg in legs]
    if "FAILED" in said and ("SUCCESS" in said or "REVERSED" in said):
        return "TERMINAL_CONFLICT"
    if STATUS_GRACE in passed and lagging(legs):
        return "LAGGING"
    if STATUS_GRACE in passed and one_sided(legs):
        return "ONE_SIDED_REVERSAL"
    if PENDING_LIMIT in passed and all_pending(legs):
        return "STUCK"
    return None


def lagging(legs: Sequence[Leg]) -> bool:
    """PENDING against a terminal word."""
    said = {leg.canonical_status for leg in legs}
    return "PENDING" in said and len(said) > 1


def one_sided(legs: Sequence[Leg]) -> bool:
    """SUCCESS against REVERSED."""
    return {"SUCCESS", "REVERSED"} <= {leg.canonical_status for leg in legs}


def all_pending(legs: Sequence[Leg]) -> bool:
    """Three legs, all PENDING."""
    return [leg.canonical_status for leg in legs] == ["PENDING"] * 3


def status_evidence(legs: Sequence[Leg], subtype: str) -> Evidence:
    """LAGGING names the one PENDING source, also with two legs; STUCK is ALL; the others go by the majority."""
    by_majority = evidence(legs, lambda x: x.status, lambda a, b: a.canonical_status == b.canonical_status)
    everything = listing(legs, lambda x: x.status)
    if subtype == "STUCK":
        return Evidence("ALL", None, everything)
    if subtype == "LAGGING":
        waiting = [leg.source for leg in legs if leg.canonical_status == "PENDING"]
        if len(waiting) > 1:
            return Evidence("ALL", None, everything)
        if by_majority.subject != waiting[0]:
            return Evidence(waiting[0], None, everything)
    return by_majority


def field_breaks(legs: Sequence[Leg], passed: frozenset[str], rules: Rules) -> list[tuple[str, str, str, Evidence]]:
    """(class, subtype, field, evidence) of every class that compares a field of the legs; amounts aside."""
    found = []
    for cls, field in (
        ("CURRENCY_MISMATCH", "currency"),
        ("DIRECTION_MISMATCH", "direction"),
        ("ACCOUNT_MISMATCH", "account"),
    ):
        said = _exact_evidence(legs, field)
        if said is not None:
            found.append((cls, "", field, said))
    subtype = status_subtype(legs, passed)
    if subtype is not None:
        found.append(("STATUS_MISMATCH", subtype, "status", status_evidence(legs, subtype)))
    said = _exact_evidence([leg for leg in legs if leg.reference is not None], "reference")
    if said is not None:
        found.append(("REFERENCE_MISMATCH", "", "reference", said))
    if spread([leg.occurred_at for leg in legs]) > rules.window_ms:
        said = evidence(
            legs, lambda x: x.occurred_at, lambda a, b: abs(a.occurred_at - b.occurred_at) <= rules.window_ms
        )
        found.append(("TIMESTAMP_MISMATCH", "", "occurred_at", said))
    return found


def _exact_evidence(legs: Sequence[Leg], field: str) -> Evidence | None:
    """None where all agree."""
    if len({getattr(leg, field) for leg in legs}) < 2:
        return None
    return evidence(legs, lambda leg: getattr(leg, field), lambda a, b: bool(getattr(a, field) == getattr(b, field)))


def open_breaks(txn_id: str, views: Mapping[str, SourceView], passed: frozenset[str], rules: Rules) -> list[Break]:
    """All whose condition holds are open, in order of precedence, then of sources."""
    legs = [views[s].leg for s in SOURCES if views[s].leg is not None]
    there = [leg for leg in legs if leg is not None]
    exposure, currency = (there[0].amount_minor, there[0].currency) if there else (None, None)
    found = []
    for source in SOURCES:
        its = views[source]
        missing = MISSING + source in passed  # only deadlines of the case as it stands are in there: dues()
        holds = (its.invalid, its.conflict, its.surplus, missing)
        for cls, true in zip(OF_ONE_SOURCE, holds, strict=True):
            if true:
                level = severity(cls, "", exposure, currency, rules)
                found.append(
                    Break(identity(txn_id, cls, source), cls, "", source, "", None, None, None, level),
                )
    for cls, subtype, field, said in field_breaks(there, passed, rules):
        level = severity(cls, subtype, exposure, currency, rules)
        found.append(
            Break(identity(txn_id, cls, ""), cls, subtype, said.subject, field, said.expected, said.actual, None, level)
        )
    amount = amount_break(there, rules)
    if amount is not None:
        cls, (said, delta) = "AMOUNT_MISMATCH", amount
        level = severity(cls, "", abs(delta), currency, rules)
        found.append(
            Break(
                identity(txn_id, cls, ""),
                cls,
                "",
                said.subject,
                "amount_minor",
                said.expected,
                said.actual,
                delta,
                level,
            )
        )
    return sorted(found, key=lambda b: position(b.cls, b.subject))


def verdict_of(legs: Sequence[Leg], breaks: Sequence[Break]) -> str:
    """BROKEN with an open break; MATCHED with three legs that say the same, terminal word; else PENDING.

    Every other field that differs has opened a break, so with none open only amounts (inside the tolerance) and
    statuses (inside their grace) can still differ.
    """
    if breaks:
        return "BROKEN"
    said = {leg.canonical_status for leg in legs}
    if len(legs) < 3 or len(said) > 1 or "PENDING" in said:
        return "PENDING"
    return "MATCHED" if spread([leg.amount_minor for leg in legs]) == 0 else "MATCHED_WITHIN_TOLERANCE"


def draw(txn_id: str, views: Mapping[str, SourceView], passed: frozenset[str], rules: Rules) -> Picture:
    """The picture."""
    legs = tuple(leg for leg in (views[s].leg for s in SOURCES) if leg is not None)
    breaks = tuple(open_breaks(txn_id, views, passed, rules))
    first = legs[0] if legs else None
    return Picture(
        verdict=verdict_of(legs, breaks),
        breaks=breaks,
        legs=legs,
        amount_minor=first.amount_minor if first else None,
        currency=first.currency if first else None,
    )


class Due(NamedTuple):
    """A deadline that would change something: its instant, and the sources of which one's time must have passed it."""

    instant: int
    sources: tuple[str, ...]


def dues(views: Mapping[str, SourceView], rules: Rules) -> dict[str, Due]:
    """The deadlines of the case as it stands, by key (`MISSING_ENTRY:<source>`, STATUS_GRACE, PENDING_LIMIT).

    A source is due at the earliest moment of the legs plus its grace, unless it has a leg or a rejected record. The
    status grace and the pending limit run from the latest moment among the events that give the legs their status;
    the time of a source with the lowest word decides.
    """
    there = [views[s] for s in SOURCES if views[s].leg is not None]
    legs = [v.leg for v in there if v.leg is not None]
    if not legs:
        return {}
    earliest = min(v.leg_moment for v in there if v.leg_moment is not None)
    latest = max(v.status_moment for v in there if v.status_moment is not None)
    found = {
        MISSING + source: Due(earliest + rules.missing_grace_ms[source], (source,))
        for source in SOURCES
        if views[source].leg is None and not views[source].any_rejected
    }
    terminal_conflict = status_subtype(legs, frozenset()) is not None
    order = ("PENDING", "SUCCESS", "FAILED", "REVERSED")
    lowest = min((leg.canonical_status for leg in legs), key=order.index)
    waiting = tuple(leg.source for leg in legs if leg.canonical_status == lowest)
    if not terminal_conflict and (lagging(legs) or one_sided(legs)):
        found[STATUS_GRACE] = Due(latest + rules.status_grace_ms, waiting)
    if all_pending(legs):
        found[PENDING_LIMIT] = Due(latest + rules.pending_limit_ms, waiting)
    return found
