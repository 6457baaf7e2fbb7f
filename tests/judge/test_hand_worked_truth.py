"""The judge's truth gives exactly what was worked out by hand."""

from __future__ import annotations

import pytest

from .hand_worked import CASES
from .hand_worked_form import PARTITION, RULES_FILE, Arrives, HandWorked
from .history import Passed, history, is_mismatch_news
from .picture import MISSING, identity
from .records import Record, Seen, see_all
from .rules import load_rules
from .wire import SCHEMAS, event_record

RULES = load_rules(RULES_FILE)


def records_of(case: HandWorked) -> list[Record]:
    """The records of a case as Kafka would hand them out."""
    return [
        event_record(f.topic, PARTITION, f.offset, f.timestamp, case.txn_id, f.event)
        for f in (step.fact for step in case.steps)
        if isinstance(f, Arrives)
    ]


def facts_of(case: HandWorked) -> list[Seen | Passed]:
    """The facts of a case in the judge's terms."""
    seen = {s.record.at: s for s in see_all(records_of(case), SCHEMAS, RULES)}
    facts: list[Seen | Passed] = []
    for step in case.steps:
        f = step.fact
        if isinstance(f, Arrives):
            facts.append(seen[f.topic, PARTITION, f.offset])
        else:
            facts.append(Passed(MISSING + f.source if f.kind == "MISSING_ENTRY" else f.kind, f.instant))
    return facts


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.txn_id)
def test_every_prefix_publishes_what_was_worked_out_by_hand(case: HandWorked) -> None:
    """Each fact publishes exactly the result written down for it, or none; so does its note in recon_mismatches."""
    results = history(case.txn_id, facts_of(case), RULES)
    before = None
    for number, (step, result) in enumerate(zip(case.steps, results, strict=True)):
        assert result == step.result, f"{case.name}, step {number}"
        if result is not None:
            assert is_mismatch_news(before, result) == step.mismatch, f"{case.name}, step {number}"
            before = result


def test_there_are_at_least_ten_cases_and_each_has_its_own_transaction() -> None:
    """The set is what it says it is."""
    assert len({case.txn_id for case in CASES}) == len(CASES) >= 10


def test_ids_are_as_computed_outside_of_python() -> None:
    """H of two parts, computed once with printf and sha256sum."""
    assert identity("H01", 1) == "6c6b7a98d09f0082f0fd7b9a7f3fc90a"
    assert identity("H04", "AMOUNT_MISMATCH", "") == "b4b6bf1563b11786dddce5a4ab9bb383"
