"""Starts a role as a child that may harm itself: `python -m tests.faults.child worker|sink`, with a points.Plan in FAULTS.

The product is imported as it is; its steps are wrapped in this process alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.points import VARIABLE, Plan

PLAN = Plan.parse(os.environ.pop(VARIABLE, "{}"))


class Struck(ConnectionError):
    """A failpoint with the action `fail`."""


class Failpoint:
    """Counts how often the one armed point is met, and strikes when it is time."""

    met = 0

    @classmethod
    def hit(cls, point: str) -> None:
        """The process is at this point."""
        if point != PLAN.point:
            return
        cls.met += 1
        if cls.met != PLAN.count:
            return
        Path(PLAN.marker).write_text(str(time.time_ns()))
        if PLAN.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif PLAN.action == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            raise Struck(point)


def shift_clock(seconds: int) -> None:
    """The wall clock of this process is wrong; its monotonic clock is not."""
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + seconds
    time.time_ns = lambda: right_ns() + seconds * 1_000_000_000


def around(owner: Any, name: str, before: str = "", after: str = "", when: Callable[[Any], bool] | None = None) -> None:
    """Wrap a method: meet one point before it and one after it. `when` looks at what it returned."""
    original = getattr(owner, name)  # a step that was renamed must be noticed here

    if asyncio.iscoroutinefunction(original):

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            if before:
                Failpoint.hit(before)
            answer = await original(*args, **kwargs)
            if after and (when is None or when(answer)):
                Failpoint.hit(after)
            return answer

        setattr(owner, name, wrapped)
        return

    def wrapped_call(*args: Any, **kwargs: Any) -> Any:
        if before:
            Failpoint.hit(before)
        answer = original(*args, **kwargs)
        if after:
            Failpoint.hit(after)
        return answer

    setattr(owner, name, wrapped_call)


def arm_commit(role: str) -> None:
    """Commits of offsets."""
    from recon_stream.transport.driver import Consumer

    around(Consumer, "_commit", f"{role}.commit.begun", f"{role}.commit.made", when=bool)


def arm_worker() -> None:
    """The steps of a unit of work, in their order."""
    from recon_stream.pipeline.engine import Engine
    from recon_stream.pipeline.lane import Lane
    from recon_stream.redis.dedup import DuplicateFilter
    from tables.store import Store
    from tables.transactions import Partition

    around(Lane, "_read", "worker.taken", "worker.decoded")
    around(Lane, "_ask_filter", after="worker.claimed")
    around(Lane, "_store", "worker.decided")
    around(
        Engine, "publish_changelog", "worker.changelog.begun", "worker.changelog.acknowledged",
        when=lambda offset: offset is not None,
    )  # fmt: skip
    around(Engine, "publish_results", after="worker.published")
    around(Partition, "write", after="worker.state.written")
    around(DuplicateFilter, "settle", "worker.acknowledged", "worker.settled")
    around(Store, "apply_rows", after="worker.recovering")
    arm_publishing()
    arm_outbox()
    arm_commit("worker")


def arm_publishing() -> None:
    """Between the topics of one unit: the product sends to them at once, here one waits for the other."""
    from recon_stream.pipeline import engine
    from recon_stream.pipeline.engine import Engine
    from recon_stream.topics import DEAD_LETTERS, MISMATCHES, RESULTS

    publish, publish_results = engine.publish, Engine.publish_results

    async def sending(producer: Any, topic: str, partition: int, builders: Any) -> Any:
        if topic in (RESULTS, MISMATCHES, DEAD_LETTERS) or PLAN.point != "worker.changelog.sending":
            return await publish(producer, topic, partition, builders)
        task = asyncio.create_task(publish(producer, topic, partition, builders))
        await asyncio.sleep(0.002)
        Failpoint.hit("worker.changelog.sending")
        return await task

    async def one_by_one(self: Any, partition: int, results: Any, mismatches: Any, letters: Any) -> None:
        if PLAN.point == "worker.results.acknowledged" and mismatches:
            await publish_results(self, partition, results, [], [])
            Failpoint.hit(PLAN.point)
            await publish_results(self, partition, [], mismatches, letters)
        elif PLAN.point == "worker.mismatches.acknowledged" and letters:
            await publish_results(self, partition, results, mismatches, [])
            Failpoint.hit(PLAN.point)
            await publish_results(self, partition, [], [], letters)
        else:
            await publish_results(self, partition, results, mismatches, letters)

    engine.publish = sending
    Engine.publish_results = one_by_one  # type: ignore[method-assign]


def arm_outbox() -> None:
    """What a lane publishes again when it begins."""
    from recon_stream.pipeline.engine import Engine
    from recon_stream.pipeline.lane import Lane

    outbox, changelog = Lane._publish_outbox, Engine.publish_changelog
    inside: set[int] = set()

    async def publish_outbox(self: Any) -> None:
        Failpoint.hit("worker.outbox.begun")
        inside.add(self._number)
        try:
            await outbox(self)
        finally:
            inside.discard(self._number)

    async def publish_changelog(self: Any, partition: int, *what: Any) -> int | None:
        offset = await changelog(self, partition, *what)
        if partition in inside:
            Failpoint.hit("worker.outbox.acknowledged")
        return offset

    Lane._publish_outbox = publish_outbox  # type: ignore[method-assign]
    Engine.publish_changelog = publish_changelog  # type: ignore[method-assign]


def arm_sink() -> None:
    """The steps of a transaction, in their order."""
    import psycopg

    from recon_stream.storage.queries import QUERIES

    execute = psycopg.AsyncConnection.execute
    after = {QUERIES["lock_offsets"]: "sink.locked", QUERIES["save_offsets"]: "sink.offsets"}
    committing = {"is": False}

    async def run(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        if query == QUERIES["save_offsets"]:
            Failpoint.hit("sink.rows")
        answer = await execute(self, query, *args, **kwargs)
        if query in after:
            committing["is"] = query == QUERIES["save_offsets"]
            Failpoint.hit(after[query])
        return answer

    commit = psycopg.AsyncConnection.commit

    async def committed(self: Any) -> None:
        ours, committing["is"] = committing["is"], False
        if ours:
            Failpoint.hit("sink.committing")
        await commit(self)
        if ours:
            Failpoint.hit("sink.committed")

    psycopg.AsyncConnection.execute = run  # type: ignore[assignment,method-assign]
    psycopg.AsyncConnection.commit = committed  # type: ignore[method-assign]
    arm_copy(psycopg)
    arm_commit("sink")


def arm_copy(psycopg: Any) -> None:
    """Rows of raw_events on their way."""
    write_row, rows = psycopg.AsyncCopy.write_row, {"written": 0}

    async def write(self: Any, row: Any) -> None:
        await write_row(self, row)
        rows["written"] += 1
        if rows["written"] % 100 == 0:
            Failpoint.hit("sink.copying")

    psycopg.AsyncCopy.write_row = write


def spoil(control: str) -> None:
    """Turn the product of this process into a wrong one."""
    if control == "acknowledge-first":
        acknowledge_first()
    elif control == "remember-first":
        remember_first()
    elif control == "missing-by-clock":
        from recon_stream.pipeline.engine import Engine

        # no word about whether the partition is read to its end, or whether the feed stands still
        Engine.clock_passed = lambda self, partition: (int(time.time() * 1000),) * 3  # type: ignore[method-assign,assignment]


def acknowledge_first() -> None:
    """Done and acknowledged when decided, written a little later: how a consumer with auto-commit works."""
    from recon_stream.pipeline.lane import Lane

    work, store = Lane._work, Lane._store

    async def remember_work(self: Any, taken: Any) -> None:
        self._taken = taken
        await work(self, taken)

    async def acknowledge_then_store(self: Any, unit: Any, clock: Any) -> None:
        for queued in getattr(self, "_taken", ()):
            queued.batch.done = True
            queued.event.ack()
        await asyncio.sleep(PLAN.delay_seconds)
        await store(self, unit, clock)

    Lane._work = remember_work  # type: ignore[method-assign]
    Lane._store = acknowledge_then_store  # type: ignore[method-assign]


def remember_first() -> None:
    """Seen is seen: how a filter by SETNX in front of the work behaves."""
    from recon_stream.pipeline import unit
    from recon_stream.redis.dedup import DuplicateFilter

    claim, settle = DuplicateFilter.claim, DuplicateFilter.settle

    async def claim_and_settle(self: Any, events: Any) -> Any:
        known = await claim(self, events)
        await settle(self, [(event, True) for event in events])
        return known

    DuplicateFilter.claim = claim_and_settle  # type: ignore[method-assign]
    unit.is_copy = lambda known, mine: known is not None and known.decode()[:48] == mine[:48]


def main() -> None:
    """Arm, then be the role."""
    if PLAN.clock_seconds:
        shift_clock(PLAN.clock_seconds)
    if PLAN.point or PLAN.control:
        {"worker": arm_worker, "sink": arm_sink}[sys.argv[1]]()
        spoil(PLAN.control)
    from recon_stream.cli import main as product

    product()


if __name__ == "__main__":
    main()
