"""A correct stream is not complained about, and every seeded fault in it is caught."""

from __future__ import annotations

import ast
import copy
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .explain import explain
from .hand_worked import CASES
from .hand_worked_form import RULES_FILE, HandWorked
from .history import is_mismatch_news
from .records import decode_registered, parse_schemas, see_all
from .rules import SOURCES, load_rules
from .spoil import MUTATIONS
from .stream import T0, Stream, base, correct_stream, letter, steps_of
from .test_hand_worked_truth import records_of
from .truth import Case, Horizon, find_truth
from .wire import SCHEMAS, framed

RULES = load_rules(RULES_FILE)
ALL_EITHER_WAY = Horizon(clock_ms=1 << 60, held=frozenset(SOURCES))


@pytest.mark.parametrize("seed", range(4))
def test_a_correct_stream_in_any_order_of_arrival_is_not_complained_about(seed: int) -> None:
    """No violation, and every kind of thing was examined."""
    report = correct_stream(RULES, seed).judged()
    assert report.violations == []
    assert report.ok
    assert report.examined["transactions"] == report.examined["explained chains"] == 60
    assert not any(name.startswith("unjudged") for name in report.facts)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.txn_id)
def test_every_case_worked_out_by_hand_is_explained(case: HandWorked) -> None:
    """The search finds the order of arrival; without the last result it finds none."""
    seen = see_all(records_of(case), SCHEMAS, RULES)
    records = Case(case.txn_id, {s: [x for x in seen if x.source == s] for s in SOURCES}, RULES)
    results = [step.result for step in case.steps if step.result is not None]
    assert explain(records, results, ALL_EITHER_WAY).holds
    if case.steps[-1].result is not None and not hasattr(case.steps[-1].fact, "kind"):
        assert not explain(records, results[:-1], ALL_EITHER_WAY).holds


@pytest.mark.parametrize(("spoil", "kind"), MUTATIONS, ids=[f"{spoil.__name__}-{kind}" for spoil, kind in MUTATIONS])
def test_a_seeded_fault_is_caught(spoil: Callable[[Stream], None], kind: str) -> None:
    """With the right kind of violation, and in words."""
    stream = correct_stream(RULES, rounds=1)
    spoil(stream)
    report = stream.judged()
    assert report.kinds[kind] > 0, report.violations
    assert len(report.violations) == min(50, report.kinds.total())


def scalars(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values in a body."""
    if isinstance(node, dict):
        return [p for k, v in node.items() for p in scalars(v, (*path, k))]
    if isinstance(node, list):
        return [p for i, v in enumerate(node) for p in scalars(v, (*path, i))]
    return [path]


OTHER_SYMBOL = {
    "verdict": "VOID",
    "state": "RESOLVED",
    "source": "MOBILE",
    "direction": "CREDIT",
    "canonical_status": "FAILED",
}


def changed(name: Any, value: Any) -> Any:
    """Another value of the same type."""
    if name in OTHER_SYMBOL:
        others = {
            "state": "OPEN",
            "source": "CORE",
            "direction": "DEBIT",
            "canonical_status": "SUCCESS",
            "verdict": "PENDING",
        }
        return OTHER_SYMBOL[name] if value != OTHER_SYMBOL[name] else others[name]
    if isinstance(value, int):
        return value + 1
    if value is None:
        return 7 if name in ("delta_minor", "amount_minor") else "X"
    return value + "X"


@pytest.mark.parametrize("seed", range(60))
def test_any_single_changed_value_in_any_result_is_caught(seed: int) -> None:
    """There is no field about which the judge is silent."""
    rng, stream = random.Random(seed), correct_stream(RULES, rounds=1)
    body = rng.choice(stream.results)
    path = rng.choice(scalars(body))
    holder = body
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = changed(path[-1], holder[path[-1]])
    assert not stream.judged().ok, path


def test_identical_repeats_are_counted_and_allowed() -> None:
    """At-least-once: results, notes and dead letters may come again with the same bytes."""
    stream = correct_stream(RULES, rounds=1)
    stream.results += stream.results[-5:]
    stream.mismatches += stream.mismatches[-3:]
    stream.letters += stream.letters[:2]
    report = stream.judged()
    assert report.ok, report.violations
    assert report.facts["recon_results repeats"] == 5
    assert report.facts["dead letter repeats"] == 2
    assert json.loads(json.dumps(report.as_dict()))["facts"]["recon_mismatches repeats"] == 3


def test_a_missing_break_is_proven_premature_by_append_times() -> None:
    """A leg that was in the topic before the deadline cannot have been missing, if its time is the broker's."""
    stream = Stream(RULES)
    at = T0
    stream.transaction("A1", steps_of("late", "A1", at, random.Random(1)), at)
    stream.poison(at)
    stream.letters.append(letter(stream.append("core_txns", 0, at, b"K", None), "NULL_VALUE"))
    assert stream.judged().ok, "Kafka timestamps of the producer prove nothing by themselves"
    assert stream.judged(live_slack_ms=1000).kinds["unexplained"] == 1
    stream.sources = [record._replace(appended=True) for record in stream.sources]
    assert stream.judged().kinds["unexplained"] == 1


def test_deadlines_that_time_has_not_passed_must_not_have_been_reported() -> None:
    """A clock before the deadline makes the same stream wrong; a held source makes both right."""
    stream = Stream(RULES)
    stream.transaction("A1", steps_of("missing", "A1", T0, random.Random(1)), T0)
    stream.poison(T0)
    assert stream.judged().ok
    assert stream.judged(clock_ms=T0 + 20_000).kinds["final"] == 1
    without = copy.deepcopy(stream)
    without.results.pop()
    without.mismatches.pop()
    empty = frozenset({"mismatches", "breaks"})
    assert not without.judged(may_be_empty=empty).ok
    assert without.judged(clock_ms=T0 + 20_000, may_be_empty=empty).ok
    assert without.judged(held=frozenset(SOURCES), may_be_empty=empty).ok
    assert stream.judged(held=frozenset(SOURCES)).ok


def test_the_clock_lets_a_deadline_pass_only_when_a_stall_would_have_been_seen() -> None:
    """Without a watermark beyond it, a deadline passes `stall_after` later: not before that, surely after it."""
    stream = Stream(RULES)
    stream.transaction("A1", steps_of("missing", "A1", T0, random.Random(1)), T0)
    stream.poison(T0)
    without = copy.deepcopy(stream)
    without.results.pop()
    without.mismatches.pop()
    empty = frozenset({"mismatches", "breaks"})
    due = stream.results[-1]["decided_at"] + RULES.stall_after_ms
    assert stream.judged(clock_ms=due - 1000).kinds["final"] == 1
    assert without.judged(clock_ms=due - 1000, may_be_empty=empty).ok
    assert stream.judged(clock_ms=due + 1000).ok
    assert not without.judged(clock_ms=due + 12_000, may_be_empty=empty).ok


def test_a_record_far_behind_is_too_late_unless_its_case_may_have_been_stored() -> None:
    """Alone it must be a dead letter; with a sibling elsewhere it may be one or a leg."""
    stream = Stream(RULES)
    stream.transaction("NEW", steps_of("clean", "NEW", T0, random.Random(1)), T0)
    old = T0 - RULES.retention_ms - 1000
    partition = stream.partition["NEW"]
    alone = base("OLD", "CORE", old)
    record = stream.append("core_txns", partition, T0, b"OLD", framed(1, alone))
    truth = find_truth(stream.sources, SCHEMAS, RULES)
    assert truth.dead_letters == {record.at: frozenset({"late"})}
    assert "OLD" not in truth.cases
    stream.append("gateway_txns", partition + 1, old, b"OLD", framed(1, base("OLD", "GATEWAY", old)))
    assert find_truth(stream.sources, SCHEMAS, RULES).cases["OLD"].unjudged, "in two partitions"
    stream.sources.pop()
    stream.sources.insert(
        0,
        stream.sources[0]._replace(
            topic="gateway_txns",
            partition=partition,
            offset=-1,
            timestamp=old,
            key=b"OLD",
            value=framed(1, base("OLD", "GATEWAY", old)),
        ),
    )
    truth = find_truth(stream.sources, SCHEMAS, RULES)
    assert truth.optional_dead_letters == {record.at}
    assert sorted(len(case.records()) for case in truth.cases["OLD"].alternatives) == [1, 2]


def test_break_ids_that_existed_in_every_order_are_told_from_those_of_some() -> None:
    """A corrected amount may never have been seen wrong beside another leg; a conflict was there in every order."""
    for scenario, must in (("correction", 0), ("conflict", 1)):
        stream = Stream(RULES)
        stream.transaction("A1", steps_of(scenario, "A1", T0, random.Random(3)), T0)
        case = find_truth(stream.sources, SCHEMAS, RULES).cases["A1"].alternatives[0]
        assert len(case.must_have_existed(ALL_EITHER_WAY)) == must
        assert len(case.may_have_existed()) >= 1


def test_mismatch_news_is_about_open_breaks_alone() -> None:
    """A result that only lists a closed break again is no news."""
    stream = correct_stream(RULES, rounds=1)
    late = stream.of("late")
    assert is_mismatch_news(late[-2], late[-1])
    assert not is_mismatch_news(late[-1], {**late[-1], "legs": []})


def test_the_judge_imports_nothing_of_the_product() -> None:
    """Standard library, fastavro, aiokafka and itself; the judge's own tests also pytest."""
    allowed = set(sys.stdlib_module_names) | {"fastavro", "aiokafka"}
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names.append(node.module or "")
            for name in names:
                top = name.split(".")[0]
                assert top in allowed or (top == "pytest" and path.name.startswith("test_")), f"{path.name}: {name}"


def test_the_transcribed_contracts_are_the_registered_ones() -> None:
    """What the judge's own tests write decodes to the same with the product's schema files."""
    stream = correct_stream(RULES, rounds=1)
    folder = Path(__file__).parents[2] / "schemas"
    names = ("transaction_event", "reconciliation_result", "dead_letter")
    schemas = parse_schemas({i: (folder / f"{name}.avsc").read_text() for i, name in enumerate(names, 1)})
    topics = stream.topics()
    for records in ([r for r in topics.sources if r.key and r.key[:1] == b"T"], topics.results, topics.dead_letters):
        assert records
        for record in records:
            assert decode_registered(record.value, schemas) == decode_registered(record.value, SCHEMAS)
