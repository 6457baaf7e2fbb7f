"""Every seeded fault in a correct stream of results is caught, and a correct stream is not complained about."""

from __future__ import annotations

import ast
import copy
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .hand_worked import CASES
from .hand_worked_form import PARTITION, RULES_FILE, Arrives, instant
from .history import is_mismatch_news
from .picture import identity
from .records import Record
from .rules import load_rules
from .verdicts import Options, Report, Topics, judge
from .wire import EVENT_ID, LETTER_ID, RESULT_ID, SCHEMAS, event_record, framed

RULES = load_rules(RULES_FILE)
Body = dict[str, Any]
# H20 waits for a day; all that it may say by then has been said, and no other case has a deadline left after its end
CLOCK = instant(40)
LETTERS_OFFSET = 100_000
WRONG_SCHEMA_ID = 999


class Stream:
    """A correct stream, to be spoilt: bodies by (transaction, revision), mismatch notes, dead letters."""

    def __init__(self) -> None:
        self.sources: list[Record] = []
        self.results: list[Body] = []
        self.raw_results: list[Record] = []
        self.mismatches: list[Body] = []
        self.letters: list[Body] = []
        offsets = {"core_txns": 0, "gateway_txns": 0, "mobile_txns": 0}
        places: dict[tuple[str, str, int], int] = {}
        for case in COMPLETE:
            before = None
            for step in case.steps:
                if isinstance(step.fact, Arrives):
                    fact = step.fact
                    offset = offsets[fact.topic]
                    offsets[fact.topic] += 1
                    places[case.txn_id, fact.topic, fact.offset] = offset
                    record = event_record(fact.topic, PARTITION, offset, fact.timestamp, case.txn_id, fact.event)
                    self.sources.append(record)
                    if case.txn_id == "H16" and fact.offset < 8 or case.txn_id == "H15" and offset_is_first(fact):
                        self.letters.append(letter(record, "EMPTY_FIELD"))
                if step.result is not None:
                    body = copy.deepcopy(step.result)
                    for leg in body["legs"]:
                        leg["offset"] = places[case.txn_id, leg["topic"], leg["offset"]]
                    self.results.append(body)
                    if is_mismatch_news(before, body):
                        self.mismatches.append(copy.deepcopy(body))
                    before = body
        self.poison(offsets)

    def poison(self, offsets: dict[str, int]) -> None:
        """Records that are dead letters only."""
        good = framed(EVENT_ID, next(s.fact.event for s in CASES[0].steps if isinstance(s.fact, Arrives)))
        cases: list[tuple[bytes | None, bytes | None, str]] = [
            (b"P1", None, "NULL_VALUE"),
            (b"P2", b"\x01" + good[1:], "BAD_MAGIC"),
            (b"P3", b"\x00" + WRONG_SCHEMA_ID.to_bytes(4, "big") + good[5:], "UNKNOWN_SCHEMA"),
            (b"P4", good[:-3], "BAD_AVRO"),
            (b"P5", good + b"\x00", "BAD_AVRO"),
            (b"P6", b"\x00" + LETTER_ID.to_bytes(4, "big") + good[5:], "BAD_AVRO"),
            (None, good, "BAD_KEY"),
            (b"", good, "BAD_KEY"),
            (b"\xff\xfe", good, "BAD_KEY"),
        ]
        for number, (key, value, reason) in enumerate(cases):
            record = Record("mobile_txns", PARTITION, offsets["mobile_txns"] + number, instant(5), key, value)
            self.sources.append(record)
            self.letters.append(letter(record, reason))

    def body(self, txn_id: str, revision: int) -> Body:
        """One result."""
        return next(b for b in self.results if (b["txn_id"], b["revision"]) == (txn_id, revision))

    def note(self, txn_id: str, revision: int) -> Body:
        """One result in recon_mismatches."""
        return next(b for b in self.mismatches if (b["txn_id"], b["revision"]) == (txn_id, revision))

    def topics(self) -> Topics:
        """The stream as Kafka would hand it out."""
        return Topics(
            sources=self.sources,
            results=published("recon_results", self.results) + self.raw_results,
            mismatches=published("recon_mismatches", self.mismatches),
            dead_letters=[
                Record("recon_dead_letters", PARTITION, i, 0, x["key"], framed(LETTER_ID, x))
                for i, x in enumerate(self.letters)
            ],
            schemas=SCHEMAS,
        )

    def judged(self, **options: Any) -> Report:
        """The judge's report on it."""
        return judge(self.topics(), RULES, Options(**{"clock_ms": CLOCK, "settle_ms": 0, **options}))


# The deadlines of these have all been taken up to CLOCK, whatever else waits lies behind it.
COMPLETE = [case for case in CASES if case.txn_id not in {"H06"}]


def offset_is_first(fact: Arrives) -> bool:
    """The invalid record of H15."""
    return (fact.source, fact.offset) == ("GATEWAY", 0)


def letter(record: Record, reason: str) -> Body:
    """The dead letter of a record."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key,
        "value": record.value,
        "reason": reason,
        "detail": "",
        "schema_id": None,
        "failed_at": 0,
    }


def published(topic: str, bodies: list[Body]) -> list[Record]:
    """Bodies as records."""
    return [
        Record(topic, PARTITION, i, 0, body["txn_id"].encode(), framed(RESULT_ID, body)) for i, body in enumerate(bodies)
    ]
