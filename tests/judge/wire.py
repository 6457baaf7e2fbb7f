"""Writes what the judge's own tests need: events, results and dead letters in the wire format, with the judge's own
transcription of the contracts in section 3 of the design."""

from __future__ import annotations

import io
from typing import Any

import fastavro

from .records import Record

EVENT_ID, RESULT_ID, LETTER_ID = 1, 2, 3


def _field(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": kind}


def _enum(name: str, *symbols: str) -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": list(symbols)}


def _record(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [_field(n.rstrip("_"), kind) for n, kind in fields.items()]}


SOURCE = _enum("Source", "CORE", "GATEWAY", "MOBILE")
DIRECTION = _enum("Direction", "DEBIT", "CREDIT")

EVENT = fastavro.parse_schema(
    _record(
        "TransactionEvent",
        event_id="string",
        txn_id="string",
        source=SOURCE,
        amount_minor="long",
        currency="string",
        direction=DIRECTION,
        status="string",
        occurred_at="long",
        account="string",
        reference=["null", "string"],
        channel=["null", "string"],
        revision="int",
    )
)
_BREAK = _record(
    "Break",
    break_id="string",
    class_="string",
    subtype="string",
    subject="string",
    field="string",
    expected=["null", "string"],
    actual=["null", "string"],
    delta_minor=["null", "long"],
    severity="string",
    state=_enum("BreakState", "OPEN", "RESOLVED"),
    resolution=["null", "string"],
)
_LEG = _record(
    "Leg",
    source=SOURCE,
    event_id="string",
    revision="int",
    amount_minor="long",
    currency="string",
    direction=DIRECTION,
    status="string",
    canonical_status=_enum("CanonicalStatus", "PENDING", "SUCCESS", "FAILED", "REVERSED"),
    occurred_at="long",
    account="string",
    reference=["null", "string"],
    topic="string",
    partition="int",
    offset="long",
    schema_id="int",
)
RESULT = fastavro.parse_schema(
    _record(
        "ReconciliationResult",
        result_id="string",
        txn_id="string",
        revision="int",
        verdict=_enum("Verdict", "PENDING", "MATCHED", "MATCHED_WITHIN_TOLERANCE", "BROKEN", "ACCEPTED", "VOID"),
        primary_class=["null", "string"],
        breaks={"type": "array", "items": _BREAK},
        legs={"type": "array", "items": _LEG},
        amount_minor=["null", "long"],
        currency=["null", "string"],
        rules_version="string",
        decided_at="long",
    )
)
LETTER = fastavro.parse_schema(
    _record(
        "DeadLetter",
        topic="string",
        partition="int",
        offset="long",
        timestamp="long",
        key=["null", "bytes"],
        value=["null", "bytes"],
        reason="string",
        detail="string",
        schema_id=["null", "int"],
        failed_at="long",
    )
)
SCHEMAS = {EVENT_ID: EVENT, RESULT_ID: RESULT, LETTER_ID: LETTER}


def framed(schema_id: int, body: dict[str, Any]) -> bytes:
    """The body in the wire format."""
    out = io.BytesIO(b"\x00" + schema_id.to_bytes(4, "big"))
    out.seek(5)
    fastavro.schemaless_writer(out, SCHEMAS[schema_id], body)
    return out.getvalue()


def event_record(topic: str, partition: int, offset: int, timestamp: int, key: str, event: dict[str, Any]) -> Record:
    """A good record of a source topic."""
    return Record(topic, partition, offset, timestamp, key.encode(), framed(EVENT_ID, event))
