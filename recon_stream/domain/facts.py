"""What a case is made of: accepted facts, in order, each with the rules in force when it was accepted.

Offsets are those of the source's topic, in the partition of the case; timestamps and instants in epoch milliseconds.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from recon_stream.domain.event import Event
from recon_stream.domain.rules import Rules


class DeadlineKind(IntEnum):
    """What a deadline is for."""

    MISSING = 0
    STATUS = 1
    PENDING = 2
    EXPIRY = 3


class Received:
    """An event or a correction that was accepted. Never changed once it is made."""

    # No NamedTuple as its rarer siblings: its fields are read many times an event, which is dearer from a tuple.
    __slots__ = ("event", "offset", "rules", "schema_id", "source", "timestamp")

    def __init__(self, source: int, offset: int, timestamp: int, rules: Rules, schema_id: int, event: Event) -> None:
        self.source = source
        self.offset = offset
        self.timestamp = timestamp
        self.rules = rules
        self.schema_id = schema_id
        self.event = event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Received) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def _fields(self) -> tuple[object, ...]:
        return self.source, self.offset, self.timestamp, self.rules, self.schema_id, self.event


class Conflicting(NamedTuple):
    """A copy of an accepted event revision with other content."""

    source: int
    offset: int
    timestamp: int
    rules: Rules
    event_id: str
    revision: int


class Rejected(NamedTuple):
    """A record of the source that decoded but was invalid."""

    source: int
    offset: int
    timestamp: int
    rules: Rules
    reason: str


class Passed(NamedTuple):
    """A deadline that passed. `source`: the missing one, or the one whose progress let the grace pass."""

    kind: DeadlineKind
    source: int
    instant: int
    rules: Rules


class Decided(NamedTuple):
    """A decision of people on a break, or on the whole case where `break_id` is empty (resolution VOID)."""

    break_id: str
    resolution: str
    timestamp: int
    rules: Rules


Fact = Received | Conflicting | Rejected | Passed | Decided


class Deadline:
    """An instant that must be noticed once the partition of `gate` has passed it. Never changed once it is made.

    `gate` is a source, or EVERY_SOURCE; `source` is what Passed will name (the gate's source, or the missing one).
    """

    __slots__ = ("gate", "instant", "kind")

    def __init__(self, gate: int, kind: DeadlineKind, instant: int) -> None:
        self.gate = gate
        self.kind = kind
        self.instant = instant

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Deadline)
            and self.instant == other.instant
            and self.gate == other.gate
            and self.kind == other.kind
        )

    def __hash__(self) -> int:
        return hash((self.gate, self.kind, self.instant))

    def __repr__(self) -> str:
        return f"Deadline({self.gate}, {self.kind!r}, {self.instant})"


EVERY_SOURCE: Final = 3
