"""Several workers: zombies, and members that come and go."""

from __future__ import annotations

import asyncio
import time
from random import Random

from tests.faults.bench import Bench
from tests.faults.crashes import SLOW_RATE
from tests.faults.points import Plan
from tests.faults.scenarios import scenario

ZOMBIE_POINTS = (
    "worker.changelog.acknowledged",
    "worker.results.acknowledged",
    "worker.published",
    "worker.state.written",
    "worker.commit.begun",
)
"""Where a worker freezes while it holds something that it has not finished."""
CHANGE_SECONDS = 10.0
CHANGES = 18


async def freeze_and_thaw(bench: Bench, point: str, count: int) -> None:
    """The first worker freezes at that point for longer than its session, loses its partitions, and goes on."""
    zombie = bench.workers[0]
    assert await zombie.stop() == 0, zombie.log_end()
    zombie.start(Plan(point, "freeze", count))
    await zombie.until_frozen()
    bench.say(f"frozen at {point}")
    await bench.until_recovered(f"the loss of a member at {point}")
    zombie.thaw()
    await bench.until_recovered("its return")


@scenario("SIGSTOP of one of two workers beyond its session while it writes, then SIGCONT: a zombie", workers=2)
async def zombie(bench: Bench) -> None:
    """At the step where most is at stake: it has made sure that the partition is its own, and sends a moment later."""
    await bench.start_all()
    bench.start_feed(SLOW_RATE)
    await freeze_and_thaw(bench, "worker.changelog.begun", 20)
    await freeze_and_thaw(bench, "worker.changelog.begun", 40)
    await bench.stop_feed()


@scenario("the same zombie, once at every later step of its write path", workers=2)
async def zombie_at_every_step(bench: Bench) -> None:
    """Each time the other worker takes over from what the frozen one had finished."""
    random = Random(bench.seed)
    await bench.start_all()
    bench.start_feed(SLOW_RATE)
    for point in ZOMBIE_POINTS:
        await freeze_and_thaw(bench, point, random.randrange(3, 30))
    await bench.stop_feed()


@scenario("SIGSTOP of one of two workers at a random moment for fifteen seconds, three times", workers=2)
async def frozen_at_random(bench: Bench) -> None:
    """From outside, whatever it is doing."""
    random = Random(bench.seed)
    await bench.start_all()
    bench.start_feed()
    for _ in range(3):
        await asyncio.sleep(random.uniform(1, 4))
        one = random.choice(bench.workers)
        one.freeze()
        bench.faults += 1
        await asyncio.sleep(15)
        one.thaw()
        await bench.until_recovered("its return")
    await bench.stop_feed()


@scenario(
    "two workers, and a third that comes and goes every ten seconds for three minutes, politely or not", workers=3
)
async def members_come_and_go(bench: Bench) -> None:
    """Every ten seconds a member is taken away, by SIGTERM or SIGKILL, or added."""
    random = Random(bench.seed)
    await bench.start_all()
    bench.start_feed(SLOW_RATE)
    next_change = time.monotonic()
    for _ in range(CHANGES):
        next_change += CHANGE_SECONDS
        await asyncio.sleep(max(0.0, next_change - time.monotonic()))
        bench.check()
        running = [one for one in bench.workers if one.runs]
        absent = [one for one in bench.workers if not one.runs]
        bench.faults += 1
        if absent and (len(running) < 2 or random.random() < 0.5):
            random.choice(absent).start()
        else:
            one = random.choice(running)
            if random.random() < 0.5:
                await one.kill()  # it is started again
            else:
                assert await one.stop() == 0, one.log_end()
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("SIGSTOP of one of two sinks beyond its session: with rows written, before its COMMIT and after it", sinks=2)
async def zombie_sink(bench: Bench) -> None:
    """It holds locks that the other needs, until PostgreSQL ends its session; then it comes back."""
    one = bench.sinks[0]
    await bench.start_all()
    bench.start_feed(SLOW_RATE)
    for point in ("sink.rows", "sink.committing", "sink.committed"):
        assert await one.stop() == 0, one.log_end()
        one.start(Plan(point, "freeze", 5))
        await one.until_frozen()
        bench.say(f"frozen at {point}")
        await bench.until_recovered(f"the loss of a member at {point}")
        one.thaw()
        await bench.until_recovered("its return")
    await bench.stop_feed()
