"""What a batch of results does to the stored verdicts and breaks. Pure decisions over what is stored.

A newer revision is taken; one whose content is known is a re-read; an equal or lower one with other content is kept aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from recon_stream.domain.breaks import BreakClass
from recon_stream.storage.values import identifier, storable, storable_tree, timestamp

DIGEST_BYTES = 8
# Digests kept per transaction: a re-read older than that many revisions cannot be told from a conflict and is kept aside.
REVISIONS_KEPT = 1024
REVISION_MAX = (1 << 31) - 1
_UNKNOWN = bytes(DIGEST_BYTES)
_FRAME_BYTES = 5


class Judgement(StrEnum):
    """What to do with a result."""

    NEWER = "NEWER"
    REREAD = "REREAD"
    SAME_REVISION = "SAME_REVISION"
    LOWER_REVISION = "LOWER_REVISION"
    UNREADABLE = "UNREADABLE"


class Move(StrEnum):
    """The moves of a break; CHANGED means that its evidence or its resolution changed and its state did not."""

    OPENED = "OPENED"
    CHANGED = "CHANGED"
    RESOLVED = "RESOLVED"
    REOPENED = "REOPENED"


class Stored(NamedTuple):
    """The revision in force of a transaction and the digests of the newest revisions up to it, oldest first."""

    revision: int
    digests: bytes


class Incoming(NamedTuple):
    """One record of recon_results; `result` is None where its value is not a result. `timestamp` in epoch milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    result: dict[str, Any] | None

    @property
    def txn_id(self) -> str | None:
        """The transaction as the tables name it."""
        return None if self.result is None else identifier(self.result["txn_id"])


class BreakRow(NamedTuple):
    """The columns of breaks that the stream owns, in the order of the statement stored_breaks."""

    break_id: str
    txn_id: str
    break_class: str
    subtype: str
    subject: str
    field: str
    expected: str | None
    actual: str | None
    delta_minor: int | None
    severity: str
    state: str
    resolution: str | None
    opened_at: datetime
    resolved_at: datetime | None
    revision: int
    reopen_count: int
    currency: str | None
    at_risk_minor: int | None

    @property
    def evidence(self) -> tuple[object, ...]:
        """What makes two rows say the same of the difference."""
        return (*self[3:10], self.resolution)


class BreakEvent(NamedTuple):
    """One row of break_events."""

    break_id: str
    revision: int
    txn_id: str
    move: str
    at: datetime
    subtype: str
    subject: str
    field: str
    expected: str | None
    actual: str | None
    delta_minor: int | None
    severity: str
    resolution: str | None


class Conflict(NamedTuple):
    """A result that was not taken."""

    incoming: Incoming
    reason: Judgement
    stored_revision: int | None


@dataclass(slots=True)
class Judged:
    """A batch of results, judged: the newer ones in order, those kept aside, the number of re-reads, the state afterwards."""

    stored: dict[str, Stored]
    newer: list[Incoming] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    reread: int = 0


def digest_of(value: bytes) -> bytes:
    """8 bytes of SHA-256 over the value without its frame: the content, whatever the schema id."""
    return sha256(memoryview(value)[_FRAME_BYTES:]).digest()[:DIGEST_BYTES]


def judge(stored: Stored | None, revision: int, digest: bytes) -> Judgement:
    """What a result of that revision and content is, beside what is stored."""
    if stored is None or revision > stored.revision:
        return Judgement.NEWER
    at = len(stored.digests) - DIGEST_BYTES * (stored.revision - revision + 1)
    if at >= 0 and stored.digests[at : at + DIGEST_BYTES] == digest:
        return Judgement.REREAD
    return Judgement.SAME_REVISION if revision == stored.revision else Judgement.LOWER_REVISION


def advance(stored: Stored | None, revision: int, digest: bytes) -> Stored:
    """What is stored once that newer revision is taken; revisions that were never seen leave an unknown digest."""
    if stored is None or revision - stored.revision > REVISIONS_KEPT:
        return Stored(revision, digest)
    missed = _UNKNOWN * (revision - stored.revision - 1)
    return Stored(revision, (stored.digests + missed + digest)[-REVISIONS_KEPT * DIGEST_BYTES :])


def judge_batch(incoming: Iterable[Incoming], stored: Mapping[str, Stored]) -> Judged:
    """Judge results in Kafka order."""
    judged = Judged(dict(stored))
    for item in incoming:
        if item.result is None or item.value is None or not 1 <= item.result["revision"] <= REVISION_MAX:
            judged.conflicts.append(Conflict(item, Judgement.UNREADABLE, None))
            continue
        txn_id = identifier(item.result["txn_id"])
        revision, digest = item.result["revision"], digest_of(item.value)
        known = judged.stored.get(txn_id)
        judgement = judge(known, revision, digest)
        if judgement is Judgement.NEWER:
            judged.newer.append(item)
            judged.stored[txn_id] = advance(known, revision, digest)
        elif judgement is Judgement.REREAD:
            judged.reread += 1
        else:
            judged.conflicts.append(Conflict(item, judgement, None if known is None else known.revision))
    return judged


def move_breaks(
    newer: Iterable[Incoming], known: Mapping[str, BreakRow]
) -> tuple[dict[str, BreakRow], list[BreakEvent]]:
    """(rows of breaks that moved, every move) over newer results in order."""
    rows: dict[str, BreakRow] = {}
    events: list[BreakEvent] = []
    for item in newer:
        assert item.result is not None, "an unreadable result is never newer"
        revision, at = item.result["revision"], timestamp(item.result["decided_at"])
        txn_id = identifier(item.result["txn_id"])
        for said in item.result["breaks"]:
            break_id = identifier(said["break_id"])
            before = rows.get(break_id) or known.get(break_id)
            at_risk = (_storable_or_none(item.result["currency"]), _at_risk(said, item.result["amount_minor"]))
            after = _row_after(before, (break_id, txn_id), said, revision, at)._replace(
                currency=at_risk[0], at_risk_minor=at_risk[1]
            )
            move = _move(before, after)
            if move is not None:
                rows[break_id] = after
                events.append(_event(after, move, at))
            elif before is not None and before[-2:] != after[-2:]:
                # what is at risk follows a correction; the break itself has not moved
                rows[break_id] = after._replace(revision=before.revision)
    return rows, events


def revision_rows(newer: Iterable[Incoming]) -> list[dict[str, Any]]:
    """The rows of result_revisions: every newer revision, those that another of the batch replaced among them."""
    rows = []
    for item in newer:
        assert item.result is not None, "an unreadable result is never newer"
        result = item.result
        rows.append(
            {
                "txn_id": item.txn_id,
                "revision": result["revision"],
                "verdict": result["verdict"],
                "primary_class": _storable_or_none(result["primary_class"]),
                "legs": len(result["legs"]),
                "rules_version": storable(result["rules_version"]),
                "decided_at": timestamp(result["decided_at"]),
                "partition": item.partition,
                "kafka_offset": item.offset,
            }
        )
    return rows


def tags_of(result: Mapping[str, Any]) -> list[str]:
    """What the transaction can be found by: see the column `tags`."""
    tags = set()
    for leg in result["legs"]:
        tags |= {f"account:{leg['account']}", f"id:{leg['event_id']}"}
        if leg["reference"]:
            tags.add(f"id:{leg['reference']}")
    return sorted(map(identifier, tags))


def open_breaks_of(result: Mapping[str, Any]) -> list[str] | None:
    """What its open breaks are found by: see the column `open_breaks`."""
    tags = set()
    for each in result["breaks"]:
        if each["state"] == "OPEN":
            kind, subject, severity = each["class"], each["subject"], each["severity"]
            tags |= {
                f"class:{kind}",
                f"subject:{subject}",
                f"severity:{severity}",
                f"break:{kind}/{subject}/{severity}",
            }
    return sorted(map(identifier, tags)) or None


def result_rows(judged: Judged) -> list[dict[str, Any]]:
    """The rows of reconciliation_results for the newest revision of each transaction of the batch."""
    newest = {item.txn_id: item for item in judged.newer}
    return [_result_row(txn_id, item, judged.stored[txn_id]) for txn_id, item in newest.items() if txn_id is not None]


def _result_row(txn_id: str, item: Incoming, stored: Stored) -> dict[str, Any]:
    result = item.result
    assert result is not None, "an unreadable result is never newer"
    body = orjson.dumps(result)
    # the quick look may be wrong in one direction only; storable_tree then changes nothing
    if b"\\u0000" in body or "\u2400".encode() in body:
        body = orjson.dumps(storable_tree(result))
    return {
        "txn_id": txn_id,
        "revision": result["revision"],
        "result_id": storable(result["result_id"]),
        "verdict": result["verdict"],
        "primary_class": _storable_or_none(result["primary_class"]),
        "amount_minor": result["amount_minor"],
        "currency": _storable_or_none(result["currency"]),
        "rules_version": storable(result["rules_version"]),
        "decided_at": timestamp(result["decided_at"]),
        "body": orjson.Fragment(body),
        "partition": item.partition,
        "kafka_offset": item.offset,
        "revision_digests": stored.digests.hex(),
        "tags": tags_of(result),
        "open_breaks": open_breaks_of(result),
    }


def _row_after(
    before: BreakRow | None, ids: tuple[str, str], said: Mapping[str, Any], revision: int, at: datetime
) -> BreakRow:
    resolved = said["state"] == "RESOLVED"
    was_resolved = before is not None and before.state == "RESOLVED"
    return BreakRow(
        *ids,
        storable(said["class"]),
        storable(said["subtype"]),
        storable(said["subject"]),
        storable(said["field"]),
        _storable_or_none(said["expected"]),
        _storable_or_none(said["actual"]),
        said["delta_minor"],
        storable(said["severity"]),
        said["state"],
        _storable_or_none(said["resolution"]),
        at if before is None else before.opened_at,
        None if not resolved else (before.resolved_at if before is not None and was_resolved else at),
        revision,
        (0 if before is None else before.reopen_count) + (was_resolved and not resolved),
        None,
        None,
    )


def _at_risk(said: Mapping[str, Any], amount_minor: int | None) -> int | None:
    """The difference where that is an amount, else the whole amount of the transaction."""
    if said["class"] == BreakClass.AMOUNT_MISMATCH and said["delta_minor"] is not None:
        return abs(int(said["delta_minor"]))
    return amount_minor


def _event(row: BreakRow, move: Move, at: datetime) -> BreakEvent:
    return BreakEvent(
        row.break_id,
        row.revision,
        row.txn_id,
        move,
        at,
        row.subtype,
        row.subject,
        row.field,
        row.expected,
        row.actual,
        row.delta_minor,
        row.severity,
        row.resolution,
    )


def _move(before: BreakRow | None, after: BreakRow) -> Move | None:
    if before is None:
        # first seen resolved: revisions of this transaction had left the topic before the sink read them
        return Move.OPENED if after.state == "OPEN" else Move.RESOLVED
    if before.state != after.state:
        return Move.RESOLVED if after.state == "RESOLVED" else Move.REOPENED
    return Move.CHANGED if before.evidence != after.evidence else None


def _storable_or_none(text: str | None) -> str | None:
    return None if text is None else storable(text)
