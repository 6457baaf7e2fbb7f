"""The store on real RocksDB: a changelog that is applied again leaves the rows, the deadlines and the offset of the state."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import faust
import pytest
import rocksdict
from faust.types import TP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon_stream.domain.facts import Deadline, DeadlineKind
from recon_stream.errors import InvariantViolated
from tables import transactions
from tables.rows import (
    CASE,
    INDEX,
    META,
    Meta,
    RowChange,
    case_key,
    deadlines_of,
    encode_deadlines,
    index_key,
    index_prefix,
)
from tables.store import Store, keys_between
from tables.transactions import Partition, Revoked
from tests.state.histories import DEADLINES

MISSING, STATUS, EXPIRY = DeadlineKind.MISSING, DeadlineKind.STATUS, DeadlineKind.EXPIRY
META_ROW = Meta(b"epoch--1", (1, 2, 3), 0).encode()


class Record(NamedTuple):
    """A record of the changelog."""

    offset: int
    key: bytes
    value: bytes | None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes | None]] = ()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store of two partitions in a folder of its own, and Partition looking at it."""
    app = faust.App(f"state-{uuid.uuid4().hex}", datadir=str(tmp_path), env={}, origin="recon_stream.apps")
    table = app.Table("transactions", partitions=2, key_type=bytes, value_type=bytes)
    one = Store("recon://", app, table)
    for number in (0, 1):
        one._db_for_partition(number)
    monkeypatch.setattr(transactions, "table", SimpleNamespace(data=one))
    yield one
    for db in one._dbs.values():
        db.close()


def apply(store: Store, *records: Record, partition: int = 0) -> None:
    """Apply these records of one partition as a recovery does."""
    store.apply_rows(TP("changelog", partition), records)


def contents(store: Store, prefix: bytes, partition: int = 0) -> dict[bytes, bytes]:
    """All that stands in the state under keys that begin so."""
    return {bytes(key): bytes(row) for key, row in store._dbs[partition].items() if key[:1] == prefix}


def index_of(rows: dict[bytes, bytes]) -> set[bytes]:
    """The index that follows from rows."""
    return {index_key(deadline, key) for key, row in rows.items() for deadline in deadlines_of(row)}


def waiting(*deadlines: Deadline) -> bytes:
    """A row that waits for these."""
    return encode_deadlines(deadlines) + b"facts"


def test_a_recovered_row_has_its_deadlines_in_the_index(store: Store) -> None:
    """What waits is found again in order of time, without reading every row; the index is not in the changelog."""
    early, late = Deadline(0, MISSING, -5), Deadline(0, STATUS, 5)
    apply(
        store,
        Record(0, META, META_ROW),
        Record(1, case_key("late"), waiting(late)),
        Record(2, case_key("early"), waiting(early)),
    )
    partition = Partition(0)
    assert partition.due(0, -(1 << 63), 100, 10) == [(early, case_key("early")), (late, case_key("late"))]
    assert partition.first_due(0) == -5
    assert partition.first_due(1) is None
    assert partition.rows([case_key("early"), case_key("nobody")]) == [waiting(early), None]
    assert partition.meta() == Meta.decode(META_ROW)


def test_deadlines_are_asked_for_by_gate_instant_and_number(store: Store) -> None:
    """From the first instant on, before the second one, no more than asked for, never those of another gate."""
    deadlines = [
        Deadline(gate, kind, instant) for gate in (0, 1, 3) for kind in (MISSING, EXPIRY) for instant in (-9, 0, 9)
    ]
    apply(store, *[Record(n, case_key(f"T{n}"), waiting(deadline)) for n, deadline in enumerate(deadlines)])
    partition = Partition(0)
    assert [found.instant for found, _ in partition.due(1, -9, 9, 100)] == [-9, -9, 0, 0]
    assert [found.instant for found, _ in partition.due(1, -8, 10, 100)] == [0, 0, 9, 9]
    assert [found.instant for found, _ in partition.due(1, -100, 100, 3)] == [-9, -9, 0]
    assert {found.gate for found, _ in partition.due(3, -100, 100, 100)} == {3}
    assert partition.due(2, -100, 100, 100) == []


def test_a_deleted_row_is_gone_with_its_deadlines(store: Store) -> None:
    """A tombstone deletes, in the same batch or a later one; each partition keeps its own rows and its own offset."""
    apply(store, Record(0, case_key("A"), waiting(Deadline(0, MISSING, 1))), Record(3, case_key("A"), None))
    apply(store, Record(7, case_key("B"), waiting(Deadline(0, MISSING, 2))), partition=1)
    assert Partition(0).rows([case_key("A")]) == [None]
    assert Partition(0).first_due(0) is None
    assert Partition(1).rows([case_key("B")]) == [waiting(Deadline(0, MISSING, 2))]
    assert store.persisted_offset(TP("changelog", 0)) == 3
    assert store.persisted_offset(TP("changelog", 1)) == 7
    apply(store, Record(8, case_key("B"), None), Record(9, case_key("never there"), None), partition=1)
    assert Partition(1).rows([case_key("B")]) == [None]
    assert Partition(1).first_due(0) is None
    assert store.persisted_offset(TP("changelog", 1)) == 9


ROWS = st.none() | st.lists(DEADLINES, max_size=3, unique=True).map(lambda deadlines: waiting(*deadlines))
CHANGES = st.lists(st.tuples(st.sampled_from(["A", "B", "C", "d"]), ROWS), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(CHANGES, min_size=1, max_size=5))
def test_the_index_is_that_of_the_rows_however_a_changelog_is_cut_into_batches(
    store: Store, batches: list[list[tuple[str, bytes | None]]]
) -> None:
    """Rows replaced, deleted and made again, over a state that has rows and deadlines of before: none too many, none missing."""
    model = contents(store, CASE)
    offset = store.persisted_offset(TP("changelog", 0)) or 0
    for batch in batches:
        records = [Record(offset + n, case_key(name), row) for n, (name, row) in enumerate(batch, 1)]
        apply(store, *records)
        offset = records[-1].offset
        for record in records:
            if record.value is None:
                model.pop(record.key, None)
            else:
                model[record.key] = record.value
        assert contents(store, CASE) == model
        assert set(contents(store, INDEX)) == index_of(model)
        assert store.persisted_offset(TP("changelog", 0)) == offset


def test_of_many_records_of_a_row_the_last_alone_is_written(store: Store) -> None:
    """The partition's own row comes with every unit of work; a batch of hundreds of them is one write."""
    before = store._dbs[0].latest_sequence_number()
    apply(store, *[Record(n, META, Meta(b"epoch--1", (n, n, n), 0).encode()) for n in range(500)])
    assert Partition(0).meta() == Meta(b"epoch--1", (499, 499, 499), 0)
    assert store._dbs[0].latest_sequence_number() - before == 2, "the row and the offset"


@pytest.mark.parametrize(
    ("key", "row", "told"),
    [
        (None, b"?", "changelog-0: the record at 1 has no key"),
        (case_key("B"), b"\x02" + b"x" * 9 + b"y", "changelog-0: the row of b'tB' cannot be read"),
        (case_key("B"), b"\x01\x0f" + b"\x00" * 8, "changelog-0: the row of b'tB' cannot be read"),
    ],
)
def test_a_record_that_is_no_row_stops_the_worker(store: Store, key: bytes, row: bytes, told: str) -> None:
    """No key, a head that is cut off, a kind of deadline that nobody knows: nothing of its batch is written."""
    with pytest.raises(InvariantViolated, match=told):
        apply(store, Record(0, case_key("A"), waiting()), Record(1, key, row))
    assert contents(store, CASE) == {}
    assert store.persisted_offset(TP("changelog", 0)) is None


def test_the_same_batch_applied_again_changes_nothing(store: Store) -> None:
    """A recovery that was cut off begins again somewhere before."""
    batch = [
        Record(0, case_key("A"), waiting(Deadline(0, MISSING, 1))),
        Record(1, case_key("B"), waiting(Deadline(0, MISSING, 2))),
    ]
    apply(store, *batch)
    whole = {bytes(key): bytes(value) for key, value in store._dbs[0].items()}
    apply(store, *batch)
    assert {bytes(key): bytes(value) for key, value in store._dbs[0].items()} == whole


def test_written_rows_have_the_index_that_a_recovery_would_give_them(store: Store) -> None:
    """The worker's own writes keep the index exact; entries that came due leave it."""
    first, second, third = Deadline(0, MISSING, 1), Deadline(1, STATUS, 2), Deadline(3, EXPIRY, 3)
    partition, key = Partition(0), case_key("A")
    partition.write([RowChange(key, waiting(first, second), [], [first, second])], [], 10)
    assert partition.due(0, 0, 9, 9) == [(first, key)]
    assert partition.due(1, 0, 9, 9) == [(second, key)]
    partition.write([RowChange(key, waiting(second, third), [first, second], [second, third])], [(first, key)], 11)
    assert [partition.due(gate, 0, 9, 9) for gate in (0, 1, 2, 3)] == [[], [(second, key)], [], [(third, key)]]
    partition.write([RowChange(key, None, [second, third], [])], [], 12)
    assert [partition.due(gate, 0, 9, 9) for gate in (0, 1, 2, 3)] == [[], [], [], []]
    assert partition.rows([key]) == [None]
    assert store.persisted_offset(TP("changelog", 0)) == 12


def test_a_revoked_partition_is_not_opened_again(store: Store) -> None:
    """Its new owner would be locked out: whoever asks is told that it is gone."""
    store._dbs.pop(1).close()
    partition, key = Partition(1), case_key("A")
    for ask in (
        partition.meta,
        partition.estimate,
        lambda: partition.outbox(Meta(b"epoch--1", (1, 2, 3), 1)),
        lambda: partition.rows([key]),
        lambda: partition.due(0, 0, 9, 9),
        lambda: partition.first_due(0),
        lambda: partition.write([RowChange(key, waiting(), [], [])], [], 1),
    ):
        with pytest.raises(Revoked):
            ask()
    assert 1 not in store._dbs


def test_looking_for_what_is_due_walks_over_nothing_behind_it(tmp_path: Path) -> None:
    """Deadlines of cases that agreed in time are deleted before they are due, all those of the next half minute: RocksDB
    itself counts what an iterator had to skip."""
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.enable_statistics()
    db = rocksdict.Rdict(str(tmp_path / "db"), options=options)
    for instant in range(1000):
        db[index_prefix(0, instant)] = b""
        db.delete(index_prefix(0, instant))
    assert list(keys_between(db, index_prefix(0, 5), index_prefix(0, 8))) == []
    told = options.get_statistics()
    assert told is not None
    (skipped,) = (int(line.split()[-1]) for line in told.splitlines() if line.startswith("rocksdb.number.iter.skip "))
    assert skipped <= 3 * 2  # the tombstones and what they bury
    db.close()
