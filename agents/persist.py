"""recon_results -> PostgreSQL reconciliation_results, breaks, break_events; what contradicts them -> result_conflicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from faust.streams import Stream
from faust.types import StreamT

from recon_stream.apps import sink as app
from recon_stream.avro import decode
from recon_stream.metrics import catalogue as metrics
from recon_stream.storage.pool import connection_pool
from recon_stream.storage.store import VerdictStore, Written
from recon_stream.storage.verdicts import Incoming
from recon_stream.storage.writer import Instruments, Writer
from recon_stream.topics import RESULTS
from recon_stream.transport.batch import BatchSchema, RecordBatch

results = app.topic(RESULTS, schema=BatchSchema())


class Persist:
    """Decodes results and stores what they change."""

    def __init__(self, store: VerdictStore) -> None:
        self._store = store

    async def write(self, batches: Sequence[RecordBatch]) -> Written:
        """Store these batches in one transaction."""
        incoming = [
            Incoming(*batch.tp, record.offset, record.timestamp, record.value, _result(record.value))
            for batch in batches
            for record in batch.records
        ]
        return await self._store.write(incoming, batches)


def _result(value: bytes | None) -> dict[str, Any] | None:
    try:
        return decode("reconciliation_result", value or b"")
    except Exception:
        return None  # kept aside as UNREADABLE; damaged bytes make fastavro raise almost anything


@app.agent(results, name="persist")
async def persist(stream: StreamT[RecordBatch]) -> None:
    """Feed the writer; it acknowledges after the commit."""
    settings = app.settings
    instruments = Instruments(
        metrics.SINK_ROWS, metrics.SINK_SKIPPED, metrics.SINK_CONFLICTS, metrics.SINK_SECONDS, metrics.SINK_PAUSED
    )
    async with connection_pool(settings.database_url, settings, "sink persist", size=1) as pool:
        write = Persist(VerdictStore(pool)).write
        writer = Writer("reconciliation_results", write, app, instruments, settings.sink_batch_records_max)
        async with writer.running():
            async for event in cast("Stream[RecordBatch]", stream).noack().events():
                writer.submit(event)
