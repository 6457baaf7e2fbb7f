"""The backlog that both engines read: the product's own simulator, sent as fast as possible, with its answer key."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from producers.answer_key import AnswerKey
from producers.feed import CHUNK_RECORDS_MAX, feed
from producers.plan import UNPACED_INTERVAL_US, Plan, Record, parse_mix
from producers.publish import Publisher
from producers.simulator import schedule
from recon_stream.domain.event import SOURCES
from recon_stream.settings import Settings

MIX = "clean=920,amount=30,status=20,timestamp=10,missing=20"
EVENTS_PER_TRANSACTION = 3
PART_TRANSACTIONS = 200
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
        plan, path = self._next(transactions - self.transactions)
        sent = await feed(self.settings, plan, path)
        self._grown(plan, path, sum(sent.records.values()))
        return sent.seconds

    def planned(self, transactions: int) -> list[Record]:
        """So many further transactions as records in the order of sending, for `send`: planning takes longer than sending.

        Their ids lie scattered between those of others, as a part of so few transactions has a prefix of its own.
        """
        records: list[Record] = []
        for begun in range(0, transactions, PART_TRANSACTIONS):
            plan, path = self._next(min(PART_TRANSACTIONS, transactions - begun))
            key = AnswerKey(path)
            part = list(schedule(plan, key.add, lambda: False))
            key.close(plan)
            self._grown(plan, path, len(part))
            path.unlink()
            records += part
        return records

    def _next(self, transactions: int) -> tuple[Plan, Path]:
        """The next part's plan and where its answer key goes."""
        plan = Plan(
            seed=self.seed + self.parts,
            # the next part begins where the one before has ended
            base_ms=self.base_ms + self.transactions * UNPACED_INTERVAL_US // 1000,
            interval_us=UNPACED_INTERVAL_US,
            transactions=transactions,
            paced=False,
            mix=parse_mix(MIX),
        )
        return plan, self.folder / f"answer-key-{self.parts}.jsonl"

    def _grown(self, plan: Plan, key: Path, events: int) -> None:
        self.expected |= read_key(key)
        self.transactions += plan.transactions or 0
        self.parts += 1
        self.events += events


async def send(settings: Settings, records: Sequence[Record]) -> None:
    """Send planned records as fast as the broker takes them."""
    async with Publisher(settings, SOURCES) as publisher:
        for begun in range(0, len(records), CHUNK_RECORDS_MAX):
            await publisher.send(records[begun : begun + CHUNK_RECORDS_MAX])


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
