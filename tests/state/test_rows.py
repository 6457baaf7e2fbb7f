"""A row is its case: nothing that was said of a transaction is lost or changed by storing it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_stream.avro import parsed_schema
from recon_stream.codec import compile_writer
from recon_stream.domain.case import Case
from recon_stream.domain.deadlines import NEVER
from recon_stream.domain.facts import Deadline, DeadlineKind, Decided, Fact, Received
from recon_stream.domain.matching import every_result
from recon_stream.domain.rules import RulesBook
from tables.rows import (
    CASE,
    INDEX,
    Meta,
    UnknownRules,
    case_key,
    deadlines_of,
    decode_case,
    decode_outbox,
    encode_deadlines,
    encode_fact,
    encode_outbox,
    facts_start,
    index_key,
    index_prefix,
    parse_index_key,
)
from tests.state.histories import BOOK, CURRENT, DEADLINES, HISTORIES, LONG, STRANGE, TXN, received

_write_event = compile_writer(parsed_schema("transaction_event"))
MANY = settings(max_examples=300, deadline=None)


def fact_bytes(fact: Fact) -> bytes:
    """A fact as the worker stores it."""
    return encode_fact(fact, _write_event(*fact.event.fields()) if isinstance(fact, Received) else b"")


def row_of(case: Case) -> bytes:
    """The row of a case."""
    return encode_deadlines(case.deadlines()) + b"".join(fact_bytes(fact) for fact in case.facts)


@MANY
@given(history=HISTORIES)
def test_a_row_folds_to_the_case_that_it_was_made_from(history: list[Fact]) -> None:
    """Facts, revision, verdict, legs, deadlines, and every result that was ever published."""
    case = Case(TXN, history)
    row = row_of(case)
    again = decode_case(TXN, row, BOOK)
    assert again.facts == case.facts
    assert (again.revision, again.verdict, again.legs) == (case.revision, case.verdict, case.legs)
    assert again._breaks == case._breaks
    assert every_result(again) == every_result(case)
    assert again.deadlines() == case.deadlines() == deadlines_of(row)
    assert row_of(again) == row


@MANY
@given(history=HISTORIES, more=HISTORIES)
def test_facts_are_appended_to_a_row(history: list[Fact], more: list[Fact]) -> None:
    """What stands there is never written anew: a longer history is a longer row with another head."""
    row = row_of(Case(TXN, history))
    case = decode_case(TXN, row, BOOK)
    results = [result for fact in more if (result := case.apply(fact)) is not None]
    longer = encode_deadlines(case.deadlines()) + row[facts_start(row) :] + b"".join(map(fact_bytes, more))
    assert longer == row_of(Case(TXN, history + more))
    assert every_result(Case(TXN, history + more))[case.revision - len(results) :] == results


def test_no_row_is_an_empty_case() -> None:
    """A transaction that nobody has heard of."""
    case = decode_case(TXN, None, BOOK)
    assert (case.facts, case.revision, case.deadlines()) == ([], 0, [])


@given(fact=received())
def test_rules_that_are_not_there_stop_the_worker(fact: Received) -> None:
    """Folding with other rules than those in force then would publish other results under the same ids."""
    strange = Received(fact.source, fact.offset, fact.timestamp, STRANGE, fact.schema_id, fact.event)
    row = encode_deadlines([]) + fact_bytes(fact) + fact_bytes(strange)
    with pytest.raises(UnknownRules, match=f"rules {STRANGE.digest:08x}"):
        decode_case(TXN, row, BOOK)


def test_earlier_rules_are_found_by_their_digest() -> None:
    """A fact is folded with the rules in force when it was accepted, not with the current ones."""
    alone = RulesBook.of(CURRENT)
    earlier = next(rules for rules in BOOK.by_digest.values() if rules.version == "earlier")
    row = encode_deadlines([]) + fact_bytes(Decided("", "VOID", 0, earlier))
    assert decode_case(TXN, row, BOOK).facts[0].rules is earlier
    with pytest.raises(UnknownRules):
        decode_case(TXN, row, alone)


@MANY
@given(deadlines=st.lists(DEADLINES, max_size=8))
def test_deadlines_in_the_head_of_a_row_come_back(deadlines: list[Deadline]) -> None:
    """Every gate and kind, all 64 bits of an instant; the facts begin behind them."""
    head = encode_deadlines(deadlines)
    assert deadlines_of(head + b"facts") == deadlines
    assert (head + b"facts")[facts_start(head) :] == b"facts"


@MANY
@given(one=DEADLINES, other=DEADLINES, names=st.lists(st.text(), min_size=2, max_size=2))
def test_the_index_sorts_by_instant(one: Deadline, other: Deadline, names: list[str]) -> None:
    """Within a gate, instants before the epoch too; a gate's entries stand together."""
    keys = [index_key(deadline, case_key(name)) for deadline, name in zip((one, other), names, strict=True)]
    assert [parse_index_key(key) for key in keys] == [(one, case_key(names[0])), (other, case_key(names[1]))]
    if (one.gate, one.instant) != (other.gate, other.instant):
        assert (keys[0] < keys[1]) == ((one.gate, one.instant) < (other.gate, other.instant))


@MANY
@given(deadline=DEADLINES, before=st.integers(*LONG), name=st.text())
def test_a_prefix_divides_what_is_due_from_what_is_not(deadline: Deadline, before: int, name: str) -> None:
    """An entry sorts below the prefix of an instant exactly when it is earlier."""
    key = index_key(deadline, case_key(name))
    assert (key < index_prefix(deadline.gate, before)) == (deadline.instant < before)
    assert key[:1] == INDEX


def test_kinds_of_rows_do_not_meet() -> None:
    """A transaction may be called like a row of another kind."""
    deadline = Deadline(0, DeadlineKind.MISSING, 0)
    keys = {
        case_key(""),
        case_key("m"),
        case_key("d"),
        b"m",
        index_key(deadline, case_key("")),
        index_key(deadline, case_key("m")),
    }
    assert len(keys) == 6
    assert case_key("x")[:1] == CASE


@MANY
@given(
    epoch=st.binary(min_size=8, max_size=8),
    watermarks=st.tuples(*[st.integers(*LONG) | st.just(NEVER)] * 3),
    outbox=st.lists(st.text().map(case_key), max_size=4),
)
def test_what_a_partition_remembers_comes_back(
    epoch: bytes, watermarks: tuple[int, int, int], outbox: list[bytes]
) -> None:
    """Its life's name, three watermarks, the cases whose results must be published again."""
    rows = encode_outbox(outbox)
    meta = Meta(epoch, watermarks, len(rows))
    assert Meta.decode(meta.encode()) == meta
    assert [key for _, part in rows for key in decode_outbox(part)] == outbox
