"""Records in wrong partitions are noticed by a sample that costs next to nothing."""

from __future__ import annotations

import logging
import timeit
import uuid
import zlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.partitioner import DefaultPartitioner
from faust.types import TP

from recon_stream.metrics.catalogue import MISPLACED
from recon_stream.transport.batch import RecordBatch
from recon_stream.transport.placement import FIRST_RECORDS, SAMPLE_STEP, Placement, partition_of

PARTITIONS = 6


def keys_of(partition: int, number: int) -> list[bytes]:
    """Keys that belong to the partition."""
    found: list[bytes] = []
    n = 0
    while len(found) < number:
        key = b"TXN-%08d" % n
        if partition_of(key, PARTITIONS) == partition:
            found.append(key)
        n += 1
    return found


RIGHT = keys_of(2, 5000)
WRONG = keys_of(3, 5000)


def batch(keys: list[bytes | None], topic: str = "mobile_txns", partition: int = 2) -> RecordBatch:
    """A batch of records with these keys."""
    records = [SimpleNamespace(offset=n, timestamp=0, key=key, value=b"") for n, key in enumerate(keys)]
    return RecordBatch(TP(topic, partition), cast("Any", records))


@pytest.fixture
def clock() -> SimpleNamespace:
    """Seconds."""
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def placement(clock: SimpleNamespace) -> Placement:
    """One that has seen nothing."""
    return Placement(PARTITIONS, lambda: clock.now)


def counted(topic: str = "mobile_txns") -> float:
    """The metric."""
    return float(MISPLACED.labels(topic)._value.get())


def test_partitions_are_those_of_the_client() -> None:
    """The producer's own partitioner is the judge."""
    choose, everything = DefaultPartitioner(), list(range(PARTITIONS))
    for n in range(300):
        key = uuid.UUID(int=n * 7919).hex[: n % 40 + 1].encode()
        assert partition_of(key, PARTITIONS) == choose(key, everything, everything)


def test_the_first_records_are_looked_at_one_by_one(placement: Placement) -> None:
    """A feed that is set up wrong is noticed at once, and by every record from then on."""
    before = counted()
    placement.look(batch([*RIGHT[:999], WRONG[0]]))
    assert counted() == before + 1
    placement.look(batch(cast("Any", WRONG)))
    assert counted() == before + 1 + len(WRONG)


def test_later_one_record_in_some_is_looked_at_whatever_the_batches_are(placement: Placement) -> None:
    """Batches of any size: a feed that goes wrong is noticed within SAMPLE_STEP records."""
    placement.look(batch(cast("Any", RIGHT[:FIRST_RECORDS])))
    for size in (1, 3, 1, 500, 7, 1000, 2):
        placement.look(batch(cast("Any", RIGHT[:size])))
    before = counted()
    for n in range(SAMPLE_STEP):
        placement.look(batch([WRONG[n]]))
    assert before < counted()


def test_records_without_a_key_are_not_judged(placement: Placement) -> None:
    """They are dead letters for another reason, wherever they lie."""
    placement.look(batch([None, b""] * 10))
    assert placement.complaint() is None


def test_it_says_once_a_minute_which_record_and_what_to_do(
    placement: Placement, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    """Topic, partition and offset of a record, and the setting of the producer; readiness says it for five minutes."""
    with caplog.at_level(logging.ERROR):
        for _ in range(10):
            placement.look(batch([RIGHT[0], WRONG[0]]))
        assert len(caplog.records) == 1
        text = caplog.text
        assert "WRONG_PARTITION: mobile_txns[2]@1 belongs to partition 3" in text
        assert "partitioner=murmur2_random" in text
        clock.now += 61
        placement.look(batch([WRONG[0]]))
        assert len(caplog.records) == 2
        assert "11 such records" in caplog.text
    assert "mobile_txns" in str(placement.complaint())
    clock.now += 301
    assert placement.complaint() is None


def test_a_feed_by_crc32_is_noticed_in_any_partition(placement: Placement) -> None:
    """What librdkafka does by default: all but a sixth of its records are wrong."""
    keys = [b"TXN-%08d" % n for n in range(600)]
    before = counted("core_txns")
    for partition in range(PARTITIONS):
        mine = [key for key in keys if zlib.crc32(key) % PARTITIONS == partition]
        placement.look(batch(cast("Any", mine), "core_txns", partition))
    assert counted("core_txns") - before > 400


def test_the_sample_costs_a_tenth_of_a_microsecond_an_event(placement: Placement) -> None:
    """Of twelve-byte keys in batches of a thousand; measured some 0.04 us, asserted with room for a busy machine."""
    one = batch(cast("Any", RIGHT[:1000]))
    placement.look(one)
    seconds = min(timeit.repeat(lambda: placement.look(one), number=100, repeat=5))
    assert seconds / 100 / 1000 < 0.2e-6
