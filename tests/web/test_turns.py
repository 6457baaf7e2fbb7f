"""One person's requests wait for each other, and for nobody else's."""

from __future__ import annotations

import asyncio
import gc

from recon_stream.web.turns import Turns


async def test_more_than_so_many_of_one_person_wait() -> None:
    """In their order; another person's are worked on meanwhile, and who has gone is forgotten."""
    turns, ends, worked = Turns(2), asyncio.Event(), list[str]()

    async def work(person: str, name: str) -> None:
        async with turns.turn(person):
            worked.append(name)
            await ends.wait()

    tasks = [asyncio.create_task(work(name[0], name)) for name in ("a1", "a2", "a3", "a4", "b1")]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert worked == ["a1", "a2", "b1"]
    tasks[2].cancel()
    ends.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    del tasks
    await asyncio.sleep(0)
    gc.collect()
    assert worked == ["a1", "a2", "b1", "a4"]
    assert not turns._of
