"""The backlog that both engines read: the product's own simulator, sent as fast as possible, with its answer key."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from producers.feed import feed
from producers.plan import UNPACED_INTERVAL_US, Plan, parse_mix
from recon_stream.settings import Settings

MIX = "clean=920,amount=30,status=20,timestamp=10,missing=20"
EVENTS_PER_TRANSACTION = 3
PAST_MS = 3_600_000
"""The plan begins so long ago: every grace of a missing leg or a lagging status is over when the backlog is read."""


class Expected(NamedTuple):
    """What must be said of a transaction in the end; `breaks` are the open ones as (class, subject)."""

    verdict: str
    breaks: frozenset[tuple[str, str]]
    legs: int


@dataclass(slots=True)
class Backlog:
    """All that has been sent so far."""

    settings: Settings
    folder: Path
    seed: int
    transactions: int = 0
    events: int = 0
    parts: int = 0
    expected: dict[str, Expected] = field(default_factory=dict)
    base_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000 - PAST_MS)

    async def grow(self, transactions: int) -> float:
        """Send what is missing to so many transactions; the seconds that it took.

        What was sent before stays as it is, so the first transactions are the same ones in every size.
        """
        plan = Plan(
            seed=self.seed + self.parts,
            # the next part begins where the one before has ended
            base_ms=self.base_ms + self.transactions * UNPACED_INTERVAL_US // 1000,
            interval_us=UNPACED_INTERVAL_US,
            transactions=transactions - self.transactions,
            paced=False,
            mix=parse_mix(MIX),
        )
        path = self.folder / f"answer-key-{self.parts}.jsonl"
        sent = await feed(self.settings, plan, path)
        self.expected |= read_key(path)
        self.transactions, self.parts = transactions, self.parts + 1
        self.events += sum(sent.records.values())
        return sent.seconds


def read_key(path: Path) -> dict[str, Expected]:
    """Every line of an answer key by transaction."""
    expected: dict[str, Expected] = {}
    with path.open("rb") as lines:
        for line in lines:
            entry = orjson.loads(line)
            if "totals" in entry:
                break
            breaks = frozenset((each["class"], each["subject"]) for each in entry["open"])
            missing = sum(break_class == "MISSING_ENTRY" for break_class, _ in breaks)
            legs = EVENTS_PER_TRANSACTION - missing
            expected[entry["txn_id"]] = Expected(entry["verdict"], breaks, legs)
    return expected
