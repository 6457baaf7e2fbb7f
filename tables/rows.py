"""How a case is stored: the deadlines it waits for, then its facts, appended in order.

Row: number of deadlines (u8), each as gate and kind (u8, four bits each) and instant (i64); then the facts.
Fact: kind and source (u8), offset (i64), timestamp or instant (i64), rules digest (u32), schema id or a small number
(u32), length (u32), body. The body of an event is its Avro record as our own schema writes it, so an event that
was written with that schema is never encoded again.

Keys: b"t" + txn_id: a case; b"m": the partition's own row; b"o" + number: a part of its outbox; b"d" + gate + instant + kind + txn_id: the ordered index of
deadlines, kept beside the cases and made again from their rows, never sent to the changelog.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from recon_stream.avro import parsed_schema
from recon_stream.codec import compile_reader
from recon_stream.domain.case import Case
from recon_stream.domain.event import Event
from recon_stream.domain.facts import (
    Conflicting,
    Deadline,
    DeadlineKind,
    Decided,
    Fact,
    Passed,
    Received,
    Rejected,
)
from recon_stream.domain.rules import Rules, RulesBook
from recon_stream.errors import InvariantViolated

CASE: Final = b"t"
META: Final = b"m"
OUTBOX = b"o"
INDEX = b"d"

_RECEIVED, _CONFLICTING, _REJECTED, _PASSED, _DECIDED = range(5)
_DEADLINE: Final = struct.Struct(">Bq")
_FACT: Final = struct.Struct(">BqqIII")
_META = struct.Struct(">8sqqqI")
_LENGTH: Final = struct.Struct(">I")
_BIAS: Final = 1 << 63

_read_event = compile_reader(parsed_schema("transaction_event"), Event)


class UnknownRules(InvariantViolated):
    """The state names a version of the rules that is not there; put its file back beside the rules in force."""


def case_key(txn_id: str) -> bytes:
    """The key of the row of a transaction."""
    return CASE + txn_id.encode()


def encode_fact(fact: Fact, payload: bytes = b"") -> bytes:
    """One fact; `payload` is the Avro record of a Received."""
    number: int
    if isinstance(fact, Received):
        return (
            _FACT.pack(fact.source, fact.offset, fact.timestamp, fact.rules.digest, fact.schema_id, len(payload))
            + payload
        )
    if isinstance(fact, Passed):
        kind, source, offset, timestamp, number, body = _PASSED, fact.source, -1, fact.instant, fact.kind, b""
    elif isinstance(fact, Conflicting):
        kind, source, offset, timestamp, number, body = _CONFLICTING, *fact[:3], fact.revision, fact.event_id.encode()
    elif isinstance(fact, Rejected):
        kind, source, offset, timestamp, number, body = _REJECTED, *fact[:3], 0, fact.reason.encode()
    else:
        break_id = fact.break_id.encode()
        kind, source, offset, timestamp, number = _DECIDED, 0, -1, fact.timestamp, len(break_id)
        body = break_id + fact.resolution.encode()
    return _FACT.pack(kind << 4 | source, offset, timestamp, fact.rules.digest, number, len(body)) + body


def encode_deadlines(deadlines: Sequence[Deadline]) -> bytes:
    """The head of a row."""
    if not deadlines:
        return b"\x00"
    packed = [_DEADLINE.pack(one.gate << 4 | one.kind, one.instant) for one in deadlines]
    return bytes((len(packed),)) + b"".join(packed)


def deadlines_of(row: bytes) -> list[Deadline]:
    """The deadlines in the head of a row."""
    return [
        Deadline(packed >> 4, DeadlineKind(packed & 15), instant)
        for packed, instant in _DEADLINE.iter_unpack(row[1 : facts_start(row)])
    ]


def facts_start(row: bytes) -> int:
    """Where the facts begin."""
    return 1 + row[0] * _DEADLINE.size


def decode_case(txn_id: str, row: bytes | None, book: RulesBook) -> Case:
    """The case folded from its row; an empty one where there is no row."""
    return Case(txn_id) if row is None else Case(txn_id, _facts(row, book))


def _facts(row: bytes, book: RulesBook) -> Iterator[Fact]:
    position, end = facts_start(row), len(row)
    while position < end:
        packed, offset, timestamp, digest, number, size = _FACT.unpack_from(row, position)
        position += _FACT.size
        body = row[position : position + size]
        position += size
        rules = book.by_digest.get(digest)
        if rules is None:
            raise UnknownRules(f"rules {digest:08x}")
        yield _fact(packed >> 4, packed & 15, offset, timestamp, rules, number, body)


def _fact(kind: int, source: int, offset: int, timestamp: int, rules: Rules, number: int, body: bytes) -> Fact:
    if kind == _RECEIVED:
        return Received(source, offset, timestamp, rules, number, _read_event(body, 0))
    if kind == _PASSED:
        return Passed(DeadlineKind(number), source, timestamp, rules)
    if kind == _CONFLICTING:
        return Conflicting(source, offset, timestamp, rules, body.decode(), number)
    if kind == _REJECTED:
        return Rejected(source, offset, timestamp, rules, body.decode())
    return Decided(body[:number].decode(), body[number:].decode(), timestamp, rules)


def index_key(deadline: Deadline, txn_key: bytes) -> bytes:
    """The place of a deadline of the case with that key in the ordered index."""
    return b"d%c%b%c%b" % (deadline.gate, (deadline.instant + _BIAS).to_bytes(8, "big"), deadline.kind, txn_key[1:])


def index_prefix(gate: int, instant: int) -> bytes:
    """Every key of the gate with a smaller instant sorts below it, every other one of the gate at or above it."""
    return b"d%c%b" % (gate, (instant + _BIAS).to_bytes(8, "big"))


def parse_index_key(key: bytes) -> tuple[Deadline, bytes]:
    """(deadline, key of its case)."""
    return Deadline(key[1], DeadlineKind(key[10]), int.from_bytes(key[2:10], "big") - _BIAS), CASE + key[11:]


class Meta(NamedTuple):
    """What a partition remembers beside its cases."""

    epoch: bytes
    """Eight bytes that name this life of the state: what Redis remembers of another life does not count."""
    watermarks: tuple[int, int, int]
    """Per source, epoch milliseconds; NEVER before the first record."""
    outbox_parts: int
    """How many rows of the outbox count; what stands in further ones is of an earlier unit of work."""

    def encode(self) -> bytes:
        """The row."""
        return _META.pack(self.epoch, *self.watermarks, self.outbox_parts)

    @classmethod
    def decode(cls, row: bytes) -> Meta:
        """From the row."""
        epoch, core, gateway, mobile, parts = _META.unpack(row)
        return cls(epoch, (core, gateway, mobile), parts)


OUTBOX_PART_BYTES: Final = 400_000


def encode_outbox(keys: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """The outbox of a unit of work as rows: the keys of the cases of which it publishes results.

    A crash may come after the changelog and before the results; whoever starts next publishes all revisions of these
    cases again, in order, before anything else.
    """
    parts, part = [], bytearray()
    for key in keys:
        part += _LENGTH.pack(len(key)) + key
        if len(part) >= OUTBOX_PART_BYTES:
            parts.append(bytes(part))
            part = bytearray()
    if part:
        parts.append(bytes(part))
    return [(outbox_key(number), part) for number, part in enumerate(parts)]


def outbox_key(number: int) -> bytes:
    """The key of a part of the outbox."""
    return OUTBOX + b"%d" % number


def decode_outbox(part: bytes) -> list[bytes]:
    """The keys in a part of the outbox."""
    keys, position = [], 0
    while position < len(part):
        (size,) = _LENGTH.unpack_from(part, position)
        position += _LENGTH.size
        keys.append(part[position : position + size])
        position += size
    return keys


class RowChange:
    """A row to be written, None to be deleted, with the deadlines that it had and has: what the index follows."""

    __slots__ = ("after", "before", "key", "row")

    def __init__(self, key: bytes, row: bytes | None, before: list[Deadline], after: list[Deadline]) -> None:
        self.key = key
        self.row = row
        self.before = before
        self.after = after


def entries_of(
    changes: Iterable[RowChange], spent: Iterable[tuple[Deadline, bytes]]
) -> list[tuple[bytes, bytes | None]]:
    """What to write of rows and of their index, None to delete. `spent` are index entries that came due and are to go.

    In the order in which RocksDB keeps them, because in that order a write costs half as much.
    """
    entries: dict[bytes, bytes | None] = {index_key(deadline, key): None for deadline, key in spent}
    for change in changes:
        key, before, after = change.key, change.before, change.after
        entries[key] = change.row
        if before != after:
            for deadline in before:
                if deadline not in after:
                    entries[index_key(deadline, key)] = None
            for deadline in after:
                if deadline not in before:
                    entries[index_key(deadline, key)] = b""
    return [(key, entries[key]) for key in sorted(entries)]
