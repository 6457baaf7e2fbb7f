"""PostgreSQL and Kafka -> accounting: every minute, whether every record is accounted for. One sink of all does it."""

from __future__ import annotations

import asyncio
import logging
import time

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from psycopg_pool import PoolTimeout

from recon_stream.apps import sink as app
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.metrics.catalogue import ACCOUNTING_AT, ACCOUNTING_VIOLATIONS
from recon_stream.settings import Settings
from recon_stream.storage.accounting import Place, check
from recon_stream.storage.pool import Pool, connection_pool
from recon_stream.topics import DEAD_LETTERS, RESULTS

logger = logging.getLogger(__name__)

INTERVAL = 60.0
KAFKA_SECONDS = 5.0
TOPICS = (*SOURCE_TOPICS, RESULTS, DEAD_LETTERS)


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
    findings = await check(pool, SOURCE_TOPICS, lambda: ends_of(settings))
    if findings is None:
        # another process tells it now: what this one found is no news any more
        ACCOUNTING_VIOLATIONS.clear()
        return
    ACCOUNTING_AT.set(time.time())
    for finding in findings:
        ACCOUNTING_VIOLATIONS.labels(finding.name).set(finding.violations)
        if finding.violations:
            logger.error("NOT ACCOUNTED FOR: %s: %d, %s", finding.title, finding.violations, finding.detail["examples"])


async def ends_of(settings: Settings) -> dict[Place, int] | None:
    """(topic, partition) -> where it ends; None while Kafka does not answer."""
    places = [TopicPartition(topic, number) for topic in TOPICS for number in range(settings.partitions)]
    consumer = AIOKafkaConsumer(**settings.kafka_client(), request_timeout_ms=int(KAFKA_SECONDS * 1000))
    try:
        async with asyncio.timeout(KAFKA_SECONDS):
            await consumer.start()
            ends = await consumer.end_offsets(places)
    except (KafkaError, OSError, TimeoutError, ValueError) as error:
        logger.warning("accounting without Kafka: %s", error or type(error).__name__)
        return None
    finally:
        await consumer.stop()
    return {(place.topic, place.partition): end for place, end in ends.items()}
