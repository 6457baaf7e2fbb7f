"""Faust's RocksDB store, with the index of deadlines kept up to date while a changelog is applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import rocksdict
from faust.stores import rocksdb
from faust.types import TP, EventT

from recon_stream.metrics.catalogue import RECOVERED
from tables.rows import CASE, deadlines_of, index_key


class Store(rocksdb.Store):
    """`recon://` as a store: rows by key, and beside each case its deadlines in order of time."""

    def apply_changelog_batch(
        self,
        batch: Iterable[EventT[Any]],
        to_key: Callable[[Any], Any],
        to_value: Callable[[Any], Any],
    ) -> None:
        """Write a batch of changelog records, the index entries that follow from them and the offset, in one write each.

        Entries of rows that were replaced stay behind; they are dropped when they come due and the case no longer has
        them.
        """
        writes: dict[int, rocksdict.WriteBatch] = {}
        last: dict[TP, int] = {}
        for event in batch:
            message = event.message
            key, value = cast("bytes", message.key), message.value
            write = writes.get(message.partition)
            if write is None:
                write = writes[message.partition] = rocksdict.WriteBatch(raw_mode=True)
            if value is None:
                write.delete(key)
            else:
                write.put(key, value)
                if key[:1] == CASE:
                    for deadline in deadlines_of(value):
                        write.put(index_key(deadline, key), b"")
            last[message.tp] = max(message.offset, last.get(message.tp, -1))
        for tp, offset in last.items():
            write = writes[tp.partition]
            write.put(self.offset_key, b"%d" % offset)
            RECOVERED.inc(write.len())
            self._db_for_partition(tp.partition).write(write)
