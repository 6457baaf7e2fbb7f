"""The store on real RocksDB: a changelog that is applied again leaves the rows, the deadlines and the offset of the state."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import faust
import pytest
from faust.types import TP

from recon_stream.domain.facts import Deadline, DeadlineKind
from recon_stream.metrics.catalogue import RECOVERED
from tables import transactions
from tables.rows import META, Meta, RowChange, case_key, encode_deadlines
from tables.store import Store
from tables.transactions import Partition, Revoked

MISSING, STATUS, EXPIRY = DeadlineKind.MISSING, DeadlineKind.STATUS, DeadlineKind.EXPIRY
META_ROW = Meta(b"epoch--1", (1, 2, 3), 0).encode()


@dataclass(frozen=True)
class Message:
    """A changelog record as Faust hands it over."""

    tp: TP
    offset: int
    key: bytes
    value: bytes | None

    @property
    def partition(self) -> int:
        """Its partition."""
        return self.tp.partition


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


def apply(store: Store, *messages: Message) -> None:
    """Apply these records as a recovery does."""
    events = [SimpleNamespace(message=message) for message in messages]
    store.apply_changelog_batch(events, lambda key: key, lambda value: value)  # type: ignore[arg-type]


def record(offset: int, key: bytes, value: bytes | None, partition: int = 0) -> Message:
    """A record of the changelog."""
    return Message(TP("changelog", partition), offset, key, value)


def waiting(*deadlines: Deadline) -> bytes:
    """A row that waits for these."""
    return encode_deadlines(deadlines) + b"facts"


def test_a_recovered_row_has_its_deadlines_in_the_index(store: Store) -> None:
    """What waits is found again in order of time, without reading every row; the index is not in the changelog."""
    early, late = Deadline(0, MISSING, -5), Deadline(0, STATUS, 5)
    apply(
        store,
        record(0, META, META_ROW),
        record(1, case_key("late"), waiting(late)),
        record(2, case_key("early"), waiting(early)),
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
    apply(store, *[record(n, case_key(f"T{n}"), waiting(deadline)) for n, deadline in enumerate(deadlines)])
    partition = Partition(0)
    assert [found.instant for found, _ in partition.due(1, -9, 9, 100)] == [-9, -9, 0, 0]
    assert [found.instant for found, _ in partition.due(1, -8, 10, 100)] == [0, 0, 9, 9]
    assert [found.instant for found, _ in partition.due(1, -100, 100, 3)] == [-9, -9, 0]
    assert {found.gate for found, _ in partition.due(3, -100, 100, 100)} == {3}
    assert partition.due(2, -100, 100, 100) == []


def test_a_deleted_row_is_gone_and_a_batch_may_span_partitions(store: Store) -> None:
    """A tombstone deletes; each partition keeps its own rows and the offset that it stands at."""
    before = RECOVERED._value.get()
    apply(
        store,
        record(0, case_key("A"), waiting()),
        record(7, case_key("B"), waiting(), 1),
        record(3, case_key("A"), None),
    )
    assert Partition(0).rows([case_key("A")]) == [None]
    assert Partition(1).rows([case_key("B")]) == [waiting()]
    assert store.persisted_offset(TP("changelog", 0)) == 3
    assert store.persisted_offset(TP("changelog", 1)) == 7
    assert RECOVERED._value.get() > before


def test_the_same_batch_applied_again_changes_nothing(store: Store) -> None:
    """A recovery that was cut off begins again somewhere before."""
    batch = [
        record(0, case_key("A"), waiting(Deadline(0, MISSING, 1))),
        record(1, case_key("B"), waiting(Deadline(0, MISSING, 2))),
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
