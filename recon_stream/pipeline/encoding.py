"""Results and dead letters as Avro, by compiled writers."""

from __future__ import annotations

from typing import Final, NamedTuple

from recon_stream.avro import frame, parsed_schema
from recon_stream.codec import compile_writer
from recon_stream.domain.breaks import Leg
from recon_stream.domain.case import Break, Result
from recon_stream.domain.event import SOURCE_TOPICS, Verdict
from recon_stream.domain.validation import Reason

_VERDICTS: Final = {verdict: place for place, verdict in enumerate(Verdict)}
_OPEN, _RESOLVED = 0, 1


class SchemaIds(NamedTuple):
    """Ids by which the registry knows our own schemas."""

    results: int
    mismatches: int
    dead_letters: int


_WORDS = frozenset({"currency", "status", "topic", "rules_version"})


class ResultEncoder:
    """Results of one partition as values of recon_results."""

    def __init__(self, partition: int, schema_id: int) -> None:
        schema = parsed_schema("reconciliation_result")
        self._partition = partition
        self._head = frame(schema_id)
        self._write = compile_writer(schema, encoded="legs", words=_WORDS)
        leg = next(f["type"]["items"] for f in schema["fields"] if f["name"] == "legs")
        self._write_leg = compile_writer(leg, words=_WORDS)

    def __call__(self, result: Result) -> bytes:
        """The framed value."""
        legs, breaks = result.legs, result.breaks
        evidence = []
        for leg in legs:
            if not leg.encoded:
                leg.encoded = self._leg(leg)
            evidence.append(leg.encoded)
        primary = result.primary_class if breaks else None
        return self._head + self._write(
            result.result_id, result.txn_id, result.revision, _VERDICTS[result.verdict],
            None if primary is None else primary.value, [_break(one) for one in breaks] if breaks else [], evidence,
            legs[0].amount_minor if legs else None, legs[0].currency if legs else None,
            result.rules_version, result.decided_at,
        )  # fmt: skip

    def _leg(self, leg: Leg) -> bytes:
        return self._write_leg(
            leg.source, leg.event_id, leg.revision, leg.amount_minor, leg.currency, leg.direction, leg.status,
            leg.canonical_status, leg.occurred_at, leg.account, leg.reference, SOURCE_TOPICS[leg.source],
            self._partition, leg.offset, leg.schema_id,
        )  # fmt: skip


def _break(one: Break) -> tuple[object, ...]:
    finding = one.finding
    return (
        one.break_id, finding.break_class.value, finding.subtype, finding.subject, finding.field, finding.expected,
        finding.actual, finding.delta_minor, one.severity, _OPEN if one.is_open else _RESOLVED, one.resolution,
    )  # fmt: skip


class DeadLetter(NamedTuple):
    """A record that is of no use, in the order of the schema; timestamps in epoch milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    reason: Reason
    detail: str
    schema_id: int | None
    failed_at: int


class DeadLetterEncoder:
    """Dead letters as values of recon_dead_letters."""

    def __init__(self, schema_id: int) -> None:
        self._head = frame(schema_id)
        self._write = compile_writer(parsed_schema("dead_letter"))

    def __call__(self, letter: DeadLetter) -> bytes:
        """The framed value."""
        return self._head + self._write(*letter)
