"""Two independent readings of section 4 of the design say the same of any history of a transaction."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon_stream.domain.event import Source
from recon_stream.domain.facts import DeadlineKind
from recon_stream.domain.rules import RulesBook
from tables.rows import case_key, deadlines_of
from tests.judge.hand_worked_form import RULES_FILE
from tests.judge.history import Passed, history
from tests.judge.records import Seen, see_all
from tests.judge.rules import load_rules
from tests.judge.wire import SCHEMAS, event_record
from tests.pipeline.driving import Bench, arrived, event_of
from tests.pipeline.strategies import records

BOOK = RulesBook.of(RULES_FILE.read_text())
JUDGE_RULES = load_rules(RULES_FILE)
TOPIC = {"CORE": "core_txns", "GATEWAY": "gateway_txns", "MOBILE": "mobile_txns"}
PASSED = {DeadlineKind.STATUS: "STATUS_GRACE", DeadlineKind.PENDING: "PENDING_LIMIT"}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history_of=records(), data=st.data())
def test_every_fact_of_any_history_publishes_what_the_judge_expects(history_of: list[Any], data: st.DataObject) -> None:
    """Records and passing deadlines in any order, one unit of work each: the same results, in full."""
    seen = {
        s.record.at: s
        for s in see_all(
            [event_record(TOPIC[topic], 0, offset, stamp, "T", said) for topic, offset, stamp, said in history_of],
            SCHEMAS,
            JUDGE_RULES,
        )
    }
    bench = Bench(BOOK)
    facts: list[Seen | Passed] = []
    published: list[dict[str, Any] | None] = []

    def note(before: int) -> None:
        assert len(bench.results) - before <= 1
        published.append(bench.results[-1] if len(bench.results) > before else None)

    for topic, offset, stamp, said in history_of:
        before = len(bench.results)
        bench.unit([arrived(Source[topic], offset, stamp, "T", event_of(said), BOOK.current)])
        facts.append(seen[TOPIC[topic], 0, offset])
        note(before)
        row = bench.rows.get(case_key("T"))
        waiting = [d for d in deadlines_of(row) if d.kind is not DeadlineKind.EXPIRY] if row else []
        if waiting and data.draw(st.booleans()):
            deadline = data.draw(st.sampled_from(waiting))
            before = len(bench.results)
            bench.unit(deadlines=[(deadline, "T")])
            missing = f"MISSING_ENTRY:{Source(deadline.gate).name}"
            facts.append(Passed(PASSED.get(deadline.kind, missing), deadline.instant))
            note(before)
    expected = history("T", facts, JUDGE_RULES)
    assert published == expected
