"""Break classes and their conditions: what differs between the legs of a case, and who is the odd one out.

Each condition is a function of the legs (one a source, in the order CORE, GATEWAY, MOBILE); it returns a Finding or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, Literal, NamedTuple, get_args

from recon_stream.domain.event import Direction, Event, Source, Status
from recon_stream.domain.rules import Rules

EVERYONE = "ALL"
Subject = Literal["CORE", "GATEWAY", "MOBILE", "ALL"]
"""Whom a break can be about: a source, or EVERYONE."""
SUBJECTS: Final[tuple[str, ...]] = get_args(Subject)


class BreakClass(StrEnum):
    """In order of precedence: the first that is open is the primary one."""

    INVALID_RECORD = "INVALID_RECORD"
    IDENTITY_CONFLICT = "IDENTITY_CONFLICT"
    DUPLICATE_ENTRY = "DUPLICATE_ENTRY"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    DIRECTION_MISMATCH = "DIRECTION_MISMATCH"
    ACCOUNT_MISMATCH = "ACCOUNT_MISMATCH"
    AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
    STATUS_MISMATCH = "STATUS_MISMATCH"
    MISSING_ENTRY = "MISSING_ENTRY"
    REFERENCE_MISMATCH = "REFERENCE_MISMATCH"
    TIMESTAMP_MISMATCH = "TIMESTAMP_MISMATCH"


PRECEDENCE = {break_class: place for place, break_class in enumerate(BreakClass)}


class Leg:
    """What a source says in sum, and where it said it: the evidence that is published. Never changed once it is made."""

    # No NamedTuple: the conditions below read these fields several times an event, which is dearer from a tuple.
    __slots__ = (
        "account", "amount_minor", "canonical_status", "currency", "direction", "encoded", "event_id", "occurred_at",
        "offset", "reference", "revision", "schema_id", "source", "status",
    )  # fmt: skip

    def __init__(
        self, source: int, event: Event, status: str, canonical_status: int, reference: str | None, offset: int,
        schema_id: int,
    ) -> None:  # fmt: skip
        """`event` gives everything but what follows it."""
        self.source = source
        self.event_id = event.event_id
        self.revision = event.revision
        self.amount_minor = event.amount_minor
        self.currency = event.currency
        self.direction = event.direction
        self.occurred_at = event.occurred_at
        self.account = event.account
        self.status = status
        self.canonical_status = canonical_status
        self.reference = reference
        self.offset = offset
        self.schema_id = schema_id
        self.encoded = b""
        """As it is published; kept by whoever encodes it, because most revisions of a result repeat the legs before."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Leg) and self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash(self.fields())

    def fields(self) -> tuple[object, ...]:
        """All of them, in order of the evidence."""
        return (
            self.source, self.event_id, self.revision, self.amount_minor, self.currency, self.direction, self.status,
            self.canonical_status, self.occurred_at, self.account, self.reference, self.offset, self.schema_id,
        )  # fmt: skip


class Finding(NamedTuple):
    """A condition that holds. `source` is the faulty source of the classes of one source, else -1."""

    break_class: BreakClass
    source: int
    subtype: str
    subject: str
    field: str
    expected: str | None
    actual: str | None
    delta_minor: int | None


def of_source(break_class: BreakClass, source: int) -> Finding:
    """The finding of a class that concerns one source."""
    return Finding(break_class, source, "", Source(source).name, "", None, None, None)


def agreeing_pair(values: Sequence[object]) -> int | None:
    """With three values of which exactly two are equal, the place of the odd one; else None."""
    if len(values) != 3:
        return None
    a, b, c = values
    if (a == b) + (a == c) + (b == c) != 1:
        return None
    return 2 if a == b else 1 if a == c else 0


def outlier(numbers: Sequence[int], span: int) -> int | None:
    """With three numbers, the place of the only one without which the others keep within `span`; else None."""
    if len(numbers) != 3:
        return None
    a, b, c = numbers
    outside = [place for place, rest in enumerate((abs(b - c), abs(a - c), abs(a - b))) if rest <= span]
    return outside[0] if len(outside) == 1 else None


def _evidence(
    break_class: BreakClass,
    subtype: str,
    field: str,
    legs: Sequence[Leg],
    words: Sequence[str | None],
    odd: int | None,
    *,
    majority: bool = True,
) -> Finding:
    """The finding with expected and actual: the majority against the odd one, or a list of what everyone says."""
    subject = EVERYONE if odd is None else Source(legs[odd].source).name
    if odd is None or not majority:
        listing = ";".join(
            f"{Source(leg.source).name}={word}" for leg, word in zip(legs, words, strict=True) if word is not None
        )
        return Finding(break_class, -1, subtype, subject, field, None, listing, None)
    return Finding(break_class, -1, subtype, subject, field, words[1 if odd == 0 else 0], words[odd], None)


def currency(legs: Sequence[Leg]) -> Finding | None:
    """Currencies differ."""
    words = [leg.currency for leg in legs]
    if len(set(words)) < 2:
        return None
    return _evidence(BreakClass.CURRENCY_MISMATCH, "", "currency", legs, words, agreeing_pair(words))


def direction(legs: Sequence[Leg]) -> Finding | None:
    """Debit against credit."""
    words = [Direction(leg.direction).name for leg in legs]
    if len(set(words)) < 2:
        return None
    return _evidence(BreakClass.DIRECTION_MISMATCH, "", "direction", legs, words, agreeing_pair(words))


def account(legs: Sequence[Leg]) -> Finding | None:
    """Accounts differ."""
    words = [leg.account for leg in legs]
    if len(set(words)) < 2:
        return None
    return _evidence(BreakClass.ACCOUNT_MISMATCH, "", "account", legs, words, agreeing_pair(words))


def amount(legs: Sequence[Leg], rules: Rules) -> Finding | None:
    """Largest minus smallest amount is over the tolerance; the currencies must be equal."""
    amounts = [leg.amount_minor for leg in legs]
    smallest, largest = min(amounts), max(amounts)
    if smallest == largest:
        return None
    tolerance = rules.tolerance(legs[0].currency).minor(smallest)
    if largest - smallest <= tolerance:
        return None
    odd = outlier(amounts, tolerance)
    finding = _evidence(BreakClass.AMOUNT_MISMATCH, "", "amount_minor", legs, [str(number) for number in amounts], odd)
    delta = largest - smallest if odd is None else amounts[odd] - amounts[1 if odd == 0 else 0]
    return finding._replace(delta_minor=delta)


def status(legs: Sequence[Leg], *, grace_passed: bool, limit_passed: bool) -> Finding | None:
    """Statuses contradict, lag, or stay pending; of several the first in that order."""
    canonical = [leg.canonical_status for leg in legs]
    present = set(canonical)
    if present == {Status.PENDING}:
        if len(legs) < 3 or not limit_passed:
            return None
        subtype, odd, majority = "STUCK", None, False
    elif len(present) < 2:
        return None
    elif Status.FAILED in present and present & {Status.SUCCESS, Status.REVERSED}:
        subtype, odd, majority = "TERMINAL_CONFLICT", agreeing_pair(canonical), True
    elif not grace_passed:
        return None
    elif Status.PENDING in present:
        pending = [place for place, one in enumerate(canonical) if one == Status.PENDING]
        odd = pending[0] if len(pending) == 1 else None
        subtype, majority = "LAGGING", agreeing_pair(canonical) == odd
    else:
        subtype, odd, majority = "ONE_SIDED_REVERSAL", agreeing_pair(canonical), True
    words = [leg.status for leg in legs]
    return _evidence(BreakClass.STATUS_MISMATCH, subtype, "status", legs, words, odd, majority=majority)


def reference(legs: Sequence[Leg]) -> Finding | None:
    """Two references are there and differ; a leg without one does not take part."""
    words = [leg.reference for leg in legs]
    if len({word for word in words if word is not None}) < 2:
        return None
    # a missing reference agrees with nobody
    odd = agreeing_pair(words) if None not in words else None
    return _evidence(BreakClass.REFERENCE_MISMATCH, "", "reference", legs, words, odd)


def timestamp(legs: Sequence[Leg], rules: Rules) -> Finding | None:
    """Earliest and latest leg further apart than the window."""
    times = [leg.occurred_at for leg in legs]
    if max(times) - min(times) <= rules.window_ms:
        return None
    return _evidence(
        BreakClass.TIMESTAMP_MISMATCH,
        "",
        "occurred_at",
        legs,
        [str(time) for time in times],
        outlier(times, rules.window_ms),
    )


_PLAIN: tuple[Callable[[Sequence[Leg]], Finding | None], ...] = (direction, account)


def differences(legs: Sequence[Leg], rules: Rules, *, grace_passed: bool, limit_passed: bool) -> list[Finding]:
    """Every difference between two or three legs, in order of precedence."""
    found = [currency(legs)]
    found += [condition(legs) for condition in _PLAIN]
    # amounts of different currencies are not comparable, even where two of the currencies agree
    found.append(None if found[0] else amount(legs, rules))
    found.append(status(legs, grace_passed=grace_passed, limit_passed=limit_passed))
    found.append(reference(legs))
    found.append(timestamp(legs, rules))
    return [finding for finding in found if finding is not None]


def agree_exactly(legs: Sequence[Leg], rules: Rules) -> bool:
    """Whether nothing at all differs: the common case, found without looking at each condition."""
    first = legs[0]
    amount_minor, code, way, canonical = first.amount_minor, first.currency, first.direction, first.canonical_status
    holder, note, low = first.account, first.reference, first.occurred_at
    high = low
    for leg in legs[1:]:
        if (
            leg.amount_minor != amount_minor
            or leg.currency != code
            or leg.direction != way
            or leg.canonical_status != canonical
            or leg.account != holder
        ):
            return False
        if leg.reference is not None and leg.reference != note:
            if note is not None:
                return False
            note = leg.reference  # a leg without one does not take part
        if leg.occurred_at < low:
            low = leg.occurred_at
        elif leg.occurred_at > high:
            high = leg.occurred_at
    return high - low <= rules.window_ms
