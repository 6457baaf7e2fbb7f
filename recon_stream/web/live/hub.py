"""Hands out what is new: each record once to every group of subscriptions that want the same of it, in frames they share. Pure.

Nothing here waits: records come in by `add`, leave by `flush` and `tick`, and subscribers take frames without blocking.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from recon_stream.metrics.catalogue import LIVE_MESSAGES
from recon_stream.web.live.channels import TOPICS, Channel, Facts, Filter
from recon_stream.web.live.items import Item
from recon_stream.web.live.protocol import Reload, frames, position_of, said
from recon_stream.web.live.ring import Positions, Ring
from recon_stream.web.times import moment

SILENCE_SECONDS = 5.0
"""A group that nothing fits is told for how far so often, so that it never has to go back far."""
LATELY_SECONDS, LATELY_MAX, SAMPLES_A_FLUSH = 60.0, 12_000, 10
"""Of which results it is remembered how long they took, whether somebody listens or not: to look into all would cost something."""


class Subscriber(Protocol):
    """Who is told."""

    def tell(self, told: Sequence[bytes]) -> None:
        """Take frames; never waits."""


class Wanted(NamedTuple):
    """What makes two subscriptions to a channel alike."""

    filter: Filter
    is_masked: bool

    def shown(self, items: Iterable[Item]) -> list[tuple[int, int, bytes]]:
        """Those that fit, as `protocol.frames` takes them."""
        fits, is_masked = self.filter.fits, self.is_masked
        return [
            (item.partition, item.offset, encoded)
            for item in items
            if item.facts is not None and fits(item.facts) and (encoded := item.encoded(is_masked=is_masked))
        ]


@dataclass(slots=True)
class _Group:
    said_at: float
    members: set[Subscriber] = field(default_factory=set)
    untold: dict[int, int] = field(default_factory=dict)


class Feed:
    """One channel with offsets."""

    def __init__(self, channel: Channel, positions: Positions) -> None:
        """`positions`: the last offset of each partition before the first record that will come."""
        self.channel, self.ring = channel, Ring(positions)
        self.told = dict(positions)
        """The last offset of each partition that was handed out."""
        self.second = 0
        self._fresh: list[Item] = []
        self._groups: dict[Wanted, _Group] = {}

    def add(self, items: Sequence[Item]) -> None:
        """New records, in order of their partitions; those that are known already are left out."""
        new = [item for item in items if item.offset > self.ring.positions[item.partition]]
        for item in new:
            self.ring.append(item)
        self._fresh += new
        self.second += len(new)

    def due(self, positions: Positions) -> Iterator[Item]:
        """What the ring has behind these and members have been told already."""
        return (item for item in self.ring.behind(positions) if item.offset <= self.told[item.partition])

    def join(self, subscriber: Subscriber, wanted: Wanted, now: float) -> None:
        """Tell this subscriber what comes behind `told`."""
        self.leave(subscriber)
        self._groups.setdefault(wanted, _Group(now)).members.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Tell this subscriber no more."""
        for wanted, group in list(self._groups.items()):
            group.members.discard(subscriber)
            if not group.members:
                del self._groups[wanted]

    def flush(self, now: float) -> list[Item]:
        """Hand out what is new, and return it; its user puts the items to rest."""
        fresh, self._fresh = self._fresh, []
        advanced = {item.partition: item.offset for item in fresh}
        self.told.update(advanced)
        for wanted, group in self._groups.items():
            group.untold.update(advanced)
            shown = wanted.shown(fresh)
            if not shown and (not group.untold or now - group.said_at < SILENCE_SECONDS):
                continue
            told = frames(self.channel, group.untold, shown)
            group.untold, group.said_at = {}, now
            LIVE_MESSAGES.labels(self.channel.value).inc(len(shown) * len(group.members))
            for member in tuple(group.members):
                member.tell(told)
        return fresh

    def skip(self, positions: Positions) -> None:
        """Go on behind these: what is between cannot be told, and everybody is told that."""
        self._fresh = []
        self.ring, self.told = Ring(positions), dict(positions)
        told = [reload_frame(self.channel, Reload.TOO_FAR, positions)]
        for group in self._groups.values():
            group.untold = {}
            for member in tuple(group.members):
                member.tell(told)


class Hub:
    """All channels. `now` is a monotonic clock in seconds."""

    def __init__(self) -> None:
        self.feeds: dict[Channel, Feed] = {}
        """Empty until Kafka has been reached for the first time."""
        self._ticking: dict[Channel, set[Subscriber]] = {Channel.STATS: set(), Channel.STATUS: set()}
        self._verdicts: Counter[str] = Counter()
        self._latencies: list[int] = []
        self._lately: deque[tuple[float, int]] = deque(maxlen=LATELY_MAX)

    def begin(self, channel: Channel, positions: Positions) -> None:
        """A channel is there from now on."""
        self.feeds[channel] = Feed(channel, positions)

    def watch(self, channel: Channel, subscriber: Subscriber) -> None:
        """Tell this subscriber one of the two channels without offsets."""
        self._ticking[channel].add(subscriber)

    def leave(self, channel: Channel, subscriber: Subscriber) -> None:
        """Tell this subscriber no more of a channel."""
        if channel in self.feeds:
            self.feeds[channel].leave(subscriber)
        elif channel in self._ticking:
            self._ticking[channel].discard(subscriber)

    def flush(self, now: float) -> None:
        """Hand out what is new on all channels."""
        for feed in self.feeds.values():
            fresh = feed.flush(now)
            if feed.channel is Channel.RESULTS:
                self._sample(fresh, now)
                if self._ticking[Channel.STATS]:
                    self._count(fresh)
            for item in fresh:
                item.rest()

    def tick(self, at_ms: int, status: dict[str, Any]) -> None:
        """Tell the second that has passed; `status` as in protocol.Status."""
        at = moment(at_ms)
        counts = {channel.value: 0 for channel in TOPICS}
        for feed in self.feeds.values():
            counts[feed.channel.value], feed.second = feed.second, 0
        told = {
            Channel.STATS: said("stats", at=at, **counts, verdicts=self._verdicts, latency_ms=spread(self._latencies)),
            Channel.STATUS: said("status", at=at, **status),
        }
        self._verdicts, self._latencies = Counter(), []
        for channel, members in self._ticking.items():
            for member in tuple(members):
                member.tell([told[channel]])

    def _count(self, results: Iterable[Item]) -> None:
        for item in results:
            if facts := item.facts:
                self._verdicts[str(facts.verdict)] += 1
                self._latencies.append(latency_of(item, facts))

    def _sample(self, results: Sequence[Item], now: float) -> None:
        for item in results[:: max(1, len(results) // SAMPLES_A_FLUSH)]:
            if facts := item.facts:
                self._lately.append((now, latency_of(item, facts)))

    def latency(self, now: float) -> dict[str, int] | None:
        """Milliseconds, of results of the last minute; None where there was none."""
        return spread(took for at, took in self._lately if now - at <= LATELY_SECONDS)


def latency_of(item: Item, facts: Facts) -> int:
    """Milliseconds from the record that caused a result, or the instant of its deadline, to the result, as Kafka took them."""
    return max(0, item.timestamp - (facts.decided_at or item.timestamp))


def spread(values: Iterable[int]) -> dict[str, int] | None:
    """Median and 95th percentile, by nearest rank; None of nothing."""
    ranked = sorted(values)
    if not ranked:
        return None
    return {name: ranked[max(0, -(-share * len(ranked) // 100) - 1)] for name, share in (("p50", 50), ("p95", 95))}


def reload_frame(channel: Channel, reason: Reload, positions: Positions) -> bytes:
    """See protocol.Reloaded."""
    return said("reload", channel=channel, reason=reason, position=position_of(positions))
