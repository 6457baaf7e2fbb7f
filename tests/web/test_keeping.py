"""Statistics are made anew before anybody asks, on a real Valkey; how far the sink has come is told by the test."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from recon_stream.metrics.catalogue import CACHE
from recon_stream.redis.cache import Cache, Category
from recon_stream.redis.client import connect
from recon_stream.settings import Settings
from recon_stream.web import keeping
from recon_stream.web.keeping import Kept
from tests.redis.impaired import closed_port

pytestmark = pytest.mark.stack


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what the background does."""
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come")


class Sink:
    """As far as it has come, and what was counted of it."""

    def __init__(self) -> None:
        self.stored = 1
        self.is_away = False
        self.counted: Counter[str] = Counter()

    async def reached(self) -> int:
        if self.is_away:
            raise ConnectionError("PostgreSQL does not answer")
        return self.stored

    async def count(self) -> bytes:
        self.counted["all"] += 1
        return b"%d" % self.stored

    async def until_counted(self, times: int) -> None:
        """Wait until so many counts were made, whoever wanted them."""
        await until(lambda: self.counted["all"] >= times)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def kept(stack: Settings, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kept]:
    """With keys of its own, and a background that looks often."""
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.05)
    async with connect(stack, 4) as redis:
        one = Kept(Cache(redis, uuid.uuid4().hex), sink.reached)
        async with one.running():
            yield one


def seen(outcome: str) -> float:
    """How often it was counted."""
    return CACHE.labels("stats", outcome)._value.get()


async def ask(kept: Kept, sink: Sink, identifier: str = "all", category: Category = Category.STATS) -> bytes:
    return await kept.answer(category, identifier, sink.count)


async def test_who_asks_again_finds_the_new_answer_there(kept: Kept, sink: Sink) -> None:
    """Results came meanwhile, and were counted without anybody asking."""
    assert await ask(kept, sink) == b"1"
    for number in range(2, 6):
        sink.stored = number
        await sink.until_counted(number)
        await asyncio.sleep(0.1)
        hits, misses = seen("hit"), seen("miss")
        assert await ask(kept, sink) == b"%d" % number
        assert (seen("hit"), seen("miss")) == (hits + 1, misses)
    assert sink.counted["all"] == 5


async def test_what_nobody_wants_any_more_is_not_counted(
    kept: Kept, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends a while after the last question, and with the next one it begins again."""
    await ask(kept, sink)
    monkeypatch.setattr(keeping, "WANTED_SECONDS", 0.0)
    await asyncio.sleep(0.2)
    sink.stored = 2
    await asyncio.sleep(0.3)
    assert sink.counted["all"] == 1
    monkeypatch.setattr(keeping, "FRESH_SECONDS", 0.0)
    assert await ask(kept, sink) == b"2"


async def test_only_the_last_questions_are_counted_ahead(kept: Kept, sink: Sink) -> None:
    """However many are asked, the database is asked for so many each second at most."""
    asked = 3 * keeping.WANTED_MAX
    for number in range(asked):
        await ask(kept, sink, str(number))
    assert sink.counted["all"] == asked
    sink.stored = 2
    await sink.until_counted(asked + keeping.WANTED_MAX)
    await asyncio.sleep(0.3)
    assert sink.counted["all"] == asked + keeping.WANTED_MAX


async def test_what_is_dear_is_counted_when_it_is_asked_for(kept: Kept, sink: Sink) -> None:
    """Facets count up to a hundred thousand breaks."""
    await ask(kept, sink, category=Category.FACETS)
    sink.stored = 2
    await asyncio.sleep(0.3)
    assert sink.counted["all"] == 1


async def test_a_background_that_does_not_keep_up_lets_nobody_read_what_is_old(
    kept: Kept, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks then waits for the count."""
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 3600.0)
    await asyncio.sleep(0.2)
    assert await ask(kept, sink) == b"1"
    sink.stored = 2
    monkeypatch.setattr(keeping, "FRESH_SECONDS", 0.0)
    assert await ask(kept, sink) == b"2"


async def test_one_answer_that_fails_keeps_no_other_from_being_there(kept: Kept, sink: Sink) -> None:
    """It is given up until somebody asks for it again."""
    failed: list[int] = []

    async def fail() -> bytes:
        if sink.stored > 1:
            failed.append(sink.stored)
            raise TimeoutError("a statement took too long")
        return b"1"

    await kept.answer(Category.STATS, "bad", fail)
    await ask(kept, sink)
    for number in (2, 3):
        sink.stored = number
        await sink.until_counted(number)
    assert failed == [2]


async def test_who_waits_for_the_same_look_shares_its_failure(kept: Kept, sink: Sink) -> None:
    """One after the other they would wait for the database as often as there are people."""
    looks = 0

    async def away() -> int:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.05)
        raise ConnectionError("PostgreSQL does not answer")

    kept._ask = away  # type: ignore[method-assign]
    found = await asyncio.gather(
        *(ask(kept, sink, category=Category.FACETS) for _ in range(20)), return_exceptions=True
    )
    assert [type(each) for each in found] == [ConnectionError] * 20
    assert looks == 1


async def test_it_goes_on_after_a_failure(kept: Kept, sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is made ahead while the database is away, and then it is again."""
    await ask(kept, sink)
    sink.is_away, sink.stored = True, 2
    await until(lambda: "not made ahead: PostgreSQL does not answer" in caplog.text)
    assert sink.counted["all"] == 1
    sink.is_away = False
    await sink.until_counted(2)


async def test_nothing_is_counted_ahead_that_could_not_be_kept(stack: Settings, sink: Sink) -> None:
    """The first finds that Redis is away; the others are counted for whoever asks, and for nobody else."""
    wanted = ("a", "b", "c", "d", "e")
    async with connect(replace(stack, redis_url=f"redis://127.0.0.1:{closed_port()}/0"), 2) as redis:
        one = Kept(Cache(redis, uuid.uuid4().hex), sink.reached)
        for identifier in wanted:
            assert await ask(one, sink, identifier) == b"1"
        sink.stored, one._cache._ask_again_at = 2, 0.0  # it is time to ask Redis again
        await one._make_ahead()
        assert sink.counted["all"] == len(wanted) + 1
