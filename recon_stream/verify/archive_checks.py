"""I1 and I9: the archive beside the topics. Pure: records and rows come in as they were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from recon_stream.domain.event import SOURCES, Event
from recon_stream.domain.validation import Reason
from recon_stream.storage.raw_events import READABLE, UNREADABLE, schema_id_of
from recon_stream.storage.values import identifier, timestamp
from recon_stream.transport.log import Entry, Partition
from recon_stream.verify.report import Check

UNREADABLE_REASONS = frozenset(
    (Reason.NULL_VALUE, Reason.BAD_MAGIC, Reason.UNKNOWN_SCHEMA, Reason.BAD_AVRO, Reason.TOO_LARGE)
)

Money = Counter[tuple[str, str]]
"""(topic, currency) -> sum in minor units."""


class StoredRecord(NamedTuple):
    """A row of raw_events, columns in the order of the statement raw_events_between."""

    kafka_offset: int
    kafka_timestamp: datetime
    key: bytes | None
    value_is_null: bool
    value_digest: bytes | None
    schema_id: int | None
    status: str
    txn_id: str | None
    source: str | None
    event_id: str | None
    revision: int | None
    amount_minor: int | None
    currency: str | None


def check_archive(
    check: Check,
    partition: Partition,
    entries: Sequence[tuple[Entry, Event | None]],
    rows: Sequence[StoredRecord],
    reasons: Mapping[tuple[str, int], str],
) -> None:
    """I1 over one span of offsets of one partition: each record once, as it was, with the right status.

    `reasons`: (topic, offset) -> reason of its dead letter; an unreadable record must have one, a readable one not one of
    those.
    """
    topic, number = partition
    stored: dict[int, list[StoredRecord]] = {}
    for row in rows:
        stored.setdefault(row.kafka_offset, []).append(row)
    for entry, event in entries:
        check.examined += 1
        place = f"{topic}[{number}]@{entry.offset}"
        found = stored.pop(entry.offset, [])
        if not found:
            check.violated(f"{place} is not in raw_events")
            continue
        if len(found) > 1:
            check.violated(f"{place} is {len(found)} times in raw_events")
        for problem in _differences(entry, event, found[0]):
            check.violated(f"{place}: {problem}")
        reason = reasons.get((topic, entry.offset))
        if event is None and reason not in UNREADABLE_REASONS:
            check.violated(f"{place} is unreadable, its dead letter says {reason or 'nothing: there is none'}")
        if event is not None and reason in UNREADABLE_REASONS:
            check.violated(f"{place} is readable, its dead letter says {reason}")
    for offset in stored:
        check.violated(f"{topic}[{number}]@{offset} is in raw_events and not in Kafka")


def _differences(entry: Entry, event: Event | None, row: StoredRecord) -> list[str]:
    found = []
    if row.value_is_null != (entry.value is None) or (
        entry.value is not None and row.value_digest != sha256(entry.value).digest()
    ):
        found.append("its value is another one in raw_events")
    if row.key != entry.key or row.kafka_timestamp != timestamp(entry.timestamp):
        found.append("its key or timestamp is another one in raw_events")
    if row.schema_id != schema_id_of(entry.value):
        found.append(f"its schema id is {row.schema_id} in raw_events")
    if row.status != (UNREADABLE if event is None else READABLE):
        found.append(f"its status is {row.status}")
    said = (row.txn_id, row.source, row.event_id, row.revision, row.amount_minor, row.currency)
    if said != _columns(event):
        found.append(f"raw_events says {said}, the record {_columns(event)}")
    return found


def _columns(event: Event | None) -> tuple[object, ...]:
    if event is None:
        return (None,) * 6
    return (
        identifier(event.txn_id),
        SOURCES[event.source].name,
        identifier(event.event_id),
        event.revision,
        event.amount_minor,
        identifier(event.currency),
    )


def check_money(check: Check, in_kafka: Mapping[tuple[str, str], int], archived: Mapping[tuple[str, str], int]) -> None:
    """I9: sums by topic and currency, integers in minor units, are the same in Kafka and in raw_events."""
    for where in sorted(in_kafka.keys() | archived.keys()):
        topic, currency = where
        if in_kafka.get(where, 0) != archived.get(where, 0):
            check.violated(
                f"{topic} in {currency}: {in_kafka.get(where, 0)} minor units in Kafka, {archived.get(where, 0)} in raw_events"
            )
