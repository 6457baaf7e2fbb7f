"""Who may write a partition's state: its changelog is the judge of that, nothing else has to be fenced.

An owner begins with a record of its claim, a number above that of every claim before it and a random
token; each record that it appends carries the claim in a header. Read in order, the log itself says which records count: those
of the claim in force. Whoever appends behind the claim of another one has lost the partition, whether it knows that or not.

Claim: number (u32), token (u32), big-endian, so that numbers compare as bytes. Keys: b"c": the claim in force. In the state alone:
b"z" + key: a key whose last record in the changelog does not count.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import Enum

from recon_stream.errors import InvariantViolated

HEADER = "claim"
"""Of every record in the changelog."""
IN_FORCE = b"c"
VOID = b"z"
CLAIM_BYTES = 8
_NUMBER_BYTES = 4


class ForeignRows(InvariantViolated):
    """Another worker has appended to the changelog of this partition meanwhile. This worker stops before it publishes anything
    of it; started again it reads the changelog, leaves out what does not count, and goes on. Nothing is to be done unless it repeats:
    then look for processes that are suspended for longer than the session timeout, or run outside of the consumer group."""


class Ruling(Enum):
    """What becomes of a record when a changelog is read."""

    APPLY = "apply"
    TAKE_OVER = "take over"
    """It is applied, and its claim is the one in force from here on."""
    IGNORE = "ignore"


def rule(in_force: bytes | None, writer: bytes | None) -> Ruling:
    """Whether a record counts that carries the claim `writer`; None: it was written before there were claims."""
    if writer is None or writer == in_force:
        return Ruling.APPLY
    if in_force is None or writer[:_NUMBER_BYTES] > in_force[:_NUMBER_BYTES]:
        return Ruling.TAKE_OVER
    return Ruling.IGNORE


def next_claim(in_force: bytes | None) -> bytes:
    """The claim of a new owner."""
    number = 0 if in_force is None else int.from_bytes(in_force[:_NUMBER_BYTES], "big")
    return (number + 1).to_bytes(_NUMBER_BYTES, "big") + os.urandom(CLAIM_BYTES - _NUMBER_BYTES)


def claim_in(headers: Iterable[tuple[str, bytes | None]]) -> bytes | None:
    """The claim that a record carries; None where it carries none. Raises ValueError on one that cannot be read."""
    for name, claim in headers:
        if name == HEADER:
            if claim is None or len(claim) != CLAIM_BYTES:
                raise ValueError(f"claim {claim!r}")
            return claim
    return None


def void_key(key: bytes) -> bytes:
    """Where the state remembers that the last record of a key does not count."""
    return VOID + key
