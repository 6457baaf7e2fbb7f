"""What one source says about one transaction, and the words it may use."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any, Final


class Source(IntEnum):
    """The three systems of the bank; the value is the index of the Avro symbol and the order of precedence."""

    CORE = 0
    GATEWAY = 1
    MOBILE = 2

    @property
    def topic(self) -> str:
        """The Kafka topic that this source alone writes."""
        return SOURCE_TOPICS[self]


SOURCES: Final = tuple(Source)
SOURCE_TOPICS: Final = ("core_txns", "gateway_txns", "mobile_txns")


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


class Event:
    """One decoded TransactionEvent, fields in the order of the schema. Never changed once it is made.

    `amount_minor` in minor units of `currency`, `occurred_at` in epoch milliseconds, `status` in the source's word.
    """

    # No NamedTuple: its fields are read some twenty times each, which is dearer from a tuple, as is making one.
    __slots__ = (
        "account", "amount_minor", "channel", "currency", "direction", "event_id", "occurred_at", "reference", "revision",
        "source", "status", "txn_id",
    )  # fmt: skip

    def __init__(
        self, event_id: str, txn_id: str, source: int, amount_minor: int, currency: str, direction: int, status: str,
        occurred_at: int, account: str, reference: str | None, channel: str | None, revision: int,
    ) -> None:  # fmt: skip
        self.event_id = event_id
        self.txn_id = txn_id
        self.source = source
        self.amount_minor = amount_minor
        self.currency = currency
        self.direction = direction
        self.status = status
        self.occurred_at = occurred_at
        self.account = account
        self.reference = reference
        self.channel = channel
        self.revision = revision

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash(self.fields())

    def __repr__(self) -> str:
        return f"Event{self.fields()}"

    def fields(self) -> tuple[Any, ...]:
        """All of them, in order of the schema."""
        return (
            self.event_id, self.txn_id, self.source, self.amount_minor, self.currency, self.direction, self.status,
            self.occurred_at, self.account, self.reference, self.channel, self.revision,
        )  # fmt: skip

    def replaced(self, **fields: Any) -> Event:
        """The same with other values in some fields."""
        return Event(**dict(zip(FIELDS, self.fields(), strict=True)) | fields)


FIELDS = (
    "event_id", "txn_id", "source", "amount_minor", "currency", "direction", "status", "occurred_at", "account",
    "reference", "channel", "revision",
)  # fmt: skip
"""Of an event, in order of the schema."""
