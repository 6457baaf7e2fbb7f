"""The table of transactions: one RocksDB a partition, written behind the acknowledgements of Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import cast

import rocksdict

from recon_stream.apps import worker
from recon_stream.domain.facts import EVERY_SOURCE, Deadline
from recon_stream.topics import TABLE, changelog_topic
from tables.claims import IN_FORCE
from tables.rows import (
    META,
    Meta,
    RowChange,
    decode_outbox,
    entries_of,
    index_prefix,
    outbox_key,
    parse_index_key,
)
from tables.store import Store, keys_between, void_keys

BLOCK_CACHE_BYTES, WRITE_BUFFER_BYTES = 384 << 20, 192 << 20
"""Of all partitions together, so that a worker that owns all of them needs the same memory however many they are. What the
cache does not hold the machine's page cache may."""
WRITE_BUFFERS = 2
"""One is filled while the other is written out."""

table = worker.Table(
    TABLE,
    key_type=bytes,
    value_type=bytes,
    partitions=worker.settings.partitions,
    # one RocksDB a partition
    options={
        "block_cache_size": BLOCK_CACHE_BYTES // worker.settings.partitions,
        "write_buffer_size": WRITE_BUFFER_BYTES // WRITE_BUFFERS // worker.settings.partitions,
        "max_write_buffer_number": WRITE_BUFFERS,
        "bloom_filter_size": 10,  # bits a key: most rows that are asked for are not there yet
    },
    help="All that is known of each transaction.",
)

CHANGELOG = changelog_topic(worker.settings)

GATES = (0, 1, 2, EVERY_SOURCE)


class Revoked(Exception):
    """The partition was revoked a moment ago: its state belongs to another worker now."""


class Partition:
    """The state of one partition number. All but the constructor raise Revoked once the partition is another worker's."""

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def _db(self) -> rocksdict.Rdict:
        # Never opened here: opening the store of a revoked partition would lock out its new owner.
        try:
            return cast("rocksdict.Rdict", cast("Store", table.data)._dbs[self.number])  # noqa: SLF001
        except KeyError:
            raise Revoked(f"partition {self.number}") from None

    def meta(self) -> Meta | None:
        """The partition's own row; None before anything was written."""
        row = self._db.get(META)
        return None if row is None else Meta.decode(row)

    def claim(self) -> bytes | None:
        """The claim in force; None before there was one."""
        return cast("bytes | None", self._db.get(IN_FORCE))

    def offset(self) -> int:
        """Of the last changelog record that the state knows of; -1 before the first one."""
        row = self._db.get(Store.offset_key)
        return -1 if row is None else int(cast("bytes", row))

    def void(self) -> list[bytes]:
        """The keys whose last record in the changelog does not count."""
        return void_keys(self._db)

    def outbox(self, meta: Meta) -> list[bytes]:
        """Keys of the cases of which the last unit of work published results, or was to."""
        parts = [self._db.get(outbox_key(number)) for number in range(meta.outbox_parts)]
        return [key for part in parts if part is not None for key in decode_outbox(cast("bytes", part))]

    def rows(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The rows of these keys, None where there is none."""
        return cast("list[bytes | None]", self._db.get(list(keys)))

    def due(self, gate: int, since: int, before: int, limit: int) -> list[tuple[Deadline, bytes]]:
        """Up to `limit` deadlines of the gate with since <= instant < before, earliest first, each with its case's key."""
        keys = keys_between(self._db, index_prefix(gate, since), index_prefix(gate, before))
        return [parse_index_key(key) for key in islice(keys, limit)]

    def first_due(self, gate: int) -> int | None:
        """The earliest instant in the index of the gate."""
        for key in keys_between(self._db, index_prefix(gate, -(1 << 63)), index_prefix(gate + 1, -(1 << 63))):
            return parse_index_key(key)[0].instant
        return None

    def write(self, changes: Iterable[RowChange], spent: Iterable[tuple[Deadline, bytes]], offset: int | None) -> None:
        """Write rows, their index entries and the changelog offset they stand at, in one write.

        `spent` are index entries that came due and are to go.
        """
        batch = rocksdict.WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, row in entries_of(changes, spent):
            if row is None:
                delete(key)
            else:
                put(key, row)
        if offset is not None:
            batch.put(Store.offset_key, b"%d" % offset)
        self._db.write(batch)

    def estimate(self) -> tuple[int, int]:
        """(rows, bytes on disk), as RocksDB estimates them."""
        return (
            int(self._db.property_int_value("rocksdb.estimate-num-keys") or 0),
            int(self._db.property_int_value("rocksdb.total-sst-files-size") or 0),
        )
