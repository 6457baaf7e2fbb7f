"""Judges what an engine published by the simulator's answer key: last word of every transaction right, none missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from benchmarks.backlog import Expected
from recon_stream.avro import FRAME_BYTES, decode

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
    """One published revision; `claim` is whatever is to be compared with the answer key.

    `open_breaks` stands for all that is said of them: where it changes, the revision belongs to recon_mismatches too. `evidence`
    is a number made of all legs and of all breaks but missing legs, to the last field; 0 where the engine writes other records.
    """

    txn_id: str
    revision: int
    claim: object
    open_breaks: int = 0
    evidence: int = 0


Read = Callable[[bytes], Said]
Claim = Callable[[Expected], object]
"""What the last result must claim; None where no result is expected."""


@dataclass(slots=True)
class Judgement:
    """`wrong` counts errors by kind; repeated revisions with the same bytes are allowed and counted.

    `evidence` is one number for the last words of all transactions with two legs or more: two engines that wrote the same legs
    and the same breaks, to the last field, have the same one. 0 where the engine writes other records.
    """

    results: int
    transactions: int
    repeated: int
    wrong: dict[str, int]
    evidence: int = 0

    @classmethod
    def nothing(cls) -> Judgement:
        """Before anything was judged."""
        return cls(0, 0, 0, {})

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and something was there to be judged."""
        return self.transactions > 0 and not self.wrong


def product_said(value: bytes) -> Said:
    """A record of recon_results, whoever wrote it."""
    result: Any = decode("reconciliation_result", value)
    opened = [each for each in result["breaks"] if each["state"] == "OPEN"]
    claim = Expected(
        result["verdict"], frozenset((each["class"], each["subject"]) for each in opened), len(result["legs"])
    )
    differing = [each for each in opened if each["class"] != "MISSING_ENTRY"]
    evidence = number_of((result["txn_id"], result["legs"], differing)) if len(result["legs"]) > 1 else 0
    return Said(result["txn_id"], result["revision"], claim, number_of(opened) if opened else 0, evidence)


def number_of(content: object) -> int:
    """64 bits that stand for it."""
    return int.from_bytes(blake2b(repr(content).encode(), digest_size=8).digest())


def product_claim(expected: Expected) -> object:
    """Verdict, open breaks with their subjects, and the number of legs."""
    return expected


def claim_without_deadlines(expected: Expected) -> object:
    """The same of an engine that knows no deadlines: a missing leg is no break there, and a single leg makes no result."""
    if expected.legs < 2:
        return None
    breaks = frozenset(each for each in expected.breaks if each[0] != "MISSING_ENTRY")
    verdict = "PENDING" if expected.breaks and not breaks else expected.verdict
    return Expected(verdict, breaks, expected.legs)


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
    values: AsyncIterator[bytes],
    expected: Mapping[str, Expected],
    said_in: Read,
    claim_of: Claim,
    mismatches: AsyncIterator[bytes] | None = None,
) -> Judgement:
    """Compare all that one run published with the answer key, and its mismatches with its results."""
    chains: dict[str, dict[int, Revision]] = {}
    last: dict[str, Said] = {}
    results = repeated = 0
    wrong: Counter[str] = Counter()
    async for value in values:
        results += 1
        said = said_in(value)
        chain = chains.setdefault(said.txn_id, {})
        revision = Revision(hash(value[FRAME_BYTES:]), said.open_breaks)
        if chain.setdefault(said.revision, revision) != revision:
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
    if mismatches is not None:
        wrong += await judge_mismatches(mismatches, chains, said_in)
    evidence = sum(said.evidence for said in last.values()) % 2**64
    return Judgement(results, len(expected), repeated, dict(+wrong), evidence)


class Revision(NamedTuple):
    """What is kept of a result: its content behind the frame, and its open breaks, as numbers."""

    content: int
    open_breaks: int


async def judge_mismatches(
    mismatches: AsyncIterator[bytes], chains: Mapping[str, Mapping[int, Revision]], said_in: Read
) -> Counter[str]:
    """Every result whose open breaks are not those of the revision before must be there, as it is, and no other."""
    wanted = {
        (txn_id, number): revision.content
        for txn_id, chain in chains.items()
        for number, revision in chain.items()
        if revision.open_breaks != (chain[number - 1].open_breaks if number - 1 in chain else 0)
    }
    seen = set()
    wrong: Counter[str] = Counter()
    async for value in mismatches:
        said = said_in(value)
        seen.add((said.txn_id, said.revision))
        if wanted.get((said.txn_id, said.revision)) != hash(value[FRAME_BYTES:]):
            wrong["mismatch without such a result"] += 1
    wrong["no mismatch where the open breaks changed"] += len(wanted.keys() - seen)
    return wrong
