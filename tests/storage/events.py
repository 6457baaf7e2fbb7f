"""Events, results and letters as they stand in Kafka, made by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

from recon_stream.avro import encoder

DAY_MS = 86_400_000
NOON_MS = 1_763_812_800_123  # 2025-11-22T12:00:00.123Z


class Record(NamedTuple):
    """A record as the transport hands it over."""

    offset: int
    value: bytes | None
    key: bytes | None = b"T1"
    timestamp: int = NOON_MS


class Batch:
    """A batch of one partition."""

    def __init__(self, topic: str, partition: int, records: list[Record]) -> None:
        self.tp = (topic, partition)
        self.records = records
        self.next_offset = records[-1].offset + 1
        self.done = False


def event(**fields: Any) -> dict[str, Any]:
    """A valid event of CORE, with these fields changed."""
    usual = {
        "event_id": "E1",
        "txn_id": "T1",
        "source": "CORE",
        "amount_minor": 12345,
        "currency": "EUR",
        "direction": "DEBIT",
        "status": "POSTED",
        "occurred_at": NOON_MS,
        "account": "A1",
        "reference": None,
        "channel": None,
        "revision": 0,
    }
    return usual | fields


def said_break(state: str = "OPEN", break_id: str = "b1", **fields: Any) -> dict[str, Any]:
    """An amount mismatch as a result lists it."""
    usual = {
        "break_id": break_id,
        "class": "AMOUNT_MISMATCH",
        "subtype": "",
        "subject": "MOBILE",
        "field": "amount_minor",
        "expected": "12345",
        "actual": "12300",
        "delta_minor": -45,
        "severity": "HIGH",
        "state": state,
        "resolution": None if state == "OPEN" else "AUTO_CORRECTED",
    }
    return usual | fields


def result(txn_id: str = "T1", revision: int = 1, breaks: Any = (), **fields: Any) -> dict[str, Any]:
    """A result with these breaks and no legs."""
    still_open = any(said["state"] == "OPEN" for said in breaks)
    usual = {
        "result_id": f"{txn_id}-{revision}",
        "txn_id": txn_id,
        "revision": revision,
        "verdict": "BROKEN" if still_open else "MATCHED",
        "primary_class": "AMOUNT_MISMATCH" if still_open else None,
        "breaks": list(breaks),
        "legs": [],
        "amount_minor": 12345,
        "currency": "EUR",
        "rules_version": "1",
        "decided_at": NOON_MS + revision,
    }
    return usual | fields


def letter(offset: int, reason: str = "BAD_AVRO", **fields: Any) -> dict[str, Any]:
    """A dead letter about a record of core_txns, partition 0."""
    usual = {
        "topic": "core_txns",
        "partition": 0,
        "offset": offset,
        "timestamp": NOON_MS,
        "key": b"T1",
        "value": b"\x00x",
        "reason": reason,
        "detail": "why",
        "schema_id": None,
        "failed_at": NOON_MS,
    }
    return usual | fields


encode_event = encoder("transaction_event", 1)
encode_result = encoder("reconciliation_result", 2)
encode_letter = encoder("dead_letter", 3)
