"""recon_dead_letters -> PostgreSQL dead_letters; the first letter about a record stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from faust.streams import Stream
from faust.types import StreamT

from recon_stream.apps import sink as app
from recon_stream.avro import decode
from recon_stream.metrics import catalogue as metrics
from recon_stream.storage.dead_letters import dead_letter
from recon_stream.storage.pool import connection_pool
from recon_stream.storage.store import DeadLetterStore, Written
from recon_stream.storage.writer import Instruments, Writer
from recon_stream.topics import DEAD_LETTERS
from recon_stream.transport.batch import BatchSchema, RecordBatch

letters = app.topic(DEAD_LETTERS, schema=BatchSchema())


class Quarantine:
    """Decodes letters and stores them."""

    def __init__(self, store: DeadLetterStore) -> None:
        self._store = store

    async def write(self, batches: Sequence[RecordBatch]) -> Written:
        """Store these batches in one transaction."""
        rows = [dead_letter(*batch.tp, record, _letter(record.value)) for batch in batches for record in batch.records]
        return await self._store.write(rows, batches)


def _letter(value: bytes | None) -> dict[str, Any] | None:
    try:
        return decode("dead_letter", value or b"")
    except Exception:
        return None  # becomes a row about itself; damaged bytes make fastavro raise almost anything


@app.agent(letters, name="quarantine")
async def quarantine(stream: StreamT[RecordBatch]) -> None:
    """Feed the writer; it acknowledges after the commit."""
    settings = app.settings
    instruments = Instruments(
        metrics.SINK_ROWS, metrics.SINK_SKIPPED, metrics.SINK_CONFLICTS, metrics.SINK_SECONDS, metrics.SINK_PAUSED
    )
    async with connection_pool(settings.database_url, settings, "sink quarantine", size=1) as pool:
        write = Quarantine(DeadLetterStore(pool)).write
        writer = Writer("dead_letters", write, app, instruments, settings.sink_batch_records_max)
        async with writer.running():
            async for event in cast("Stream[RecordBatch]", stream).noack().events():
                writer.submit(event)
