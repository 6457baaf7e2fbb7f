"""What the duplicate filter is asked and told of an event. Pure, because it is made of every event: a native build compiles it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

_COORDINATES_START: Final = 48
_NEW_DIGEST: Final = blake2b(digest_size=16)
"""Never updated: to copy it costs less than to make one."""


class Seen:
    """One event as the filter knows it. `mark` is the epoch of the state (16 hex digits), a digest (32 hex digits), and the
    coordinates topic:partition:offset."""

    __slots__ = ("event_revision", "mark", "source", "txn_id")

    def __init__(self, txn_id: str, source: str, event_revision: str, mark: str) -> None:
        self.txn_id = txn_id
        self.source = source
        self.event_revision = event_revision
        self.mark = mark


def mark(epoch: str, payload: bytes, coordinates: str) -> str:
    """What is remembered of an event; `payload` is its content as our schema writes it."""
    digest = _NEW_DIGEST.copy()
    digest.update(payload)
    return f"{epoch}{digest.hexdigest()}{coordinates}"


def is_copy(known: bytes | None, mine: str) -> bool:
    """Whether `known` is the same content at other coordinates, durably processed in this life of the state."""
    if known is None:
        return False
    theirs = known.decode()
    at = _COORDINATES_START
    return theirs[:at] == mine[:at] and theirs[at:] != mine[at:]


def asked_of(events: Sequence[Seen]) -> list[str]:
    """What claim.lua is asked, flat."""
    asked: list[str] = []
    for event in events:
        asked.append(event.txn_id)
        asked.append(event.source)
        asked.append(event.event_revision)
    return asked


def told_of(events: Sequence[tuple[Seen, bool]]) -> list[str]:
    """What settle.lua is told of events and whether they were accepted, flat."""
    told: list[str] = []
    for event, accepted in events:
        told.append(event.txn_id)
        told.append(event.source)
        told.append(event.event_revision)
        told.append(event.mark if accepted else "")
    return told
