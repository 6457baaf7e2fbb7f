"""One transaction while it is being planned: three agreeing legs that a fault then changes."""

from __future__ import annotations

from random import Random
from typing import Any

from producers.plan import BreakKey, DeadLetterFamily, Fault, Frame, Plan, Planned, Record
from recon_stream.domain.event import SOURCES, Event, Status
from recon_stream.domain.money import exponent

WORDS = (
    ("PENDING", "POSTED", "REJECTED", "REVERSED"),
    ("AUTHORIZED", "CAPTURED", "DECLINED", "REFUNDED"),
    ("PROCESSING", "SUCCESS", "FAILED", "REVERSED"),
)
"""The status words by source, in the order PENDING, SUCCESS, FAILED, REVERSED."""

CURRENCIES = ("EUR", "EUR", "EUR", "USD", "USD", "GBP", "CHF", "KES", "INR", "JPY", "JPY", "KWD", "KWD", "CLF")
_CHANNELS = (None, "WEB", "APP", "POS", "ATM")
_EVENT_SPREAD_MS = 400


class Draft:
    """A clean transaction; the methods change it and note what must come of the change.

    `events` and `send_ms` hold the leg of each source. An event is never dated after the instant at which it is sent
    (unless a fault says so): a watermark can then not run ahead of legs that are still to come.
    """

    def __init__(self, plan: Plan, number: int, fault: Fault, rng: Random) -> None:
        self.plan, self.fault, self.rng = plan, fault, rng
        self.txn_id = f"T{plan.tag}-{number:010d}"
        self.key = self.txn_id.encode()
        self.begin_ms = plan.begin_ms(number)
        self.extra: list[Record] = []
        self.open: list[BreakKey] = []
        self.resolved: list[BreakKey] = []
        self.dead_letters: list[DeadLetterFamily] = []
        self.within_tolerance = False
        self.absent: set[int] = set()
        self.status = self._common_status()
        self.events, self.send_ms = self._legs()

    def _common_status(self) -> Status:
        # A fault needs legs that were to succeed; clean transactions also fail and are reversed.
        if self.fault is not Fault.CLEAN:
            return Status.SUCCESS
        draw = self.rng.random()
        return Status.SUCCESS if draw < 0.9 else Status.FAILED if draw < 0.96 else Status.REVERSED

    def _legs(self) -> tuple[list[Event], list[int]]:
        rng, begin = self.rng, self.begin_ms
        currency = CURRENCIES[int(rng.random() * len(CURRENCIES))]
        # small payments are common, large ones rare
        amount = 1 + int(rng.random() ** 3 * 50_000 * 10 ** exponent(currency))
        direction = int(rng.random() * 2)
        account = f"ACC{int(rng.random() * 10_000_000):010d}"
        reference = f"R{int(rng.random() * (1 << 48)):012X}"
        # null and empty references are as good as none and never differ
        bare = rng.random() < 0.2 and self.fault is Fault.CLEAN
        channel = _CHANNELS[int(rng.random() * len(_CHANNELS))]
        base = self.plan.base_ms
        skew = self.plan.timing.skew_ms - min(_EVENT_SPREAD_MS, self.plan.timing.skew_ms)
        events, send_ms = [], []
        for source in SOURCES:
            occurred = begin + int(rng.random() * min(_EVENT_SPREAD_MS, self.plan.timing.skew_ms))
            send_ms.append(occurred + int(rng.random() * (skew + 1)))
            events.append(
                Event(
                    self.event_id(source),
                    self.txn_id,
                    int(source),
                    amount,
                    currency,
                    direction,
                    WORDS[source][self.status],
                    base + occurred,
                    account,
                    (None, "", reference)[int(rng.random() * 3)] if bare else reference,
                    channel,
                    0,
                )
            )
        return events, send_ms

    def event_id(self, source: int, suffix: str = "") -> str:
        """The id of an event of a source in this transaction; each suffix is another event."""
        return f"{'CGM'[source]}{self.txn_id[1:]}{suffix}"

    def pick(self) -> int:
        """A source at random."""
        return int(self.rng.random() * 3)

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self.rng.random() < probability

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.rng.random() * (high - low + 1))

    def change(self, source: int, **fields: Any) -> None:
        """Change the leg of a source."""
        self.events[source] = self.events[source].replaced(**fields)

    def word(self, source: int, status: Status) -> None:
        """Give the leg of a source another status."""
        self.change(source, status=WORDS[source][status])

    def last_ms(self) -> int:
        """When the last of everything planned so far is sent."""
        legs = [at for source, at in enumerate(self.send_ms) if source not in self.absent]
        return max([*legs, *(record.send_ms for record in self.extra)], default=self.begin_ms)

    def send(self, source: int, at_ms: int, event: Event) -> None:
        """Send a further event of a source."""
        self.extra.append(Record(at_ms, source, self.key, event))

    def send_raw(self, source: int, at_ms: int, key: bytes | None, frame: Frame, body: bytes | None) -> None:
        """Send a value that is no event of ours."""
        self.extra.append(Record(at_ms, source, key, None, frame, body))

    def withhold(self, source: int) -> None:
        """The leg of that source is not sent."""
        self.absent.add(source)

    def opens(self, break_class: str, source: int | None) -> None:
        """A break that is open in the end; its subject is a source, or ALL for None."""
        self.open.append(_break(break_class, source))

    def resolves(self, break_class: str, source: int | None) -> None:
        """A break that opens on the way and is resolved in the end."""
        self.resolved.append(_break(break_class, source))

    def finished(self) -> Planned:
        """The transaction as planned."""
        legs = [
            Record(self.send_ms[source], source, self.key, event)
            for source, event in enumerate(self.events)
            if source not in self.absent
        ]
        whole = "MATCHED_WITHIN_TOLERANCE" if self.within_tolerance else "MATCHED"
        return Planned(
            self.txn_id,
            self.fault,
            (*legs, *self.extra),
            "BROKEN" if self.open else whole,
            tuple(self.open),
            tuple(self.resolved),
            tuple(self.dead_letters),
        )


def _break(break_class: str, source: int | None) -> BreakKey:
    return BreakKey(break_class, "ALL" if source is None else SOURCES[source].name)
