"""core_txns, gateway_txns, mobile_txns -> recon_results, recon_mismatches, recon_dead_letters, by way of the transactions table.

The agent takes batches and hands them to the lane of their partition; all that is decided stands in recon_stream.domain.
"""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack
from typing import cast

from faust.streams import Stream
from faust.types import StreamT

from recon_stream.apps import worker
from recon_stream.avro import RegistryDenied, SchemaRegistry
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.pipeline.encoding import SchemaIds
from recon_stream.pipeline.engine import Engine
from recon_stream.pipeline.lane import TICK_SECONDS
from recon_stream.redis.client import connect
from recon_stream.redis.dedup import DuplicateFilter
from recon_stream.registration import subject_of
from recon_stream.rulebook import load_rules
from recon_stream.topics import DEAD_LETTERS, MISMATCHES, RESULTS
from recon_stream.transport.batch import BatchSchema, RecordBatch

logger = logging.getLogger(__name__)

events = worker.topic(*SOURCE_TOPICS, schema=BatchSchema())


class Matcher:
    """The engine once its dependencies have answered; None until then."""

    engine: Engine | None = None


async def start_engine(registry: SchemaRegistry) -> Engine:
    """Wait for the schema registry, then build the engine; raises ConfigurationError where our schemas are not registered."""
    settings = worker.settings
    seconds = 0.2
    with ExitStack() as paused:
        while True:
            try:
                schema_ids = SchemaIds(
                    await _schema_id(registry, RESULTS, "reconciliation_result"),
                    await _schema_id(registry, MISMATCHES, "reconciliation_result"),
                    await _schema_id(registry, DEAD_LETTERS, "dead_letter"),
                )
                break
            except TransientFailure as error:
                level = logging.ERROR if isinstance(error, RegistryDenied) else logging.WARNING
                logger.log(level, "cannot start yet: %s", error)
                paused.close()
                paused.enter_context(worker.pause_watchdog(f"matcher: {error.detail}"))
            await worker.sleep(seconds)
            seconds = min(seconds * 2, 10.0)
    # every lane has at most one call under way
    redis = connect(settings, connections_max=settings.partitions + 2) if settings.redis_filter else None
    # the same name after a restart: its own units of work that a crash left in flight are no zombie's
    name = f"{socket.gethostname()}:{settings.state_dir.resolve()}:{settings.process_index}"
    duplicate_filter = DuplicateFilter(redis, name) if redis is not None else None
    return Engine(worker, load_rules(settings), registry, duplicate_filter, schema_ids)


async def _schema_id(registry: SchemaRegistry, topic: str, schema: str) -> int:
    schema_id = await registry.lookup(subject_of(topic), schema)
    if schema_id is None:
        raise ConfigurationError(f"our schema of {topic} is not registered: run `recon-stream schemas register`")
    return schema_id


@worker.agent(events, name="reconcile")
async def reconcile(stream: StreamT[RecordBatch]) -> None:
    """Feed the lanes; the lanes acknowledge."""
    worker.readiness["matcher"] = lambda: None if Matcher.engine else "waiting for the schema registry"
    worker.readiness["partitioner"] = lambda: Matcher.engine.placement.complaint() if Matcher.engine else None
    async with SchemaRegistry(worker.settings) as registry:
        try:
            Matcher.engine = await start_engine(registry)
        except Exception as error:
            # nothing can be read without it, and Faust would start a failed agent again without a word
            await worker.crash(error)
            raise
        async for event in cast("Stream[RecordBatch]", stream).noack().events():
            Matcher.engine.submit(event)


@worker.timer(TICK_SECONDS)  # type: ignore[untyped-decorator]
async def ensure_lanes() -> None:
    """Every assigned partition has a lane, so that its deadlines pass without records too."""
    if Matcher.engine is not None:
        Matcher.engine.ensure_lanes()


@worker.timer(1.0)  # type: ignore[untyped-decorator]
async def look_at_feeds() -> None:
    """How far the feeds are, once a second."""
    if Matcher.engine is not None and worker.tables.actives_ready:
        try:
            await Matcher.engine.look_at_feeds()
        except TransientFailure as error:
            # without it the clock says nothing, and deadlines wait for watermarks: safe, so only told
            logger.warning("%s", error)
        Matcher.engine.measure()
