"""How far a verification reaches, and waiting until worker and sink have come there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from recon_stream.domain.event import SOURCE_TOPICS, SOURCES
from recon_stream.domain.rules import Rules
from recon_stream.errors import TransientFailure
from recon_stream.settings import Settings
from recon_stream.topics import DEAD_LETTERS, MISMATCHES, RESULTS
from recon_stream.transport.log import Log, Partition

OUTPUTS = (RESULTS, MISMATCHES, DEAD_LETTERS)
COMMIT_SECONDS = 10.0
"""Offsets are committed behind the work, and a live feed is never quiet: so long a verification waits in any case."""
POLL_SECONDS = 0.3
QUIET_SECONDS = 2.0

Offsets = Mapping[Partition, int]


@dataclass(frozen=True, slots=True)
class Reach:
    """What is verified: offsets from `begins` up to `ends`, all applied and stored. `later`: ends of the sources when the
    outputs were bounded; what they hold beyond `ends` may show in the outputs already. `clock_ms`: when that was."""

    begins: Offsets
    ends: Offsets
    later: Offsets
    newest: Mapping[str, int]
    """Topic -> Kafka timestamp of its newest record, epoch milliseconds."""
    clock_ms: int


async def catch_up(log: Log, settings: Settings, rules: Rules, wait: float, say: Callable[[str], None]) -> Reach:
    """The reach of a verification that begins now, once worker and sink have come that far.

    With `wait` it also waits until the deadlines of the stream have passed and nothing more is published. Raises
    TransientFailure that says who is behind after `wait` seconds (at least COMMIT_SECONDS).
    """
    until = time.monotonic() + max(wait, COMMIT_SECONDS)
    worker, sink = f"{settings.app_id}-worker", f"{settings.app_id}-sink"
    sources = _partitions(settings, SOURCE_TOPICS)
    begins, ends = await log.bounds([*sources, *_partitions(settings, OUTPUTS)])
    source_ends = {partition: ends[partition] for partition in sources}
    await _until_committed(log, worker, source_ends, until, say)
    newest = await log.last_timestamps(source_ends, begins)
    if wait > 0:
        await _until_quiet(log, settings, _last_deadline(newest, rules), until, say)
    output_ends = await log.ends(_partitions(settings, OUTPUTS))
    clock_ms = time.time_ns() // 1_000_000
    later = await log.ends(sources)
    stored = {partition: end for partition, end in output_ends.items() if partition[0] != MISMATCHES}
    await _until_committed(log, sink, source_ends | stored, until, say)
    return Reach(begins, source_ends | output_ends, later, newest, clock_ms)


def held_sources(reach: Reach, rules: Rules) -> frozenset[int]:
    """Sources whose feeds may be found stalled, or are expected to be quiet."""
    newest = [reach.newest.get(topic, 0) for topic in SOURCE_TOPICS]
    return frozenset(
        source
        for source in SOURCES
        if max(newest) - newest[source] >= rules.stall.after_ms or rules.stall.is_quiet(source, reach.clock_ms)
    )


def _partitions(settings: Settings, topics: Iterable[str]) -> list[Partition]:
    return [(topic, number) for topic in topics for number in range(settings.partitions)]


def _last_deadline(newest: Mapping[str, int], rules: Rules) -> int:
    """When the clock lets the deadlines of the newest records pass; see recon_stream.domain.deadlines."""
    return max(newest.values(), default=0) + max(*rules.missing_grace_ms, rules.status_grace_ms) + rules.stall.after_ms


async def _until_committed(log: Log, group: str, ends: Offsets, until: float, say: Callable[[str], None]) -> None:
    while True:
        committed = await log.committed(group)
        behind = {
            partition: end - committed.get(partition, 0)
            for partition, end in ends.items()
            if end > committed.get(partition, 0)
        }
        if not behind:
            return
        text = f"{group} is {sum(behind.values()):,} records behind, in {', '.join(sorted({topic for topic, _ in behind}))}"
        if time.monotonic() >= until:
            hint = (
                "wait longer with --wait"
                if committed
                else "nothing was ever committed: is it running, with this RECON_APP_ID?"
            )
            raise TransientFailure(f"{text}; {hint}")
        say(text)
        await asyncio.sleep(POLL_SECONDS)


async def _until_quiet(
    log: Log, settings: Settings, last_deadline: int, until: float, say: Callable[[str], None]
) -> None:
    """Until the clock is past the last deadline and nothing is published any more, unless the feeds go on."""
    sources, outputs = _partitions(settings, SOURCE_TOPICS), _partitions(settings, OUTPUTS)
    fed = await log.ends(sources)
    ends, quiet_since = await log.ends(outputs), time.monotonic()
    while True:
        left = last_deadline / 1000 + 1 - time.time()
        is_quiet = time.monotonic() - quiet_since >= QUIET_SECONDS
        if left <= 0 and (is_quiet or await log.ends(sources) != fed):
            return
        text = (
            f"deadlines of the newest records pass in {left:.0f} s" if left > 0 else "results are still being published"
        )
        if time.monotonic() >= until:
            raise TransientFailure(f"{text}; wait longer with --wait")
        say(text)
        await asyncio.sleep(POLL_SECONDS)
        now = await log.ends(outputs)
        if now != ends:
            ends, quiet_since = now, time.monotonic()
