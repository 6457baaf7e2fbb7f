"""The newest records of one channel, in the order in which they came. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from recon_stream.web.live.items import Item

ITEMS_MAX = 10_000
BYTES_MAX = 16 << 20
"""Of their values; what has been told is kept as JSON too, which is some four times as much."""

Positions = Mapping[int, int]
"""Partition -> the last offset that is known there; -1 before the first."""


class Ring:
    """Everything behind `floor`, up to `positions`."""

    def __init__(self, positions: Positions, *, items_max: int = ITEMS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self.floor, self.positions = dict(positions), dict(positions)
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._items_max, self._bytes_max = items_max, bytes_max

    def append(self, item: Item) -> None:
        """The next record of its partition; the oldest make room for it."""
        self._items.append(item)
        self._bytes += len(item.value)
        self.positions[item.partition] = item.offset
        while len(self._items) > self._items_max or self._bytes > self._bytes_max:
            oldest = self._items.popleft()
            self._bytes -= len(oldest.value)
            self.floor[oldest.partition] = oldest.offset

    def behind(self, positions: Positions) -> Iterator[Item]:
        """What came behind these, in order; complete only where `covers` them."""
        return (item for item in self._items if item.offset > positions[item.partition])

    def covers(self, positions: Positions) -> bool:
        """Whether everything behind these is here."""
        return all(positions[partition] >= offset for partition, offset in self.floor.items())

    def missing(self, positions: Positions) -> dict[int, tuple[int, int]]:
        """Partition -> offsets (since, before) of what is behind these and no longer here, by Kafka's count."""
        return {
            partition: (positions[partition] + 1, offset + 1)
            for partition, offset in self.floor.items()
            if positions[partition] < offset
        }
