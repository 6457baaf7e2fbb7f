"""When a partition has passed an instant: watermarks, and the clock where a feed is known to keep step with it.

The watermark of the partition decides wherever records come. The clock is only asked for a partition that is read to its
end, and it says that everything before `now - stall.after` has passed, while the feed is

- LIVE: its newest event is later than that; or
- RESTING: it has not grown for `stall.after`, and since it grew last no other feed has grown by `stall.records`.

So no deadline passes before a stall can have been noticed, however short the grace is. The clock says nothing of a feed
that is

- STALLED: it has not grown for `stall.after` while another one has grown by `stall.records`. After `stall.limit` its
  deadlines pass nevertheless, until it is LIVE or RESTING again;
- UNSURE: it grows with older events, so it catches up, and its own watermarks say how far; or it has not been watched for
  `stall.after` yet: after a start, after its quiet hours, after the broker was away.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from recon_stream.domain.event import SOURCES
from recon_stream.domain.rules import Stall

NEVER = -(1 << 63)


def event_time(occurred_at: int, timestamp: int) -> int:
    """What a record says of the progress of its feed; a record dated in the future cannot push it ahead of Kafka's clock."""
    return min(occurred_at, timestamp)


class Pace(Enum):
    """How a feed keeps step with the clock; see above."""

    LIVE = "LIVE"
    RESTING = "RESTING"
    STALLED = "STALLED"
    UNSURE = "UNSURE"


class Feed(NamedTuple):
    """One feed as it was last observed; instants in epoch milliseconds."""

    records: int
    """Records ever written to the topic."""
    still_since: int
    """When growth was last noticed, or the feed was watched first."""
    all_then: tuple[int, int, int]
    """The size of every feed at that instant."""
    pace: Pace = Pace.UNSURE
    stalled_since: int | None = None
    """When it was first found stalled since it was last LIVE or RESTING."""


class Feeds:
    """How the feeds keep step. Observations come in with their time; nothing here reads a clock."""

    def __init__(self, stall: Stall) -> None:
        self._stall = stall
        self._at = NEVER
        self._feeds: tuple[Feed, ...] = ()

    def observe(self, now: int, records: tuple[int, int, int], newest: tuple[int, int, int]) -> list[int]:
        """Take the sizes of the three feeds at an instant and the newest event time that is applied of each, in epoch
        milliseconds; the sources that are newly found stalled."""
        if not 0 <= now - self._at <= self._stall.after_ms:
            # nobody knows what the feeds did meanwhile
            self._feeds = tuple(Feed(size, now, records) for size in records)
        self._at = now
        before, self._feeds = self._feeds, tuple(self._seen(source, records, newest[source]) for source in SOURCES)
        return [
            int(source)
            for source in SOURCES
            if self._feeds[source].stalled_since is not None and before[source].stalled_since is None
        ]

    def passed(self, source: int) -> int:
        """The instant up to which the clock says that the partitions have passed it that are read to the ends of the last
        observation; NEVER where it says nothing."""
        if not self._feeds:
            return NEVER
        feed = self._feeds[source]
        if feed.pace is Pace.UNSURE or (feed.pace is Pace.STALLED and not self._is_over(feed)):
            return NEVER
        return self._at - self._stall.after_ms

    def is_resting(self, source: int) -> bool:
        """Whether the feed rests: what came of other feeds since the last observation may show that it does not."""
        return bool(self._feeds) and self._feeds[source].pace is Pace.RESTING

    def is_held(self, source: int) -> bool:
        """Whether deadlines wait because the feed is stalled, or catches up after that."""
        return bool(self._feeds) and self._feeds[source].stalled_since is not None and self.passed(source) == NEVER

    def _seen(self, source: int, records: tuple[int, int, int], newest: int) -> Feed:
        feed, now, after = self._feeds[source], self._at, self._stall.after_ms
        if records[source] > feed.records:
            feed = feed._replace(records=records[source], still_since=now, all_then=records)
        if newest >= now - after:
            return feed._replace(pace=Pace.LIVE, stalled_since=None)
        if self._stall.is_quiet(source, now):
            # its silence counts from the end of the quiet hours
            return Feed(records[source], now, records)
        if now - feed.still_since < after:
            return feed._replace(pace=Pace.UNSURE)
        grown = (records[other] - feed.all_then[other] for other in SOURCES if other != source)
        if max(grown) < self._stall.records:
            return feed._replace(pace=Pace.RESTING, stalled_since=None)
        since = now if feed.stalled_since is None else feed.stalled_since
        return feed._replace(pace=Pace.STALLED, stalled_since=since)

    def _is_over(self, feed: Feed) -> bool:
        """Whether the feed has been stalled for longer than deadlines are held."""
        return feed.stalled_since is not None and self._at - feed.stalled_since > self._stall.limit_ms
