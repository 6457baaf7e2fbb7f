"""The form of the cases worked out by hand, and small builders for it; no rule of reconciliation is in here.

A case is a list of steps, in the order in which a worker takes them. A step is a fact, a record of a source or the
passing of a deadline, and the result that it must publish, in full and as recon_results carries it, or None.
Instants are written in seconds after T0 in the cases and are epoch milliseconds in what they build. Schema id 1,
partition 0, offsets count up within each source of a case.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RULES_FILE = Path(__file__).with_name("hand_worked_rules.toml")
RULES_VERSION = "hand-worked"
SCHEMA_ID = 1
PARTITION = 0
T0 = 1_790_000_000_000

TOPIC = {"CORE": "core_txns", "GATEWAY": "gateway_txns", "MOBILE": "mobile_txns"}
CANONICAL = {
    "CORE": {"PENDING": "PENDING", "POSTED": "SUCCESS", "REJECTED": "FAILED", "REVERSED": "REVERSED"},
    "GATEWAY": {"AUTHORIZED": "PENDING", "CAPTURED": "SUCCESS", "DECLINED": "FAILED", "REFUNDED": "REVERSED"},
    "MOBILE": {"PROCESSING": "PENDING", "SUCCESS": "SUCCESS", "FAILED": "FAILED", "REVERSED": "REVERSED"},
}
WORD_OF_SUCCESS = {"CORE": "POSTED", "GATEWAY": "CAPTURED", "MOBILE": "SUCCESS"}


@dataclass(frozen=True, slots=True)
class Arrives:
    """A record of `source` (its topic). `event` holds the twelve fields of TransactionEvent; `timestamp` is Kafka's."""

    source: str
    offset: int
    timestamp: int
    event: dict[str, Any]

    @property
    def topic(self) -> str:
        """Its topic."""
        return TOPIC[self.source]


@dataclass(frozen=True, slots=True)
class Passes:
    """A deadline has passed. `kind` is MISSING_ENTRY (of `source`), STATUS_GRACE or PENDING_LIMIT."""

    kind: str
    source: str
    instant: int


@dataclass(frozen=True, slots=True)
class Step:
    """A fact; the body of the result it must publish, or None; whether recon_mismatches must carry that result too."""

    fact: Arrives | Passes
    result: dict[str, Any] | None
    mismatch: bool


@dataclass(frozen=True, slots=True)
class HandWorked:
    """A case; the Kafka key of all of its records is `txn_id`."""

    txn_id: str
    name: str
    description: str
    steps: tuple[Step, ...]


def instant(seconds: float) -> int:
    """Seconds after T0 as epoch milliseconds."""
    return T0 + round(seconds * 1000)


def identity(*parts: str) -> str:
    """SHA-256 over length-prefixed parts, first sixteen bytes in hex."""
    data = b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)
    return hashlib.sha256(data).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Says:
    """What an expected result says of a break, without the id."""

    cls: str
    subject: str
    severity: str
    subtype: str = ""
    field: str = ""
    expected: str | None = None
    actual: str | None = None
    delta_minor: int | None = None
    resolution: str | None = None


@dataclass(frozen=True, slots=True)
class Shows:
    """An expected leg: the offset of the record from which it takes its coordinates; status and reference where they
    come from another record of the source."""

    source: str
    offset: int
    status: str | None = None
    reference: str | None = "as the record"


class CaseBuilder:
    """Collects the steps of one case."""

    def __init__(self, txn_id: str, name: str, description: str) -> None:
        self.txn_id, self.name, self.description = txn_id, name, description
        self.steps: list[Step] = []
        self.records: dict[tuple[str, int], Arrives] = {}

    def arrives(self, source: str, event_id: str, at: float, /, **fields: Any) -> CaseBuilder:
        """A record at `at` seconds. By default a DEBIT of 100.00 USD, the source's word of success, occurred then."""
        event: dict[str, Any] = {
            "event_id": event_id,
            "txn_id": self.txn_id,
            "source": source,
            "amount_minor": 10_000,
            "currency": "USD",
            "direction": "DEBIT",
            "status": WORD_OF_SUCCESS[source],
            "occurred_at": instant(fields.pop("occurred", at)),
            "account": "ACC-1",
            "reference": None,
            "channel": None,
            "revision": 0,
        }
        unknown = fields.keys() - event.keys()
        assert not unknown, unknown
        offset = sum(1 for known, _ in self.records if known == source)
        fact = Arrives(source, offset, instant(at), {**event, **fields})
        self.records[source, offset] = fact
        self.steps.append(Step(fact, None, mismatch=False))
        return self

    def passes(self, kind: str, at: float, source: str = "") -> CaseBuilder:
        """A deadline of the instant `at`."""
        self.steps.append(Step(Passes(kind, source, instant(at)), None, mismatch=False))
        return self

    def nothing(self) -> CaseBuilder:
        """The last fact publishes nothing."""
        return self

    def publishes(
        self, revision: int, verdict: str, legs: list[Shows], breaks: list[Says] | None = None, *, mismatch: bool
    ) -> CaseBuilder:
        """The last fact publishes this."""
        fact = self.steps[-1].fact
        shown = [self._leg(leg) for leg in legs]
        listed = [self._break(b) for b in breaks or []]
        first_open = [b["class"] for b in listed if b["state"] == "OPEN"]
        body = {
            "result_id": identity(self.txn_id, str(revision)),
            "txn_id": self.txn_id,
            "revision": revision,
            "verdict": verdict,
            "primary_class": first_open[0] if first_open else None,
            "breaks": listed,
            "legs": shown,
            "amount_minor": shown[0]["amount_minor"] if shown else None,
            "currency": shown[0]["currency"] if shown else None,
            "rules_version": RULES_VERSION,
            "decided_at": fact.timestamp if isinstance(fact, Arrives) else fact.instant,
        }
        self.steps[-1] = Step(fact, body, mismatch)
        return self

    def done(self) -> HandWorked:
        """The case."""
        return HandWorked(self.txn_id, self.name, self.description, tuple(self.steps))

    def _leg(self, leg: Shows) -> dict[str, Any]:
        record = self.records[leg.source, leg.offset]
        event = record.event
        status = leg.status or event["status"]
        reference = (event["reference"] or None) if leg.reference == "as the record" else leg.reference
        return {
            "source": leg.source,
            **{name: event[name] for name in ("event_id", "revision", "amount_minor", "currency", "direction")},
            "status": status,
            "canonical_status": CANONICAL[leg.source][status],
            "occurred_at": event["occurred_at"],
            "account": event["account"],
            "reference": reference,
            "topic": record.topic,
            "partition": PARTITION,
            "offset": leg.offset,
            "schema_id": SCHEMA_ID,
        }

    def _break(self, said: Says) -> dict[str, Any]:
        return {
            "break_id": identity(self.txn_id, said.cls, "" if said.field else said.subject),
            "class": said.cls,
            "subtype": said.subtype,
            "subject": said.subject,
            "field": said.field,
            "expected": said.expected,
            "actual": said.actual,
            "delta_minor": said.delta_minor,
            "severity": said.severity,
            "state": "RESOLVED" if said.resolution else "OPEN",
            "resolution": said.resolution,
        }
