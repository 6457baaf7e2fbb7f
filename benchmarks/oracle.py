"""Judges what an engine published by the simulator's answer key: last word of every transaction right, none missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from benchmarks.backlog import Expected
from recon_stream.avro import decode

STOCK_FIELDS = {
    "AMOUNT_MISMATCH": "amount_minor",
    "CURRENCY_MISMATCH": "currency",
    "DIRECTION_MISMATCH": "direction",
    "ACCOUNT_MISMATCH": "account",
    "STATUS_MISMATCH": "status",
    "REFERENCE_MISMATCH": "reference",
    "TIMESTAMP_MISMATCH": "occurred_at",
}


class Said(NamedTuple):
    """One published revision; `claim` is whatever is to be compared with the answer key."""

    txn_id: str
    revision: int
    claim: object


Read = Callable[[bytes], Said]
Claim = Callable[[Expected], object]
"""What the last result must claim; None where no result is expected."""


@dataclass(slots=True)
class Judgement:
    """`wrong` counts errors by kind; repeated revisions with the same bytes are allowed and counted."""

    results: int
    transactions: int
    repeated: int
    wrong: dict[str, int]

    @classmethod
    def nothing(cls) -> Judgement:
        """Before anything was judged."""
        return cls(0, 0, 0, {})

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and something was there to be judged."""
        return self.transactions > 0 and not self.wrong


def product_said(value: bytes) -> Said:
    """A record of recon_results."""
    result: Any = decode("reconciliation_result", value)
    breaks = frozenset((each["class"], each["subject"]) for each in result["breaks"] if each["state"] == "OPEN")
    claim = Expected(result["verdict"], breaks, len(result["legs"]))
    return Said(result["txn_id"], result["revision"], claim)


def product_claim(expected: Expected) -> object:
    """Verdict, open breaks with their subjects, and the number of legs."""
    return expected


def stock_said(value: bytes) -> Said:
    """A record of the stock application's result topic."""
    result = orjson.loads(value)
    return Said(result["txn_id"], result["revision"], (frozenset(result["differing"]), len(result["legs"])))


def stock_claim(expected: Expected) -> object:
    """Which fields differ, and the number of legs: it knows no deadlines, so a missing leg is no break there.

    And a single leg makes no result there.
    """
    if expected.legs < 2:
        return None
    differing = frozenset(STOCK_FIELDS[name] for name, _ in expected.breaks if name in STOCK_FIELDS)
    return differing, expected.legs


async def judge(
    values: AsyncIterator[bytes], expected: Mapping[str, Expected], said_in: Read, claim_of: Claim
) -> Judgement:
    """Compare all that one run published with the answer key."""
    chains: dict[str, dict[int, int]] = {}
    last: dict[str, Said] = {}
    results = repeated = 0
    wrong: Counter[str] = Counter()
    async for value in values:
        results += 1
        said = said_in(value)
        chain = chains.setdefault(said.txn_id, {})
        digest = hash(value)
        known = chain.setdefault(said.revision, digest)
        if known != digest:
            wrong["same revision, other content"] += 1
        before = last.get(said.txn_id)
        if before is None or said.revision > before.revision:
            last[said.txn_id] = said
        else:
            repeated += 1
    wrong["transaction that was never sent"] += len(chains.keys() - expected.keys())
    for txn_id, wanted in expected.items():
        claim, found = claim_of(wanted), last.get(txn_id)
        if found is None:
            wrong["no result"] += claim is not None
            continue
        if found.claim != claim:
            wrong["last result differs from the answer key"] += 1
        if len(chains[txn_id]) != max(chains[txn_id]):
            wrong["gap in the revisions"] += 1
    return Judgement(results, len(expected), repeated, dict(+wrong))
