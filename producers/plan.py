"""What a run of the simulator is to send: the plan's parameters, its records, and what must come of them.

A plan is a function of its parameters alone: the same ones give the same records and the same answer key, in every
process. Transaction number n begins `n * interval_us` after `base_ms`, so several processes that share a plan agree
on it without talking to each other, and an endless plan can be entered at any instant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from recon_stream.domain.event import Event
from recon_stream.domain.money import is_currency
from recon_stream.errors import ConfigurationError

ENDLESS_BASE_MS = 1_735_689_600_000
"""2025-01-01 00:00 UTC: where every endless plan began, so that one entered later continues with fresh transactions."""

UNPACED_INTERVAL_US = 500
"""Between transactions of a plan that is sent as fast as possible: 2,000 a second in event time."""

UNKNOWN_SCHEMA_ID = 2_147_000_000
"""A schema id that no registry has given out."""


class Fault(StrEnum):
    """What is done to a transaction; the values are the names in a mix and in the answer key."""

    CLEAN = "clean"
    AMOUNT = "amount"
    CURRENCY = "currency"
    DIRECTION = "direction"
    ACCOUNT = "account"
    REFERENCE = "reference"
    TIMESTAMP = "timestamp"
    STATUS = "status"
    LAGGING = "lagging"
    REVERSAL = "reversal"
    MISSING = "missing"
    SEVERAL = "several"
    CONFLICT = "conflict"
    DUPLICATE_ENTRY = "duplicate_entry"
    INVALID = "invalid"
    TOLERANCE = "tolerance"
    LATE = "late"
    LATE_STATUS = "late_status"
    DUPLICATE = "duplicate"
    REDELIVERED = "redelivered"
    CORRECTION = "correction"
    PROGRESS = "progress"
    POISON = "poison"
    UNKNOWN_SCHEMA = "unknown_schema"


DEFAULT_MIX: Mapping[Fault, int] = {
    Fault.CLEAN: 850,
    Fault.AMOUNT: 15,
    Fault.CURRENCY: 5,
    Fault.DIRECTION: 5,
    Fault.ACCOUNT: 8,
    Fault.REFERENCE: 7,
    Fault.TIMESTAMP: 6,
    Fault.STATUS: 8,
    Fault.LAGGING: 6,
    Fault.REVERSAL: 4,
    Fault.MISSING: 15,
    Fault.SEVERAL: 6,
    Fault.CONFLICT: 4,
    Fault.DUPLICATE_ENTRY: 5,
    Fault.INVALID: 6,
    Fault.TOLERANCE: 5,
    Fault.LATE: 8,
    Fault.LATE_STATUS: 3,
    Fault.DUPLICATE: 8,
    Fault.REDELIVERED: 8,
    Fault.CORRECTION: 10,
    Fault.PROGRESS: 8,
    Fault.POISON: 5,
    Fault.UNKNOWN_SCHEMA: 1,
}

CLEAN_MIX: Mapping[Fault, int] = {Fault.CLEAN: 1}


class Frame(StrEnum):
    """What stands in front of the Avro record in a value."""

    OURS = "OURS"
    """0x00 and the registered schema id."""
    UNKNOWN = "UNKNOWN"
    """0x00 and UNKNOWN_SCHEMA_ID."""
    NONE = "NONE"
    """Nothing: the body is the whole value."""


class Record(NamedTuple):
    """One Kafka record to be sent.

    `send_ms` counts from the plan's base, `source` names the topic. The body is `event` in Avro where there is one, else
    `body` as it stands; None is a null value.
    """

    send_ms: int
    source: int
    key: bytes | None
    event: Event | None
    frame: Frame = Frame.OURS
    body: bytes | None = None


class DeadLetterFamily(StrEnum):
    """Why a record must become a dead letter, as far as the plan can say it."""

    UNREADABLE = "UNREADABLE"
    """Null or empty value, wrong magic byte, Avro that does not decode to its last byte."""
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"
    BAD_KEY = "BAD_KEY"
    """Null, empty or not UTF-8."""
    INVALID = "INVALID"
    """It decodes, but says something that cannot be."""


class BreakKey(NamedTuple):
    """A break as the answer key names it."""

    break_class: str
    subject: str


class Planned(NamedTuple):
    """One transaction: its records in no order, and what must have come of it in the end.

    `open` are all breaks that are open then. `resolved` are breaks that open and resolve on the way when the records are
    sent at their times and read without delay; read in one go they may never open, and others may open and resolve.
    """

    txn_id: str
    fault: Fault
    records: tuple[Record, ...]
    verdict: str
    open: tuple[BreakKey, ...]
    resolved: tuple[BreakKey, ...]
    dead_letters: tuple[DeadLetterFamily, ...]


class Tolerance(NamedTuple):
    """What the rules tolerate between amounts of a currency; None does not count, of two the stricter holds."""

    absolute_minor: int | None = None
    relative_ppm: int | None = None

    def minor(self, smallest: int) -> int:
        """In minor units, where `smallest` is the smallest amount."""
        relative = None if self.relative_ppm is None else smallest * self.relative_ppm // 1_000_000
        return min((part for part in (self.absolute_minor, relative) if part is not None), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The times of the rules that the plan must respect or break, in milliseconds.

    `grace_ms` is the longest grace of a missing source. `skew_ms` is how long after its event a leg may be sent without
    being late.
    """

    grace_ms: int = 30_000
    status_grace_ms: int = 60_000
    window_ms: int = 30_000
    skew_ms: int = 1_500

    def __post_init__(self) -> None:
        if not 0 < self.skew_ms <= self.grace_ms // 2:
            raise ConfigurationError(
                f"skew of {self.skew_ms} ms: legs on time need one from 1 ms to half of the grace of {self.grace_ms} ms"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Parameters of a run. `base_ms` in epoch milliseconds is when transaction 0 begins; `first` is the number of the
    first transaction to send, `transactions` how many (None: for ever).

    `paced` is False where records are sent in planned order as fast as possible. `tolerances` are those of the rules, by
    currency, where there are any: amounts that are meant to differ differ by more.
    """

    seed: int
    base_ms: int
    interval_us: int
    transactions: int | None
    first: int = 0
    paced: bool = True
    mix: Mapping[Fault, int] = field(default_factory=lambda: DEFAULT_MIX)
    timing: Timing = Timing()
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.interval_us < 1:
            raise ConfigurationError("rate: at most 1,000,000 transactions a second can be planned")
        if self.transactions is not None and self.transactions < 1:
            raise ConfigurationError("transactions: at least 1")
        if self.transactions is None and not self.paced:
            raise ConfigurationError("an endless feed needs a rate above 0")
        if not any(self.mix.values()) or min(self.mix.values()) < 0:
            raise ConfigurationError("mix: weights are zero or more, and one of them is above zero")
        wrong = [currency for currency in self.tolerances if not is_currency(currency)]
        if wrong:
            raise ConfigurationError(f"tolerance: {', '.join(wrong)} is not in ISO 4217")

    @property
    def tag(self) -> str:
        """Part of every transaction id: plans that send different records never share an id."""
        mix = sorted((fault.value, weight) for fault, weight in self.mix.items())
        parts = (self.seed, self.base_ms, self.interval_us, mix, self.timing, sorted(self.tolerances.items()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:10]

    def tolerated(self, currency: str, smallest: int) -> int:
        """By how many minor units amounts in that currency may differ."""
        tolerance = self.tolerances.get(currency)
        return 0 if tolerance is None else tolerance.minor(smallest)

    def begin_ms(self, number: int) -> int:
        """When that transaction begins, in milliseconds since the base."""
        return number * self.interval_us // 1000


def endless_first(now_ms: int, interval_us: int) -> int:
    """Number of the transaction with which an endless plan is entered at that instant."""
    return -((ENDLESS_BASE_MS - now_ms) * 1000 // interval_us)


def parse_mix(text: str) -> Mapping[Fault, int]:
    """A mix from "amount=20,missing=10"; faults not named do not occur, clean has its usual weight unless named.

    Raises ConfigurationError for an unknown fault or weight.
    """
    mix = {Fault.CLEAN: DEFAULT_MIX[Fault.CLEAN]}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name not in tuple(Fault) or not weight.isdecimal() or len(weight) > 9:
            raise ConfigurationError(f"mix: {part!r} is not fault=weight with a fault of {', '.join(Fault)}")
        mix[Fault(name)] = int(weight)
    return mix
