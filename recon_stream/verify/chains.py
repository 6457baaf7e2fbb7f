"""The published revisions of one transaction, and what they must be among themselves: I3, I5 and I6. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from recon_stream.avro import FRAME_BYTES, decode
from recon_stream.domain.deadlines import event_time
from recon_stream.domain.event import SOURCE_TOPICS, Source
from recon_stream.domain.ids import identity
from recon_stream.domain.rules import Rules
from recon_stream.verify.evidence import Body, PartitionEvidence, Published, SourceRecord
from recon_stream.verify.report import Check

PRODUCER_SLACK_MS = 5_000
"""A record may reach its broker so long after its Kafka timestamp; a break inside of it is not provably premature."""

CLOCK_SKEW_MS = 1_000
"""How far the clocks of producers and workers may be apart."""

_EVIDENCE = ("subtype", "subject", "field", "expected", "actual", "delta_minor", "severity", "resolution")


class Revision(NamedTuple):
    """The first copy of one revision, decoded."""

    body: Body
    published: Published


class Move(NamedTuple):
    """A move of a break, as break_events must hold it."""

    break_id: str
    revision: int
    move: str


def decode_chain(check: Check, key: bytes, records: Sequence[Published]) -> list[Revision]:
    """I3 over one transaction: revisions from 1 on without a gap, in order; a copy has the bytes of the first one."""
    first: dict[int, Revision] = {}
    name = key.decode("utf-8", "replace")
    known: dict[bytes, None] = {}
    for published in records:
        if published.value is not None and published.value in known:
            continue
        try:
            body = decode("reconciliation_result", published.value or b"")
        except Exception:
            # damaged bytes make fastavro raise almost anything
            check.violated(f"{name}: the result at offset {published.offset} is not one")
            continue
        known[published.value or b""] = None
        revision = body["revision"]
        if revision in first:
            check.violated(f"{name} revision {revision} was published with two contents")
            continue
        if first and revision < max(first):
            check.violated(f"{name} revision {revision} comes first after revision {max(first)}")
        if body["txn_id"].encode() != key:
            check.violated(f"{name}: the result at offset {published.offset} is of {body['txn_id']}")
        if body["result_id"] != identity(body["txn_id"], revision):
            check.violated(f"{name} revision {revision}: result_id {body['result_id']} is not its own")
        is_open = any(each["state"] == "OPEN" for each in body["breaks"])
        if is_open != (body["verdict"] == "BROKEN") and body["verdict"] != "VOID":
            check.violated(
                f"{name} revision {revision}: {body['verdict']} with{'' if is_open else 'out'} an open break"
            )
        first[revision] = Revision(body, published)
    chain = [first[revision] for revision in sorted(first)]
    if sorted(first) != list(range(1, len(first) + 1)):
        check.violated(f"{name}: revisions {sorted(first)[:20]} are not 1, 2, 3 …")
    return chain


def moves_of(check: Check, chain: Sequence[Revision]) -> list[Move]:
    """I6 over one transaction: every move of its breaks; what is no move of the life cycle is a violation."""
    moves: list[Move] = []
    before: dict[str, Body] = {}
    for body, _ in chain:
        now = {each["break_id"]: each for each in body["breaks"]}
        name = f"{body['txn_id']} revision {body['revision']}"
        for break_id in before.keys() - now.keys():
            check.violated(f"{name}: {before[break_id]['class']} is not listed any more")
        for break_id, each in now.items():
            move = _move(check, name, before.get(break_id), each)
            if move is not None:
                moves.append(Move(break_id, body["revision"], move))
        before = now
    return moves


def _move(check: Check, name: str, was: Body | None, now: Body) -> str | None:
    what = f"{name}: {now['class']} of {now['subject']}"
    if (now["state"] == "RESOLVED") != (now["resolution"] is not None):
        check.violated(f"{what} is {now['state']} with the resolution {now['resolution']}")
    if was is None:
        if now["state"] != "OPEN":
            check.violated(f"{what} is {now['state']} and was never open")
            return "RESOLVED"
        return "OPENED"
    if was["state"] != now["state"]:
        return "RESOLVED" if now["state"] == "RESOLVED" else "REOPENED"
    if all(was[field] == now[field] for field in _EVIDENCE):
        return None
    if now["state"] == "RESOLVED" and now["resolution"].startswith("AUTO_"):
        check.violated(f"{what} changed while it was resolved")
    return "CHANGED"


def check_missing(
    check: Check, chain: Sequence[Revision], evidence: PartitionEvidence, rules: Mapping[str, Rules]
) -> None:
    """I5 over one transaction. Proved for each MISSING_ENTRY that opens:

    its instant is not before the earliest leg + grace (and is just that when it opens for the first time); it was published
    after that instant (by then neither a watermark nor a clock can have passed it, give or take a second between clocks);
    and where the missing leg came later, the source's partition had moved beyond the instant before it, or the leg was sent
    after the instant (its Kafka timestamp, with five seconds for its way to the broker). Not provable afterwards: that a leg
    which came within those five seconds was not yet in the partition when the worker found it read to its end.
    """
    was_open: set[str] = set()
    ever: set[str] = set()
    for body, published in chain:
        check.examined += 1
        missing = {
            each["break_id"]: each
            for each in body["breaks"]
            if each["class"] == "MISSING_ENTRY" and each["state"] == "OPEN"
        }
        for break_id in missing.keys() - was_open:
            check.notes["openings of MISSING_ENTRY"] += 1
            if published.timestamp + CLOCK_SKEW_MS < body["decided_at"]:
                early = body["decided_at"] - published.timestamp
                check.violated(
                    f"{body['txn_id']} revision {body['revision']}: published {early} ms before its deadline"
                )
            in_force = rules.get(body["rules_version"])
            if in_force is None:
                check.notes["decided under rules that are not here: their deadlines are unknown"] += 1
                continue
            _check_opening(check, body, missing[break_id], evidence, in_force, again=break_id in ever)
        was_open = set(missing)
        ever |= was_open


def _check_opening(
    check: Check, body: Body, missing: Body, evidence: PartitionEvidence, rules: Rules, *, again: bool
) -> None:
    source = Source[missing["subject"]]
    what = f"{body['txn_id']} revision {body['revision']}: MISSING_ENTRY of {source.name}"
    key = body["txn_id"].encode()
    moments = []
    for leg in body["legs"]:
        record = evidence.record_at(SOURCE_TOPICS.index(leg["topic"]), leg["offset"], key)
        if record is None:
            check.violated(f"{what}: there is no record at its leg {leg['topic']}@{leg['offset']}")
            return
        moments.append(event_time(leg["occurred_at"], record.timestamp))
    if not moments:
        check.violated(f"{what} without any leg")
        return
    due, instant = min(moments) + rules.missing_grace_ms[source], body["decided_at"]
    if instant < due or (instant > due and not again):
        check.violated(f"{what} at {instant}, due at {due}")
    came = _came(evidence, key, source)
    if came is not None and came.watermark <= due and came.timestamp + PRODUCER_SLACK_MS <= due:
        check.violated(
            f"{what} at {instant}, although its record {source.topic}[{evidence.number}]@{came.offset} was sent "
            f"{due - came.timestamp} ms before and the partition had not passed the instant"
        )


def _came(evidence: PartitionEvidence, key: bytes, source: Source) -> SourceRecord | None:
    """The first record of the source that is no dead letter."""
    for record in evidence.cases[key]:
        if record.source == source and (source.topic, record.offset) not in evidence.reasons:
            return record
    return None


def check_mismatches(check: Check, chain: Sequence[Revision], noted: Sequence[Published]) -> None:
    """Part of I7: recon_mismatches carries just the revisions that changed the open breaks, with the same content."""
    news: dict[bytes, int] = {}
    before: list[Body] = []
    for body, published in chain:
        now = [each for each in body["breaks"] if each["state"] == "OPEN"]
        if now != before:
            news[(published.value or b"")[FRAME_BYTES:]] = body["revision"]
        before = now
    told = {(published.value or b"")[FRAME_BYTES:] for published in noted}
    name = chain[0].body["txn_id"] if chain else "?"
    for content, revision in news.items():
        if content not in told:
            check.violated(f"{name} revision {revision} changed the open breaks and is not in recon_mismatches")
    for _ in told - news.keys():
        check.violated(
            f"{name}: recon_mismatches says something that recon_results does not, or no change of open breaks"
        )
