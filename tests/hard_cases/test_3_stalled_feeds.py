"""A feed stops while the others go on: no storm of missing legs, whether it comes back or not."""

from __future__ import annotations

import asyncio

import pytest

from tests.end_to_end.system import System
from tests.hard_cases.feeding import CORE, GATEWAY, MOBILE, Feeder, now_ms, txn_in
from tests.hard_cases.listening import Listener

LOG = 1 << 20
"""Characters of the log that are looked through."""

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

EVERY_SECONDS = 0.02
STALL_AFTER, STALL_LIMIT, GRACE = 2.0, 4.0, 2.0
"""As rules.toml says."""

Sent = list[tuple[str, int]]


async def flow(feeder: Feeder, seconds: float, *, mobile: bool) -> Sent:
    """Live transactions, with or without MOBILE; each with its time."""
    sent: Sent = []
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        txn_id, at = txn_in(len(sent) % 6), now_ms()
        for source in (CORE, GATEWAY, MOBILE) if mobile else (CORE, GATEWAY):
            await feeder.post(source, txn_id, at)
        sent.append((txn_id, at))
        await asyncio.sleep(EVERY_SECONDS)
    return sent


async def catch_up(feeder: Feeder, backlog: Sent, factor: float) -> None:
    """MOBILE's backlog in its order, so many times as fast as it came to be."""
    for number, (txn_id, at) in enumerate(backlog):
        await feeder.post(MOBILE, txn_id, at)
        if number % 10 == 9:
            await asyncio.sleep(10 * EVERY_SECONDS / factor)


async def stalls(system: System) -> int:
    """How often MOBILE was found stalled."""
    return await system.worker.counted("recon_feed_stalled_total", source="MOBILE")


async def is_held(system: System) -> bool:
    """Whether MOBILE's deadlines are held."""
    return bool(await system.worker.counted("recon_deadlines_held", source="MOBILE"))


async def test_a_stalled_feed_that_comes_back_with_its_backlog_makes_no_break(
    system: System, feeder: Feeder, said: Listener
) -> None:
    """It stops for longer than the grace and the time of a stall, and then works its backlog off while the others go on."""
    before = await stalls(system)
    whole = await flow(feeder, 1, mobile=True)
    late = await flow(feeder, STALL_AFTER + GRACE + 1, mobile=False)
    assert await is_held(system)
    catching_up = asyncio.create_task(catch_up(feeder, late, factor=1.5))
    meanwhile = await flow(feeder, 0.5 + len(late) * EVERY_SECONDS / 1.5, mobile=False)
    await catching_up
    await catch_up(feeder, meanwhile, factor=4)
    whole += await flow(feeder, 1, mobile=True)
    everything = [txn_id for txn_id, _ in whole + late + meanwhile]
    await said.until_said("MATCHED", *everything)
    assert [txn_id for txn_id in everything if said.classes(txn_id)] == []
    assert await stalls(system) == before + 1, "it is reported once"
    assert "FEED_STALLED: mobile_txns" in system.worker.log_end(LOG)
    assert not await is_held(system)


async def test_a_feed_that_stays_away_is_missing_in_the_end(system: System, feeder: Feeder, said: Listener) -> None:
    """After the limit its deadlines pass; not one of them before."""
    before = await stalls(system)
    whole = await flow(feeder, 1, mobile=True)
    known = {txn_id for txn_id, found in said.results.items() if found}
    held = asyncio.create_task(flow(feeder, STALL_AFTER + STALL_LIMIT + 3, mobile=False))
    await asyncio.sleep(STALL_AFTER + STALL_LIMIT - 1)
    assert await is_held(system)
    assert not any(said.classes(txn_id) for txn_id in said.results.keys() - known)
    lacking = await held
    assert not await is_held(system)
    await said.until_said("MATCHED", *(txn_id for txn_id, _ in whole))
    await said.until_said("BROKEN", *(txn_id for txn_id, _ in lacking))
    for txn_id, at in lacking:
        assert said.classes(txn_id) == ["MISSING_ENTRY"]
        assert said.results[txn_id][-1]["decided_at"] == at + GRACE * 1000
    assert await stalls(system) == before + 1
