"""Faust's RocksDB store, with the index of deadlines kept exact while a changelog is applied."""

from __future__ import annotations

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
        rows = {record.key: record.value for record in records}
        cases = [key for key in rows if key is not None and key[:1] == CASE]
        stored: dict[bytes, bytes | None] = dict(zip(cases, db.get(cases), strict=True))
        write = rocksdict.WriteBatch(raw_mode=True)
        for key, row in rows.items():
            if key is None:
                raise InvariantViolated(f"{tp.topic}-{tp.partition} has a record without a key")
            if row is None:
                write.delete(key)
            else:
                write.put(key, row)
            if key[:1] == CASE:
                _index(write, key, stored[key], row)
        write.put(self.offset_key, b"%d" % records[-1].offset)
        db.write(write)


def _index(write: rocksdict.WriteBatch, key: bytes, before: bytes | None, after: bytes | None) -> None:
    """Let the index follow a row that replaces another one; None is no row."""
    entries = {index_key(deadline, key) for deadline in deadlines_of(after)} if after else set()
    if before:
        gone = {index_key(deadline, key) for deadline in deadlines_of(before)}
        for entry in gone - entries:
            write.delete(entry)
    for entry in entries:
        write.put(entry, b"")
