"""Which records of a changelog count: those of its owners in turn, not those of a process that had lost the partition."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from faust.types import TP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from recon_stream.domain.facts import Deadline, DeadlineKind
from recon_stream.errors import InvariantViolated
from tables.claims import HEADER, IN_FORCE, VOID, Ruling, next_claim, rule
from tables.rows import CASE, INDEX, case_key, encode_deadlines, index_key
from tables.store import Store
from tables.transactions import Partition
from tests.state.test_index_of_deadlines import Record, apply, contents, store

__all__ = ["store"]

OLD, NEW, RIVAL, NEWEST = (
    number.to_bytes(4, "big") + token for number, token in [(1, b"aaaa"), (2, b"bbbb"), (2, b"cccc"), (300, b"aaaa")]
)
A, B, C = case_key("A"), case_key("B"), case_key("C")


def row(text: str, *deadlines: Deadline) -> bytes:
    """A row that waits for these."""
    return encode_deadlines(deadlines) + text.encode()


def records(*written: tuple[bytes | None, bytes, bytes | None]) -> list[Record]:
    """A changelog of (claim, key, row), from offset 0."""
    return [
        Record(offset, key, value, headers=[] if claim is None else [("other", None), (HEADER, claim)])
        for offset, (claim, key, value) in enumerate(written)
    ]


@pytest.mark.parametrize(
    ("in_force", "writer", "ruling"),
    [
        (None, None, Ruling.APPLY),
        (OLD, None, Ruling.APPLY),
        (OLD, OLD, Ruling.APPLY),
        (None, OLD, Ruling.TAKE_OVER),
        (OLD, NEW, Ruling.TAKE_OVER),
        (NEW, NEWEST, Ruling.TAKE_OVER),
        (NEW, OLD, Ruling.IGNORE),
        (NEWEST, NEW, Ruling.IGNORE),
        (NEW, RIVAL, Ruling.IGNORE),
        (RIVAL, NEW, Ruling.IGNORE),
    ],
)
def test_the_first_record_of_a_higher_claim_takes_over(
    in_force: bytes | None, writer: bytes | None, ruling: Ruling
) -> None:
    """Lower ones, and others of the same number, do not count; rows from before there were claims do."""
    assert rule(in_force, writer) is ruling


def test_a_new_claim_is_above_the_one_in_force_and_nobody_elses() -> None:
    """Two that claim at the same time differ by their tokens."""
    assert next_claim(None)[:4] == OLD[:4]
    assert next_claim(NEW)[:4] == (3).to_bytes(4, "big")
    assert rule(NEWEST, next_claim(NEWEST)) is Ruling.TAKE_OVER
    assert next_claim(None) != next_claim(None)


def test_what_a_zombie_appends_changes_nothing_and_is_remembered(store: Store) -> None:
    """Between the new owner's rows and behind them: rows, deadlines and claim are the new owner's."""
    early, late = Deadline(0, DeadlineKind.MISSING, 1), Deadline(0, DeadlineKind.MISSING, 2)
    before = REGISTRY.get_sample_value("recon_void_rows_total") or 0
    apply(
        store,
        *records(
            (OLD, IN_FORCE, OLD), (OLD, A, row("old", early)), (OLD, B, row("old", early)), (NEW, IN_FORCE, NEW),
            (OLD, A, row("zombie", early)), (NEW, A, row("new", late)), (NEW, B, None), (OLD, A, row("zombie", early)),
            (OLD, B, row("zombie", early)), (OLD, C, None), (RIVAL, C, row("rival")),
        ),
    )  # fmt: skip
    partition = Partition(0)
    assert contents(store, CASE) == {A: row("new", late)}
    assert set(contents(store, INDEX)) == {index_key(late, A)}
    assert partition.claim() == NEW
    assert partition.offset() == 10
    assert partition.void() == [A, B, C]
    assert REGISTRY.get_sample_value("recon_void_rows_total") == before + 5


def test_a_row_that_counts_again_is_forgotten(store: Store) -> None:
    """Later batches know the claim and the keys of those before, also after a restart: both stand in the state."""
    log = records(
        (NEW, A, row("new")), (OLD, A, row("zombie")), (OLD, B, row("zombie")), (NEWEST, IN_FORCE, NEWEST),
        (NEWEST, A, row("new")), (NEW, C, row("zombie")), (NEWEST, B, None),
    )  # fmt: skip
    expected = [[], [A], [A, B], [A, B], [B], [B, C], [C]]
    for record, void in zip(log, expected, strict=True):
        apply(store, record)
        assert Partition(0).void() == void
    assert contents(store, CASE) == {A: row("new")}
    assert Partition(0).claim() == NEWEST


WRITTEN = st.lists(
    st.tuples(
        st.sampled_from([None, OLD, NEW, RIVAL, NEWEST]),
        st.sampled_from([A, B, C]),
        st.none() | st.integers(0, 9).map(lambda number: row(str(number), Deadline(0, DeadlineKind.STATUS, number))),
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=WRITTEN, cuts=st.lists(st.integers(1, 14), max_size=4))
def test_a_state_is_the_same_however_a_contested_changelog_is_cut_into_batches(
    store: Store, written: Sequence[tuple[bytes | None, bytes, bytes | None]], cuts: list[int]
) -> None:
    """Claim, rows, deadlines and the keys to be written again follow from the log alone."""
    for key, _ in list(store._dbs[0].items()):
        store._dbs[0].delete(key)
    in_force, rows, void = None, dict[bytes, bytes](), set[bytes]()
    for claim, key, value in written:
        if claim is not None and (in_force is None or claim[:4] > in_force[:4]):
            in_force = claim
        if claim not in (None, in_force):
            void.add(key)
            continue
        void.discard(key)
        rows.pop(key, None)
        if value is not None:
            rows[key] = value
    log = records(*written)
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(log)], strict=True):
        if log[start:stop]:
            apply(store, *log[start:stop])
    assert contents(store, CASE) == rows
    assert set(contents(store, VOID)) == {VOID + key for key in void}
    assert Partition(0).claim() == in_force
    assert len(contents(store, INDEX)) == len(rows)


def test_a_claim_that_cannot_be_read_stops_the_worker(store: Store) -> None:
    """Nothing of its batch is written."""
    told = re.escape("changelog-0: the record at 1 has a claim b'short'")
    with pytest.raises(InvariantViolated, match=told):
        store.apply_rows(TP("changelog", 0), records((OLD, A, row("x")), (b"short", B, row("x"))))
    assert contents(store, CASE) == {}
