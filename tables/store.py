"""Faust's RocksDB store: while a changelog is applied, the index of deadlines is kept exact, and what does not count is left out."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import rocksdict
from faust.stores import rocksdb
from faust.types import TP

from recon_stream.errors import InvariantViolated
from recon_stream.metrics.catalogue import VOID_ROWS
from recon_stream.transport.batch import RawRecord
from tables.claims import IN_FORCE, VOID, Ruling, claim_in, rule, void_key
from tables.rows import CASE, deadlines_of, index_key

logger = logging.getLogger(__name__)


class Store(rocksdb.Store):
    """`recon://` as a store: rows by key, and beside each case its deadlines in order of time."""

    def apply_rows(self, tp: TP, records: Sequence[RawRecord]) -> None:
        """Write the rows, the index entries that come and go with them, and the offset of the last record, in one write.

        Of several records with one key the last that counts is written; a key whose last one does not is remembered. The
        partition must be open: raises KeyError otherwise, InvariantViolated on a record that is no row.
        """
        db: Any = self._dbs[tp.partition]
        changes = _those_that_count(db, tp, records)
        cases = sorted(key for key in changes if key[:1] == CASE)
        for key, before in zip(cases, db.get(cases), strict=True):
            after = changes[key]
            try:
                if before:
                    changes.update(dict.fromkeys(_entries(key, before)))
                if after:
                    changes.update(dict.fromkeys(_entries(key, after), b""))
            except (struct.error, ValueError) as error:
                raise InvariantViolated(f"{tp.topic}-{tp.partition}: the row of {key!r} cannot be read") from error
        changes[self.offset_key] = b"%d" % records[-1].offset
        write = rocksdict.WriteBatch(raw_mode=True)
        # in the order in which RocksDB keeps them a write costs half as much
        for key in sorted(changes):
            row = changes[key]
            if row is None:
                write.delete(key)
            else:
                write.put(key, row)
        db.write(write)


def _those_that_count(db: Any, tp: TP, records: Sequence[RawRecord]) -> dict[bytes, bytes | None]:
    """The rows of the owners in turn, with the last one's claim, and what is known then of keys with void records."""
    changes: dict[bytes, bytes | None] = {}
    before: bytes | None = db.get(IN_FORCE)
    in_force, void, ignored = before, set(void_keys(db)), 0
    for record in records:
        key = record.key
        if key is None:
            raise InvariantViolated(f"{tp.topic}-{tp.partition}: the record at {record.offset} has no key")
        try:
            writer = claim_in(record.headers)
        except ValueError as error:
            raise InvariantViolated(
                f"{tp.topic}-{tp.partition}: the record at {record.offset} has a {error}"
            ) from error
        ruling = rule(in_force, writer)
        if ruling is Ruling.IGNORE:
            void.add(key)
            changes[void_key(key)] = b""
            ignored += 1
            continue
        if ruling is Ruling.TAKE_OVER:
            in_force = writer
        changes[key] = record.value
        if key in void:
            void.discard(key)
            changes[void_key(key)] = None
    if in_force != before:
        changes[IN_FORCE] = in_force
    if ignored:
        VOID_ROWS.inc(ignored)
        logger.warning(
            "%s-%d: %d records up to offset %d are of a worker that had lost the partition, they are left out; "
            "was a process suspended for longer than its session timeout?",
            tp.topic, tp.partition, ignored, records[-1].offset,
        )  # fmt: skip
    return changes


def keys_between(db: Any, start: bytes, end: bytes) -> Iterator[bytes]:
    """The keys with start <= key < end, in order.

    The bound is RocksDB's own: looking for a key behind the last one, it would else walk over all that was deleted there.
    """
    bounded = rocksdict.ReadOptions()
    bounded.set_iterate_upper_bound(end)
    # A generator, because it keeps `bounded` and `end`: rocksdict's iterator looks at their memory and does not own it.
    yield from db.keys(from_key=start, read_opt=bounded)


def void_keys(db: Any) -> list[bytes]:
    """The keys whose last record in the changelog does not count."""
    return [key[len(VOID) :] for key in keys_between(db, VOID, bytes((VOID[0] + 1,)))]


def _entries(key: bytes, row: bytes) -> list[bytes]:
    """The index entries of a case's row."""
    return [index_key(deadline, key) for deadline in deadlines_of(row)]
