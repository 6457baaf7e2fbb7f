"""Drives units of work without a broker: rows in a dict, records in any order, in any split into units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from recon_stream.avro import decode, parsed_schema
from recon_stream.codec import compile_writer
from recon_stream.domain.deadlines import NEVER
from recon_stream.domain.event import Direction, Event, Source
from recon_stream.domain.facts import Deadline, Received
from recon_stream.domain.rules import Rules, RulesBook
from recon_stream.pipeline.encoding import ResultEncoder
from recon_stream.pipeline.unit import Arrived, Held, Unit
from tables.rows import META, OUTBOX, Meta, case_key

PARTITION = 0
SCHEMA_ID = 1
_write_event = compile_writer(parsed_schema("transaction_event"))


def payload_of(event: Event) -> bytes:
    """The event's Avro record."""
    return _write_event(*event.fields())


def arrived(source: int, offset: int, timestamp: int, txn_id: str, event: Event, rules: Rules) -> Arrived:
    """The record as the reader hands it on."""
    fact = Received(source, offset, timestamp, rules, SCHEMA_ID, event)
    return Arrived(fact, txn_id, txn_id.encode(), b"", payload_of(event))


def event_of(fields: dict[str, Any]) -> Event:
    """From the fields of a record with the words of the schema."""
    return Event(**fields | {"source": Source[fields["source"]], "direction": Direction[fields["direction"]]})


class Bench:
    """State of one partition in memory, and what was published from it."""

    def __init__(self, book: RulesBook) -> None:
        self.book = book
        self.rows: dict[bytes, bytes] = {}
        self.outbox: dict[bytes, bytes] = {}
        self.held: dict[bytes, Held] = {}
        self.encode = ResultEncoder(PARTITION, 2)
        self.keeps_cases = False
        """Whether units find the cases of earlier units in memory, or load them from their rows."""
        self.meta = Meta(b"epoch---", (NEVER, NEVER, NEVER), 0)
        self.results: list[dict[str, Any]] = []
        self.result_bytes: list[tuple[bytes, bytes]] = []
        self.mismatches: list[dict[str, Any]] = []
        self.dead_letters: list[Any] = []
        self.outcomes: list[tuple[str, object]] = []

    def unit(
        self,
        records: Sequence[Arrived] = (),
        deadlines: Iterable[tuple[Deadline, str]] = (),
        again: Sequence[str] = (),
    ) -> Unit:
        """Run one unit of work and keep what it stored and published."""
        if not self.keeps_cases:
            self.held.clear()
        unit = Unit(PARTITION, self.meta, self.book, self.encode, self.held, failed_at=0)
        due = [(deadline, case_key(txn_id)) for deadline, txn_id in deadlines]
        for key in (
            {case_key(record.txn_id) for record in records}
            | {key for _, key in due}
            | {case_key(txn_id) for txn_id in again}
        ):
            if key not in self.held:
                unit.load(key, self.rows.get(key))
        for txn_id in again:
            unit.publish_again(case_key(txn_id))
        for record in records:
            unit.take(record)
        for deadline, key in due:
            unit.notice(deadline, key)
        for change in unit.changes():
            key, row = change.key, change.row
            if key[:1] == OUTBOX:
                assert row is not None
                self.outbox[key] = row
            elif key == META:
                self.meta = unit.meta
            elif row is None:
                self.rows.pop(key)
            else:
                self.rows[key] = row
        self.results += [decode("reconciliation_result", value) for _, value in unit.results]
        self.result_bytes += unit.results
        self.mismatches += [decode("reconciliation_result", value) for _, value in unit.mismatches]
        self.dead_letters += unit.dead_letters
        self.outcomes += [kind for kind, number in unit.counts.items() for _ in range(number)]
        return unit

    def last(self, txn_id: str) -> dict[str, Any] | None:
        """The result of the highest revision of a transaction."""
        of_it = [result for result in self.results if result["txn_id"] == txn_id]
        return max(of_it, key=lambda result: int(result["revision"]), default=None)
