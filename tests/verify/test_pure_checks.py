"""The checks of verify on small evidence: what is right passes, each kind of wrong is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from recon_stream.avro import encoder
from recon_stream.domain.event import Event
from recon_stream.domain.ids import identity
from recon_stream.errors import ConfigurationError
from recon_stream.rulebook import load_rules
from recon_stream.settings import Settings
from recon_stream.storage.values import timestamp
from recon_stream.transport.log import Entry
from recon_stream.verify.answer_key import AnswerKey
from recon_stream.verify.archive_checks import StoredRecord, check_archive, check_money
from recon_stream.verify.chains import check_mismatches, check_missing, decode_chain, moves_of
from recon_stream.verify.evidence import PartitionEvidence, Published
from recon_stream.verify.report import Check, Report, State
from recon_stream.verify.stored_checks import StoredVerdict

TXN = "T-1"
RULES = load_rules(Settings()).current
GRACE = RULES.missing_grace_ms[0]
encode = encoder("reconciliation_result", 9)
Body = dict[str, Any]


def leg(source: str, offset: int, occurred_at: int = 1000) -> Body:
    topic = f"{source.lower()}_txns"
    return {
        "source": source, "event_id": f"{source}-1", "revision": 0, "amount_minor": 5, "currency": "EUR", "direction": "DEBIT",
        "status": "PENDING", "canonical_status": "PENDING", "occurred_at": occurred_at, "account": "A", "reference": None,
        "topic": topic, "partition": 0, "offset": offset, "schema_id": 1,
    }  # fmt: skip


def missing(source: str = "MOBILE", state: str = "OPEN", resolution: str | None = None) -> Body:
    return {
        "break_id": identity(TXN, "MISSING_ENTRY", source), "class": "MISSING_ENTRY", "subtype": "", "subject": source,
        "field": "", "expected": None, "actual": None, "delta_minor": None, "severity": "HIGH", "state": state,
        "resolution": resolution,
    }  # fmt: skip


def result(revision: int, breaks: list[Body], decided_at: int = 1000 + GRACE) -> Body:
    is_open = any(each["state"] == "OPEN" for each in breaks)
    return {
        "result_id": identity(TXN, revision), "txn_id": TXN, "revision": revision,
        "verdict": "BROKEN" if is_open else "PENDING", "primary_class": None, "breaks": breaks,
        "legs": [leg("CORE", 0), leg("GATEWAY", 0)], "amount_minor": 5, "currency": "EUR", "rules_version": RULES.version,
        "decided_at": decided_at,
    }  # fmt: skip


def published(*bodies: Body, at: int = 1_000_000) -> list[Published]:
    return [Published(offset, at, encode(body)) for offset, body in enumerate(bodies)]


OPENED, CLOSED = result(1, [missing()]), result(2, [missing(state="RESOLVED", resolution="AUTO_LATE_ARRIVAL")])


def check() -> Check:
    return Check("I0", "any", "things")


@pytest.mark.parametrize(
    ("records", "says"),
    [
        (published(OPENED, CLOSED), None),
        (published(OPENED, OPENED, CLOSED, OPENED), None),
        (published(CLOSED), "are not 1, 2, 3"),
        (published(CLOSED, OPENED), "revision 1 comes first after revision 2"),
        (published(OPENED, OPENED | {"verdict": "VOID"}), "published with two contents"),
        (published(OPENED | {"result_id": "0" * 32}), "is not its own"),
        (published(OPENED | {"verdict": "MATCHED"}), "MATCHED with an open break"),
        ([Published(7, 0, b"\x00\x00\x00\x00\x09damaged")], "the result at offset 7 is not one"),
        ([Published(7, 0, None)], "the result at offset 7 is not one"),
    ],
)
def test_a_chain_is_one_gapless_sequence_of_revisions(records: list[Published], says: str | None) -> None:
    """Copies are allowed; gaps, disorder, two contents of one revision and foreign ids are not."""
    i3 = check()
    decode_chain(i3, TXN.encode(), records)
    assert i3.violations == 0 if says is None else any(says in example for example in i3.examples)


def test_moves_follow_the_life_cycle() -> None:
    """Opened, resolved, opened again; what was never open cannot be resolved, what was listed stays listed."""
    again = result(3, [missing()])
    i6 = check()
    chain = decode_chain(check(), TXN.encode(), published(OPENED, CLOSED, again))
    assert [(move.revision, move.move) for move in moves_of(i6, chain)] == [
        (1, "OPENED"),
        (2, "RESOLVED"),
        (3, "REOPENED"),
    ]
    assert i6.violations == 0
    resolved_first = decode_chain(
        check(), TXN.encode(), published(CLOSED | {"revision": 1, "result_id": identity(TXN, 1)})
    )
    moves_of(i6, resolved_first)
    assert "was never open" in i6.examples[-1]
    moves_of(i6, decode_chain(check(), TXN.encode(), published(OPENED, result(2, []))))
    assert "is not listed any more" in i6.examples[-1]


def evidence(*more: tuple[int, Entry, Event]) -> PartitionEvidence:
    """CORE and GATEWAY at 1000, and more."""
    found = PartitionEvidence(0)
    for source in (0, 1):
        found.add(source, Entry(0, 1000, TXN.encode(), b"value"), event(source))
    for source, entry, said in more:
        found.add(source, entry, said)
    return found


def event(source: int, occurred_at: int = 1000) -> Event:
    return Event("e", TXN, source, 5, "EUR", 0, "PENDING", occurred_at, "A", None, None, 0)


@pytest.mark.parametrize(
    ("body", "at", "record", "says"),
    [
        (OPENED, 1_000_000, None, None),
        (OPENED, 1000, None, f"published {GRACE} ms before its deadline"),
        (result(1, [missing()], decided_at=1000 + GRACE - 1), 1_000_000, None, f"due at {1000 + GRACE}"),
        (result(1, [missing()], decided_at=1000 + GRACE + 1), 1_000_000, None, f"due at {1000 + GRACE}"),
        # its record was sent long before the deadline, and nothing had moved its partition beyond it
        (OPENED, 1_000_000, Entry(0, 2000, TXN.encode(), b"value"), "although its record"),
        # sent after the deadline
        (OPENED, 1_000_000, Entry(0, 2000 + GRACE, TXN.encode(), b"value"), None),
    ],
)
def test_a_break_before_its_deadline_is_proved(body: Body, at: int, record: Entry | None, says: str | None) -> None:
    """By its instant, by when it was published, and by a record that was there in time."""
    i5 = check()
    more = [] if record is None else [(2, record, event(2, record.timestamp))]
    chain = decode_chain(check(), TXN.encode(), published(body, at=at))
    check_missing(i5, chain, evidence(*more), {RULES.version: RULES})
    assert i5.examined == 1
    assert i5.violations == 0 if says is None else any(says in example for example in i5.examples)


def test_a_partition_that_had_moved_on_may_miss_a_record_that_came_behind() -> None:
    """The watermark was beyond the instant before the record: calling it missing was right then."""
    ahead = (2, Entry(0, 2000 + GRACE, b"T-other", b"value"), event(2, 2000 + GRACE))
    behind = (2, Entry(1, 2000, TXN.encode(), b"value"), event(2, 2000))
    i5 = check()
    chain = decode_chain(check(), TXN.encode(), published(OPENED))
    check_missing(i5, chain, evidence(ahead, behind), {RULES.version: RULES})
    assert (i5.examined, i5.violations) == (1, 0)


def test_recon_mismatches_carries_just_what_changed_open_breaks() -> None:
    """Neither less nor more nor anything else."""
    chain = decode_chain(check(), TXN.encode(), published(OPENED, CLOSED))
    for noted, violations in (
        (published(OPENED, CLOSED), 0),
        (published(OPENED), 1),
        (published(OPENED, CLOSED, result(3, [])), 1),
    ):
        i7 = check()
        check_mismatches(i7, chain, noted)
        assert i7.violations == violations


ENTRY = Entry(3, 1000, TXN.encode(), b"\x00\x00\x00\x00\x01value")
ROW = StoredRecord(
    3,
    timestamp(1000),
    ENTRY.key,
    False,
    sha256(ENTRY.value or b"").digest(),
    1,
    "READABLE",
    TXN,
    "CORE",
    "e",
    0,
    5,
    "EUR",
)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([ROW], None),
        ([], "is not in raw_events"),
        ([ROW, ROW], "is 2 times in raw_events"),
        ([ROW, ROW._replace(kafka_offset=4)], "@4 is in raw_events and not in Kafka"),
        ([ROW._replace(value_digest=b"other")], "its value is another one"),
        ([ROW._replace(value_is_null=True, value_digest=None)], "its value is another one"),
        ([ROW._replace(key=None)], "its key or timestamp"),
        ([ROW._replace(kafka_timestamp=timestamp(1001))], "its key or timestamp"),
        ([ROW._replace(schema_id=2)], "its schema id is 2"),
        ([ROW._replace(status="UNREADABLE")], "its status is UNREADABLE"),
        ([ROW._replace(amount_minor=6)], "raw_events says"),
    ],
)
def test_the_archive_holds_each_record_once_as_it_was(rows: list[StoredRecord], says: str | None) -> None:
    """Every column that can be wrong, holes, doubles and inventions."""
    i1 = check()
    check_archive(i1, ("core_txns", 0), [(ENTRY, event(0))], rows, {})
    assert i1.examined == 1
    assert i1.violations == 0 if says is None else any(says in example for example in i1.examples)


def test_an_unreadable_record_has_a_dead_letter_of_that_kind_and_a_readable_one_has_not() -> None:
    """The archive's status and the worker's dead letters agree."""
    unreadable = ROW._replace(
        status="UNREADABLE", txn_id=None, source=None, event_id=None, revision=None, amount_minor=None, currency=None
    )
    place = ("core_txns", 3)
    cases: list[tuple[Event | None, StoredRecord, dict[tuple[str, int], str], int]] = [
        (None, unreadable, {place: "BAD_AVRO"}, 0),
        (None, unreadable, {}, 1),
        (None, unreadable, {place: "UNKNOWN_STATUS"}, 1),
        (event(0), ROW, {place: "UNKNOWN_STATUS"}, 0),
        (event(0), ROW, {place: "BAD_AVRO"}, 1),
    ]
    for said, row, reasons, violations in cases:
        i1 = check()
        check_archive(i1, ("core_txns", 0), [(ENTRY, said)], [row], reasons)
        assert i1.violations == violations


def test_money_is_compared_to_the_minor_unit() -> None:
    """One minor unit in sums beyond any float's precision is found."""
    i9 = check()
    large = {("core_txns", "EUR"): 2**70}
    check_money(i9, large, large)
    assert i9.violations == 0
    check_money(i9, large, {("core_txns", "EUR"): 2**70 + 1})
    check_money(i9, large, {})
    assert i9.violations == 2


TOTALS = {
    "transactions": 2, "records": {"core_txns": 0, "gateway_txns": 0, "mobile_txns": 0}, "dead_letters": {},
    "money_minor": {}, "plan": {"tag": "abc", "first": 0},
}  # fmt: skip
LINES: list[Body] = [
    {"txn_id": "Tabc-0000000000", "verdict": "MATCHED", "open": []},
    {"txn_id": "Tabc-0000000001", "verdict": "BROKEN", "open": [{"class": "AMOUNT_MISMATCH", "subject": "CORE"}]},
]


@pytest.fixture
def key(tmp_path: Path) -> Callable[..., AnswerKey]:
    def load(*lines: Body) -> AnswerKey:
        path = tmp_path / "key.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        return AnswerKey.load(path)

    return load


def stored(txn_id: str, verdict: str, breaks: list[Body]) -> StoredVerdict:
    return StoredVerdict(txn_id, 1, "", verdict, None, None, None, "", timestamp(0), {}, 0, breaks, [])


AMOUNT = {"class": "AMOUNT_MISMATCH", "subject": "CORE", "state": "OPEN"}


def test_the_answer_key_finds_misses_and_phantoms(key: Callable[..., AnswerKey]) -> None:
    """Injected equals reported, transaction by transaction; other runs are none of its business."""
    answers, i4, i9 = key(*LINES, {"totals": TOTALS}), check(), check()
    answers.check_verdict(i4, stored("Tabc-0000000000", "MATCHED", [AMOUNT | {"state": "RESOLVED"}]))
    answers.check_verdict(i4, stored("Tabc-0000000001", "BROKEN", [AMOUNT]))
    answers.check_verdict(i4, stored("Txyz-0000000001", "BROKEN", []))
    answers.check_verdict(i4, stored("Tabc-0000000009", "BROKEN", []))
    answers.check_totals(i4, i9, set())
    assert (i4.examined, i4.violations, i9.violations) == (2, 0, 0)
    for wrong, says in (
        (stored("Tabc-0000000000", "BROKEN", [AMOUNT]), "is open and was not injected"),
        (stored("Tabc-0000000001", "MATCHED", []), "was injected and is not open"),
        (stored("Tabc-0000000001", "PENDING", [AMOUNT]), "PENDING, must be BROKEN"),
        (stored("Tabc-phantom", "MATCHED", []), "no such transaction was sent"),
    ):
        i4 = check()
        answers.check_verdict(i4, wrong)
        assert any(says in example for example in i4.examples)


def test_the_answer_key_misses_transactions_dead_letters_and_money(key: Callable[..., AnswerKey]) -> None:
    """What never showed up is found in the end."""
    answers = key(*LINES, {"totals": TOTALS | {"dead_letters": {"INVALID": 1}, "money_minor": {"CORE": {"EUR": 7}}}})
    i4, i9 = check(), check()
    answers.check_verdict(i4, stored("Tabc-0000000000", "MATCHED", []))
    answers.check_totals(i4, i9, set())
    assert i4.examples == [
        "Tabc-0000000001: no verdict, must be BROKEN",
        "1 records of INVALID were sent, 0 are dead letters",
    ]
    assert i9.examples == ["CORE in EUR: 7 minor units sent, 0 in Kafka"]


def test_the_answer_key_of_a_run_that_did_not_end_is_refused(key: Callable[..., AnswerKey]) -> None:
    """Half a key would call the other half phantoms."""
    with pytest.raises(ConfigurationError, match="has no totals"):
        key(*LINES)


def test_a_check_passes_only_where_it_looked_at_something() -> None:
    """Zero rows examined is a failure; not checked is neither."""
    report = Report()
    assert {each.state for each in report.checks} == {State.FAILED}
    for each in report.checks:
        each.examined = 1
    assert report.ok
    report.i4.not_checked = "no key"
    assert (report.i4.state, report.ok) == (State.NOT_CHECKED, True)
    assert not replace(report, i5=Check("I5", "any", "things")).ok
    report.i1.violated("x" * 1000)
    assert (report.i1.state, report.ok, len(report.i1.examples[0])) == (State.FAILED, False, 301)
