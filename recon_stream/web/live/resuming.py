"""Brings a subscription from the last offsets that its client saw to what is told now, without a gap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from itertools import islice
from typing import Protocol

from recon_stream.metrics.catalogue import LIVE_MESSAGES, LIVE_RESUMED
from recon_stream.security.tokens import Person
from recon_stream.web.live.channels import Channel
from recon_stream.web.live.history import History, Lost
from recon_stream.web.live.hub import Feed, Subscriber, Wanted, reload_frame
from recon_stream.web.live.items import Item
from recon_stream.web.live.outbox import Outbox
from recon_stream.web.live.protocol import FRAME_ITEMS_MAX, CloseCode, Reload, frames
from recon_stream.web.live.ring import Positions

TURN_SECONDS = 60.0
"""Others wait for a turn at Kafka: who takes what comes from there more slowly than this is closed, and comes back further on."""


class Resuming(Subscriber, Protocol):
    """A subscriber that may be told more than it takes at once."""

    outbox: Outbox

    @property
    def person(self) -> Person:
        """Who has one turn at Kafka at a time."""

    def wanted(self, channel: Channel) -> Wanted:
        """What it is shown; may change at any time."""


async def resume(feed: Feed, since: Positions, subscriber: Resuming, history: History) -> None:
    """Tell what came behind `since`, then join; or say why that cannot be told, and join. Raises TransientFailure."""
    try:
        outcome = await _catch_up(feed, since, subscriber, history)
    except Lost as lost:
        outcome = lost.reason.value
        subscriber.tell([reload_frame(feed.channel, lost.reason, feed.told)])
        feed.join(subscriber, subscriber.wanted(feed.channel), time.monotonic())
    except TimeoutError:
        outcome = "too_slow"
        subscriber.outbox.end(CloseCode.TOO_SLOW)
    LIVE_RESUMED.labels(feed.channel.value, outcome).inc()


async def _catch_up(feed: Feed, since: Positions, subscriber: Resuming, history: History) -> str:
    positions = dict(since)
    if positions.keys() != feed.ring.positions.keys():
        raise Lost(Reload.UNKNOWN)
    if any(positions[partition] > offset for partition, offset in feed.ring.positions.items()):
        # another process was ahead of this one, or these are of a topic that is no more
        async with history.turn(subscriber.person):
            await history.ensure_known(feed.channel, positions)
    outcome = "memory"
    while True:
        if missing := feed.ring.missing(positions):
            outcome = "kafka"
            async with (
                history.turn(subscriber.person),
                asyncio.timeout(TURN_SECONDS),
                aclosing(history.read(feed.channel, missing)) as batches,
            ):
                async for batch in batches:
                    for start in range(0, len(batch), FRAME_ITEMS_MAX):
                        _tell(feed.channel, batch[start : start + FRAME_ITEMS_MAX], subscriber, positions)
                        await subscriber.outbox.room()
            # where the last offsets are no records
            positions.update({number: before - 1 for number, (_, before) in missing.items()})
            continue
        part = list(islice(feed.due(positions), FRAME_ITEMS_MAX))
        _tell(feed.channel, part, subscriber, positions)
        if len(part) < FRAME_ITEMS_MAX:
            # nothing has waited since `due` was asked, so nothing lies between
            feed.join(subscriber, subscriber.wanted(feed.channel), time.monotonic())
            return outcome
        await subscriber.outbox.room()


def _tell(channel: Channel, part: Sequence[Item], subscriber: Resuming, positions: dict[int, int]) -> None:
    """Tell a part, and go on behind it."""
    advanced = {item.partition: item.offset for item in part}
    positions.update(advanced)
    shown = subscriber.wanted(channel).shown(part)
    for item in part:
        item.rest()
    if part:
        LIVE_MESSAGES.labels(channel.value).inc(len(shown))
        subscriber.tell(frames(channel, advanced, shown))
