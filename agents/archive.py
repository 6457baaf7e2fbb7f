"""core_txns, gateway_txns, mobile_txns -> PostgreSQL raw_events, every record exactly once, poison included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from faust.streams import Stream
from faust.types import StreamT

from recon_stream.apps import sink as app
from recon_stream.avro import SchemaRegistry
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.metrics import catalogue as metrics
from recon_stream.pipeline.decoding import Read, Unreadable
from recon_stream.pipeline.reading import EventReader
from recon_stream.storage.pool import connection_pool
from recon_stream.storage.raw_events import raw_event
from recon_stream.storage.store import RawEventStore, Written
from recon_stream.storage.writer import Instruments, Writer
from recon_stream.transport.batch import BatchSchema, RecordBatch

events = app.topic(*SOURCE_TOPICS, schema=BatchSchema())


class Archive:
    """Decodes batches as the worker does and stores them."""

    def __init__(self, reader: EventReader, store: RawEventStore) -> None:
        self._reader = reader
        self._store = store

    async def write(self, batches: Sequence[RecordBatch]) -> Written:
        """Store these batches in one transaction; waits as long as the schema registry does not answer."""
        await self._reader.prepare([record.value for batch in batches for record in batch.records])
        rows = [
            raw_event(batch.tp.topic, batch.tp.partition, record, self._read(record.value))
            for batch in batches
            for record in batch.records
        ]
        return await self._store.write(rows, batches)

    def _read(self, value: bytes | None) -> Read | None:
        try:
            return self._reader.read(value)
        except Unreadable:
            return None  # stored with that status; why is said by the worker's dead letter


@app.agent(events, name="archive")
async def archive(stream: StreamT[RecordBatch]) -> None:
    """Feed the writer; it acknowledges after the commit."""
    settings = app.settings
    instruments = Instruments(
        metrics.SINK_ROWS, metrics.SINK_SKIPPED, metrics.SINK_CONFLICTS, metrics.SINK_SECONDS, metrics.SINK_PAUSED
    )
    async with (
        SchemaRegistry(settings) as registry,
        connection_pool(settings.database_url, settings, "sink archive", size=1) as pool,
    ):
        reader = EventReader(registry, stopping=lambda: app.should_stop, pause=app.pause_watchdog)
        write = Archive(reader, RawEventStore(pool)).write
        writer = Writer("raw_events", write, app, instruments, settings.sink_batch_records_max)
        async with writer.running():
            async for event in cast("Stream[RecordBatch]", stream).noack().events():
                writer.submit(event)
