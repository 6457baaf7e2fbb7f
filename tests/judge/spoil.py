"""The faults that get seeded into a correct stream, each with a kind of violation that must report it."""

from __future__ import annotations

import copy
from collections.abc import Callable

from .history import Body
from .picture import identity
from .rules import SOURCES
from .stream import Stream, letter


def first_break(stream: Stream, scenario: str) -> tuple[Body, Body]:
    """The last result of a scenario and its first open break."""
    body = stream.of(scenario)[-1]
    return body, next(b for b in body["breaks"] if b["state"] == "OPEN")


def wrong_verdict(s: Stream) -> None:
    s.of("clean")[-1]["verdict"] = "PENDING"


def matched_with_an_open_break(s: Stream) -> None:
    body, _ = first_break(s, "account")
    body["verdict"] = "MATCHED"


def last_revision_lost(s: Stream) -> None:
    s.results.remove(s.of("clean")[-1])


def middle_revision_lost(s: Stream) -> None:
    s.results.remove(s.of("progress")[-2])


def revisions_renumbered_over_a_hole(s: Stream) -> None:
    bodies = s.of("progress")
    s.results.remove(bodies[-2])
    bodies[-1]["revision"] -= 1
    bodies[-1]["result_id"] = identity(bodies[-1]["txn_id"], bodies[-1]["revision"])


def revision_too_many(s: Stream) -> None:
    last = s.of("clean")[-1]
    more = {**last, "revision": last["revision"] + 1}
    s.results.append({**more, "result_id": identity(more["txn_id"], more["revision"])})


def transaction_lost(s: Stream) -> None:
    for body in s.of("alone"):
        s.results.remove(body)


def transaction_invented(s: Stream) -> None:
    body = copy.deepcopy(s.of("clean")[0])
    body.update(txn_id="T9999", result_id=identity("T9999", 1))
    s.results.append(body)


def phantom_break(s: Stream) -> None:
    body = s.of("clean")[-1]
    _, real = first_break(s, "account")
    body["breaks"].append({**real, "break_id": identity(body["txn_id"], "ACCOUNT_MISMATCH", "")})
    body.update(verdict="BROKEN", primary_class="ACCOUNT_MISMATCH")


def other_bytes(s: Stream) -> None:
    body = {**s.of("clean")[-1], "decided_at": 1}
    s.results.append(body)


def other_bytes_of_the_same_content(s: Stream) -> None:
    last = s.topics().results[-1]
    assert last.value is not None
    # the same number as a longer varint: decodes to the same record
    s.raw_results.append(last._replace(offset=10**6, value=last.value[:-1] + bytes([last.value[-1] | 0x80, 0])))


def wrong_subject(s: Stream) -> None:
    first_break(s, "account")[1]["subject"] = "ALL"


def wrong_odd_source(s: Stream) -> None:
    said = first_break(s, "amount")[1]
    said["subject"] = next(x for x in SOURCES if x != said["subject"])


def wrong_expected(s: Stream) -> None:
    first_break(s, "amount")[1]["expected"] = "1"


def wrong_delta(s: Stream) -> None:
    first_break(s, "amount")[1]["delta_minor"] += 1


def wrong_severity(s: Stream) -> None:
    first_break(s, "lagging")[1]["severity"] = "LOW"


def wrong_subtype(s: Stream) -> None:
    first_break(s, "lagging")[1]["subtype"] = "STUCK"


def wrong_break_id(s: Stream) -> None:
    first_break(s, "account")[1]["break_id"] = "0" * 32


def break_id_of_one_source_without_it(s: Stream) -> None:
    body, said = first_break(s, "entry")
    said["break_id"] = identity(body["txn_id"], "DUPLICATE_ENTRY", "")


def wrong_result_id(s: Stream) -> None:
    s.of("clean")[-1]["result_id"] = "0" * 32


def wrong_primary_class(s: Stream) -> None:
    first_break(s, "account")[0]["primary_class"] = "AMOUNT_MISMATCH"


def wrong_rules_version(s: Stream) -> None:
    s.of("clean")[-1]["rules_version"] = "another"


def wrong_resolution(s: Stream) -> None:
    s.of("late")[-1]["breaks"][0]["resolution"] = "AUTO_AGREED"


def resolved_break_dropped(s: Stream) -> None:
    s.of("late")[-1]["breaks"].clear()


def wrong_decided_at(s: Stream) -> None:
    s.of("clean")[-1]["decided_at"] += 1


def missing_before_its_deadline(s: Stream) -> None:
    s.of("missing")[-1]["decided_at"] -= 1


def missing_never_reported(s: Stream) -> None:
    s.results.remove(s.of("missing")[-1])


def leg_at_other_coordinates(s: Stream) -> None:
    s.of("clean")[-1]["legs"][0]["offset"] += 1


def leg_at_no_coordinates(s: Stream) -> None:
    s.of("clean")[-1]["legs"][0]["offset"] = 10**9


def leg_with_another_amount(s: Stream) -> None:
    s.of("clean")[-1]["legs"][1]["amount_minor"] += 1


def leg_lost(s: Stream) -> None:
    s.of("clean")[-1]["legs"].pop()


def wrong_top_level_amount(s: Stream) -> None:
    s.of("clean")[-1]["amount_minor"] += 1


def note_lost(s: Stream) -> None:
    s.mismatches.pop()


def note_too_many(s: Stream) -> None:
    s.mismatches.append(s.of("clean")[-1])


def note_that_differs(s: Stream) -> None:
    s.mismatches[0]["decided_at"] += 1


def dead_letter_lost(s: Stream) -> None:
    s.letters.pop()


def dead_letter_of_a_good_record(s: Stream) -> None:
    s.letters.append(letter(s.sources[0], "BAD_AVRO"))


def dead_letter_with_a_wrong_reason(s: Stream) -> None:
    s.letters[-2]["reason"] = "BAD_AVRO"


def dead_letter_that_changes_the_record(s: Stream) -> None:
    s.letters[0]["value"] = b"another"


def nothing_published(s: Stream) -> None:
    s.results.clear()
    s.mismatches.clear()


MUTATIONS: list[tuple[Callable[[Stream], None], str]] = [
    (wrong_verdict, "final"),
    (matched_with_an_open_break, "verdict"),
    (last_revision_lost, "final"),
    (last_revision_lost, "unexplained"),
    (middle_revision_lost, "gap"),
    (revisions_renumbered_over_a_hole, "unexplained"),
    (revision_too_many, "unchanged"),
    (revision_too_many, "unexplained"),
    (transaction_lost, "unexplained"),
    (transaction_invented, "phantom_transaction"),
    (phantom_break, "phantom"),
    (other_bytes, "other_bytes"),
    (other_bytes_of_the_same_content, "other_bytes"),
    (wrong_subject, "final"),
    (wrong_odd_source, "final"),
    (wrong_expected, "evidence"),
    (wrong_delta, "final"),
    (wrong_severity, "final"),
    (wrong_subtype, "final"),
    (wrong_break_id, "break_id"),
    (break_id_of_one_source_without_it, "break_id"),
    (wrong_result_id, "result_id"),
    (wrong_primary_class, "primary_class"),
    (wrong_rules_version, "rules_version"),
    (wrong_resolution, "unexplained"),
    (resolved_break_dropped, "lost_break"),
    (wrong_decided_at, "unexplained"),
    (missing_before_its_deadline, "premature"),
    (missing_never_reported, "final"),
    (leg_at_other_coordinates, "coordinates"),
    (leg_at_no_coordinates, "coordinates"),
    (leg_with_another_amount, "coordinates"),
    (leg_lost, "final"),
    (wrong_top_level_amount, "amount"),
    (note_lost, "mismatch_missing"),
    (note_too_many, "mismatch_extra"),
    (note_that_differs, "mismatch_differs"),
    (dead_letter_lost, "dead_letter_lost"),
    (dead_letter_of_a_good_record, "dead_letter_extra"),
    (dead_letter_with_a_wrong_reason, "dead_letter_reason"),
    (dead_letter_that_changes_the_record, "dead_letter_content"),
    (nothing_published, "nothing_examined"),
]
