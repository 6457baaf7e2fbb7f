"""What verify must notice: rows lost, altered and invented in a copy of the database, forged records in Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from aiokafka import AIOKafkaProducer
from psycopg.rows import namedtuple_row

from producers.publish import partition_of
from recon_stream.avro import SchemaRegistry, encoder
from recon_stream.registration import schema_id_of
from recon_stream.settings import Settings
from recon_stream.stack import local
from recon_stream.stack.services.postgres import grant_database
from recon_stream.topics import RESULTS
from tests.end_to_end.system import System

Damage = list[tuple[str, str]]
"""(check that must fail, what one of its examples must say)."""

COPY = "damaged"
FORGED = "T-forged"


@contextmanager
def damaged_database(settings: Settings) -> Iterator[tuple[Settings, Damage]]:
    """Settings that lead to a damaged copy of the database, and what is wrong with it."""
    state = local.read_state(settings)
    assert state is not None
    with psycopg.connect(state.database_url("postgres", "postgres"), autocommit=True, connect_timeout=5) as owner:
        owner.execute("CREATE DATABASE damaged TEMPLATE recon OWNER recon_owner")
        try:
            asyncio.run(grant_database(state, COPY))
            with psycopg.connect(state.database_url("postgres", COPY), row_factory=namedtuple_row) as database:
                # the append-only tables refuse changes: a superuser may set that aside
                database.execute("SET session_replication_role = replica")
                damage = [text for each in DAMAGES for text in each(database)]
            yield replace(settings, database_reader_url=state.database_url("recon_reader", COPY)), damage
        finally:
            owner.execute("DROP DATABASE damaged WITH (FORCE)")


def lose_record(database: psycopg.Connection[Any]) -> Damage:
    """A poisonous record is gone from the archive."""
    row = one(
        database,
        "DELETE FROM raw_events WHERE (topic, partition, kafka_offset) = (SELECT topic, partition, kafka_offset FROM raw_events "
        "WHERE status = 'UNREADABLE' ORDER BY topic, partition, kafka_offset LIMIT 1) RETURNING topic, partition, kafka_offset",
    )
    return [("I1", f"{place(row)} is not in raw_events")]


def alter_amount(database: psycopg.Connection[Any]) -> Damage:
    """One cent more."""
    row = one(
        database,
        "UPDATE raw_events SET amount_minor = amount_minor + 1 WHERE (topic, partition, kafka_offset) = "
        "(SELECT 'core_txns', partition, kafka_offset FROM raw_events WHERE topic = 'core_txns' AND status = 'READABLE' "
        "ORDER BY kafka_offset, partition LIMIT 1) RETURNING topic, partition, kafka_offset, currency",
    )
    return [("I1", f"{place(row)}: raw_events says"), ("I9", f"core_txns in {row.currency}:")]


def alter_event(database: psycopg.Connection[Any]) -> Damage:
    """The record that a leg names is another event's now."""
    row = one(
        database,
        "UPDATE raw_events SET event_id = 'altered' WHERE (topic, partition, kafka_offset) = "
        "(SELECT leg ->> 'topic', (leg ->> 'partition')::int, (leg ->> 'offset')::bigint FROM reconciliation_results, "
        "jsonb_array_elements(body -> 'legs') AS leg WHERE verdict = 'MATCHED' ORDER BY txn_id DESC LIMIT 1) "
        "RETURNING topic, partition, kafka_offset",
    )
    return [("I2", f"names {place(row)}, which was not accepted for it"), ("I1", f"{place(row)}: raw_events says")]


def lose_verdict(database: psycopg.Connection[Any]) -> Damage:
    """A live verdict is gone."""
    txn_id = clean(database, 0)
    database.execute("DELETE FROM reconciliation_results WHERE txn_id = %s", [txn_id])
    return [
        ("I3", f"{txn_id} has two accepted legs and no live verdict"),
        ("I4", f"{txn_id}: no verdict"),
        ("I7", f"{txn_id} was published and has no live verdict"),
    ]


def alter_verdict(database: psycopg.Connection[Any]) -> Damage:
    """A verdict says something else than what was published."""
    txn_id = clean(database, 1)
    database.execute("UPDATE reconciliation_results SET verdict = 'PENDING' WHERE txn_id = %s", [txn_id])
    return [("I4", f"{txn_id}: PENDING, must be MATCHED"), ("I7", f"{txn_id}: MATCHED published, PENDING stored")]


def alter_body(database: psycopg.Connection[Any]) -> Damage:
    """The evidence of a verdict is another one."""
    txn_id = clean(database, 2)
    database.execute(
        "UPDATE reconciliation_results SET body = jsonb_set(body, '{legs,0,amount_minor}', '1') WHERE txn_id = %s",
        [txn_id],
    )
    return [("I7", f"{txn_id}: the stored body differs from the published one in legs")]


def invent_verdict(database: psycopg.Connection[Any]) -> Damage:
    """A transaction that nobody sent."""
    txn_id = clean(database, 3)
    phantom = f"{txn_id}-phantom"
    database.execute(
        "INSERT INTO reconciliation_results SELECT %s, revision, result_id, verdict, primary_class, amount_minor, currency, "
        "rules_version, decided_at, body, partition, kafka_offset, revision_digests FROM reconciliation_results WHERE txn_id = %s",
        [phantom, txn_id],
    )
    return [
        ("I4", f"{phantom}: MATCHED, but no such transaction"),
        ("I7", f"{phantom} has a live verdict and was never"),
    ]


def invent_break(database: psycopg.Connection[Any]) -> Damage:
    """A phantom mismatch of a transaction that agrees."""
    txn_id = clean(database, 4)
    database.execute(
        "INSERT INTO breaks SELECT 'phantom', %s, class, subtype, subject, field, expected, actual, delta_minor, severity, state, "
        "resolution, opened_at, resolved_at, revision, reopen_count FROM breaks WHERE class = 'AMOUNT_MISMATCH' AND state = 'OPEN' "
        "ORDER BY break_id LIMIT 1",
        [txn_id],
    )
    return [("I4", f"{txn_id}: AMOUNT_MISMATCH of"), ("I6", f"{txn_id}: break phantom is stored only")]


def lose_move(database: psycopg.Connection[Any]) -> Damage:
    """A move of a break was not recorded."""
    row = one(
        database,
        "DELETE FROM break_events WHERE break_id = (SELECT min(break_id) FROM breaks WHERE class = 'MISSING_ENTRY' AND "
        "break_id <> 'phantom') AND move = 'OPENED' RETURNING break_id, txn_id",
    )
    return [("I6", f"{row.txn_id}: OPENED of {row.break_id} at revision")]


DAMAGES = (
    lose_record, alter_amount, alter_event, lose_verdict, alter_verdict, alter_body, invent_verdict, invent_break, lose_move,
)  # fmt: skip


def one(database: psycopg.Connection[Any], statement: str) -> Any:
    """The only row that a statement returns."""
    rows = database.execute(statement.encode()).fetchall()
    assert len(rows) == 1, (statement, rows)
    return rows[0]


def place(row: Any) -> str:
    """Coordinates as verify writes them."""
    return f"{row.topic}[{row.partition}]@{row.kafka_offset}"


def clean(database: psycopg.Connection[Any], number: int) -> str:
    """A transaction that agrees and never had a break."""
    row = database.execute(
        "SELECT txn_id FROM reconciliation_results r WHERE verdict = 'MATCHED' AND NOT EXISTS "
        "(SELECT FROM breaks b WHERE b.txn_id = r.txn_id) AND txn_id !~ 'phantom' ORDER BY txn_id LIMIT 1 OFFSET %s",
        [number],
    ).fetchone()
    assert row is not None
    return str(row[0])


async def damage_kafka(system: System) -> Damage:
    """Forge results; worker and sink run while they do not notice."""
    settings = system.settings
    with psycopg.connect(settings.database_reader_url) as database:
        row = database.execute(
            "SELECT body FROM reconciliation_results r WHERE verdict = 'MATCHED' AND NOT EXISTS "
            "(SELECT FROM breaks b WHERE b.txn_id = r.txn_id) ORDER BY txn_id LIMIT 1"
        ).fetchone()
    assert row is not None
    body = row[0]
    txn_id = body["txn_id"]
    early = int(time.time() * 1000) + 60_000
    missing = {
        "break_id": "0" * 32, "class": "MISSING_ENTRY", "subtype": "", "subject": "CORE", "field": "", "expected": None,
        "actual": None, "delta_minor": None, "severity": "LOW", "state": "OPEN", "resolution": None,
    }  # fmt: skip
    forged = body | {
        "txn_id": FORGED, "verdict": "BROKEN", "breaks": [missing], "decided_at": early, "revision": 1,
    }  # fmt: skip
    async with SchemaRegistry(settings) as registry:
        encode = encoder("reconciliation_result", await schema_id_of(registry, RESULTS))
    producer = AIOKafkaProducer(**settings.kafka_client(), acks="all")
    await producer.start()
    try:
        for key, result in ((txn_id, body | {"verdict": "PENDING"}), (FORGED, forged)):
            partition = partition_of(key.encode(), settings.partitions)
            await producer.send_and_wait(RESULTS, encode(result), key.encode(), partition=partition)
    finally:
        await producer.stop()
    if not system.sink.runs:
        system.sink.start()
    await system.sink.until_ready()
    return [
        ("I3", f"{txn_id} revision {body['revision']} was published with two contents"),
        ("I3", f"SAME_REVISION, {txn_id}"),
        ("I5", f"{FORGED} revision 1: published"),
        ("I7", f"{FORGED} revision 1 changed the open breaks and is not in recon_mismatches"),
        ("I11", f"{FORGED}: published, and a replay says nothing"),
    ]
