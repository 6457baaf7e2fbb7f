"""What a changelog is filled with must be what the product makes of events itself, and what is fed afterwards must complete it."""

from __future__ import annotations

from benchmarks.changelog import leg, open_transactions
from benchmarks.scale import MATCHED, missing_legs
from recon_stream.domain.event import Source
from recon_stream.domain.facts import Received
from recon_stream.domain.matching import decide
from recon_stream.rulebook import load_rules
from recon_stream.settings import load_settings
from tables.rows import deadlines_of, decode_case

BASE_MS = 1_790_000_000_000
BOOK = load_rules(load_settings({}))


def test_a_filled_row_is_a_case_with_one_leg_and_the_two_other_legs_match_it() -> None:
    """The row folds to the case that the same event would have made, with the deadlines that it waits for."""
    for place, (key, row) in enumerate(open_transactions(BOOK.current, 3, BASE_MS)):
        case = decode_case(key[1:].decode(), row, BOOK)
        assert [fact.event for fact in case.facts if isinstance(fact, Received)] == [leg(Source.CORE, place, BASE_MS)]
        assert deadlines_of(row) == case.deadlines()
        assert len(case.deadlines()) == 2
        for source in (Source.GATEWAY, Source.MOBILE):
            event = leg(source, place, BASE_MS)
            decision = decide(case, Received(source, place, event.occurred_at, BOOK.current, 1, event))
        assert decision.result is not None
        assert (decision.result.verdict, len(decision.result.legs)) == (MATCHED.verdict, MATCHED.legs)


def test_missing_legs_are_of_stored_transactions_and_each_comes_once() -> None:
    """Also where the number does not divide the transactions, and where there are none."""
    stored = {key[1:] for key, _ in open_transactions(BOOK.current, 1000, BASE_MS)}
    records = missing_legs(1000, 300, BASE_MS)
    assert len({(record.key, record.source) for record in records}) == len(records) == 600
    assert {record.key for record in records} <= stored
    assert missing_legs(0, 0, BASE_MS) == []
