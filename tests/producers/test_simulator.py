"""The simulator: a function of its parameters, with an answer key that an independent judge agrees with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from judge.records import FUTURE, INVALID, KEYLESS, UNREADABLE, parse_schemas
from judge.records import Record as RawRecord
from judge.rules import load_rules
from judge.truth import EVERYTHING_PASSED, Truth, find_truth

from producers.answer_key import AnswerKey, Totals
from producers.plan import (
    CLEAN_MIX,
    DEFAULT_MIX,
    ENDLESS_BASE_MS,
    DeadLetterFamily,
    Fault,
    Frame,
    Plan,
    Planned,
    Record,
    Timing,
    Tolerance,
    endless_first,
    parse_mix,
)
from producers.rejects import encode_event
from producers.simulator import Simulator, schedule
from recon_stream.avro import frame, schema_text
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.domain.money import exponent
from recon_stream.errors import ConfigurationError

BASE_MS = 1_800_000_000_000
SCHEMA_ID = 1
TIMING = Timing(grace_ms=5_000, status_grace_ms=8_000)
TOLERANCES = {"EUR": Tolerance(5, None), "INR": Tolerance(None, 50), "USD": Tolerance(100, 20)}
EVEN_MIX = dict.fromkeys(Fault, 1)
PLAN = Plan(seed=7, base_ms=BASE_MS, interval_us=3_000, transactions=4_000, timing=TIMING, tolerances=TOLERANCES)
EVERY_FAULT = replace(PLAN, mix=EVEN_MIX)

RULES = """
version = "test"
window = "30s"
[missing_grace]
default = "5s"
[status]
grace = "8s"
pending_limit = "24h"
[retention]
closed = "7d"
[tolerance.default]
[tolerance.EUR]
absolute_minor = 5
[tolerance.INR]
relative_ppm = 50
[tolerance.USD]
absolute_minor = 100
relative_ppm = 20
[status_map]
core = { PENDING = "PENDING", POSTED = "SUCCESS", REJECTED = "FAILED", REVERSED = "REVERSED" }
gateway = { AUTHORIZED = "PENDING", CAPTURED = "SUCCESS", DECLINED = "FAILED", REFUNDED = "REVERSED" }
mobile = { PROCESSING = "PENDING", SUCCESS = "SUCCESS", FAILED = "FAILED", REVERSED = "REVERSED" }
"""


def never() -> bool:
    return False


def transactions(plan: Plan) -> Iterator[Planned]:
    simulator = Simulator(plan)
    assert plan.transactions is not None
    return (simulator.transaction(number) for number in range(plan.first, plan.first + plan.transactions))


def scheduled(plan: Plan) -> tuple[list[Record], list[Planned]]:
    begun: list[Planned] = []
    return list(schedule(plan, begun.append, never)), begun


def as_sent(records: Iterable[Record]) -> list[RawRecord]:
    """The records as Kafka would hand them out if each were sent at its time, all in one partition."""
    heads = {Frame.OURS: frame(SCHEMA_ID), Frame.UNKNOWN: frame(2_147_000_000), Frame.NONE: b""}
    offsets: Counter[str] = Counter()
    raw = []
    for record in records:
        topic = SOURCE_TOPICS[record.source]
        body = encode_event(record.event) if record.event is not None else record.body
        value = None if body is None else heads[record.frame] + body
        raw.append(RawRecord(topic, 0, offsets[topic], BASE_MS + record.send_ms, record.key, value))
        offsets[topic] += 1
    return raw


def judged(records: list[RawRecord], folder: Path) -> Truth:
    rules_file = folder / "rules.toml"
    rules_file.write_text(RULES)
    schemas = parse_schemas({SCHEMA_ID: schema_text("transaction_event")})
    return find_truth(records, schemas, load_rules(rules_file))


def test_the_answer_key_is_what_an_independent_judge_finds_in_the_records(tmp_path: Path) -> None:
    """Every fault has exactly the stated verdict and breaks as consequence, and there is no case beside those planned."""
    records, begun = scheduled(EVERY_FAULT)
    truth = judged(as_sent(records), tmp_path)
    assert set(truth.cases) == {planned.txn_id for planned in begun}
    for planned in begun:
        (picture,) = truth.cases[planned.txn_id].final_pictures(EVERYTHING_PASSED)
        found = (picture.verdict, {(b.cls, b.subject) for b in picture.breaks})
        assert found == (planned.verdict, {tuple(each) for each in planned.open}), planned


def test_the_planned_dead_letters_are_those_an_independent_judge_finds(tmp_path: Path) -> None:
    """Each family as often as the totals say, and none for any other record."""
    records, begun = scheduled(EVERY_FAULT)
    truth = judged(as_sent(records), tmp_path)
    found = Counter(next(iter(families)) for families in truth.dead_letters.values())
    found[INVALID] += found.pop(FUTURE)  # the judge tells apart what the simulator plans as one family
    planned = Counter(family for one in begun for family in one.dead_letters)
    assert set(planned) == set(DeadLetterFamily)
    unreadable = planned[DeadLetterFamily.UNREADABLE] + planned[DeadLetterFamily.UNKNOWN_SCHEMA]
    assert found == {
        UNREADABLE: unreadable,
        INVALID: planned[DeadLetterFamily.INVALID],
        KEYLESS: planned[DeadLetterFamily.BAD_KEY],
    }


def test_the_same_parameters_give_the_same_records_and_key() -> None:
    """Three processes that share a plan need not talk to each other."""
    plan = replace(EVERY_FAULT, transactions=1_000)
    assert scheduled(plan) == scheduled(plan)


@pytest.mark.parametrize("change", [{"seed": 8}, {"base_ms": BASE_MS + 1}, {"interval_us": 4_000}, {"mix": CLEAN_MIX}])
def test_plans_that_differ_share_no_transaction_id(change: dict[str, int]) -> None:
    """Transaction ids are unique for ever, so another plan must never use one again."""
    ours, theirs = replace(PLAN, transactions=200), replace(PLAN, transactions=200, **change)
    assert not {p.txn_id for p in transactions(ours)} & {p.txn_id for p in transactions(theirs)}


def test_a_plan_may_be_entered_anywhere() -> None:
    """A feed that starts later sends the very transactions that the others send from then on."""
    plan = replace(PLAN, transactions=300)
    assert list(transactions(replace(plan, first=200, transactions=100))) == list(transactions(plan))[200:]


def test_an_endless_plan_goes_on_with_fresh_transactions() -> None:
    """The first transaction is the next one due, so a restart repeats none that is long begun."""
    now = ENDLESS_BASE_MS + 10_000_500
    plan = replace(PLAN, base_ms=ENDLESS_BASE_MS, interval_us=1_000_000, transactions=None)
    first = endless_first(now, plan.interval_us)
    assert ENDLESS_BASE_MS + plan.begin_ms(first - 1) < now <= ENDLESS_BASE_MS + plan.begin_ms(first)
    stream = schedule(replace(plan, first=first), lambda planned: None, never)
    assert next(stream).send_ms >= plan.begin_ms(first)


def test_records_come_in_the_order_of_sending_and_none_is_lost() -> None:
    """What is yielded is all records of all transactions, by planned time."""
    records, begun = scheduled(EVERY_FAULT)
    assert [r.send_ms for r in records] == sorted(r.send_ms for r in records)
    assert Counter(records) == Counter(record for planned in begun for record in planned.records)


def test_a_stop_completes_the_transactions_begun_and_begins_no_other() -> None:
    """So every line of an answer key is of a whole transaction, also after Ctrl-C."""
    begun: list[Planned] = []
    sent: list[Record] = []
    sent.extend(schedule(EVERY_FAULT, begun.append, lambda: len(begun) == 300))
    assert len(begun) == 300
    assert Counter(sent) == Counter(record for planned in begun for record in planned.records)


def test_every_fault_occurs_and_clean_transactions_are_the_majority() -> None:
    """The default mix holds all faults, tolerance too where the rules have one."""
    occurred = Counter(planned.fault for planned in transactions(replace(PLAN, transactions=20_000)))
    assert set(occurred) == set(Fault) == set(DEFAULT_MIX)
    assert occurred[Fault.CLEAN] > 0.8 * occurred.total()


def test_without_a_tolerance_in_the_rules_nothing_is_within_it() -> None:
    """The fault is left out, the others keep their weights."""
    occurred = {planned.fault for planned in transactions(replace(EVERY_FAULT, tolerances={}))}
    assert occurred == set(Fault) - {Fault.TOLERANCE}


def test_legs_come_in_every_order() -> None:
    """All six orders of the three sources are common among clean transactions."""
    orders = Counter(
        tuple(record.source for record in sorted(planned.records, key=lambda record: record.send_ms))
        for planned in transactions(replace(PLAN, mix=CLEAN_MIX))
    )
    assert set(orders) == set(permutations(range(3)))
    assert min(orders.values()) > 400


def test_every_source_goes_missing_and_is_the_odd_one_of_every_kind() -> None:
    """No source is spared: subjects of each fault with a faulty source are all three."""
    subjects: dict[Fault, set[str]] = {}
    for planned in transactions(replace(EVERY_FAULT, transactions=8_000)):
        subjects.setdefault(planned.fault, set()).update(each.subject for each in planned.open)
    of_one_source = {fault: found - {"ALL"} for fault, found in subjects.items() if found}
    assert all(found == {"CORE", "GATEWAY", "MOBILE"} for found in of_one_source.values())
    assert len(of_one_source) == 14


def test_no_event_is_dated_after_its_sending_except_where_that_is_the_fault() -> None:
    """A watermark can then not run ahead of legs that are still to come, so no leg on time is missed."""
    records, _ = scheduled(EVERY_FAULT)
    ahead = [r for r in records if r.event is not None and r.event.occurred_at > BASE_MS + r.send_ms]
    assert all(r.event is not None and r.event.occurred_at - BASE_MS - r.send_ms > 86_400_000 for r in ahead)


def test_late_legs_are_late_and_others_are_not() -> None:
    """A late leg comes after the grace, counted from the latest instant a leg on time may have."""
    for planned in transactions(replace(EVERY_FAULT, mix={Fault.LATE: 1, Fault.CLEAN: 1})):
        begin = min(r.event.occurred_at for r in planned.records if r.event is not None) - BASE_MS
        waits = [record.send_ms - begin for record in planned.records]
        late = sum(wait > TIMING.grace_ms + 1_000 for wait in waits)
        assert late == len(planned.resolved)
        assert late + sum(wait <= TIMING.skew_ms for wait in waits) == 3


def test_amounts_are_of_the_size_of_their_currency() -> None:
    """Yen have no digits after the point and Kuwaiti dinars three: both occur, each below 50,000 major units."""
    seen = Counter[str]()
    for planned in transactions(replace(PLAN, mix=CLEAN_MIX)):
        for record in planned.records:
            assert record.event is not None
            seen[record.event.currency] += 1
            assert 0 < record.event.amount_minor <= 50_000 * 10 ** exponent(record.event.currency)
    assert seen["JPY"] > 500
    assert seen["KWD"] > 500
    assert {exponent(currency) for currency in seen} == {0, 2, 3, 4}


def test_clean_transactions_also_fail_and_are_reversed_everywhere() -> None:
    """FAILED at all three, or REVERSED at all three, is a match."""
    words = Counter(
        tuple(r.event.status for r in planned.records if r.event is not None)
        for planned in transactions(replace(PLAN, mix=CLEAN_MIX))
    )
    assert set(words) == {
        ("POSTED", "CAPTURED", "SUCCESS"),
        ("REJECTED", "DECLINED", "FAILED"),
        ("REVERSED", "REFUNDED", "REVERSED"),
    }


def test_the_answer_key_has_a_line_for_each_transaction_and_the_totals_last(tmp_path: Path) -> None:
    """What a reader of the file finds is what was planned; sums are those of all records that decode."""
    path = tmp_path / "made" / "key.jsonl"
    key = AnswerKey(path)
    begun: list[Planned] = []

    def begin(planned: Planned) -> None:
        key.add(planned)
        begun.append(planned)

    records = list(schedule(EVERY_FAULT, begin, never))
    key.close(EVERY_FAULT)
    *lines, last = [json.loads(text) for text in path.read_text().splitlines()]
    totals = last["totals"]
    assert [line["txn_id"] for line in lines] == [planned.txn_id for planned in begun]
    assert len({line["txn_id"] for line in lines}) == totals["transactions"] == 4_000
    assert all(bool(line["open"]) == (line["verdict"] == "BROKEN") for line in lines)
    assert totals["records"] == Counter(SOURCE_TOPICS[record.source] for record in records)
    sums: dict[str, Counter[str]] = {"CORE": Counter(), "GATEWAY": Counter(), "MOBILE": Counter()}
    for record in records:
        if record.event is not None and record.frame is Frame.OURS:
            sums[("CORE", "GATEWAY", "MOBILE")[record.source]][record.event.currency] += record.event.amount_minor
    assert totals["money_minor"] == sums
    assert totals["plan"]["seed"] == EVERY_FAULT.seed


def test_a_key_of_a_run_that_broke_off_has_no_totals(tmp_path: Path) -> None:
    """A reader can tell that it is not whole."""
    path = tmp_path / "key.jsonl"
    key = AnswerKey(path)
    key.add(next(transactions(PLAN)))
    key.close(None)
    assert [json.loads(text).get("totals") for text in path.read_text().splitlines()] == [None]


def test_totals_count_without_a_file() -> None:
    """Topics without records are named too."""
    assert Totals().as_json()["records"] == {"core_txns": 0, "gateway_txns": 0, "mobile_txns": 0}


@pytest.mark.parametrize("text", ["", "amount", "amount=-1", "amount=x", "nonsense=3", "amount=1;clean=2"])
def test_a_mix_that_is_none_is_refused(text: str) -> None:
    """The message names the faults that there are."""
    with pytest.raises(ConfigurationError, match="duplicate_entry"):
        parse_mix(text)


def test_a_mix_names_its_faults() -> None:
    """Clean transactions keep their usual weight unless named."""
    assert parse_mix("amount=20, missing=1") == {Fault.CLEAN: 850, Fault.AMOUNT: 20, Fault.MISSING: 1}
    assert parse_mix("clean=0,late=5") == {Fault.CLEAN: 0, Fault.LATE: 5}


@pytest.mark.parametrize(
    "change",
    [
        {"transactions": 0},
        {"transactions": None, "paced": False},
        {"mix": {Fault.CLEAN: 0}},
        {"interval_us": 0},
        {"tolerances": {"ZZZ": Tolerance(1)}},
    ],
)
def test_a_plan_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    """Where it is made, with what is wrong."""
    with pytest.raises(ConfigurationError):
        replace(PLAN, **change)
