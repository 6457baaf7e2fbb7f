"""What a batch of results takes out of and puts into the counts of verdicts and breaks. Pure, over what stood before.

A live verdict is counted at the minute of its last decision, a break at the minute at which it was first opened. PostgreSQL
makes the coarser buckets of the minutes (statements save_verdict_rollups and save_break_rollups).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar


class CountedVerdict(NamedTuple):
    """How a live verdict is counted."""

    partition: int
    """Of recon_results."""
    at: datetime
    verdict: str
    currency: str
    """Empty where the transaction has none."""


class CountedBreak(NamedTuple):
    """How a break is counted."""

    partition: int
    at: datetime
    break_class: str
    subject: str
    severity: str
    state: str
    currency: str


K = TypeVar("K", CountedVerdict, CountedBreak)
Change = tuple[K | None, int, K | None, int]
"""How something was counted and with which amount in minor units, how it is counted now; None: not at all."""


def changes(moved: Iterable[Change[K]]) -> dict[K, tuple[int, int]]:
    """What is to be added to each count and to its amount; what comes to nothing is left out. Instants become their minutes."""
    sums: defaultdict[K, list[int]] = defaultdict(lambda: [0, 0])
    for before, amount_before, after, amount_after in moved:
        for counted, amount, sign in ((before, amount_before, -1), (after, amount_after, 1)):
            if counted is not None:
                sum_ = sums[counted._replace(at=counted.at.replace(second=0, microsecond=0))]
                sum_[0] += sign
                sum_[1] += sign * amount
    return {counted: (count, amount) for counted, (count, amount) in sums.items() if count or amount}


def rollup_rows(added: dict[K, tuple[int, int]]) -> list[dict[str, Any]]:
    """As the statements take them; amounts are texts, because JSON readers may round large numbers."""
    return [
        counted._asdict() | {"number": count, "amount_minor": str(amount)} for counted, (count, amount) in added.items()
    ]
