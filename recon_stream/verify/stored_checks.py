"""I6 and I7 in PostgreSQL: what is stored about a transaction beside its published chain. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from recon_stream.storage.values import storable_tree, timestamp
from recon_stream.verify.chains import Move, Revision
from recon_stream.verify.evidence import Body
from recon_stream.verify.report import Check

_SAID = ("subtype", "subject", "field", "expected", "actual", "delta_minor", "severity", "state", "resolution")


class StoredVerdict(NamedTuple):
    """A row of the statement verdicts_of: a live verdict with its breaks and their moves as JSON."""

    txn_id: str
    revision: int
    result_id: str
    verdict: str
    primary_class: str | None
    amount_minor: int | None
    currency: str | None
    rules_version: str
    decided_at: datetime
    body: Body
    kafka_offset: int
    breaks: list[dict[str, Any]] | None
    moves: list[dict[str, Any]] | None


def check_live_verdict(check: Check, chain: Sequence[Revision], stored: StoredVerdict) -> None:
    """I7: the row is the last published revision, in every column."""
    check.examined += 1
    last = chain[-1].body
    said = storable_tree(last)
    columns = (
        stored.revision, stored.result_id, stored.verdict, stored.primary_class, stored.amount_minor, stored.currency,
        stored.rules_version, stored.decided_at,
    )  # fmt: skip
    published = (
        said["revision"], said["result_id"], said["verdict"], said["primary_class"], said["amount_minor"],
        said["currency"], said["rules_version"], timestamp(last["decided_at"]),
    )  # fmt: skip
    if columns != published:
        differing = [
            f"{there} published, {here} stored" for here, there in zip(columns, published, strict=True) if here != there
        ]
        check.violated(f"{stored.txn_id}: {'; '.join(differing)}")
    elif stored.body != said:
        fields = [name for name in said if said[name] != stored.body.get(name)]
        check.violated(
            f"{stored.txn_id}: the stored body differs from the published one in {', '.join(fields) or 'its fields'}"
        )


def check_moves(check: Check, moves: Sequence[Move], chain: Sequence[Revision], stored: StoredVerdict) -> None:
    """I6: every move is recorded once, nothing else is, and each break stands where its last move left it."""
    check.examined += len(moves)
    recorded = [(each["break_id"], each["revision"], each["move"]) for each in stored.moves or ()]
    for move in set(moves) - set(recorded):
        check.violated(
            f"{stored.txn_id}: {move.move} of {move.break_id} at revision {move.revision} is not in break_events"
        )
    for break_id, revision, what in set(recorded) - set(moves):
        check.violated(
            f"{stored.txn_id}: break_events has {what} of {break_id} at revision {revision}, which never was"
        )
    said = {each["break_id"]: each for each in storable_tree(chain[-1].body["breaks"])}
    rows = {each["break_id"]: each for each in stored.breaks or ()}
    for break_id in said.keys() | rows.keys():
        if break_id not in rows or break_id not in said:
            check.violated(
                f"{stored.txn_id}: break {break_id} is {'published only' if break_id in said else 'stored only'}"
            )
            continue
        ours = [move for move in moves if move.break_id == break_id]
        reopened = sum(move.move == "REOPENED" for move in ours)
        row, published = rows[break_id], said[break_id]
        differing = [name for name in _SAID if row[name] != published[name]]
        if row["class"] != published["class"] or differing:
            check.violated(
                f"{stored.txn_id}: break {break_id} differs from the published one in {', '.join(differing) or 'class'}"
            )
        elif row["reopen_count"] != reopened or row["revision"] != ours[-1].revision:
            check.violated(
                f"{stored.txn_id}: break {break_id} was moved last at revision {ours[-1].revision}, reopened {reopened} times"
            )
