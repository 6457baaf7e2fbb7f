"""Reading source records: Confluent frame, writer's schema from the registry, our own event.

A record that was written with exactly our schema is read by a compiled reader; one of another version by fastavro with
schema resolution, and is then written again in our own schema, so that the state holds one form only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from io import BytesIO
from itertools import islice
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException, to_parsing_canonical_form

from recon_stream.avro import (
    FRAME_BYTES,
    MAGIC,
    RegistryDenied,
    Schema,
    SchemaRegistry,
    parsed_schema,
    without_logical_types,
)
from recon_stream.codec import compile_reader, compile_writer
from recon_stream.domain.event import Direction, Event, Source
from recon_stream.domain.validation import Reason
from recon_stream.errors import TransientFailure

logger = logging.getLogger(__name__)

UNKNOWN_TRIES = 3
UNKNOWN_PAUSE_SECONDS = 5.0
"""Three tries over ten seconds: a producer may be a moment ahead of a replicated registry. The partition waits so long;
the others go on."""
UNKNOWN_AGAIN_MAX = 16
"""Schemas known as unknown that one unit of work asks for again: random bytes must not become as many questions."""
SCHEMAS_MAX = 10_000
RETRY_SECONDS_MAX = 10.0
VALUE_BYTES_MAX = 32_768
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


class EventReader:
    """Reads framed events; knows the schemas that it has met."""

    def __init__(
        self,
        registry: SchemaRegistry,
        stopping: Callable[[], bool] = lambda: False,
        pause: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        """`pause` is entered, with the reason, while the work waits for a registry that does not answer."""
        self._registry, self._stopping, self._pause = registry, stopping, pause
        self._readers: dict[bytes, Callable[[bytes], Read]] = {}
        self._unknown: set[bytes] = set()
        self._asking: dict[bytes, asyncio.Task[None]] = {}

    def read(self, value: bytes | None) -> Read:
        """The event in a record's value; raises Unreadable. `prepare` must have seen the value."""
        if not value:
            raise Unreadable(Reason.NULL_VALUE, "the value is null" if value is None else "the value is empty")
        if len(value) > VALUE_BYTES_MAX:
            raise Unreadable(Reason.TOO_LARGE, f"{len(value)} bytes, {VALUE_BYTES_MAX} at most")
        reader = self._readers.get(value[:FRAME_BYTES])
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

    async def prepare(self, values: Iterable[bytes | None]) -> None:
        """Ask the registry for the schemas of these values that are not known yet.

        Waits as long as the registry does not answer. A schema that it does not know is asked for three times when it is
        met first, then once by each call that meets it, so that it is known from its registration on.
        """
        heads = {value[:FRAME_BYTES] for value in values if value and len(value) > FRAME_BYTES and value[0] == 0}
        wanted = heads - self._readers.keys()
        if wanted:
            again = wanted & self._unknown
            wanted = (wanted - again).union(islice(again, UNKNOWN_AGAIN_MAX))
            await asyncio.gather(*[self._learn(head) for head in wanted])

    async def _learn(self, head: bytes) -> None:
        """Learn one schema; whoever asks for it meanwhile waits for the same answer."""
        task = self._asking.get(head)
        if task is None:
            task = self._asking[head] = asyncio.create_task(self._ask_for(head), name="schema")
            task.add_done_callback(lambda _: self._asking.pop(head))
        # a lane that is ended must not end the others' waiting
        await asyncio.shield(task)

    async def _ask_for(self, head: bytes) -> None:
        schema_id = int.from_bytes(head[1:], "big")
        for attempt in range(1 if head in self._unknown else UNKNOWN_TRIES):
            if attempt:
                await asyncio.sleep(UNKNOWN_PAUSE_SECONDS)
            schema = await self._ask(schema_id)
            if schema is not None:
                if len(self._readers) >= SCHEMAS_MAX:
                    self._readers.clear()  # they are asked for again; what must not happen is growth without end
                self._readers[head] = reader_for(schema)
                self._unknown.discard(head)
                return
        if head not in self._unknown:
            if len(self._unknown) >= SCHEMAS_MAX:
                self._unknown.clear()
            self._unknown.add(head)
            logger.warning("the schema registry does not know schema %d: its records are dead letters", schema_id)

    async def _ask(self, schema_id: int) -> Schema | None:
        seconds = 0.2
        with ExitStack() as paused:
            while True:
                try:
                    return await self._registry.schema(schema_id)
                except TransientFailure as error:
                    level = logging.ERROR if isinstance(error, RegistryDenied) else logging.WARNING
                    logger.log(level, "waiting for schema %d: %s", schema_id, error)
                    paused.close()
                    paused.enter_context(self._pause(f"waiting for schema {schema_id}: {error.detail}"))
                if self._stopping():
                    raise asyncio.CancelledError
                await asyncio.sleep(seconds)
                seconds = min(seconds * 2, RETRY_SECONDS_MAX)


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
    read = compile_reader(schema)
    new = tuple.__new__

    def compiled(value: bytes) -> Read:
        payload = value[FRAME_BYTES:]
        # what Event._make does, at a third of its cost
        return new(Event, read(payload, 0)), payload

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
        return event, write(*event)

    return resolved
