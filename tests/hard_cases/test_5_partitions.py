"""What must not be joined silently: a producer that partitions otherwise, and topics of different sizes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from recon_stream.verify.doctor import CHECKS
from recon_stream.verify.doctor_findings import State, examine
from tests.end_to_end.system import HOME, System
from tests.hard_cases.feeding import MOBILE, Feeder, now_ms, txn_in

LOG = 1 << 20
"""Characters of the log that are looked through."""

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

KAFKA = tuple(check for check in CHECKS if check.area == "Kafka")


def crc32(key: bytes, everything: Sequence[int], available: Sequence[int]) -> int:
    """How librdkafka chooses the partition of a key unless it is told otherwise."""
    return everything[zlib.crc32(key) % len(everything)]


async def placement(system: System) -> list[Any]:
    """What doctor says of partitioners."""
    return [found for found in await examine(system.settings, KAFKA) if found.name.startswith("partitioner")]


async def test_a_producer_that_partitions_otherwise_is_reported(system: System) -> None:
    """Metric, log and readiness of the worker and doctor name the topic and say what to set in the producer."""
    assert [found.state for found in await placement(system)] == [State.OK]
    assert await system.worker.counted("recon_misplaced_records_total") == 0
    async with Feeder(system.settings, partitioner=crc32) as foreign:
        for n in range(300):
            await foreign.post(MOBILE, txn_in(n % 6), now_ms())
    await system.worker.until_counted("recon_misplaced_records_total", 1)
    assert "WRONG_PARTITION: mobile_txns[" in system.worker.log_end(LOG)
    assert system.worker.log_end(LOG).count("partitioner=murmur2_random") == 1
    assert "lie in wrong partitions" in system.worker.answer("/readyz")
    (found,) = await placement(system)
    assert (found.name, found.state) == ("partitioner of mobile_txns", State.FAIL)
    assert "murmur2_random" in found.advice


async def test_topics_of_different_sizes_refuse_the_start(system: System) -> None:
    """Records of one transaction would lie in partitions of different numbers: nothing starts, the message says why."""
    system.worker.stop()
    system.sink.stop()
    admin = AIOKafkaAdminClient(**system.settings.kafka_client())
    await admin.start()
    try:
        await admin.create_partitions({"mobile_txns": NewPartitions(7)})
    finally:
        await admin.close()
    runs = [(["worker"], 2), (["sink"], 2), (["topics", "check"], 1)]
    ended = await asyncio.gather(*(asyncio.to_thread(run, system, command) for command, _ in runs))
    for done, (_, code) in zip(ended, runs, strict=True):
        text = done.stdout + done.stderr
        assert done.returncode == code, text
        assert "mobile_txns" in text
        assert "has 7 partitions, RECON_PARTITIONS says 6" in text
        assert "Traceback" not in text


def run(system: System, command: list[str]) -> subprocess.CompletedProcess[str]:
    """A command of recon-stream, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "recon_stream", *command], env=system.environ | {"PYTHONPATH": str(HOME)}, cwd=HOME,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
