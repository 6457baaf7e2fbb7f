"""Records of Kafka as clients get them. A record that nobody asks for is never decoded."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from pydantic import Field

from recon_stream.avro import decode
from recon_stream.storage.values import identifier
from recon_stream.storage.verdicts import open_breaks_of
from recon_stream.web.endpoints import Answer
from recon_stream.web.live.channels import Channel, Facts, facts_of
from recon_stream.web.shapes import BreakView, LegView, Place, TransactionRow, place, transaction, transaction_row
from recon_stream.web.times import moment

logger = logging.getLogger(__name__)

_SCHEMAS = {
    Channel.RESULTS: "reconciliation_result",
    Channel.MISMATCHES: "reconciliation_result",
    Channel.DEAD_LETTERS: "dead_letter",
}


class ResultItem(TransactionRow):
    """A revision of a verdict, as it stands in the list of transactions."""

    partition: int
    offset: str = Field(description="Its place in recon_results.")
    published_at: str = Field(description="When Kafka took it.")


class MismatchItem(TransactionRow):
    """A transaction whose open breaks changed, with the evidence."""

    partition: int
    offset: str = Field(description="Its place in recon_mismatches.")
    published_at: str
    explanation: list[str] = Field(description="A sentence for each open break.")
    legs: dict[str, LegView | None] = Field(description="By source; account numbers masked without accounts:read.")
    breaks: list[BreakView]


class DeadLetterItem(Answer):
    """A record that could not be used; its bytes are told by REST alone."""

    partition: int
    offset: str = Field(description="Its place in recon_dead_letters.")
    published_at: str
    place: Place = Field(description="Where the record itself stands.")
    reason: str
    detail: str
    schema_id: int | None
    failed_at: str


class Item:
    """A record of a channel's topic: decoded when the first asks, encoded once for all who may see the same of it."""

    __slots__ = ("_encoded", "_facts", "_record", "channel", "offset", "partition", "timestamp", "value")

    def __init__(self, channel: Channel, partition: int, offset: int, timestamp: int, value: bytes) -> None:
        """`timestamp` is Kafka's, in epoch milliseconds."""
        self.channel, self.partition, self.offset, self.timestamp, self.value = (
            channel, partition, offset, timestamp, value,
        )  # fmt: skip
        self._record: dict[str, Any] | None = None
        self._facts: Facts | None = None
        self._encoded: dict[bool, bytes] = {}

    @property
    def facts(self) -> Facts | None:
        """What filters look at; None where the value is none that our schema reads: such a record is left out."""
        if self._facts is None and (record := self._decoded()):
            self._facts = facts_of(self.channel, record)
        return self._facts

    def encoded(self, *, is_masked: bool) -> bytes:
        """JSON of a ResultItem, MismatchItem or DeadLetterItem, of an item with `facts`; empty where it cannot be shown."""
        if self.channel is not Channel.MISMATCHES:
            is_masked = False  # the others show no account number
        known = self._encoded.get(is_masked)
        if known is None:
            try:
                known = orjson.dumps(self._head() | self._shape(self._decoded(), is_masked))
            except Exception:
                # one record must not keep all others from all sockets
                logger.exception("%s %d/%d cannot be shown", self.channel, self.partition, self.offset)
                known = b""
            self._encoded[is_masked] = known
        return known

    def rest(self) -> None:
        """Keep no more than is needed to be told again: decoded, a record takes ten times its bytes."""
        self._record = None

    def _decoded(self) -> dict[str, Any]:
        """The record; empty where it is none."""
        if self._record is None:
            try:
                self._record = decode(_SCHEMAS[self.channel], self.value)
            except Exception as error:
                # damaged bytes make fastavro raise almost anything
                logger.warning("%s %d/%d cannot be read: %r", self.channel, self.partition, self.offset, error)
                self._record = {}
        return self._record

    def _head(self) -> dict[str, Any]:
        return {"partition": self.partition, "offset": str(self.offset), "published_at": moment(self.timestamp)}

    def _shape(self, record: dict[str, Any], is_masked: bool) -> dict[str, Any]:
        if self.channel is Channel.DEAD_LETTERS:
            return {
                "place": place(record["topic"], record["partition"], record["offset"]),
                "reason": record["reason"],
                "detail": record["detail"],
                "schema_id": record["schema_id"],
                "failed_at": moment(record["failed_at"]),
            }
        row = record | {
            "txn_id": identifier(record["txn_id"]),
            "open_breaks": open_breaks_of(record),
            "decided_at_ms": record["decided_at"],
        }
        shape = transaction_row(row)
        if self.channel is Channel.MISMATCHES:
            whole = row | {"body": record, "partition": self.partition, "kafka_offset": self.offset}
            detailed = transaction(whole, (), (), is_masked=is_masked)
            shape |= {name: detailed[name] for name in ("explanation", "legs", "breaks")}
        return shape
