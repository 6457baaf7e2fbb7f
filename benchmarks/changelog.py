"""A changelog as workers write it, filled directly: one row for each open transaction, and the partition's own row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from producers.draft import WORDS
from recon_stream.apps import PRODUCER_BATCH_BYTES
from recon_stream.avro import parsed_schema
from recon_stream.codec import compile_writer
from recon_stream.domain.case import Case
from recon_stream.domain.deadlines import NEVER
from recon_stream.domain.event import Event, Source, Status
from recon_stream.domain.facts import Received
from recon_stream.domain.rules import Rules
from recon_stream.settings import Settings
from recon_stream.topics import changelog_topic
from recon_stream.transport.publish import pack, publish
from tables.rows import META, Meta, case_key, encode_deadlines, encode_fact

AHEAD_MS = 3_600_000
"""The events are dated so far in the future: no deadline comes due while something is measured."""
CHUNK_ROWS = 50_000
EPOCH = b"recovery"

_write_event = compile_writer(parsed_schema("transaction_event"))


class Filled(NamedTuple):
    """What stands in the changelog, and so in a state that was made from it."""

    rows: int
    deadlines: int
    bytes: int
    """Of keys and values."""
    base_ms: int
    """When the first of the transactions is dated, epoch milliseconds."""


async def fill(settings: Settings, rules: Rules, transactions: int) -> Filled:
    """Append the rows of so many open transactions, each with one leg, to the changelog of this application."""
    producer = AIOKafkaProducer(
        **settings.kafka_client(), acks="all", max_batch_size=PRODUCER_BATCH_BYTES, max_request_size=8 << 20
    )
    topic, base_ms = changelog_topic(settings), time.time_ns() // 1_000_000 + AHEAD_MS
    chunks: list[list[tuple[bytes | None, bytes | None]]] = [[] for _ in range(settings.partitions)]
    rows = deadlines = size = 0
    await producer.start()
    try:
        for key, row in open_transactions(rules, transactions, base_ms):
            chunks[(murmur2(key[1:]) & 0x7FFFFFFF) % settings.partitions].append((key, row))
            rows, deadlines, size = rows + 1, deadlines + row[0], size + len(key) + len(row)
            if rows % CHUNK_ROWS == 0:
                await _send(producer, topic, chunks)
        for chunk in chunks:
            # no watermark yet: what is fed afterwards brings its own
            chunk.append((META, Meta(EPOCH, (NEVER, NEVER, NEVER), 0).encode()))
        await _send(producer, topic, chunks)
    finally:
        await producer.stop()
    return Filled(rows + settings.partitions, deadlines, size, base_ms)


def open_transactions(rules: Rules, number: int, base_ms: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and row of transactions of which the core banking system alone has told, a millisecond apart."""
    for place in range(number):
        event = leg(Source.CORE, place, base_ms)
        fact = Received(Source.CORE, place, base_ms + place, rules, 1, event)
        head = encode_deadlines(Case(event.txn_id, [fact]).deadlines())
        yield case_key(event.txn_id), head + encode_fact(fact, _write_event(*event.fields()))


def leg(source: Source, place: int, base_ms: int) -> Event:
    """What that source says of the open transaction with this number; the three agree."""
    return Event(
        f"{int(source)}{place:015x}", f"T{place * 2654435761 % (1 << 32):08x}-{place:010d}", source, 100 + place, "EUR",
        place % 2, WORDS[source][Status.SUCCESS], base_ms + place, f"ACC{place % 100_000:010d}", f"REF-{place:010d}",
        None, 0,
    )  # fmt: skip


async def _send(producer: AIOKafkaProducer, topic: str, chunks: list[list[tuple[bytes | None, bytes | None]]]) -> None:
    now = time.time_ns() // 1_000_000
    await asyncio.gather(
        *(publish(producer, topic, number, pack(producer, chunk, now)) for number, chunk in enumerate(chunks))
    )
    for chunk in chunks:
        chunk.clear()
