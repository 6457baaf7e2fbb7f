"""Whether records lie in the partition of their key: else the legs of one transaction do not meet.

Kafka's own clients and aiokafka choose the partition by murmur2 of the key; librdkafka, and what is built on it, by CRC32
unless it is told otherwise. Hashing costs some microseconds of Python a key, so a sample is looked at: the first records
of a topic, then one in SAMPLE_STEP, and after a wrong one every record again. Wrong records are told, not refused: a
sample is no ground on which a record may be refused, because a later reading would look at others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from aiokafka.partitioner import murmur2

from recon_stream.metrics.catalogue import MISPLACED
from recon_stream.transport.batch import RecordBatch

logger = logging.getLogger(__name__)

SAMPLE_STEP = 128
FIRST_RECORDS = 1_000
RECORDS_AFTER_WRONG = 10_000
LOG_EVERY_SECONDS = 60.0
NOT_READY_SECONDS = 300.0

WHAT_TO_DO = (
    "its producer must choose partitions by murmur2 of the key: with librdkafka (confluent-kafka, kcat, Go, .NET, Node) "
    "set partitioner=murmur2_random; then send the records again"
)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key by murmur2, as Kafka's own clients choose it."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


class _Topic:
    """How far the sample of a topic is."""

    __slots__ = ("checked_one_by_one", "logged_at", "skip", "wrong", "wrong_at")

    def __init__(self) -> None:
        self.skip = 0
        """Records until the next one is looked at."""
        self.checked_one_by_one = FIRST_RECORDS
        self.wrong = 0
        self.wrong_at = self.logged_at = float("-inf")


class Placement:
    """Looks at samples of the batches of this process."""

    def __init__(self, partitions: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._partitions, self._clock = partitions, clock
        self._topics: dict[str, _Topic] = {}

    def look(self, batch: RecordBatch) -> None:
        """Look at the sample in a batch; count and log what lies in another partition than its key's."""
        seen = self._topics.get(batch.tp.topic)
        if seen is None:
            seen = self._topics[batch.tp.topic] = _Topic()
        records, place = batch.records, seen.skip
        number, end = batch.tp.partition, len(records)
        while place < end:
            key = records[place].key
            if key and partition_of(key, self._partitions) != number:
                self._found(seen, batch, place)
            if seen.checked_one_by_one:
                seen.checked_one_by_one -= 1
                place += 1
            else:
                place += SAMPLE_STEP
        seen.skip = place - end

    def complaint(self) -> str | None:
        """Which topics had wrong records within the last minutes, and what to do; None where none had."""
        recent = self._clock() - NOT_READY_SECONDS
        names = [name for name, seen in self._topics.items() if seen.wrong_at > recent]
        return f"records of {', '.join(sorted(names))} lie in wrong partitions: {WHAT_TO_DO}" if names else None

    def _found(self, seen: _Topic, batch: RecordBatch, place: int) -> None:
        now, topic = self._clock(), batch.tp.topic
        seen.wrong += 1
        seen.wrong_at, seen.checked_one_by_one = now, RECORDS_AFTER_WRONG
        MISPLACED.labels(topic).inc()
        if now - seen.logged_at < LOG_EVERY_SECONDS:
            return
        seen.logged_at = now
        record = batch.records[place]
        assert record.key is not None
        logger.error(
            "WRONG_PARTITION: %s[%d]@%d belongs to partition %d by its key, so the legs of its transaction do not meet; "
            "%d such records of %s seen so far; %s",
            topic, batch.tp.partition, record.offset, partition_of(record.key, self._partitions),
            seen.wrong, topic, WHAT_TO_DO,
        )  # fmt: skip
