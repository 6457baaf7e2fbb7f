"""What a result changed: the moves of its breaks since the revision seen before, derived with bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from recon_stream.domain.event import SOURCES
from recon_stream.domain.money import format_major, is_currency
from recon_stream.storage.verdicts import Move

TRANSACTIONS_MAX = 50_000
"""Transactions whose last revision is remembered; of a forgotten one the next result is taken for the first."""

_CONTENT = ("subtype", "subject", "field", "expected", "actual", "delta_minor", "severity", "resolution")


class BreakMove(NamedTuple):
    """One move. Amounts and `delta_minor` in minor units of `currency`, `at` in epoch milliseconds."""

    at: int
    txn_id: str
    revision: int
    move: Move
    break_id: str
    break_class: str
    subtype: str
    subject: str
    field: str
    expected: str | None
    actual: str | None
    delta_minor: int | None
    severity: str
    resolution: str | None
    amount_minor: int | None
    currency: str | None


class Moves:
    """Follows the results of recon_mismatches (or recon_results) in the order of their partitions.

    A transaction that is new here tells the moves that led to its present state: what is open was opened, what is
    resolved was resolved. Results that were seen before (delivery is at least once) move nothing.
    """

    def __init__(self, transactions_max: int = TRANSACTIONS_MAX) -> None:
        self._limit = transactions_max
        # txn_id -> (revision, break_id -> (state, content)), the least recently seen first
        self._seen: OrderedDict[str, tuple[int, dict[str, tuple[str, tuple[Any, ...]]]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def of(self, result: Mapping[str, Any]) -> list[BreakMove]:
        """The moves that a decoded ReconciliationResult makes, in the order of its breaks."""
        txn_id, revision = result["txn_id"], result["revision"]
        known_revision, known = self._seen.get(txn_id, (0, {}))
        if revision <= known_revision:
            return []
        now: dict[str, tuple[str, tuple[Any, ...]]] = {}
        moves = []
        for said in result["breaks"]:
            after = now[said["break_id"]] = (said["state"], tuple(said[name] for name in _CONTENT))
            move = _move(known.get(said["break_id"]), after)
            if move is not None:
                moves.append(_described(result, said, move))
        self._seen[txn_id] = (revision, now)
        self._seen.move_to_end(txn_id)
        while len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return moves


def _move(before: tuple[str, tuple[Any, ...]] | None, after: tuple[str, tuple[Any, ...]]) -> Move | None:
    if before is None:
        return Move.OPENED if after[0] == "OPEN" else Move.RESOLVED
    if before[0] != after[0]:
        return Move.RESOLVED if after[0] == "RESOLVED" else Move.REOPENED
    return Move.CHANGED if before[1] != after[1] else None


def _described(result: Mapping[str, Any], said: Mapping[str, Any], move: Move) -> BreakMove:
    return BreakMove(
        at=result["decided_at"],
        txn_id=result["txn_id"],
        revision=result["revision"],
        move=move,
        break_id=said["break_id"],
        break_class=said["class"],
        amount_minor=result["amount_minor"],
        currency=result["currency"],
        resolution=said["resolution"],
        severity=said["severity"],
        **{name: said[name] for name in ("subtype", "subject", "field", "expected", "actual", "delta_minor")},
    )


def major(amount_minor: int | None, currency: str | None) -> str | None:
    """The amount in major units as a string; None without an amount or without an ISO 4217 currency."""
    if amount_minor is None or currency is None or not is_currency(currency):
        return None
    return format_major(amount_minor, currency)


def money(amount_minor: int | None, currency: str | None) -> str:
    """The amount in major units with its currency, "1,234.50 EUR"; "-" where there is none."""
    text = major(amount_minor, currency)
    if text is None:
        return "-"
    whole, point, rest = text.partition(".")
    return f"{int(whole):,}{point}{rest} {currency}" if whole != "-0" else f"{text} {currency}"


def evidence(move: BreakMove) -> str:
    """What differs, for people: "amount 1,347.02 -> 1,320.17", "account A / B", or what a class without a field means."""
    if move.move is Move.RESOLVED and move.resolution:
        return move.resolution.removeprefix("AUTO_").replace("_", " ").lower()
    if not move.field:
        return _WITHOUT_FIELD.get(move.break_class, move.subtype.lower())
    name = {"amount_minor": "amount", "occurred_at": "time"}.get(move.field, move.field)
    if move.expected is not None:
        return f"{name} {_value(move, move.expected)} → {_value(move, move.actual or '')}"
    said = dict(part.partition("=")[::2] for part in (move.actual or "").split(";"))
    if set(said) <= {source.name for source in SOURCES}:
        return f"{name} " + " ≠ ".join(f"{source[0]}:{_value(move, value)}" for source, value in said.items())
    return f"{name} {move.actual}"


_WITHOUT_FIELD = {
    "MISSING_ENTRY": "no entry before the deadline",
    "INVALID_RECORD": "a record was rejected as invalid",
    "IDENTITY_CONFLICT": "one event id, two contents",
    "DUPLICATE_ENTRY": "a second entry",
}


def _value(move: BreakMove, text: str) -> str:
    if move.field == "amount_minor" and text.lstrip("-").isdigit():
        formatted = money(int(text), move.currency)
        return formatted.rpartition(" ")[0] or text
    if move.field == "occurred_at" and text.isdigit():
        return clock(int(text), milliseconds=True)
    return printable(text)


def printable(text: str) -> str:
    """The text with what a terminal would act on replaced: ids and accounts are other people's bytes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def clock(at_ms: int, *, milliseconds: bool = False) -> str:
    """The time of day in UTC of an instant in epoch milliseconds."""
    seconds, rest = divmod(at_ms, 1000)
    minutes, second = divmod(seconds % 86_400, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}" + (f".{rest:03}" if milliseconds else "")
