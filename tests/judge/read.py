"""Reads whole topics and the registered schemas; a plain consumer without a group."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from .records import Record, parse_schemas, schema_id_of
from .rules import SOURCE_OF
from .verdicts import Topics

LOG_APPEND_TIME = 1
READ_TIMEOUT_S = 120
HTTP_TIMEOUT_S = 10
SCHEMA_IDS_MAX = 1000


async def read_topics(bootstrap: str, names: tuple[str, ...]) -> dict[str, list[Record]]:
    """All records of the topics up to where they end now. TimeoutError when that takes longer than two minutes."""
    found: dict[str, list[Record]] = {name: [] for name in names}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    async with asyncio.timeout(READ_TIMEOUT_S):
        partitions = await _partitions(bootstrap, names)
        await consumer.start()
        try:
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            # an explicit offset: seek_to_beginning can lose against the reset that the assignment has begun
            for tp, first in (await consumer.beginning_offsets(partitions)).items():
                consumer.seek(tp, first)
            unfinished = set(partitions)
            while unfinished:
                for tp in list(unfinished):
                    if await consumer.position(tp) >= ends[tp]:
                        unfinished.discard(tp)
                        consumer.pause(tp)
                if not unfinished:
                    break
                batches = await consumer.getmany(*unfinished, timeout_ms=500, max_records=5000)
                for tp, batch in batches.items():
                    found[tp.topic].extend(_record(message) for message in batch if message.offset < ends[tp])
        finally:
            await consumer.stop()
    return found


async def _partitions(bootstrap: str, names: tuple[str, ...]) -> list[TopicPartition]:
    """All partitions of the topics. LookupError for a topic that does not exist: it is not the same as an empty one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        absent = set(names) - set(await admin.list_topics())
        if absent:
            raise LookupError(f"no such topics: {', '.join(sorted(absent))}")
        described = await admin.describe_topics(list(names))
    finally:
        await admin.close()
    return [TopicPartition(topic["topic"], p["partition"]) for topic in described for p in topic["partitions"]]


def _record(message: Any) -> Record:
    return Record(
        message.topic,
        message.partition,
        message.offset,
        message.timestamp,
        message.key,
        message.value,
        appended=message.timestamp_type == LOG_APPEND_TIME,
    )


def read_schema(registry: str, schema_id: int) -> str | None:
    """The text of a schema; None where the registry does not know the id."""
    if urllib.parse.urlsplit(registry).scheme not in ("http", "https"):
        raise ValueError(f"not an address of a registry: {registry}")
    try:
        with urllib.request.urlopen(
            f"{registry.rstrip('/')}/schemas/ids/{schema_id}", timeout=HTTP_TIMEOUT_S
        ) as answer:
            return str(json.load(answer)["schema"])
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


async def read_all(bootstrap: str, registry: str) -> Topics:
    """Everything that the judge needs. Each schema id that a record names is asked for once."""
    published = ("recon_results", "recon_mismatches", "recon_dead_letters")
    found = await read_topics(bootstrap, (*SOURCE_OF, *published))
    named = {schema_id_of(record.value) for records in found.values() for record in records}
    ids = sorted(schema_id for schema_id in named if schema_id is not None)
    if len(ids) > SCHEMA_IDS_MAX:
        raise ValueError(f"{len(ids)} different schema ids in the topics")
    texts = {schema_id: await asyncio.to_thread(read_schema, registry, schema_id) for schema_id in ids}
    return Topics(
        sources=[record for name in SOURCE_OF for record in found[name]],
        results=found["recon_results"],
        mismatches=found["recon_mismatches"],
        dead_letters=found["recon_dead_letters"],
        schemas=parse_schemas({schema_id: text for schema_id, text in texts.items() if text is not None}),
    )
