"""Results, mismatches and dead letters as workers publish them, with what a test wants in them."""

from __future__ import annotations

import itertools
import uuid
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from recon_stream.avro import encoder
from recon_stream.settings import Settings
from recon_stream.topics import DEAD_LETTERS, MISMATCHES, RESULTS

ACCOUNT = "DE02120300000000202051"
"""The canary: a number that nobody without accounts:read may ever see."""
_number = itertools.count()


def txn_id() -> str:
    """One that no other test has."""
    return f"LIVE-{uuid.uuid4().hex[:12]}-{next(_number)}"


def leg(source: str, account: str = ACCOUNT) -> dict[str, Any]:
    """What a source says."""
    return {
        "source": source, "event_id": f"{source}-1", "revision": 0, "amount_minor": 12_345, "currency": "EUR",
        "direction": "DEBIT", "status": "POSTED", "canonical_status": "SUCCESS", "occurred_at": 1_790_000_000_000,
        "account": account, "reference": None, "topic": f"{source.lower()}_txns", "partition": 0, "offset": 7,
        "schema_id": 1,
    }  # fmt: skip


def account_break(state: str = "OPEN") -> dict[str, Any]:
    """MOBILE names another account, one character off."""
    return {
        "break_id": uuid.uuid4().hex, "class": "ACCOUNT_MISMATCH", "subtype": "", "subject": "MOBILE", "field": "account",
        "expected": ACCOUNT, "actual": ACCOUNT[:-1] + "2", "delta_minor": None, "severity": "CRITICAL", "state": state,
        "resolution": None if state == "OPEN" else "AUTO_CORRECTED",
    }  # fmt: skip


def result(txn: str, revision: int = 1, verdict: str = "MATCHED", **parts: Any) -> dict[str, Any]:
    """A ReconciliationResult."""
    return {
        "result_id": uuid.uuid4().hex, "txn_id": txn, "revision": revision, "verdict": verdict, "primary_class": None,
        "breaks": [], "legs": [leg("CORE"), leg("GATEWAY"), leg("MOBILE")], "amount_minor": 12_345, "currency": "EUR",
        "rules_version": "1", "decided_at": 1_790_000_000_000,
    } | parts  # fmt: skip


def broken(txn: str, revision: int = 1, **parts: Any) -> dict[str, Any]:
    """One whose account differs."""
    body = {"verdict": "BROKEN", "primary_class": "ACCOUNT_MISMATCH", "breaks": [account_break()]}
    return result(txn, revision, **(body | parts))


class Writer:
    """`async with Writer(settings) as writer`; what it writes is acknowledged when it returns."""

    def __init__(self, settings: Settings) -> None:
        self._producer = AIOKafkaProducer(**settings.kafka_client(), acks="all")
        self._encode = encoder("reconciliation_result", 1)
        self._encode_letter = encoder("dead_letter", 1)

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def results(self, *bodies: dict[str, Any], topic: str = RESULTS) -> None:
        """To recon_results, each in the partition of its key."""
        sent = [await self._producer.send(topic, self._encode(body), body["txn_id"].encode()) for body in bodies]
        for acknowledged in sent:
            await acknowledged

    async def mismatches(self, *bodies: dict[str, Any]) -> None:
        """To recon_mismatches."""
        await self.results(*bodies, topic=MISMATCHES)

    async def dead_letter(self, key: str, source: str = "core") -> None:
        """To recon_dead_letters."""
        letter = {
            "topic": f"{source}_txns", "partition": 0, "offset": 3, "timestamp": 1_790_000_000_000, "key": key.encode(),
            "value": b"\x00", "reason": "BAD_AVRO", "detail": key, "schema_id": None, "failed_at": 1_790_000_000_000,
        }  # fmt: skip
        await self._producer.send_and_wait(DEAD_LETTERS, self._encode_letter(letter), key.encode())

    async def garbage(self, value: bytes | None) -> None:
        """What no worker would write, to recon_results."""
        await self._producer.send_and_wait(RESULTS, value, b"garbage")
