"""The engine publishes, fact by fact, what was worked out by hand from section 4 of the design."""

from __future__ import annotations

import pytest

from recon_stream.domain.event import Source
from recon_stream.domain.facts import EVERY_SOURCE, Deadline, DeadlineKind
from recon_stream.domain.rules import RulesBook
from tables.rows import case_key, deadlines_of
from tests.judge.hand_worked import CASES
from tests.judge.hand_worked_form import RULES_FILE, Arrives, HandWorked, Passes
from tests.pipeline.driving import Bench, arrived, event_of

BOOK = RulesBook.of(RULES_FILE.read_text())
KINDS = {
    "MISSING_ENTRY": DeadlineKind.MISSING,
    "STATUS_GRACE": DeadlineKind.STATUS,
    "PENDING_LIMIT": DeadlineKind.PENDING,
}


def waiting(bench: Bench, case: HandWorked, fact: Passes) -> Deadline:
    """The deadline in the case's row that the fact names; the row must hold it with exactly that instant."""
    row = bench.rows[case_key(case.txn_id)]
    gates = [Source[fact.source]] if fact.source else [*Source, EVERY_SOURCE]
    found = [d for d in deadlines_of(row) if d.kind is KINDS[fact.kind] and d.gate in gates]
    assert fact.instant in {deadline.instant for deadline in found}, f"{fact} is not among {deadlines_of(row)}"
    return next(deadline for deadline in found if deadline.instant == fact.instant)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.txn_id)
def test_every_fact_publishes_what_was_worked_out_by_hand(case: HandWorked) -> None:
    """One unit of work a fact: the result in full, its revision, and whether subscribers of mismatches hear of it."""
    bench = Bench(BOOK)
    for number, step in enumerate(case.steps):
        results, mismatches = len(bench.results), len(bench.mismatches)
        if isinstance(step.fact, Arrives):
            fact = step.fact
            record = arrived(
                Source[fact.source], fact.offset, fact.timestamp, case.txn_id, event_of(fact.event), BOOK.current
            )
            bench.unit([record])
        else:
            bench.unit(deadlines=[(waiting(bench, case, step.fact), case.txn_id)])
        published = bench.results[results:]
        assert published == ([] if step.result is None else [step.result]), f"{case.name}, step {number}"
        assert len(bench.mismatches) - mismatches == int(step.mismatch), f"{case.name}, step {number}"
