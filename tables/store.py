"""Faust's RocksDB store, with the index of deadlines kept exact while a changelog is applied."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import rocksdict
from faust.stores import rocksdb
from faust.types import TP

from recon_stream.errors import InvariantViolated
from recon_stream.transport.batch import RawRecord
from tables.rows import CASE, deadlines_of, index_key


class Store(rocksdb.Store):
    """`recon://` as a store: rows by key, and beside each case its deadlines in order of time."""

    def apply_rows(self, tp: TP, records: Sequence[RawRecord]) -> None:
        """Write the rows, the index entries that come and go with them, and the offset of the last record, in one write.

        Of several records with one key the last alone is written. The partition must be open: raises KeyError otherwise,
        InvariantViolated on a record that is no row.
        """
        db: Any = self._dbs[tp.partition]
        changes: dict[bytes, bytes | None] = {}
        for record in records:
            if record.key is None:
                raise InvariantViolated(f"{tp.topic}-{tp.partition}: the record at {record.offset} has no key")
            changes[record.key] = record.value
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


def _entries(key: bytes, row: bytes) -> list[bytes]:
    """The index entries of a case's row."""
    return [index_key(deadline, key) for deadline in deadlines_of(row)]
