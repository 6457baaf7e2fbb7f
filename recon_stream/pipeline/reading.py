"""Reading source records: Confluent frame, writer's schema from the registry, our own event (decoding.py)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import islice

from recon_stream.avro import FRAME_BYTES, RegistryDenied, Schema, SchemaRegistry
from recon_stream.errors import TransientFailure
from recon_stream.pipeline.decoding import Decoder, Read, reader_for

logger = logging.getLogger(__name__)

UNKNOWN_TRIES = 3
UNKNOWN_PAUSE_SECONDS = 5.0
"""Three tries over ten seconds: a producer may be a moment ahead of a replicated registry. The partition waits so long;
the others go on."""
UNKNOWN_AGAIN_MAX = 16
"""Schemas known as unknown that one unit of work asks for again: random bytes must not become as many questions."""
SCHEMAS_MAX = 10_000
RETRY_SECONDS_MAX = 10.0


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
        self.decoder = Decoder()
        self._readers = self.decoder.readers
        self._unknown: set[bytes] = set()
        self._asking: dict[bytes, asyncio.Task[None]] = {}

    def read(self, value: bytes | None) -> Read:
        """The event in a record's value; raises Unreadable. `prepare` must have seen the value."""
        return self.decoder.read(value)

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
