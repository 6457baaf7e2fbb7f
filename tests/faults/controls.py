"""Negative controls: spoilt copies of the product. A harness that finds nothing wrong with them proves nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.faults.bench import Bench
from tests.faults.points import CONTROLS, Plan
from tests.faults.scenarios import scenario


@scenario(f"control: {CONTROLS['acknowledge-first']}", quick=True, must_fail=True)
async def control_acknowledge_first(bench: Bench) -> None:
    """Killed between the commit of the offsets and the writes."""
    spoilt = Plan(control="acknowledge-first", delay_seconds=1.5)
    bench.worker.always = spoilt
    await bench.start_all()
    bench.start_feed()
    for events in (4_000, 8_000, 12_000):
        await bench.until_fed(events)
        bench.faults += 1
        await bench.worker.kill()
        await bench.worker.until_ready()
    bench.worker.always = Plan()
    await bench.worker.kill()
    await bench.until_recovered()
    await bench.stop_feed()


@scenario(f"control: {CONTROLS['remember-first']}", must_fail=True)
async def control_remember_first(bench: Bench) -> None:
    """Killed between the filter and the writes: what is read again is taken for a duplicate."""
    spoilt = Plan(control="remember-first")
    bench.worker.always = spoilt
    bench.sink.start()
    bench.worker.start(*(replace(spoilt, point="worker.decided", count=n) for n in (20, 30, 40)))
    bench.start_feed()
    await bench.worker.until_through()
    bench.worker.always = Plan()
    await bench.worker.kill()
    await bench.until_recovered()
    await bench.stop_feed()


@scenario(
    f"control: {CONTROLS['missing-by-clock']}",
    must_fail=True,
    settings={"RECON_BATCH_RECORDS_MAX": "100", "RECON_UNIT_RECORDS_MAX": "100"},
)
async def control_missing_by_clock(bench: Bench) -> None:
    """The worker was away for longer than a grace: whatever it reads first is missed before the rest is read."""
    bench.worker.always = Plan(control="missing-by-clock")
    await bench.start_all()
    bench.start_feed()
    await bench.until_fed(4_000)
    assert await bench.worker.stop() == 0
    bench.faults += 1
    await asyncio.sleep(12)
    bench.worker.start()
    await bench.until_recovered()
    await bench.stop_feed()
