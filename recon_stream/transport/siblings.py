"""Reads the partitions of one number side by side, because the legs of a transaction lie in them.

From a backlog, a fetch may bring much of one topic and nothing of another. Legs that are read together meet in one unit of
work: their case is written once and not held in memory in between.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from faust.types import TP

APART_MS = 300
"""Kafka time by which a partition may be ahead of its siblings; a fetch of it goes further, by what a fetch holds."""
PATIENCE_SECONDS = 2.0
"""A sibling that brings nothing for so long is not waited for, whatever its end says."""


class _Read(NamedTuple):
    timestamp: int
    next_offset: int
    at: float


class Siblings:
    """How far each partition has been read. `now` is a monotonic clock in seconds."""

    def __init__(self, end_of: Callable[[TP], int | None]) -> None:
        self._end_of = end_of
        """The end of a partition as the last fetch has shown it."""
        self._read: dict[TP, _Read] = {}

    def reset(self) -> None:
        """Forget everything: the assignment is another one."""
        self._read.clear()

    def note(self, tp: TP, timestamp: int, next_offset: int, now: float) -> None:
        """Records of the partition were read, the last of them with that Kafka timestamp (epoch milliseconds)."""
        self._read[tp] = _Read(timestamp, next_offset, now)

    def is_ahead(self, tp: TP, active: Collection[TP], now: float) -> bool:
        """Whether the partition should wait for a sibling among the active ones that has older records to read."""
        mine = self._read.get(tp)
        if mine is None:
            return False
        return any(
            other.partition == tp.partition and other.topic != tp.topic and self._is_behind(other, mine.timestamp, now)
            for other in active
        )

    def _is_behind(self, tp: TP, timestamp: int, now: float) -> bool:
        read = self._read.get(tp)
        if read is None or now - read.at > PATIENCE_SECONDS or timestamp - read.timestamp <= APART_MS:
            return False
        end = self._end_of(tp)
        return end is not None and read.next_offset < end
