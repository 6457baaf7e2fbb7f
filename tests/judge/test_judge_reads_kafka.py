"""The judge reads whole topics from a real broker and schemas from a real registry."""

from __future__ import annotations

import asyncio
import json
import urllib.request
import uuid
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from .read import LOG_APPEND_TIME, read_schema, read_topics
from .records import Record, decode_registered, parse_schemas

pytestmark = pytest.mark.stack


async def test_a_topic_is_read_to_its_end_and_no_further(stack: Any) -> None:
    """Every record of every partition with key, value, timestamp, coordinates; empty partitions and topics do no harm."""
    full, empty, stamped = (f"judge-{uuid.uuid4().hex[:8]}" for _ in range(3))
    bootstrap = stack.kafka_bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    by_broker = {"message.timestamp.type": "LogAppendTime"}
    topics = [NewTopic(full, 3, 1), NewTopic(empty, 2, 1), NewTopic(stamped, 1, 1, topic_configs=by_broker)]
    await admin.create_topics(topics)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for number in range(2000):
            await producer.send(full, b"v%d" % number, b"k", partition=number % 2, timestamp_ms=1000 + number)
        await producer.send_and_wait(full, None, b"k", partition=0, timestamp_ms=5)
        await producer.send_and_wait(stamped, b"v", b"k", timestamp_ms=5)
        await producer.flush()
        async with asyncio.timeout(30):
            found = await read_topics(bootstrap, (full, empty, stamped))
    finally:
        await producer.stop()
        await admin.delete_topics([full, empty, stamped])
        await admin.close()
    in_order = sorted(found[full])[:1001]
    assert len(found[full]) == 2001
    assert in_order[3] == Record(full, 0, 3, 1006, b"k", b"v6")
    assert in_order[1000] == Record(full, 0, 1000, 5, b"k", None)
    assert found[empty] == []
    assert [(r.appended, r.timestamp > 5) for r in found[stamped]] == [(True, True)]
    assert LOG_APPEND_TIME == 1


async def test_a_topic_that_does_not_exist_is_named(stack: Any) -> None:
    """The judge does not take an absent topic for an empty one, and does not create it."""
    with pytest.raises(LookupError, match="judge-nowhere"):
        await read_topics(stack.kafka_bootstrap_servers, ("judge-nowhere",))


def test_schemas_come_from_the_registry_by_id(stack: Any) -> None:
    """A registered schema decodes; an id that the registry does not know is None."""
    subject = f"judge-{uuid.uuid4().hex[:8]}-value"
    text = json.dumps({"type": "record", "name": "Judge", "fields": [{"name": "at", "type": "long"}]})
    request = urllib.request.Request(
        f"{stack.schema_registry_url.rstrip('/')}/subjects/{subject}/versions",
        data=json.dumps({"schema": text}).encode(),
        headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        schema_id = json.load(answer)["id"]
    found = read_schema(stack.schema_registry_url, schema_id)
    assert found is not None
    schemas = parse_schemas({schema_id: found})
    value = b"\x00" + schema_id.to_bytes(4, "big") + b"\x54"
    assert decode_registered(value, schemas) == {"at": 42}
    assert read_schema(stack.schema_registry_url, 99_999_999) is None
