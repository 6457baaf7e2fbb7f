"""What one source says about one transaction, and the words it may use."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Source(IntEnum):
    """The three systems of the bank; the value is the index of the Avro symbol and the order of precedence."""

    CORE = 0
    GATEWAY = 1
    MOBILE = 2

    @property
    def topic(self) -> str:
        """The Kafka topic that this source alone writes."""
        return SOURCE_TOPICS[self]


SOURCES = tuple(Source)
SOURCE_TOPICS = ("core_txns", "gateway_txns", "mobile_txns")


class Direction(IntEnum):
    """Which way the money goes; the value is the index of the Avro symbol."""

    DEBIT = 0
    CREDIT = 1


class Status(IntEnum):
    """Canonical status, lowest first: the order in which a payment moves on."""

    PENDING = 0
    SUCCESS = 1
    FAILED = 2
    REVERSED = 3


class Verdict(StrEnum):
    """What is said of a transaction as a whole."""

    PENDING = "PENDING"
    MATCHED = "MATCHED"
    MATCHED_WITHIN_TOLERANCE = "MATCHED_WITHIN_TOLERANCE"
    BROKEN = "BROKEN"
    ACCEPTED = "ACCEPTED"
    VOID = "VOID"


class Event(NamedTuple):
    """One decoded TransactionEvent, fields in the order of the schema.

    `amount_minor` in minor units of `currency`, `occurred_at` in epoch milliseconds, `status` in the source's word.
    """

    event_id: str
    txn_id: str
    source: int
    amount_minor: int
    currency: str
    direction: int
    status: str
    occurred_at: int
    account: str
    reference: str | None
    channel: str | None
    revision: int
