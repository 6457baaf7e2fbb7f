"""A source record's value as our own event, or why it is none. Pure, because it is done for every event: a native build compiles it.

A record that was written with exactly our schema is read by a compiled reader; one of another version by fastavro with
schema resolution, and is then written again in our own schema, so that the state holds one form only.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

import fastavro
from fastavro.schema import SchemaParseException, to_parsing_canonical_form

from recon_stream.avro import FRAME_BYTES, MAGIC, Schema, parsed_schema, without_logical_types
from recon_stream.codec import compile_reader, compile_writer
from recon_stream.domain.event import Direction, Event, Source
from recon_stream.domain.validation import Reason

VALUE_BYTES_MAX: Final = 32_768
"""Our events are some 150 bytes. Three legs of this size fit into a case (CASE_BYTES_MAX in unit.py), and the case, its
results and its dead letters into one message of Kafka each."""

Read = tuple[Event, bytes]
"""An event and its Avro record as our own schema writes it."""


class Unreadable(Exception):
    """The record cannot be read."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Decoder:
    """Reads framed events by the readers that it was given."""

    def __init__(self) -> None:
        self.readers: dict[bytes, Callable[[bytes], Read]] = {}
        """By the frame of a value; see `reader_for`."""

    def read(self, value: bytes | None) -> Read:
        """The event in a record's value; raises Unreadable."""
        if not value:
            raise Unreadable(Reason.NULL_VALUE, "the value is null" if value is None else "the value is empty")
        if len(value) > VALUE_BYTES_MAX:
            raise Unreadable(Reason.TOO_LARGE, f"{len(value)} bytes, {VALUE_BYTES_MAX} at most")
        reader = self.readers.get(value[:FRAME_BYTES])
        if reader is None:
            if value[:1] != MAGIC or len(value) <= FRAME_BYTES:
                raise Unreadable(Reason.BAD_MAGIC, f"the value begins with {value[:FRAME_BYTES].hex()}")
            schema_id = int.from_bytes(value[1:FRAME_BYTES], "big")
            raise Unreadable(Reason.UNKNOWN_SCHEMA, f"the registry does not know schema {schema_id}")
        try:
            return reader(value)
        except Unreadable:
            raise
        except Exception as error:
            # whatever a decoder raises on foreign bytes, the record is at fault and not the worker
            raise Unreadable(Reason.BAD_AVRO, f"{type(error).__name__}: {error}"[:200]) from error


def reader_for(writer_schema: Schema) -> Callable[[bytes], Read]:
    """A function from a framed value to the event and its record in our own schema."""
    ours = parsed_schema("transaction_event")
    try:
        theirs = fastavro.parse_schema(without_logical_types(writer_schema))
        same = to_parsing_canonical_form(theirs) == to_parsing_canonical_form(ours)
    except (SchemaParseException, KeyError, TypeError, ValueError) as error:
        detail = f"the registry's schema is not one: {error}"[:200]

        def refuse(_: bytes) -> Read:
            raise Unreadable(Reason.BAD_AVRO, detail)

        return refuse
    return _compiled(ours) if same else _resolved(theirs, ours)


def _compiled(schema: Schema) -> Callable[[bytes], Read]:
    read = compile_reader(schema, Event)

    def compiled(value: bytes) -> Read:
        payload = value[FRAME_BYTES:]
        return read(payload, 0), payload

    return compiled


def _resolved(theirs: Any, ours: Schema) -> Callable[[bytes], Read]:
    write = compile_writer(ours)

    def resolved(value: bytes) -> Read:
        body = BytesIO(value)
        body.seek(FRAME_BYTES)
        record: Any = fastavro.schemaless_reader(body, theirs, ours)
        if body.tell() != len(value):
            raise ValueError("the record does not end where the value ends")
        fields = record | {"source": Source[record["source"]], "direction": Direction[record["direction"]]}
        event = Event(**fields)
        return event, write(*event.fields())

    return resolved
