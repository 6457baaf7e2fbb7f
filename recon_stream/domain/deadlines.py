"""When a partition has passed an instant: watermarks, the clock of a feed that is read to its end, stalled feeds."""

from __future__ import annotations

from typing import NamedTuple

from recon_stream.domain.event import SOURCES
from recon_stream.domain.rules import Stall

NEVER = -(1 << 63)


def event_time(occurred_at: int, timestamp: int) -> int:
    """What a record says of the progress of its feed; a record dated in the future cannot push it ahead of Kafka's clock."""
    return min(occurred_at, timestamp)


class FeedState(NamedTuple):
    """One feed as it was last observed; instants in epoch milliseconds."""

    records: int
    """Records ever written to the topic."""
    grew_at: int
    """When growth was last noticed; the first observation counts as none."""
    others_then: tuple[int, int, int]
    """The size of every feed when this one last grew."""
    has_grown: bool
    stalled_at: int | None


class Feeds:
    """Which feeds are stalled. Observations come in with their time; nothing here reads a clock."""

    def __init__(self, stall: Stall) -> None:
        self._stall = stall
        self._feeds: tuple[FeedState, ...] = ()

    def observe(self, now: int, records: tuple[int, int, int]) -> list[int]:
        """Take the sizes of the three feeds at an instant; the sources that are newly found stalled."""
        if not self._feeds:
            self._feeds = tuple(FeedState(records[source], now, records, False, None) for source in SOURCES)
            return []
        fresh, feeds = [], []
        for source in SOURCES:
            feed = self._feeds[source]
            if records[source] > feed.records:
                feed = FeedState(records[source], now, records, True, None)
            elif feed.stalled_at is None and self._stands_still(feed, source, now, records):
                feed = feed._replace(stalled_at=now)
                if not self._stall.is_quiet(source, now):
                    fresh.append(int(source))
            feeds.append(feed)
        self._feeds = tuple(feeds)
        return fresh

    def is_held(self, source: int, now: int) -> bool:
        """Whether the clock says nothing about this feed: it is stalled, expected to be quiet, or not known long enough."""
        if not self._feeds or self._stall.is_quiet(source, now):
            return True
        feed = self._feeds[source]
        if feed.stalled_at is not None:
            return now - feed.stalled_at <= self._stall.limit_ms
        # after a start nobody knows yet whether the feed stood still before
        return not feed.has_grown and now - feed.grew_at < self._stall.after_ms

    def is_stalled(self, source: int) -> bool:
        """Whether the feed stands still while another one grows."""
        return bool(self._feeds) and self._feeds[source].stalled_at is not None

    def _stands_still(self, feed: FeedState, source: int, now: int, records: tuple[int, int, int]) -> bool:
        if now - feed.grew_at < self._stall.after_ms:
            return False
        return any(
            records[other] - feed.others_then[other] >= self._stall.records for other in SOURCES if other != source
        )
