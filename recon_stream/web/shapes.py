"""The shapes of answers, for the OpenAPI document, and how rows become them. Instants are RFC 3339 in UTC with milliseconds,
amounts are strings: in minor units, and in major units beside them, so that no client ever has to calculate with a float."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from recon_stream.domain.event import SOURCES
from recon_stream.domain.money import format_major, is_currency
from recon_stream.domain.severity import LEVELS
from recon_stream.topics import RESULTS
from recon_stream.web.endpoints import Answer
from recon_stream.web.explaining import sentences
from recon_stream.web.masking import masked_evidence, masked_result
from recon_stream.web.times import moment


class Money(Answer):
    """An amount, exactly."""

    minor: str = Field(description="In minor units, a decimal integer.", examples=["134702"])
    major: str | None = Field(description="In major units; null where the currency is not known.", examples=["1347.02"])
    currency: str = Field(examples=["EUR"])


class TransactionRow(Answer):
    """A transaction in a list."""

    txn_id: str
    revision: int
    verdict: str
    primary_class: str | None = Field(description="Class of the first open break in order of precedence.")
    classes: list[str] = Field(description="Classes of the open breaks.")
    subjects: list[str] = Field(description="Who differs: sources, or ALL.")
    severity: str | None = Field(description="The highest of the open breaks.")
    amount: Money | None
    rules_version: str
    decided_at: str


class TransactionPage(Answer):
    """A page of a list; `next` goes into `after` for the following one."""

    items: list[TransactionRow]
    next: str | None


class Place(Answer):
    """Where a record stands in Kafka."""

    topic: str
    partition: int
    offset: str


class LegView(Answer):
    """What one source says in sum, and where it said it."""

    source: str
    event_id: str
    revision: int
    amount: Money
    direction: str
    status: str = Field(description="The source's own word.")
    canonical_status: str
    occurred_at: str
    account: str = Field(description="Masked for roles without accounts:read.")
    reference: str | None
    place: Place
    schema_id: int


class BreakView(Answer):
    """A difference. Amounts in `expected` and `actual` are minor units, times epoch milliseconds."""

    break_id: str
    break_class: str = Field(alias="class")
    subtype: str
    subject: str
    field: str
    expected: str | None
    actual: str | None
    delta: Money | None
    severity: str
    state: str
    resolution: str | None


class RevisionView(Answer):
    """A revision of the verdict."""

    revision: int
    verdict: str
    primary_class: str | None
    legs: int
    rules_version: str
    decided_at: str
    place: Place


class MoveView(Answer):
    """A break opened, changed, was resolved or opened again."""

    break_id: str
    break_class: str = Field(alias="class")
    revision: int
    move: str
    at: str
    subtype: str
    subject: str
    field: str
    expected: str | None
    actual: str | None
    severity: str
    resolution: str | None


class MismatchRow(Answer):
    """A break in a list. Amounts in `expected` and `actual` are minor units, times epoch milliseconds."""

    break_id: str
    txn_id: str
    break_class: str = Field(alias="class")
    subtype: str
    subject: str
    field: str
    expected: str | None
    actual: str | None
    severity: str
    state: str
    resolution: str | None
    revision: int = Field(description="Of the result that moved or changed it last.")
    reopened: int = Field(description="How often.")
    delta: Money | None
    at_risk: Money | None = Field(description="The difference where that is an amount, else the transaction's amount.")
    opened_at: str = Field(description="For the first time.")
    resolved_at: str | None


class MismatchPage(Answer):
    """A page of a list; `next` goes into `after` for the following one."""

    items: list[MismatchRow]
    next: str | None


class Mismatch(MismatchRow):
    """One break with its history."""

    verdict: str = Field(description="Of its transaction, now.")
    explanation: str | None = Field(description="A sentence; null where the break is resolved.")
    legs: dict[str, LegView | None] = Field(description="By source: CORE, GATEWAY, MOBILE; null where none came.")
    moves: list[MoveView]


class Transaction(Answer):
    """One transaction with what is known of it."""

    txn_id: str
    revision: int
    verdict: str
    primary_class: str | None
    amount: Money | None
    rules_version: str
    decided_at: str
    place: Place
    explanation: list[str] = Field(description="A sentence for each open break.")
    legs: dict[str, LegView | None] = Field(description="By source: CORE, GATEWAY, MOBILE; null where none came.")
    breaks: list[BreakView]
    revisions: list[RevisionView]
    moves: list[MoveView]


def base64_of(data: bytes | None) -> str | None:
    """Bytes as JSON can hold them."""
    return None if data is None else b64encode(data).decode()


def place(topic: str, partition: int, offset: int) -> dict[str, Any]:
    """See Place; the offset is a string, because it may be larger than what JavaScript can count."""
    return {"topic": topic, "partition": partition, "offset": str(offset)}


def transaction(
    row: Mapping[str, Any],
    revisions: Sequence[Mapping[str, Any]],
    moves: Sequence[Mapping[str, Any]],
    *,
    is_masked: bool,
) -> dict[str, Any]:
    """See Transaction; `row` holds the live result with its body."""
    body = masked_result(row["body"]) if is_masked else row["body"]
    return {
        "txn_id": body["txn_id"],
        "revision": row["revision"],
        "verdict": body["verdict"],
        "primary_class": body["primary_class"],
        "amount": money(body["amount_minor"], body["currency"]),
        "rules_version": body["rules_version"],
        "decided_at": moment(row["decided_at_ms"]),
        "place": place(RESULTS, row["partition"], row["kafka_offset"]),
        "explanation": sentences(body),
        "legs": _legs(body),
        "breaks": [_break(each, body["currency"]) for each in body["breaks"]],
        "revisions": [_revision(each) for each in revisions],
        "moves": [move(each, is_masked) for each in moves],
    }


def mismatch_row(row: Mapping[str, Any], *, is_masked: bool) -> dict[str, Any]:
    """See MismatchRow."""
    kept = (
        "break_id", "txn_id", "class", "subtype", "subject", "field", "expected", "actual", "severity", "state", "resolution",
        "revision",
    )  # fmt: skip
    shown = {name: row[name] for name in kept} | {
        "reopened": row["reopen_count"],
        "delta": money(row["delta_minor"], row["currency"]) if row["class"] == "AMOUNT_MISMATCH" else None,
        "at_risk": money(row["at_risk_minor"], row["currency"]),
        "opened_at": moment(row["opened_at_ms"]),
        "resolved_at": moment(row["resolved_at_ms"]),
    }
    if is_masked and row["field"] == "account":
        shown |= {name: masked_evidence(row[name]) for name in ("expected", "actual")}
    return shown


def mismatch(row: Mapping[str, Any], moves: Sequence[Mapping[str, Any]], *, is_masked: bool) -> dict[str, Any]:
    """See Mismatch; `row` holds the live result of the transaction too."""
    body = masked_result(row["body"]) if is_masked else row["body"]
    said = sentences(body | {"breaks": [each for each in body["breaks"] if each["break_id"] == row["break_id"]]})
    return mismatch_row(row, is_masked=is_masked) | {
        "verdict": row["verdict"],
        "explanation": said[0] if said else None,
        "legs": _legs(body),
        "moves": [move(each, is_masked) for each in moves],
    }


def _legs(body: Mapping[str, Any]) -> dict[str, Any]:
    legs = {leg["source"]: _leg(leg) for leg in body["legs"]}
    return {source.name: legs.get(source.name) for source in SOURCES}


def _leg(leg: Mapping[str, Any]) -> dict[str, Any]:
    kept = (
        "source",
        "event_id",
        "revision",
        "direction",
        "status",
        "canonical_status",
        "account",
        "reference",
        "schema_id",
    )
    return {name: leg[name] for name in kept} | {
        "amount": money(leg["amount_minor"], leg["currency"]),
        "occurred_at": moment(leg["occurred_at"]),
        "place": place(leg["topic"], leg["partition"], leg["offset"]),
    }


def _break(each: Mapping[str, Any], currency: str | None) -> dict[str, Any]:
    kept = ("break_id", "class", "subtype", "subject", "field", "expected", "actual", "severity", "state", "resolution")
    is_amount = each["class"] == "AMOUNT_MISMATCH"
    return {name: each[name] for name in kept} | {"delta": money(each["delta_minor"], currency) if is_amount else None}


def _revision(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("revision", "verdict", "primary_class", "legs", "rules_version")
    return {name: row[name] for name in kept} | {
        "decided_at": moment(row["decided_at_ms"]),
        "place": place(RESULTS, row["partition"], row["kafka_offset"]),
    }


def move(row: Mapping[str, Any], is_masked: bool) -> dict[str, Any]:
    """See MoveView."""
    kept = (
        "break_id",
        "class",
        "revision",
        "move",
        "subtype",
        "subject",
        "field",
        "expected",
        "actual",
        "severity",
        "resolution",
    )
    shown = {name: row[name] for name in kept} | {"at": moment(row["at_ms"])}
    if is_masked and row["field"] == "account":
        shown |= {name: masked_evidence(row[name]) for name in ("expected", "actual")}
    return shown


def money(minor: int | None, currency: str | None) -> dict[str, str | None] | None:
    """See Money; None without an amount."""
    if minor is None:
        return None
    code = currency or ""
    return {"minor": str(minor), "major": format_major(minor, code) if is_currency(code) else None, "currency": code}


def transaction_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """See TransactionRow."""
    tags = row["open_breaks"] or []
    severities = _tagged(tags, "severity")
    return {
        "txn_id": row["txn_id"],
        "revision": row["revision"],
        "verdict": row["verdict"],
        "primary_class": row["primary_class"],
        "classes": _tagged(tags, "class"),
        "subjects": _tagged(tags, "subject"),
        "severity": next((name for name in reversed(LEVELS) if name in severities), None),
        "amount": money(row["amount_minor"], row["currency"]),
        "rules_version": row["rules_version"],
        "decided_at": moment(row["decided_at_ms"]),
    }


def _tagged(tags: list[str], kind: str) -> list[str]:
    return [tag.removeprefix(f"{kind}:") for tag in tags if tag.startswith(f"{kind}:")]
