"""The faults: what each does to a clean transaction, and the breaks that must be its consequence, no more and no fewer.

Consequences are written down from what was done, by the definition of the break classes; nothing here evaluates them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from producers.draft import CURRENCIES, WORDS, Draft
from producers.plan import Fault, Plan
from producers.rejects import invalid, poison, unknown_schema
from recon_stream.domain.event import SOURCES, Event, Status

_BEYOND_WINDOW_MS = (15_000, 90_000)
_LATE_MARGIN_MS = (1_500, 4_500)
# large enough for a relative tolerance to be at least one minor unit
_LARGE_MINOR = 5_000_000


def tolerating_currencies(plan: Plan) -> list[str]:
    """The currencies in which large amounts may differ a little."""
    return [currency for currency in sorted(plan.tolerances) if plan.tolerated(currency, _LARGE_MINOR) > 0]


def _wrong_amount(draft: Draft, event: Event) -> int:
    """An amount that differs by more than the tolerance: a fee, a wrong scale, a slip of the pen."""
    amount, over = event.amount_minor, draft.plan.tolerated(event.currency, event.amount_minor) + 1
    draw = draft.rng.random()
    if draw < 0.2 and amount * 99 > over:
        return amount * 100
    delta = over if draw < 0.5 else over + draft.between(1, 5000)
    return amount - delta if draw > 0.75 and amount > delta else amount + delta


def _other_currency(draft: Draft, event: Event) -> str:
    others = [currency for currency in sorted(set(CURRENCIES)) if currency != event.currency]
    return others[draft.between(0, len(others) - 1)]


def _wrong(draft: Draft, event: Event, kind: Fault) -> dict[str, Any]:
    """Fields that make an event differ from the other legs in one respect."""
    match kind:
        case Fault.AMOUNT:
            return {"amount_minor": _wrong_amount(draft, event)}
        case Fault.CURRENCY:
            return {"currency": _other_currency(draft, event)}
        case Fault.DIRECTION:
            return {"direction": 1 - event.direction}
        case Fault.ACCOUNT:
            return {"account": event.account[:3] + "9" + event.account[4:]}
        case Fault.REFERENCE:
            return {"reference": f"{event.reference}-X"}
        case Fault.STATUS:
            return {"status": WORDS[event.source][Status.FAILED]}
    raise AssertionError(kind)


_CLASS_OF = {
    Fault.AMOUNT: "AMOUNT_MISMATCH",
    Fault.CURRENCY: "CURRENCY_MISMATCH",
    Fault.DIRECTION: "DIRECTION_MISMATCH",
    Fault.ACCOUNT: "ACCOUNT_MISMATCH",
    Fault.REFERENCE: "REFERENCE_MISMATCH",
    Fault.STATUS: "STATUS_MISMATCH",
}
_FIELD_FAULTS = tuple(_CLASS_OF)


def _clean(draft: Draft) -> None:
    """Nothing."""


def _field(draft: Draft) -> None:
    """One source differs in one field."""
    odd = draft.pick()
    draft.change(odd, **_wrong(draft, draft.events[odd], draft.fault))
    draft.opens(_CLASS_OF[draft.fault], odd)


def _amount(draft: Draft) -> None:
    """One source has another amount; or all three differ, and nobody can say who is right."""
    if draft.chance(0.75):
        _field(draft)
        return
    event = draft.events[0]
    step = draft.plan.tolerated(event.currency, event.amount_minor) + draft.between(1, 500)
    draft.change(1, amount_minor=event.amount_minor + step)
    draft.change(2, amount_minor=event.amount_minor + 2 * step)
    draft.opens("AMOUNT_MISMATCH", None)


def _status(draft: Draft) -> None:
    """FAILED at one source against SUCCESS or REVERSED at the others, or the other way round."""
    odd, other = draft.pick(), Status.SUCCESS if draft.chance(0.7) else Status.REVERSED
    lone, common = (Status.FAILED, other) if draft.chance(0.6) else (other, Status.FAILED)
    for source in SOURCES:
        draft.word(source, lone if source == odd else common)
    draft.opens("STATUS_MISMATCH", odd)


def _lagging(draft: Draft) -> None:
    """One source, or two, never get beyond PENDING."""
    odd = draft.pick()
    if draft.chance(0.8):
        draft.word(odd, Status.PENDING)
        draft.opens("STATUS_MISMATCH", odd)
        return
    for source in SOURCES:
        if source != odd:
            draft.word(source, Status.PENDING)
    draft.opens("STATUS_MISMATCH", None)


def _reversal(draft: Draft) -> None:
    """Reversed at one source, or at all but one."""
    odd = draft.pick()
    lone, common = (Status.REVERSED, Status.SUCCESS) if draft.chance(0.7) else (Status.SUCCESS, Status.REVERSED)
    for source in SOURCES:
        draft.word(source, lone if source == odd else common)
    draft.opens("STATUS_MISMATCH", odd)


def _timestamp(draft: Draft) -> None:
    """One source dates its event far before the others.

    It is sent last: the others are not due by an instant that is long past before they had a chance to come.
    """
    odd = draft.pick()
    shift = draft.plan.timing.window_ms + draft.between(*_BEYOND_WINDOW_MS)
    draft.change(odd, occurred_at=draft.events[odd].occurred_at - shift)
    draft.send_ms[odd] = draft.last_ms() + draft.between(50, 300)
    draft.opens("TIMESTAMP_MISMATCH", odd)


def _missing(draft: Draft) -> None:
    """One source says nothing; sometimes two."""
    first = draft.pick()
    lost = [first] if draft.chance(0.85) else [first, (first + draft.between(1, 2)) % 3]
    for source in sorted(lost):
        draft.withhold(source)
        draft.opens("MISSING_ENTRY", source)


def _several(draft: Draft) -> None:
    """More than one thing is wrong at once."""
    draw, odd = draft.rng.random(), draft.pick()
    if draw < 0.35:
        other = draft.pick()
        draft.change(odd, **_wrong(draft, draft.events[odd], Fault.AMOUNT))
        draft.change(other, **_wrong(draft, draft.events[other], Fault.ACCOUNT))
        draft.opens("AMOUNT_MISMATCH", odd)
        draft.opens("ACCOUNT_MISMATCH", other)
    elif draw < 0.65:
        # of two legs that differ neither is the odd one
        left = (odd + 1) % 3
        draft.change(left, **_wrong(draft, draft.events[left], Fault.AMOUNT))
        draft.withhold(odd)
        draft.opens("AMOUNT_MISMATCH", None)
        draft.opens("MISSING_ENTRY", odd)
    elif draw < 0.85:
        # amounts in different currencies are not compared
        draft.change(odd, **_wrong(draft, draft.events[odd], Fault.AMOUNT))
        draft.change(odd, **_wrong(draft, draft.events[odd], Fault.CURRENCY))
        draft.opens("CURRENCY_MISMATCH", odd)
    else:
        _late(draft)
        draft.change(odd, **_wrong(draft, draft.events[odd], Fault.DIRECTION))
        draft.opens("DIRECTION_MISMATCH", odd)


def _tolerance(draft: Draft) -> None:
    """One amount differs by no more than the rules tolerate."""
    tolerated = tolerating_currencies(draft.plan)
    currency = tolerated[draft.between(0, len(tolerated) - 1)]
    for source in SOURCES:
        draft.change(source, currency=currency, amount_minor=_LARGE_MINOR)
    odd = draft.pick()
    draft.change(odd, amount_minor=_LARGE_MINOR + draft.between(1, draft.plan.tolerated(currency, _LARGE_MINOR)))
    draft.within_tolerance = True


def _late(draft: Draft) -> None:
    """One leg, sometimes two, come when they were already missed."""
    first = draft.pick()
    late = [first] if draft.chance(0.85) else [first, (first + 1) % 3]
    for source in sorted(late):
        draft.send_ms[source] = (
            draft.begin_ms + draft.plan.timing.skew_ms + draft.plan.timing.grace_ms + draft.between(*_LATE_MARGIN_MS)
        )
        draft.resolves("MISSING_ENTRY", source)


def _late_status(draft: Draft) -> None:
    """One source stays PENDING beyond the grace of a status, then succeeds after all."""
    source = draft.pick()
    final = draft.events[source]
    draft.word(source, Status.PENDING)
    at = draft.last_ms() + draft.plan.timing.status_grace_ms + draft.between(*_LATE_MARGIN_MS)
    occurred = draft.plan.base_ms + at - draft.between(0, 200)
    draft.send(source, at, final.replaced(event_id=draft.event_id(source, "-2"), occurred_at=occurred))
    draft.resolves("STATUS_MISMATCH", source)


def _duplicate(draft: Draft) -> None:
    """The same event twice, or three times, in a row."""
    source = draft.pick()
    for _ in range(draft.between(1, 2)):
        draft.send(source, draft.send_ms[source] + draft.between(1, 300), draft.events[source])


def _redelivered(draft: Draft) -> None:
    """An exact copy of an event, long after it."""
    source = draft.pick()
    at = draft.send_ms[source] + draft.plan.timing.grace_ms + draft.between(500, 10_000)
    draft.send(source, at, draft.events[source])


def _correction(draft: Draft) -> None:
    """A wrong leg, put right by a higher revision; sometimes an old copy of the wrong one still follows."""
    odd = draft.pick()
    kind = _FIELD_FAULTS[draft.between(0, len(_FIELD_FAULTS) - 1)]
    right = draft.events[odd]
    wrong = right.replaced(**_wrong(draft, right, kind))
    draft.events[odd] = wrong
    at = draft.last_ms() + draft.between(500, 2500)
    draft.send(odd, at, right.replaced(revision=draft.between(1, 3)))
    draft.resolves(_CLASS_OF[kind], odd)
    if draft.chance(0.25):
        draft.send(odd, at + draft.between(1, 1000), wrong)


def _conflict(draft: Draft) -> None:
    """The same event and revision again with other content; sometimes a higher revision settles it."""
    source = draft.pick()
    event = draft.events[source]
    others: tuple[dict[str, Any], ...] = (
        {"amount_minor": event.amount_minor + 1},
        {"account": f"{event.account}9"},
        {"channel": "BRANCH"},
        {"occurred_at": event.occurred_at + 1},
    )
    at = draft.send_ms[source] + draft.between(1, 1000)
    draft.send(source, at, event.replaced(**others[draft.between(0, len(others) - 1)]))
    if draft.chance(0.3):
        draft.send(source, max(at, draft.last_ms()) + draft.between(500, 1500), event.replaced(revision=1))
        draft.resolves("IDENTITY_CONFLICT", source)
    else:
        draft.opens("IDENTITY_CONFLICT", source)


def _duplicate_entry(draft: Draft) -> None:
    """A second entry of one source under another event id; sometimes it is then corrected to a reversed one."""
    source = draft.pick()
    event = draft.events[source]
    at = draft.send_ms[source] + draft.between(50, 1000)
    amount = event.amount_minor if draft.chance(0.6) else event.amount_minor + draft.between(1, 500)
    occurred = event.occurred_at + draft.between(0, 40)
    surplus = event.replaced(event_id=draft.event_id(source, "-2"), amount_minor=amount, occurred_at=occurred)
    draft.send(source, at, surplus)
    if draft.chance(0.3):
        reversed_ = surplus.replaced(revision=1, status=WORDS[source][Status.REVERSED])
        draft.send(source, max(at, draft.last_ms()) + draft.between(500, 1500), reversed_)
        draft.resolves("DUPLICATE_ENTRY", source)
    else:
        draft.opens("DUPLICATE_ENTRY", source)


def _progress(draft: Draft) -> None:
    """One source reports each step by an event of its own, not always in order; sometimes all then go on to REVERSED."""
    source = draft.pick()
    final, first_at = draft.events[source], draft.send_ms[source]
    # the other legs wait for this status; within the grace nothing is amiss
    longest = min(2500, draft.plan.timing.status_grace_ms // 3)
    second_at = first_at + draft.between(1, longest)
    draft.word(source, Status.PENDING)
    success_at = second_at
    if draft.chance(0.3):
        draft.send_ms[source], success_at = second_at, first_at
    occurred = draft.between(final.occurred_at, draft.plan.base_ms + success_at)
    draft.send(source, success_at, final.replaced(event_id=draft.event_id(source, "-2"), occurred_at=occurred))
    if draft.chance(0.25):
        begin = draft.last_ms()
        for each in SOURCES:
            _reverse(draft, each, begin + draft.between(1, longest))


def _reverse(draft: Draft, source: int, at_ms: int) -> None:
    """The leg of a source goes on to REVERSED; the money may be said to go either way, the leg's direction stays."""
    event = draft.events[source]
    draft.send(
        source,
        at_ms,
        event.replaced(
            event_id=draft.event_id(source, "-3"),
            status=WORDS[source][Status.REVERSED],
            direction=draft.between(0, 1),
            occurred_at=draft.plan.base_ms + at_ms,
        ),
    )


FAULTS: Mapping[Fault, Callable[[Draft], None]] = {
    Fault.CLEAN: _clean,
    Fault.AMOUNT: _amount,
    Fault.CURRENCY: _field,
    Fault.DIRECTION: _field,
    Fault.ACCOUNT: _field,
    Fault.REFERENCE: _field,
    Fault.TIMESTAMP: _timestamp,
    Fault.STATUS: _status,
    Fault.LAGGING: _lagging,
    Fault.REVERSAL: _reversal,
    Fault.MISSING: _missing,
    Fault.SEVERAL: _several,
    Fault.CONFLICT: _conflict,
    Fault.DUPLICATE_ENTRY: _duplicate_entry,
    Fault.INVALID: invalid,
    Fault.TOLERANCE: _tolerance,
    Fault.LATE: _late,
    Fault.LATE_STATUS: _late_status,
    Fault.DUPLICATE: _duplicate,
    Fault.REDELIVERED: _redelivered,
    Fault.CORRECTION: _correction,
    Fault.PROGRESS: _progress,
    Fault.POISON: poison,
    Fault.UNKNOWN_SCHEMA: unknown_schema,
}
"""What each fault does to a draft."""
