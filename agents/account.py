"""PostgreSQL and Kafka -> accounting: every minute, whether every record is accounted for. One sink of all does it."""

from __future__ import annotations

import logging
import time

import psycopg
from aiokafka.errors import KafkaError
from psycopg_pool import PoolTimeout

from recon_stream.apps import sink as app
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.metrics.catalogue import ACCOUNTING_AT, ACCOUNTING_VIOLATIONS
from recon_stream.settings import Settings
from recon_stream.storage.accounting import Place, Span, check
from recon_stream.storage.pool import Pool, connection_pool
from recon_stream.topics import GROUPS, spans

logger = logging.getLogger(__name__)

INTERVAL = 60.0
KAFKA_SECONDS = 5.0


@app.task()  # type: ignore[untyped-decorator]
async def account() -> None:
    """Check for as long as the sink runs; what does not answer is asked again a minute later."""
    async with connection_pool(app.settings.database_url, app.settings, "sink accounting", size=1) as pool:
        while not app.should_stop:
            try:
                await check_once(app.settings, pool)
            except (psycopg.Error, PoolTimeout, OSError) as error:
                logger.warning("accounting waits: %s", str(error).strip() or type(error).__name__)
            await app.sleep(INTERVAL)


async def check_once(settings: Settings, pool: Pool) -> None:
    """One check, told by log and metrics. Raises psycopg.Error, PoolTimeout, OSError."""
    findings = await check(pool, SOURCE_TOPICS, lambda: spans_of(settings))
    if findings is None:
        # another process tells it now: what this one found is no news any more
        ACCOUNTING_VIOLATIONS.clear()
        return
    ACCOUNTING_AT.set(time.time())
    for finding in findings:
        ACCOUNTING_VIOLATIONS.labels(finding.name).set(finding.violations)
        if finding.violations:
            logger.error("NOT ACCOUNTED FOR: %s: %d, %s", finding.title, finding.violations, finding.detail["examples"])


async def spans_of(settings: Settings) -> dict[Place, Span] | None:
    """What Kafka has of each partition; None while it does not answer."""
    try:
        found = await spans(settings, GROUPS["sink"], KAFKA_SECONDS)
    except (KafkaError, OSError, TimeoutError, ValueError) as error:
        logger.warning("accounting without Kafka: %s", error or type(error).__name__)
        return None
    return {(place.topic, place.partition): span for place, span in found.items()}
