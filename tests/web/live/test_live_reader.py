"""The reader on the real Kafka: what comes while it is away is told afterwards, or everybody is told to reload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import orjson
import pytest

from recon_stream.settings import Settings
from recon_stream.topics import MISMATCHES
from recon_stream.web.live import resuming
from recon_stream.web.live.channels import EVERYTHING, Channel
from recon_stream.web.live.history import READERS_MAX, History
from recon_stream.web.live.hub import Hub, Wanted
from recon_stream.web.live.outbox import Outbox
from recon_stream.web.live.protocol import CloseCode
from recon_stream.web.live.reader import Reader
from tests.web.live.serving import SECONDS
from tests.web.live.test_live_parts import Ear
from tests.web.live.test_live_resume import batch, forget
from tests.web.live.writing import Writer, broken, result

pytestmark = pytest.mark.stack


@asynccontextmanager
async def reading(settings: Settings, hub: Hub) -> AsyncIterator[Reader]:
    """A reader that has reached Kafka, and feeds the hub until it is left."""
    news = asyncio.Event()
    reader = Reader(settings, hub, news.set)

    async def hand_out() -> None:
        while True:
            await news.wait()
            news.clear()
            hub.flush(0.0)

    tasks = [asyncio.create_task(reader.run()), asyncio.create_task(hand_out())]
    try:
        async with asyncio.timeout(SECONDS):
            while reader.reason is not None:  # noqa: ASYNC110 it has no event for that
                await asyncio.sleep(0.01)
        yield reader
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def heard(ear: Ear, number: int) -> list[str]:
    """Transactions of the messages, once there are so many."""
    async with asyncio.timeout(SECONDS):
        while len(ear.offsets()) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return [item["txn_id"] for frame in ear.frames for item in orjson.loads(frame).get("items", ())]


async def test_what_comes_while_kafka_cannot_be_read_is_told_afterwards(served: Settings, writer: Writer) -> None:
    """A new consumer goes on right behind the last record of the one before it."""
    hub, ear = Hub(), Ear()
    before, away, after = batch(40), batch(300), batch(40)
    async with reading(served, hub):
        hub.feeds[Channel.RESULTS].join(ear, Wanted(EVERYTHING, is_masked=False), 0.0)
        await writer.results(*map(result, before))
        await heard(ear, 40)
    await writer.results(*map(result, away))
    async with reading(served, hub):
        await writer.results(*map(result, after))
        assert sorted(await heard(ear, 380)) == sorted(before + away + after)


async def test_what_kafka_lost_meanwhile_is_answered_by_reload(served: Settings, writer: Writer) -> None:
    """Retention was faster than the reader: subscribers are told so, and the feed goes on at the ends."""
    hub, ear = Hub(), Ear()
    async with reading(served, hub):
        hub.feeds[Channel.MISMATCHES].join(ear, Wanted(EVERYTHING, is_masked=False), 0.0)
    await writer.mismatches(*map(broken, batch(60)))
    await forget(served, MISMATCHES)
    async with reading(served, hub):
        async with asyncio.timeout(SECONDS):
            while not ear.frames:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        told = orjson.loads(ear.frames[0])
        assert (told["type"], told["reason"]) == ("reload", "too_far")
        new = batch(20)
        await writer.mismatches(*map(broken, new))
        assert sorted(await heard(ear, 20)) == sorted(new)


class Deaf:
    """Is told, and takes nothing."""

    def __init__(self, subject: str = "deaf", bytes_max: int = 60_000) -> None:
        self.person = ("issuer", subject)
        self.outbox = Outbox(bytes_max)

    def tell(self, told: Sequence[bytes]) -> None:
        """It waits."""
        self.outbox.put(told)

    def wanted(self, _: Channel) -> Wanted:
        """Everything."""
        return Wanted(EVERYTHING, is_masked=False)


async def test_who_does_not_take_what_comes_from_kafka_gives_up_its_turn(
    served: Settings, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few may read from Kafka at a time: a client that does not read is closed, and the next one has its turn."""
    monkeypatch.setattr(resuming, "TURN_SECONDS", 1.0)
    history, deaf, before, after = History(served), Deaf(), Hub(), Hub()
    async with reading(served, before):
        since = before.feeds[Channel.RESULTS].ring.positions
    await writer.results(*map(result, batch(400)))
    async with reading(served, after), asyncio.timeout(SECONDS):
        await resuming.resume(after.feeds[Channel.RESULTS], since, deaf, history)
    assert deaf.outbox.code == CloseCode.TOO_SLOW
    async with asyncio.timeout(SECONDS), AsyncExitStack() as turns:
        for number in range(READERS_MAX):
            await turns.enter_async_context(history.turn(("issuer", f"person {number}")))
        assert deaf.person not in history._persons, "nobody remembers who is gone"


async def test_a_person_with_many_sockets_takes_one_turn(served: Settings, writer: Writer) -> None:
    """Those of others have theirs while it lasts; the next socket of that person comes when the first is through."""
    history, before, after = History(served), Hub(), Hub()
    async with reading(served, before):
        since = before.feeds[Channel.RESULTS].ring.positions
    await writer.results(*map(result, batch(400)))
    async with reading(served, after), asyncio.timeout(SECONDS):
        feed = after.feeds[Channel.RESULTS]
        many = [Deaf("many") for _ in range(READERS_MAX + 1)]
        resumed = [asyncio.create_task(resuming.resume(feed, since, each, history)) for each in many]
        # they have asked before the other does
        await asyncio.sleep(0)
        other = Deaf("other", bytes_max=1 << 24)
        await resuming.resume(feed, since, other, history)
        assert other.outbox.code is None
        begun = [each for each in many if each.outbox._frames]
        assert len(begun) == 1, "the others wait behind it, whatever room there is at Kafka"
        begun[0].outbox.end(CloseCode.GOING_AWAY)
        while len([each for each in many if each.outbox._frames]) == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for task in resumed:
            task.cancel()
        await asyncio.gather(*resumed, return_exceptions=True)
