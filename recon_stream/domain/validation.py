"""Whether a record that decoded may be believed. Reasons of dead letters, unreadable ones included."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from recon_stream.domain.event import Event, Source
from recon_stream.domain.money import EXPONENTS
from recon_stream.domain.rules import Rules

FUTURE_LIMIT_MS: Final = 86_400_000
"""An event may be dated this long after its Kafka timestamp: clocks and time zones err, but not by more than a day."""


class Reason(StrEnum):
    """Why a record is a dead letter."""

    # unreadable
    NULL_VALUE = "NULL_VALUE"
    BAD_MAGIC = "BAD_MAGIC"
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"
    BAD_AVRO = "BAD_AVRO"
    TOO_LARGE = "TOO_LARGE"
    # readable, but of no case
    BAD_KEY = "BAD_KEY"
    TOO_LATE = "TOO_LATE"
    CASE_FULL = "CASE_FULL"
    # invalid: a break of the case of its key
    KEY_MISMATCH = "KEY_MISMATCH"
    WRONG_SOURCE = "WRONG_SOURCE"
    EMPTY_FIELD = "EMPTY_FIELD"
    UNKNOWN_STATUS = "UNKNOWN_STATUS"
    UNKNOWN_CURRENCY = "UNKNOWN_CURRENCY"
    NEGATIVE_AMOUNT = "NEGATIVE_AMOUNT"
    NEGATIVE_REVISION = "NEGATIVE_REVISION"
    FUTURE_DATED = "FUTURE_DATED"


def invalid(event: Event, txn_id: str, source: int, timestamp: int, rules: Rules) -> tuple[Reason, str] | None:
    """(reason, detail) where the event is invalid in the topic of `source` under the key `txn_id`; else None.

    `timestamp` is the Kafka timestamp in epoch milliseconds.
    """
    if event.txn_id != txn_id:
        return Reason.KEY_MISMATCH, "the key is not the txn_id of the record"
    if event.source != source:
        return Reason.WRONG_SOURCE, f"a record of {Source(event.source).name} in the topic of {Source(source).name}"
    if not event.event_id or not event.account:
        return Reason.EMPTY_FIELD, "account is empty" if event.event_id else "event_id is empty"
    if event.status not in rules.status_map[source]:
        return Reason.UNKNOWN_STATUS, f"status {event.status[:40]!r} is not a word of {Source(source).name}"
    if event.currency not in EXPONENTS:
        return Reason.UNKNOWN_CURRENCY, f"currency {event.currency[:40]!r} is not in ISO 4217"
    if event.amount_minor < 0:
        return Reason.NEGATIVE_AMOUNT, "amount_minor is negative"
    if event.revision < 0:
        return Reason.NEGATIVE_REVISION, "revision is negative"
    if event.occurred_at - timestamp > FUTURE_LIMIT_MS:
        return Reason.FUTURE_DATED, "occurred_at is more than 24 h after the Kafka timestamp"
    return None
