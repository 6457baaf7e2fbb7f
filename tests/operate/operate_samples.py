"""Results as recon_results carries them, for the tests of what reads them."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

from aiokafka import AIOKafkaProducer

from recon_stream.avro import SchemaRegistry, encoder
from recon_stream.registration import register_schemas, schema_id_of
from recon_stream.settings import Settings
from recon_stream.topics import MISMATCHES, RESULTS, create_topics

AT = 1_795_372_000_000


def a_break(name: str, **changed: Any) -> dict[str, Any]:
    """A break of an amount that differs, with its id made of `name`."""
    return {
        "break_id": name,
        "class": "AMOUNT_MISMATCH",
        "subtype": "",
        "subject": "MOBILE",
        "field": "amount_minor",
        "expected": "134702",
        "actual": "132017",
        "delta_minor": -2685,
        "severity": "HIGH",
        "state": "OPEN",
        "resolution": None,
    } | changed


def a_result(txn_id: str, revision: int, *breaks: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """A revision with these breaks; BROKEN where one is open, else MATCHED."""
    is_broken = any(said["state"] == "OPEN" for said in breaks)
    return {
        "result_id": f"{txn_id}-{revision}",
        "txn_id": txn_id,
        "revision": revision,
        "verdict": "BROKEN" if is_broken else "MATCHED",
        "primary_class": next((said["class"] for said in breaks if said["state"] == "OPEN"), None),
        "breaks": list(breaks),
        "legs": [],
        "amount_minor": 134702,
        "currency": "GBP",
        "rules_version": "test+00000000",
        "decided_at": AT,
    } | changed


async def publish(settings: Settings, results: list[dict]) -> None:
    """Write results to recon_results and recon_mismatches, as the worker does."""
    await create_topics(settings)
    await register_schemas(settings)
    async with SchemaRegistry(settings) as registry:
        encode = encoder("reconciliation_result", await schema_id_of(registry, RESULTS))
    producer = AIOKafkaProducer(**settings.kafka_client(), acks="all")
    await producer.start()
    try:
        for topic in (RESULTS, MISMATCHES):
            for result in results:
                await producer.send_and_wait(topic, encode(result), key=result["txn_id"].encode())
    finally:
        await producer.stop()


def environment(settings: Settings) -> dict[str, str]:
    """What a process of its own needs to have these settings; the rest it reads from the stack's own file."""
    names = ("kafka_bootstrap_servers", "state_dir", "app_id", "operations_port")
    chosen = {f.metadata["name"]: str(getattr(settings, f.name)) for f in fields(settings) if f.name in names}
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | chosen
