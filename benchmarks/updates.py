"""Results as a worker publishes them, at a steady rate: for measurements of those who follow them."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer

from recon_stream.avro import encoder
from recon_stream.settings import Settings

STEP_SECONDS = 0.02
SEEN_EVERY = 10
"""One update in so many is of a break that was there before."""
_LEG = {
    "event_id": "C1", "revision": 0, "amount_minor": 12_345, "currency": "EUR", "direction": "DEBIT", "status": "POSTED",
    "canonical_status": "SUCCESS", "occurred_at": 1_790_000_000_000, "account": "DE02120300000000202051",
    "reference": None, "topic": "core_txns", "partition": 0, "offset": 7, "schema_id": 1,
}  # fmt: skip
_BODY = {
    "revision": 1, "verdict": "MATCHED", "primary_class": None, "breaks": [],
    "legs": [_LEG | {"source": source} for source in ("CORE", "GATEWAY", "MOBILE")], "amount_minor": 12_345,
    "currency": "EUR", "rules_version": "1", "decided_at": 1_790_000_000_000,
}  # fmt: skip
_BREAK = {
    "class": "AMOUNT_MISMATCH", "subtype": "", "subject": "GATEWAY", "field": "amount_minor", "expected": "12345",
    "actual": "12300", "delta_minor": -45, "severity": "MEDIUM", "state": "OPEN", "resolution": None,
}  # fmt: skip


def matched() -> Iterator[dict[str, Any]]:
    """Results of new transactions whose three legs agree."""
    while True:
        txn_id = uuid.uuid4().hex
        yield _BODY | {"txn_id": txn_id, "result_id": txn_id}


def broken(seen: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Results that open a break of a new transaction, and in between ones that resolve a break of `seen`, rows of /mismatches."""
    known = itertools.cycle(seen)
    for number in itertools.count():
        result_id = uuid.uuid4().hex
        if number % SEEN_EVERY:
            one = _BREAK | {"break_id": result_id}
            yield _BODY | {"txn_id": result_id, "result_id": result_id, "verdict": "BROKEN", "breaks": [one]}
        else:
            row = next(known)
            one = _BREAK | {"break_id": row["break_id"], "state": "RESOLVED", "resolution": "CORRECTED"}
            yield _BODY | {"txn_id": row["txn_id"], "result_id": result_id, "revision": 1_000 + number, "breaks": [one]}


class Writer:
    """Writes results to these topics. `sent`: how many, of each topic."""

    def __init__(self, settings: Settings, rate: int, results: Iterator[dict[str, Any]], topics: Sequence[str]) -> None:
        self.sent = 0
        self._settings, self._rate, self._results, self._topics = settings, rate, results, topics

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Results come while the block runs. Raises at its end what has stopped them before."""
        task = asyncio.create_task(self._write())
        try:
            yield
            if task.done():
                task.result()
        finally:
            task.cancel()

    async def _write(self) -> None:
        """At `rate` results a second."""
        encode, begun = encoder("reconciliation_result", 1), time.monotonic()
        async with AIOKafkaProducer(**self._settings.kafka_client()) as producer:
            while True:
                due = int((time.monotonic() - begun) * self._rate)
                for result in itertools.islice(self._results, due - self.sent):
                    value, key = encode(result), result["txn_id"].encode()
                    for topic in self._topics:
                        await producer.send(topic, value, key)
                self.sent = due
                await asyncio.sleep(STEP_SECONDS)
