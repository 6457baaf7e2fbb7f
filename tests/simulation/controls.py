"""Broken copies of the product, each with one rule of delivery taken away. The simulation must catch every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from recon_stream.pipeline.engine import Engine
from recon_stream.pipeline.lane import Lane
from recon_stream.redis.dedup import DuplicateFilter, Seen
from tables import store
from tables.claims import Ruling
from tables.transactions import Partition
from tests.simulation.process import Makers
from tests.simulation.seams import T0


class AcknowledgesBeforeTheWrites(Engine):
    """Every batch is done when it arrives: a crash loses what was under way."""

    def submit(self, event: Any) -> None:
        """See Engine."""
        event.value.done = True
        event.ack()
        super().submit(event)


class PublishesBeforeTheChangelog(Engine):
    """Results leave first: a crash in between leaves results of facts that nobody has."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._units: dict[int, Any] = {}

    def new_unit(self, *args: Any, **kwargs: Any) -> Any:
        """See Engine."""
        unit = super().new_unit(*args, **kwargs)
        self._units[unit._partition] = unit
        return unit

    async def publish_changelog(self, partition: int, rows: Any, claim: bytes) -> int | None:
        """See Engine."""
        unit = self._units.get(partition)
        if unit is not None:
            await super().publish_results(partition, unit.results, unit.mismatches, unit.dead_letters)
        return await super().publish_changelog(partition, rows, claim)

    async def publish_results(self, *_: Any) -> None:
        """They have left already."""


class DropsRereads(DuplicateFilter):
    """Remembers with the question already, and a hit at the same coordinates counts as a copy: a crash loses what was under way.

    Either alone does no harm: a re-read goes on whatever is remembered, and what is remembered after the writes is durable.
    """

    async def claim(self, events: Sequence[Seen]) -> list[bytes | None] | None:
        """See DuplicateFilter."""
        known = await super().claim(events)
        await super().settle([(event, True) for event in events])
        return known and [mark and mark[:48] + b"elsewhere" for mark in known]


class TrustsTheClock(Engine):
    """A deadline passes when the clock has passed it, read to the end or not."""

    def clock_passed(self, *_: Any) -> tuple[int, int, int]:
        """See Engine."""
        now = int((T0 + asyncio.get_running_loop().time()) * 1000)
        return now, now, now


async def append_anywhere(self: Lane, rows: list[tuple[bytes, bytes | None]]) -> int | None:
    """In place of Lane._append: whatever others have appended in between."""
    await self._check_ours()
    last = await self._around.publish_changelog(self._number, rows, self._claim)
    await self._check_ours()
    self._end = self._end if last is None else last
    return last


CONTROLS = {
    "acknowledges-early": Makers(engine=AcknowledgesBeforeTheWrites),
    "results-first": Makers(engine=PublishesBeforeTheChangelog),
    "drops-rereads": Makers(filter=DropsRereads),
    "trusts-the-clock": Makers(engine=TrustsTheClock),
    "believes-zombies": Makers(changed=((store, "rule", lambda *_: Ruling.APPLY),)),
    "heals-nothing": Makers(changed=((Partition, "void", lambda _: []),)),
    "appends-anywhere": Makers(changed=((Lane, "_append", append_anywhere),)),
}
"""By name, for the command line and the test."""
