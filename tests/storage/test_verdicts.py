"""Which results are taken, and how breaks move: decisions without a database."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recon_stream.storage.verdicts import (
    DIGEST_BYTES,
    REVISIONS_KEPT,
    Incoming,
    Judgement,
    Stored,
    advance,
    digest_of,
    judge,
    judge_batch,
    move_breaks,
)
from tests.storage.events import encode_result, result, said_break


def digest(number: int) -> bytes:
    """A digest of its own for each number."""
    return number.to_bytes(DIGEST_BYTES, "big")


def taken(revisions: list[int]) -> Stored:
    """What is stored after those revisions, each with its own digest."""
    stored = None
    for revision in revisions:
        stored = advance(stored, revision, digest(revision))
    assert stored is not None
    return stored


def arriving(*said: dict[str, Any]) -> list[Incoming]:
    """Results in Kafka order."""
    return [Incoming("recon_results", 0, n, 0, encode_result(one), one) for n, one in enumerate(said)]


@given(st.lists(st.integers(1, 3 * REVISIONS_KEPT), min_size=1, max_size=30, unique=True).map(sorted))
def test_a_known_revision_is_a_re_read_and_another_content_of_it_a_conflict(revisions: list[int]) -> None:
    """Whatever revisions were seen, with gaps: each one of the newest is known by its content, and memory is bounded."""
    stored = taken(revisions)
    assert (stored.revision, len(stored.digests) <= REVISIONS_KEPT * DIGEST_BYTES) == (revisions[-1], True)
    assert judge(stored, revisions[-1] + 1, digest(0)) is Judgement.NEWER
    for revision in revisions:
        other = Judgement.SAME_REVISION if revision == revisions[-1] else Judgement.LOWER_REVISION
        assert judge(stored, revision, digest(0xFFFF_FFFF)) is other
    reach = revisions[-1] - REVISIONS_KEPT
    run = [
        r
        for n, r in enumerate(revisions)
        if r > reach and all(b - a <= REVISIONS_KEPT for a, b in zip(revisions[n:], revisions[n + 1 :], strict=False))
    ]
    assert {judge(stored, revision, digest(revision)) for revision in run} == {Judgement.REREAD}


def test_a_revision_that_was_never_seen_is_kept_aside_when_it_comes_late() -> None:
    """What cannot be judged is reported, not skipped."""
    assert judge(taken([1, 4]), 2, digest(2)) is Judgement.LOWER_REVISION
    assert judge(taken([5]), 4, digest(4)) is Judgement.LOWER_REVISION


def test_the_digest_leaves_the_schema_id_out() -> None:
    """The same content registered anew under another id is the same content."""
    assert digest_of(b"\0\0\0\0\1body") == digest_of(b"\0\0\0\0\2body") != digest_of(b"\0\0\0\0\1bodY")


def test_a_batch_with_repeats_takes_each_revision_once() -> None:
    """A re-read in the middle of a batch, as after a restart of the worker."""
    one, two, three = (result(revision=r) for r in (1, 2, 3))
    judged = judge_batch(arriving(one, two, one, two, three), {})
    assert [item.offset for item in judged.newer] == [0, 1, 4]
    assert (judged.reread, judged.conflicts, judged.stored["T1"].revision) == (2, [], 3)


def test_moves_are_the_same_however_the_revisions_are_cut_into_batches() -> None:
    """One batch, or each revision on its own with what was stored before."""
    said = [
        result(revision=1, breaks=[said_break()]),
        result(revision=2, breaks=[said_break(), said_break(break_id="b2")]),
        result(revision=3, breaks=[said_break("RESOLVED"), said_break(break_id="b2", severity="LOW")]),
        result(revision=4, breaks=[said_break("RESOLVED"), said_break("RESOLVED", break_id="b2", severity="LOW")]),
        result(
            revision=5,
            breaks=[said_break(), said_break("RESOLVED", break_id="b2", resolution="AUTO_AGREED", severity="LOW")],
        ),
    ]
    rows, events = move_breaks(arriving(*said), {})
    assert [(event.break_id, event.revision, str(event.move)) for event in events] == [
        ("b1", 1, "OPENED"),
        ("b2", 2, "OPENED"),
        ("b1", 3, "RESOLVED"),
        ("b2", 3, "CHANGED"),
        ("b2", 4, "RESOLVED"),
        ("b1", 5, "REOPENED"),
        ("b2", 5, "CHANGED"),
    ]
    assert (rows["b1"].reopen_count, rows["b1"].resolved_at) == (1, None)
    known: dict[str, Any] = {}
    single = []
    for item in arriving(*said):
        changed, moved = move_breaks([item], known)
        known |= changed
        single += moved
    assert (known, single) == (rows, events)
