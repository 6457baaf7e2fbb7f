"""What one source has said about one transaction: its entry, the entry's progress, and what is surplus."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from recon_stream.domain.breaks import Leg
from recon_stream.domain.event import Event, Status
from recon_stream.domain.facts import Received


class Role(IntEnum):
    """What an event of a source is; decided when it is first accepted, for good."""

    ENTRY = 0
    PROGRESS = 1
    SURPLUS = 2


class Accepted:
    """An event in force: its role stays, its content is replaced by corrections."""

    __slots__ = ("canonical", "event", "event_time", "fact", "role")

    def __init__(self, role: Role, fact: Received, canonical: int) -> None:
        self.role = role
        self.replace(fact, canonical)

    def replace(self, fact: Received, canonical: int) -> None:
        """Take the content and the coordinates of a correction."""
        event = self.event = fact.event
        self.fact = fact
        self.canonical = canonical
        occurred_at, timestamp = event.occurred_at, fact.timestamp
        self.event_time = occurred_at if occurred_at < timestamp else timestamp


_FAILED_CHAIN: Final = {Status.PENDING, Status.FAILED}
_NONE: Final[frozenset[str]] = frozenset()
_NO_OTHERS: Final[dict[str, Accepted]] = {}
"""Shared, never written to: most sources say one thing."""


class SourceState:
    """What one source has said about the transaction so far."""

    __slots__ = (
        "base_time", "conflicts", "entry", "ever_rejected", "invalid", "last_offset", "leg", "others", "progress",
        "status_time", "surplus_live",
    )  # fmt: skip

    def __init__(self) -> None:
        self.entry: Accepted | None = None
        self.progress: tuple[Accepted, ...] = ()
        """In order of acceptance; with the entry what the leg is made of."""
        self.others: dict[str, Accepted] = _NO_OTHERS
        """By event id, everything accepted but the entry."""
        self.surplus_live = 0
        """Surplus events whose own status is not REVERSED."""
        self.conflicts = _NONE
        """Event ids of which a copy with other content came, and no higher revision since."""
        self.invalid = self.ever_rejected = False
        self.last_offset = -1
        self.leg: Leg | None = None
        self.base_time = self.status_time = 0
        """min(occurred_at, Kafka timestamp) of the event that dates the leg, and of the one that gives its status."""

    def receive(self, fact: Received) -> bool:
        """Take an accepted event or correction; whether it is a correction."""
        event = fact.event
        event_id = event.event_id
        canonical = fact.rules.status_map[fact.source][event.status]
        known = self.accepted(event_id)
        corrects = known is not None
        if known is None:
            known = self._add(Accepted(Role.ENTRY, fact, canonical))
        else:
            if known.role is Role.SURPLUS:
                self.surplus_live -= known.canonical != Status.REVERSED
            known.replace(fact, canonical)
        if known.role is Role.SURPLUS:
            self.surplus_live += known.canonical != Status.REVERSED
        else:
            self._set_leg(fact.source)
        if self.conflicts:
            self.conflicts -= {event_id}
        self.invalid = False
        return corrects

    def accepted(self, event_id: str) -> Accepted | None:
        """What is in force of that event."""
        entry = self.entry
        if entry is not None and entry.event.event_id == event_id:
            return entry
        return self.others.get(event_id)

    def _add(self, new: Accepted) -> Accepted:
        if self.entry is None:
            self.entry = new
            return new
        new.role = self._role(self.entry.event, [self.entry, *self.progress], new)
        if new.role is Role.PROGRESS:
            self.progress += (new,)
        if self.others is _NO_OTHERS:
            self.others = {}
        self.others[new.event.event_id] = new
        return new

    @staticmethod
    def _role(entry: Event, track: list[Accepted], new: Accepted) -> Role:
        """What another event id is, beside the entry."""
        event = new.event
        if (event.amount_minor, event.currency, event.account) != (entry.amount_minor, entry.currency, entry.account):
            return Role.SURPLUS
        if new.canonical != Status.REVERSED and any(
            one.event.direction != event.direction for one in track if one.canonical != Status.REVERSED
        ):
            return Role.SURPLUS
        statuses = [one.canonical for one in track]
        statuses.append(new.canonical)
        distinct = set(statuses)
        if len(distinct) < len(statuses):
            return Role.SURPLUS
        in_a_chain = Status.FAILED not in distinct or distinct <= _FAILED_CHAIN
        return Role.PROGRESS if in_a_chain else Role.SURPLUS

    def _set_leg(self, source: int) -> None:
        assert self.entry is not None
        low = high = self.entry
        noted = low if low.event.reference else None
        for one in self.progress:
            if one.canonical < low.canonical:
                low = one
            if one.canonical >= high.canonical:
                high = one
            if one.event.reference and (noted is None or one.canonical >= noted.canonical):
                noted = one
        fact = low.fact
        self.leg = Leg(
            source, low.event, high.event.status, high.canonical, noted.event.reference if noted else None,
            fact.offset, fact.schema_id,
        )  # fmt: skip
        self.base_time, self.status_time = low.event_time, high.event_time


SILENT: Final = SourceState()
"""A source that has said nothing; shared, never written to: most cases begin with two of them."""
