"""Kafka records of the sources as rows of raw_events. Pure: a record comes in with what was read in it."""

from __future__ import annotations

import struct
from datetime import date, datetime
from hashlib import sha256
from typing import NamedTuple, Protocol

from recon_stream.domain.event import Event, Source
from recon_stream.storage.values import day, identifier, timestamp

READABLE = "READABLE"
UNREADABLE = "UNREADABLE"
DIGEST_BYTES = 8

_FRAME = struct.Struct(">BI")
_INT = range(-(1 << 31), 1 << 31)
_LONG = range(-(1 << 63), 1 << 63)


class KafkaRecord(Protocol):
    """What is needed of a record as it stands in Kafka; timestamp in epoch milliseconds."""

    @property
    def offset(self) -> int:
        """Position in the partition."""

    @property
    def timestamp(self) -> int:
        """Kafka timestamp."""

    @property
    def key(self) -> bytes | None:
        """Key as it was sent."""

    @property
    def value(self) -> bytes | None:
        """Value as it was sent."""


class RawEvent(NamedTuple):
    """One row of raw_events, columns in the order of the statement copy_raw_events."""

    kafka_day: date
    topic: str
    partition: int
    kafka_offset: int
    kafka_timestamp: datetime
    key: bytes | None
    value: bytes | None
    schema_id: int | None
    txn_id: str | None
    source: str | None
    event_id: str | None
    revision: int | None
    amount_minor: int | None
    currency: str | None
    content_digest: bytes | None
    status: str


COLUMN_TYPES = (
    *("date", "text", "int4", "int8", "timestamptz", "bytea", "bytea", "int8"),
    *("text", "text", "text", "int4", "int8", "text", "bytea", "text"),
)


def raw_event(topic: str, partition: int, record: KafkaRecord, read: tuple[Event, bytes] | None) -> RawEvent:
    """The row of one record; `read` is the event in it and its Avro record in our own schema, None where it is unreadable.

    The digest covers every field, because equal fields are equal bytes in one schema.
    """
    value, at = record.value, timestamp(record.timestamp)
    place = (day(record.timestamp), topic, partition, record.offset, at, record.key, value, schema_id_of(value))
    # a number beyond its column is none of our contract's types, whoever decoded it
    if read is None or read[0].revision not in _INT or read[0].amount_minor not in _LONG:
        return RawEvent(*place, None, None, None, None, None, None, None, UNREADABLE)
    event, payload = read
    return RawEvent(
        *place,
        identifier(event.txn_id),
        Source(event.source).name,
        identifier(event.event_id),
        event.revision,
        event.amount_minor,
        identifier(event.currency),
        sha256(payload).digest()[:DIGEST_BYTES],
        READABLE,
    )


def schema_id_of(value: bytes | None) -> int | None:
    """The schema id in the frame of a value; None where the value is not in the Confluent wire format."""
    if value is None or len(value) < _FRAME.size:
        return None
    magic, schema_id = _FRAME.unpack_from(value)
    return int(schema_id) if magic == 0 else None
