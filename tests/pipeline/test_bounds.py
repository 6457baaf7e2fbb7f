"""What strangers send may be large or endless; what is stored and published of it is not."""

from __future__ import annotations

import pytest

from recon_stream.domain import case as case_module
from recon_stream.domain.case import Case, Result
from recon_stream.domain.facts import EVERY_SOURCE, Deadline, DeadlineKind, Fact
from recon_stream.domain.rules import RulesBook
from recon_stream.domain.validation import Reason
from recon_stream.pipeline.unit import CASE_BYTES_MAX, Unit
from tables.rows import META, Meta, case_key, deadlines_of, decode_outbox, outbox_key
from tests.judge.hand_worked_form import RULES_FILE
from tests.pipeline.driving import PARTITION, Bench, arrived, event_of
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
    records = [arrived(0, offset, T0, "T", event_of(core(offset, size=1000)), BOOK.current) for offset in range(1200)]
    for start in range(0, 1200, 100):
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


@pytest.mark.skipif(not str(case_module.__file__).endswith(".py"), reason="native code does not show its calls")
def test_ten_thousand_events_of_one_transaction_cost_in_proportion_when_they_are_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A case of thousands of facts is folded once a unit, not once a record: no sender can stop a partition that way."""
    records = [arrived(0, offset, T0, "T", event_of(core(offset)), BOOK.current) for offset in range(10_000)]
    bench = Bench(BOOK)
    for start in range(0, len(records), 1000):
        bench.unit(records[start : start + 1000])
    assert [result["primary_class"] for result in bench.results] == ["DUPLICATE_ENTRY"]
    facts = sum(1 for kind in bench.outcomes if kind[0] == "ACCEPTED")
    assert facts + len(bench.dead_letters) == len(records)
    folded = 0
    apply = Case.apply

    def counted(case: Case, fact: Fact) -> Result | None:
        nonlocal folded
        folded += 1
        return apply(case, fact)

    monkeypatch.setattr(Case, "apply", counted)
    bench.unit(records)
    assert folded == 2 * facts, "once from its row, once for what its records said"
    assert len(bench.rows) == 1


def test_the_outbox_of_a_unit_names_every_case_that_it_publishes_and_fits_into_messages() -> None:
    """Thousands of deadlines at once, of transactions with long ids: what a crash must not lose stands in rows that Kafka takes."""
    bench = Bench(BOOK)
    names = [f"{number:04d}{'x' * 400}" for number in range(2000)]
    bench.unit([arrived(0, n, T0, name, event_of(core(n, name)), BOOK.current) for n, name in enumerate(names)])
    assert bench.meta.outbox_parts == 0
    due = [
        (deadline, name)
        for name in names
        for deadline in deadlines_of(bench.rows[case_key(name)])
        if deadline.kind is DeadlineKind.MISSING
    ]
    bench.unit(deadlines=due)
    assert bench.meta.outbox_parts == len(bench.outbox) > 1
    assert all(len(part) < BATCH_BYTES for part in bench.outbox.values())
    parts = [bench.outbox[outbox_key(number)] for number in range(bench.meta.outbox_parts)]
    assert [key for part in parts for key in decode_outbox(part)] == [case_key(name) for name in names]


def test_what_a_crash_cut_off_is_published_again_in_the_order_of_revisions() -> None:
    """The cases in the outbox, all revisions of each in order, byte for byte as they were; nothing is stored anew."""
    bench = Bench(BOOK)
    words = {"CORE": "POSTED", "GATEWAY": "CAPTURED", "MOBILE": "SUCCESS"}
    records = [
        arrived(n, 0, T0, "T", event_of({**core(n), "source": source, "status": words[source]}), BOOK.current)
        for n, source in enumerate(words)
    ]
    bench.unit(records)
    first, rows = list(bench.result_bytes), dict(bench.rows)
    assert len(first) == 2
    bench.result_bytes.clear()
    bench.unit(again=["T"])
    assert bench.result_bytes == first
    assert bench.rows == rows
    assert bench.meta.outbox_parts == 1, "until the next unit: this one may be cut off too"


def test_watermarks_stand_behind_the_rows_that_they_speak_of() -> None:
    """A changelog that was cut off anywhere shows the old watermarks: nothing is missing or too late by them."""
    bench = Bench(BOOK)
    bench.unit([arrived(0, 0, T0, "T", event_of(core(0)), BOOK.current)])
    old = bench.meta.watermarks
    late = {**core(1, "U"), "occurred_at": T0 + 60_000}
    unit = Unit(PARTITION, bench.meta, BOOK, bench.encode, {}, failed_at=0)
    unit.load(case_key("U"), None)
    unit.take(arrived(0, 1, T0 + 60_000, "U", event_of(late), BOOK.current))
    changes = unit.changes()
    metas = [place for place, change in enumerate(changes) if change.key == META]
    assert metas[-1] == len(changes) - 1
    seen = [Meta.decode(changes[place].row or b"").watermarks for place in metas]
    assert all(watermarks == old for watermarks in seen[:-1])
    assert seen[-1] == unit.meta.watermarks != old


def test_a_case_does_not_expire_in_the_unit_that_changed_it() -> None:
    """Its results are not acknowledged yet; it expires in the next unit."""
    bench = Bench(BOOK)
    words = {"CORE": "POSTED", "GATEWAY": "CAPTURED", "MOBILE": "SUCCESS"}
    records = [
        arrived(n, 0, T0, "T", event_of({**core(n), "source": source, "status": words[source]}), BOOK.current)
        for n, source in enumerate(words)
    ]
    expiry = Deadline(EVERY_SOURCE, DeadlineKind.EXPIRY, T0 + BOOK.current.retention_ms)
    bench.unit(records, deadlines=[(expiry, "T")])
    assert deadlines_of(bench.rows[case_key("T")]) == [expiry]
    bench.unit(deadlines=[(expiry, "T")])
    assert case_key("T") not in bench.rows
