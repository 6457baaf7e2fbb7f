"""Watermarks and deadlines outlive the worker that knew them: across a restart and across rebalances."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import pytest

from tests.end_to_end.system import START_SECONDS, Role, System, free_base
from tests.hard_cases.feeding import CORE, GATEWAY, MOBILE, Feeder, now_ms, txn_in
from tests.hard_cases.listening import Listener

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

HOUR = 3_600_000
PARTITIONS = range(6)


async def assert_watermarks_are_known(feeder: Feeder, said: Listener, partitions: Iterable[int]) -> None:
    """Where the watermark is lost, a record that is too late would open a case. Nothing newer may have come since."""
    now = now_ms()
    late = [txn_in(partition) for partition in partitions for _ in range(3)]
    for source, txn_id in enumerate(late):
        await feeder.send((CORE, GATEWAY, MOBILE)[source % 3], txn_id, now - HOUR - 60_000, now)
    await said.until("all of them too late", lambda: all(said.reasons(txn_id) == {"TOO_LATE"} for txn_id in late))


async def test_watermarks_and_deadlines_outlive_a_restart(system: System, feeder: Feeder, said: Listener) -> None:
    """What was late before is late afterwards; a leg that came while nobody read is not missing, one that did not is."""
    seen, came, missing = txn_in(4), txn_in(2), txn_in(2)
    await feeder.transaction(seen, now_ms())
    await said.until_said("MATCHED", seen)
    assert system.worker.stop() == 0
    began = now_ms()
    for txn_id in (came, missing):
        await feeder.send(CORE, txn_id, began)
        await feeder.send(GATEWAY, txn_id, began)
    await asyncio.sleep(2.5)
    await feeder.send(MOBILE, came, began)
    system.worker.start()
    await assert_watermarks_are_known(feeder, said, [4])
    await said.until_said("MATCHED", came)
    await said.until_said("BROKEN", missing)
    assert said.classes(came) == []
    assert said.classes(missing) == ["MISSING_ENTRY"]


@pytest.fixture
def second(system: System) -> Iterator[Role]:
    """Another worker, not started yet."""
    port = free_base()
    environ = system.environ | {"RECON_OPERATIONS_PORT": str(port - 1), "RECON_PROCESS_INDEX": "1"}
    role = Role("worker", environ, port, system.settings.state_dir / "worker-1.log")
    try:
        yield role
    finally:
        role.stop()


async def test_watermarks_and_deadlines_move_with_their_partitions(
    system: System, second: Role, feeder: Feeder, said: Listener
) -> None:
    """A worker joins, and leaves in the midst of a feed whose deadlines pass all the time: no watermark is lost, each
    missing leg is reported once and with its own instant, and nothing else is."""
    seen = [txn_in(partition) for partition in PARTITIONS]
    for txn_id in seen:
        await feeder.transaction(txn_id, now_ms())
    await said.until_said("MATCHED", *seen)
    second.start()
    await until_shared(second, feeder)
    await assert_watermarks_are_known(feeder, said, PARTITIONS)
    await second.until_counted("recon_dead_letters_total", 1)
    whole: list[str] = []
    lacking: dict[str, int] = {}
    stop = asyncio.Event()
    feeding = asyncio.create_task(feed(feeder, whole, lacking, stop))
    await second.until_counted("recon_deadlines_fired_total", 5)
    assert await asyncio.to_thread(second.stop) == 0
    await asyncio.sleep(2)
    stop.set()
    await feeding
    await said.until_said("MATCHED", *whole)
    await said.until_said("BROKEN", *lacking)
    assert [txn_id for txn_id in whole if said.classes(txn_id)] == []
    for txn_id, at in lacking.items():
        revisions = {body["revision"]: body for body in said.results[txn_id]}
        assert sorted(revisions) == [1, 2]
        opening = next(body for _, body in sorted(revisions.items()) if body["breaks"])
        assert opening["decided_at"] == at + 2000, "by its own instant, whoever noticed it, whenever"
        assert said.classes(txn_id) == ["MISSING_ENTRY"]


async def until_shared(second: Role, feeder: Feeder) -> None:
    """Until the second worker does a part of the work: it is ready before that, while all partitions are with the first."""
    async with asyncio.timeout(START_SECONDS):
        await second.until_ready()
        while await second.counted("recon_events_total") == 0:
            for partition in PARTITIONS:
                await feeder.transaction(txn_in(partition), now_ms())
            await asyncio.sleep(0.5)


async def feed(feeder: Feeder, whole: list[str], lacking: dict[str, int], stop: asyncio.Event) -> None:
    """Live transactions, a third of which lack a leg, with their times."""
    while not stop.is_set():
        txn_id, at = txn_in((len(whole) + len(lacking)) % 6), now_ms()
        absent = len(lacking) % 3 if len(whole) > 2 * len(lacking) else None
        for source in (CORE, GATEWAY, MOBILE):
            if source != absent:
                await feeder.post(source, txn_id, at)
        if absent is None:
            whole.append(txn_id)
        else:
            lacking[txn_id] = at
        await asyncio.sleep(0.02)
