"""Processes that are killed, at every step of the write path and at random."""

from __future__ import annotations

import asyncio
import shutil
from random import Random

from tests.faults.bench import Bench
from tests.faults.points import SINK_POINTS, WORKER_POINTS, Plan
from tests.faults.proxy import on_commit
from tests.faults.scenarios import scenario

UNITS = 6
"""A life is under way when it has done some units of work."""
KILLS = 12
SLOW_RATE = 75
"""Transactions a second, where a scenario takes a minute or two."""

BETWEEN_WORKER = (
    "worker.changelog.sending",
    "worker.changelog.acknowledged",
    "worker.results.acknowledged",
    "worker.mismatches.acknowledged",
    "worker.published",
    "worker.state.written",
    "worker.settled",
)
BETWEEN_SINK = ("sink.offsets", "sink.committing", "sink.committed")


def tour(points: list[str], seed: int) -> list[Plan]:
    """A life for each point, in an order of its own for each seed."""
    random = Random(seed)
    order = random.sample(points, len(points))
    return [Plan(point, count=random.randrange(1, UNITS)) for point in order]


@scenario("SIGKILL of worker and sink where two services must agree, while every ninth COMMIT is cut off", quick=True,
          proxied=("postgres",), settings={"RECON_SESSION_TIMEOUT": "3"})  # fmt: skip
async def killed_where_it_matters(bench: Bench) -> None:
    """The steps between one acknowledgement and the next; whether a cut COMMIT was done, the sink cannot know."""
    worker, sink = tour([*BETWEEN_WORKER], bench.seed), tour([*BETWEEN_SINK], bench.seed)
    bench.start_feed(SLOW_RATE)
    bench.worker.start(*worker)
    bench.sink.start(*sink)
    for wish in ("deliver", "drop"):
        bench.stack.postgres.watch = on_commit(wish, 9)
        await asyncio.gather(bench.worker.until_struck(len(worker) // 2), bench.sink.until_struck(len(sink) // 2))
        if wish == "drop":
            await asyncio.gather(bench.worker.until_through(), bench.sink.until_through())
    bench.stack.postgres.calm()
    bench.faults += bench.stack.postgres.strikes
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("SIGKILL of worker and sink at every step of the write path, one life after the other")
async def killed_at_every_step(bench: Bench) -> None:
    """Every crash meets what the crash before has left."""
    worker, sink = tour([*WORKER_POINTS], bench.seed), tour([*SINK_POINTS], bench.seed)
    bench.start_feed(SLOW_RATE)
    bench.worker.start(*worker)
    bench.sink.start(*sink)
    await asyncio.gather(bench.worker.until_through(), bench.sink.until_through())
    assert len(bench.worker.struck) == len(worker)
    assert len(bench.sink.struck) == len(sink)
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("SIGKILL again while the crash before is being repaired: in the outbox and in the recovery of the state")
async def killed_while_recovering(bench: Bench) -> None:
    """The state is deleted too, so that there is a long changelog to recover from."""
    bench.sink.start()
    bench.start_feed(SLOW_RATE)
    bench.worker.start(
        Plan("worker.changelog.acknowledged", count=20),
        Plan("worker.outbox.begun"),
        Plan("worker.outbox.acknowledged"),
        Plan("worker.published"),
        Plan("worker.outbox.acknowledged"),
        Plan("worker.mismatches.acknowledged", count=3),
    )
    await bench.worker.until_through()
    await bench.until_fed(10_000)
    for plan in (Plan("worker.recovering"), Plan("worker.recovering", count=2), Plan("worker.outbox.begun")):
        bench.worker.plans.append(plan)
        bench.worker.before_start = lambda: shutil.rmtree(bench.worker.datadir, ignore_errors=True)
        await bench.worker.until_ready()
        await bench.worker.kill()
        bench.faults += 1
        await bench.worker.until_through()
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("SIGKILL of worker and sink at random moments")
async def killed_at_random(bench: Bench) -> None:
    """From outside, whatever they are doing: also while they start."""
    random = Random(bench.seed)
    await bench.start_all()
    bench.start_feed()
    await bench.until_fed(3_000)
    for _ in range(KILLS):
        role = random.choice([bench.worker, bench.worker, bench.sink])
        await role.kill()
        bench.faults += 1
        await asyncio.sleep(random.choice([0.5, 2, 6, 9]))
    await bench.until_ready()
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("SIGTERM of the worker, then of the sink, again and again: a rolling restart")
async def restarted_politely(bench: Bench) -> None:
    """They end by themselves with exit code 0, and what they had taken is done."""
    await bench.start_all()
    bench.start_feed()
    for round_number in range(3):
        await bench.until_fed(4_000 * (round_number + 1))
        for role in bench.roles:
            assert await role.stop() == 0, role.log_end()
            bench.faults += 1
            role.start()
            await role.until_ready()
    await bench.until_recovered()
    await bench.stop_feed()
