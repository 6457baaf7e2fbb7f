"""What strangers send may be large or endless; what is stored and published of it is not."""

from __future__ import annotations

from recon_stream.domain.facts import DeadlineKind
from recon_stream.domain.rules import RulesBook
from recon_stream.domain.validation import Reason
from recon_stream.pipeline.unit import CASE_BYTES_MAX, OUTBOX_BYTES_MAX
from tables.rows import case_key, deadlines_of
from tests.judge.hand_worked_form import RULES_FILE
from tests.pipeline.driving import Bench, arrived, event_of
from tests.pipeline.strategies import T0

BOOK = RulesBook.of(RULES_FILE.read_text())
BATCH_BYTES = 900_000


def core(number: int, txn_id: str = "T", size: int = 0) -> dict[str, object]:
    """An event of CORE with an id of its own."""
    return {
        "event_id": f"c{number}", "txn_id": txn_id, "source": "CORE", "amount_minor": 1, "currency": "EUR",
        "direction": "DEBIT", "status": "POSTED", "occurred_at": T0, "account": "A" * max(1, size), "reference": None,
        "channel": None, "revision": 0,
    }  # fmt: skip


def test_a_case_takes_facts_until_its_row_is_full_and_then_buries_the_rest() -> None:
    """Endless events of one transaction: the row stays below a message of Kafka, and no record is lost without a word."""
    bench = Bench(BOOK)
    bench.keeps_cases = True
    records = [arrived(0, offset, T0, "T", event_of(core(offset, size=1000)), BOOK.current) for offset in range(600)]
    for start in range(0, 600, 100):
        bench.unit(records[start : start + 100])
    row = bench.rows[case_key("T")]
    assert CASE_BYTES_MAX < len(row) < BATCH_BYTES
    assert bench.dead_letters
    assert {letter.reason for letter in bench.dead_letters} == {Reason.CASE_FULL}
    accepted = sum(1 for kind in bench.outcomes if kind[0] == "ACCEPTED")
    assert accepted + len(bench.dead_letters) == len(records)
    # what is read again is judged as before: facts as re-reads, the others buried once more
    buried = len(bench.dead_letters)
    bench.keeps_cases = False
    bench.unit(records)
    assert bench.rows[case_key("T")] == row
    assert len(bench.dead_letters) == 2 * buried


def test_the_outbox_of_a_unit_is_bounded() -> None:
    """Thousands of deadlines at once, of transactions with long ids: a unit lets only so many pass that its row holds."""
    bench = Bench(BOOK)
    names = [f"{number:04d}{'x' * 400}" for number in range(1000)]
    bench.unit([arrived(0, n, T0, name, event_of(core(n, name)), BOOK.current) for n, name in enumerate(names)])
    due = [
        (deadline, name)
        for name in names
        for deadline in deadlines_of(bench.rows[case_key(name)])
        if deadline.kind is DeadlineKind.MISSING
    ]
    assert len(due) == 2 * len(names)
    unit = bench.unit(deadlines=due)
    assert not unit.has_room
    assert sum(len(key) for key in unit.meta.outbox) < OUTBOX_BYTES_MAX + 1000
