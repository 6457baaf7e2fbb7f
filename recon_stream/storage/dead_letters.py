"""Records of recon_dead_letters as rows of dead_letters. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from recon_stream.storage.raw_events import KafkaRecord, schema_id_of
from recon_stream.storage.values import identifier, storable, timestamp

_INT = range(-(1 << 31), 1 << 31)

UNREADABLE_LETTER = "UNREADABLE_LETTER"


class DeadLetterRow(NamedTuple):
    """One row of dead_letters; topic, partition and offset are those of the original record."""

    topic: str
    partition: int
    kafka_offset: int
    kafka_timestamp: datetime
    key: bytes | None
    value: bytes | None
    reason: str
    detail: str
    schema_id: int | None
    failed_at: datetime
    letter_partition: int
    letter_offset: int


def dead_letter(topic: str, partition: int, record: KafkaRecord, letter: dict[str, Any] | None) -> DeadLetterRow:
    """The row of one letter, read from that place; a letter that cannot be read (None) becomes a row about itself."""
    if letter is None or letter["partition"] not in _INT:
        at = timestamp(record.timestamp)
        return DeadLetterRow(
            topic,
            partition,
            record.offset,
            at,
            record.key,
            record.value,
            UNREADABLE_LETTER,
            "not a DeadLetter in the wire format; something other than the worker writes to this topic",
            schema_id_of(record.value),
            at,
            partition,
            record.offset,
        )
    return DeadLetterRow(
        identifier(letter["topic"]),
        letter["partition"],
        letter["offset"],
        timestamp(letter["timestamp"]),
        letter["key"],
        letter["value"],
        storable(letter["reason"]),
        storable(letter["detail"]),
        letter["schema_id"],
        timestamp(letter["failed_at"]),
        partition,
        record.offset,
    )
