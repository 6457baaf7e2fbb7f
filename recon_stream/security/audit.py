"""The audit trail as a chain: each entry holds the hash of the one before it, so that no edit, deletion, exchange or insertion
goes unnoticed. Pure; append_audit in PostgreSQL (storage/migrations) computes the same hash on its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple

FIRST = b""
"""What the first entry holds in place of a hash before it."""


class Outcome(StrEnum):
    """How an action ended."""

    ALLOWED = "ALLOWED"
    DENIED = "DENIED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Who did what, to what, from where, how it ended. `detail` holds no secret and no account number."""

    actor: str
    role: str
    action: str
    object: str
    outcome: Outcome
    address: str
    session: str
    request_id: str
    detail: dict[str, Any]


class Stored(NamedTuple):
    """A row of audit_logs; `at_us` in microseconds of the epoch, `detail` as its JSON stands in the table."""

    seq: int
    at_us: int
    actor: str
    role: str
    action: str
    object: str
    outcome: str
    address: str
    session: str
    request_id: str
    detail: str
    previous_hash: bytes
    hash: bytes


class Fault(NamedTuple):
    """A place at which the chain does not hold."""

    seq: int
    what: str


def hash_of(entry: Stored) -> bytes:
    """SHA-256 of the hash before it and of every part, each preceded by its length in bytes as 4 bytes."""
    parts = (
        str(entry.seq), str(entry.at_us), entry.actor, entry.role, entry.action, entry.object, entry.outcome,
        entry.address, entry.session, entry.request_id, entry.detail,
    )  # fmt: skip
    digest = sha256(entry.previous_hash)
    for part in parts:
        text = part.encode()
        digest.update(len(text).to_bytes(4, "big") + text)
    return digest.digest()


def check(entries: Iterable[Stored], after: tuple[int, bytes] = (0, FIRST)) -> Iterator[Fault]:
    """Every place at which entries, in order of their numbers, do not follow each other. `after`: the number and hash before."""
    seq, previous = after
    for entry in entries:
        if entry.seq != seq + 1:
            yield Fault(entry.seq, f"comes after {seq}: entries are missing, or were moved")
        if entry.previous_hash != previous:
            yield Fault(entry.seq, "does not hold the hash of the entry before it")
        if hash_of(entry) != entry.hash:
            yield Fault(entry.seq, "was changed: its hash is another one")
        seq, previous = entry.seq, entry.hash
