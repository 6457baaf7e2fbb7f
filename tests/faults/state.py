"""The worker's state is lost, damaged, or has no room."""

from __future__ import annotations

import asyncio
import shutil
from random import Random

from tests.faults.bench import Bench
from tests.faults.crashes import SLOW_RATE
from tests.faults.points import Plan
from tests.faults.scenarios import scenario


@scenario("the worker's state folder is deleted between two lives")
async def state_deleted(bench: Bench) -> None:
    """It is made again from the changelog."""
    await bench.start_all()
    bench.start_feed()
    await bench.until_fed(10_000)
    bench.worker.before_start = lambda: shutil.rmtree(bench.worker.datadir)
    bench.faults += 1
    await bench.worker.kill()
    await bench.worker.until_ready()
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("bits of the worker's state are flipped, in tables, log and manifest")
async def state_damaged(bench: Bench) -> None:
    """Damage is noticed, the state is thrown away and made again from the changelog."""
    random = Random(bench.seed)
    await bench.start_all()
    bench.start_feed(SLOW_RATE * 2)
    for pattern, events in (("*.log", 4_000), ("*.sst", 8_000), ("MANIFEST-*", 12_000), ("CURRENT", 14_000)):
        await bench.until_fed(events)
        bench.worker.before_start = lambda pattern=pattern: flip_bits(bench, pattern, random)
        await bench.worker.kill()
        await bench.until_recovered(f"damage of {pattern}")
    await bench.stop_feed()


def flip_bits(bench: Bench, pattern: str, random: Random) -> None:
    """Flip one bit in every hundred bytes or so of each such file of the state."""
    for path in sorted(bench.worker.datadir.rglob(pattern)):
        content = bytearray(path.read_bytes())
        for _ in range(max(1, len(content) // 100) if content else 0):
            content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        path.write_bytes(content)
        bench.faults += bool(content)


@scenario("the worker's state lies on a full disk (a small tmpfs) for 20 seconds")
async def state_disk_full(bench: Bench) -> None:
    """It ends, is started again, and goes on when there is room."""
    bench.put_state_on_small_disk()
    await bench.start_all()
    bench.start_feed()
    await bench.until_fed(4_000)
    with bench.fill_disk():
        bench.faults += 1
        await asyncio.sleep(20)
        assert "No space left" in bench.worker.log.read_text(), "the disk was not full"
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("the worker freezes after it has told the filter and before it commits, and its state is lost")
async def state_lost_while_filter_knows(bench: Bench) -> None:
    """What the filter remembers of another life of the state must not drop anything."""
    bench.sink.start()
    bench.worker.start(Plan("worker.settled", count=30))
    bench.start_feed()
    await bench.worker.until_through()
    await bench.until_ready()
    bench.worker.before_start = lambda: shutil.rmtree(bench.worker.datadir)
    await bench.worker.kill()
    await bench.until_recovered()
    await bench.stop_feed()
