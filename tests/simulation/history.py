"""What the banks send in a seed: transactions of the judge's scenarios, copies, late legs, poison."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from tests.judge.rules import SOURCE_OF, TOPIC_OF
from tests.judge.stream import DEADLINE, SCENARIOS, UNKNOWN_SCHEMA_ID, base, steps_of
from tests.judge.wire import EVENT_ID, LETTER_ID, framed
from tests.simulation.seams import T0

TOPICS = tuple(SOURCE_OF)
SPAN = 4.0
"""Seconds in which transactions begin."""


class Append(NamedTuple):
    """A record that a bank appends at a virtual second; `lag` is how far its Kafka timestamp lies before that (CreateTime)
    in seconds, or None: the broker gives the timestamp."""

    at: float
    topic: str
    key: bytes | None
    value: bytes | None
    lag: float | None


def make_history(dice: Random) -> list[Append]:
    """In order of time."""
    found: list[Append] = []
    lag = dice.choice((None, None, 0.0, 0.7))
    for number in range(dice.randint(2, 5)):
        scenario, txn_id = dice.choice(SCENARIOS), f"T{number}"
        at = dice.uniform(0.2, SPAN)
        for source, event in steps_of(scenario, txn_id, int((T0 + at) * 1000), dice):
            if source == DEADLINE:
                at += dice.uniform(1.0, 3.0)
                continue
            value = framed(EVENT_ID, event)
            found.append(Append(at, TOPIC_OF[source], txn_id.encode(), value, lag))
            at += dice.choice((0.0, 0.0, 0.01, 0.2, 1.2))
    for _ in range(dice.choice((0, 0, 1, 2, 6))):
        one = dice.choice(found)
        found.append(one._replace(at=one.at + dice.choice((0.0, 0.05, 0.5, 2.0))))
    if dice.random() < 0.3:
        found += _poison(dice)
    if dice.random() < 0.3:
        found += _filler(dice)
    return sorted(found, key=lambda one: one.at)


def _poison(dice: Random) -> list[Append]:
    good = framed(EVENT_ID, base("POISON", "MOBILE", int(T0 * 1000)))
    bad = [
        (b"P1", None),
        (b"P2", b"\x01" + good[1:]),
        (b"P3", b"\x00" + UNKNOWN_SCHEMA_ID.to_bytes(4, "big") + good[5:]),
        (b"P4", good[:-3]),
        (b"P5", good + b"\x00"),
        (b"P6", b"\x00" + LETTER_ID.to_bytes(4, "big") + good[5:]),
        (None, good),
        (b"", good),
        (b"\xff\xfe", good),
        (b"NOT-IT", good),
    ]
    return [Append(dice.uniform(0.2, SPAN), "mobile_txns", *one, None) for one in dice.sample(bad, dice.randint(1, 3))]


def _filler(dice: Random) -> list[Append]:
    """One busy feed: others look stalled beside it."""
    source = dice.choice(tuple(TOPIC_OF))
    begin = dice.uniform(0.2, SPAN)
    found = []
    for number in range(dice.randint(4, 8)):
        at, txn_id = begin + 0.3 * number, f"F{number}"
        value = framed(EVENT_ID, base(txn_id, source, int((T0 + at) * 1000)))
        found.append(Append(at, TOPIC_OF[source], txn_id.encode(), value, None))
    return found
