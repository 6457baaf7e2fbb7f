"""The parts that decide, without any service: ring, frames, groups, queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from unittest.mock import Mock

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon_stream.avro import encoder
from recon_stream.settings import Settings
from recon_stream.storage.values import identifier
from recon_stream.web.live import items, service
from recon_stream.web.live.channels import EVERYTHING, Channel, Filter, facts_of
from recon_stream.web.live.hub import SILENCE_SECONDS, Feed, Hub, Wanted, spread
from recon_stream.web.live.items import Item
from recon_stream.web.live.outbox import Outbox
from recon_stream.web.live.protocol import FRAME_BYTES_MAX, FRAME_ITEMS_MAX, CloseCode, frames
from recon_stream.web.live.ring import Ring
from recon_stream.web.live.service import Live
from tests.web.live.writing import account_break, broken, result

encode = encoder("reconciliation_result", 1)
NOW = 100.0


def item(partition: int, offset: int, size: int = 10) -> Item:
    """A record of results that nobody can read."""
    return Item(Channel.RESULTS, partition, offset, 0, b"x" * size)


def told_item(partition: int, offset: int, txn: str = "T", **parts: object) -> Item:
    """A record of results."""
    return Item(Channel.RESULTS, partition, offset, 0, encode(result(txn, offset + 1, **parts)))


class Ear:
    """A subscriber that remembers."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def tell(self, told: Sequence[bytes]) -> None:
        """Remember."""
        self.frames += told

    def offsets(self) -> list[tuple[int, int]]:
        """What was told, in order."""
        messages = [orjson.loads(frame) for frame in self.frames]
        return [(one["partition"], int(one["offset"])) for message in messages for one in message.get("items", ())]


@pytest.mark.parametrize(
    ("wanted", "is_told"),
    [
        ({"class": ["AMOUNT_MISMATCH"]}, True),
        ({"source": ["MOBILE"]}, True),
        ({"class": ["AMOUNT_MISMATCH"], "source": ["GATEWAY", "CORE"]}, True),
        ({"class": ["AMOUNT_MISMATCH"], "source": ["MOBILE"]}, False),
        ({"class": ["AMOUNT_MISMATCH", "MISSING_ENTRY"], "source": ["MOBILE"]}, True),
        ({"class": ["STATUS_MISMATCH"]}, False),
    ],
)
@pytest.mark.parametrize("channel", [Channel.RESULTS, Channel.MISMATCHES])
def test_class_and_source_must_fit_the_same_break(
    channel: Channel, wanted: dict[str, list[str]], is_told: bool
) -> None:
    """As in the lists; not the class of one break and the source of another."""
    amount = account_break() | {"class": "AMOUNT_MISMATCH", "subject": "GATEWAY"}
    missing = account_break() | {"class": "MISSING_ENTRY", "subject": "MOBILE"}
    facts = facts_of(channel, result("T", verdict="BROKEN", breaks=[amount, missing]))
    assert Filter.model_validate(wanted).fits(facts) is is_told


@given(
    st.lists(st.integers(0, 2), max_size=60),
    st.integers(1, 20),
    st.dictionaries(st.integers(0, 2), st.integers(-1, 20), min_size=3),
)
def test_a_ring_has_all_that_it_covers(partitions: list[int], size: int, since: dict[int, int]) -> None:
    """What it has behind some offsets and what it says is missing are together everything behind them, each once."""
    ring = Ring({0: -1, 1: -1, 2: -1}, items_max=size)
    published = []
    for partition in partitions:
        offset = ring.positions[partition] + 1
        published.append((partition, offset))
        ring.append(item(partition, offset))
    wanted = {(partition, offset) for partition, offset in published if offset > since[partition]}
    missing = {(p, o) for p, (first, before) in ring.missing(since).items() for o in range(first, before)}
    here = {(each.partition, each.offset) for each in ring.behind(since)}
    assert missing | (here - missing) == wanted
    assert len(list(ring.behind(ring.floor))) <= size


def test_a_ring_is_bounded_by_bytes_too() -> None:
    """Large records push out more of the old ones."""
    ring = Ring({0: -1}, bytes_max=1000)
    for offset in range(100):
        ring.append(item(0, offset, 100))
    assert [each.offset for each in ring.behind({0: -1})] == list(range(90, 100))
    assert (ring.floor, ring.positions) == ({0: 89}, {0: 99})


def test_frames_are_bounded_and_positions_follow_the_items() -> None:
    """A client that has seen the first of several frames resumes right behind it."""
    many = [(number % 3, number, b'{"n":%d}' % number) for number in range(FRAME_ITEMS_MAX * 2 + 10)]
    made = [orjson.loads(frame) for frame in frames(Channel.RESULTS, {0: 9999, 1: 5000, 2: 7777}, many)]
    assert [len(message["items"]) for message in made] == [FRAME_ITEMS_MAX, FRAME_ITEMS_MAX, 10]
    assert made[0]["position"] == {"0": "498", "1": "499", "2": "497"}
    assert made[-1]["position"] == {"0": "9999", "1": "5000", "2": "7777"}
    large = [(0, number, b'"%s"' % (b"x" * (FRAME_BYTES_MAX // 2))) for number in range(3)]
    assert [len(orjson.loads(frame)["items"]) for frame in frames(Channel.RESULTS, {}, large)] == [1, 1, 1]
    assert [orjson.loads(frame)["items"] for frame in frames(Channel.RESULTS, {0: 1}, [])] == [[]]


def test_subscriptions_that_are_alike_share_their_frames() -> None:
    """The same object for all of them: a thousand clients cost one encoding."""
    feed = Feed(Channel.RESULTS, {0: -1})
    ears = [Ear() for _ in range(3)]
    for ear, wanted in zip(
        ears, (EVERYTHING, Filter.model_validate({}), Filter.model_validate({"verdict": ["VOID"]})), strict=True
    ):
        feed.join(ear, Wanted(wanted, is_masked=False), NOW)
    feed.add([told_item(0, 0)])
    feed.flush(NOW)
    assert ears[0].frames[0] is ears[1].frames[0]
    assert ears[0].offsets() == [(0, 0)]
    assert ears[2].frames == []


@pytest.mark.parametrize("channel", [Channel.RESULTS, Channel.MISMATCHES])
def test_who_follows_one_transaction_is_told_of_no_other(channel: Channel) -> None:
    """By its id as the lists show it, whatever it is in."""
    feed, ear, long = Feed(channel, {0: -1}), Ear(), "L" * 600
    feed.join(ear, Wanted(Filter.model_validate({"txn_id": ["T", identifier(long)]}), is_masked=False), NOW)
    ids = ["T2", "T", long, long + "2", "T"]
    feed.add([Item(channel, 0, at, 0, encode(result(txn, at + 1, currency="EUR"))) for at, txn in enumerate(ids)])
    feed.flush(NOW)
    assert ear.offsets() == [(0, 1), (0, 2), (0, 4)]


def test_who_joins_between_two_flushes_gets_what_lies_behind_its_position() -> None:
    """`told` and what is due fit together: nothing is left out or told twice."""
    feed = Feed(Channel.RESULTS, {0: -1, 1: -1})
    feed.add([told_item(0, 0), told_item(1, 0)])
    feed.flush(NOW)
    feed.add([told_item(0, 1)])
    due = [(each.partition, each.offset) for each in feed.due({0: -1, 1: 0})]
    ear = Ear()
    feed.join(ear, Wanted(EVERYTHING, is_masked=False), NOW)
    feed.add([told_item(1, 1)])
    feed.flush(NOW)
    assert due + ear.offsets() == [(0, 0), (0, 1), (1, 1)]


def test_a_silent_group_is_told_for_how_far() -> None:
    """A filter that nothing fits must not make its client go back to the beginning of time."""
    feed = Feed(Channel.RESULTS, {0: -1})
    ear = Ear()
    feed.join(ear, Wanted(Filter.model_validate({"verdict": ["VOID"]}), is_masked=False), NOW)
    feed.add([told_item(0, 0)])
    feed.flush(NOW + 1)
    assert ear.frames == []
    feed.flush(NOW + SILENCE_SECONDS)
    assert [orjson.loads(frame)["position"] for frame in ear.frames] == [{"0": "0"}]
    feed.flush(NOW + 2 * SILENCE_SECONDS)
    assert len(ear.frames) == 1, "there is nothing new to tell"


def test_records_that_are_known_already_are_left_out() -> None:
    """A consumer that was started anew may read some again."""
    feed = Feed(Channel.RESULTS, {0: 4})
    ear = Ear()
    feed.join(ear, Wanted(EVERYTHING, is_masked=False), NOW)
    feed.add([told_item(0, 3), told_item(0, 5)])
    feed.add([told_item(0, 5), told_item(0, 6)])
    feed.flush(NOW)
    assert ear.offsets() == [(0, 5), (0, 6)]


def test_a_feed_that_skips_says_so_to_everybody() -> None:
    """Reload, from the position at which it goes on."""
    feed = Feed(Channel.RESULTS, {0: -1})
    ear = Ear()
    feed.join(ear, Wanted(EVERYTHING, is_masked=False), NOW)
    feed.add([told_item(0, 0)])
    feed.skip({0: 99})
    feed.add([told_item(0, 100)])
    feed.flush(NOW)
    first, second = (orjson.loads(frame) for frame in ear.frames)
    assert (first["type"], first["reason"], first["position"]) == ("reload", "too_far", {"0": "99"})
    assert [one["offset"] for one in second["items"]] == ["100"]


def test_a_record_that_cannot_be_shown_keeps_no_other_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours in one record costs that record, not everybody's feed."""
    shaped = items.transaction_row
    monkeypatch.setattr(items, "transaction_row", lambda row: {}[0] if row["txn_id"] == "BAD" else shaped(row))
    feed = Feed(Channel.RESULTS, {0: -1})
    ear = Ear()
    feed.join(ear, Wanted(EVERYTHING, is_masked=False), NOW)
    feed.add([told_item(0, 0), told_item(0, 1, "BAD"), told_item(0, 2)])
    feed.flush(NOW)
    assert ear.offsets() == [(0, 0), (0, 2)]


def test_masking_is_of_the_group_and_never_shared() -> None:
    """One record, two encodings, each to its own."""
    feed = Feed(Channel.MISMATCHES, {0: -1})
    open_, masked = Ear(), Ear()
    feed.join(open_, Wanted(EVERYTHING, is_masked=False), NOW)
    feed.join(masked, Wanted(EVERYTHING, is_masked=True), NOW)
    feed.add([Item(Channel.MISMATCHES, 0, 0, 0, encode(broken("T")))])
    feed.flush(NOW)
    assert b"DE02120300000000202051" in open_.frames[0]
    assert b"DE02120300000000202" not in masked.frames[0]


def test_who_leaves_is_told_no_more() -> None:
    """Of channels with and without offsets."""
    hub, ear = Hub(), Ear()
    hub.begin(Channel.RESULTS, {0: -1})
    hub.feeds[Channel.RESULTS].join(ear, Wanted(EVERYTHING, is_masked=False), NOW)
    hub.watch(Channel.STATS, ear)
    for channel in Channel:
        hub.leave(channel, ear)
    hub.feeds[Channel.RESULTS].add([told_item(0, 0)])
    hub.flush(NOW)
    hub.tick(0, {})
    assert ear.frames == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], None),
        ([7], (7, 7)),
        (range(100, 0, -1), (50, 95)),
        ([1] * 19 + [900], (1, 1)),
        ([1] * 18 + [900] * 2, (1, 900)),
    ],
)
def test_latency_is_told_by_median_and_95th_percentile(values: Iterable[int], said: tuple[int, int] | None) -> None:
    """By nearest rank: what is told was measured."""
    told = spread(values)
    assert (told and (told["p50"], told["p95"])) == said


async def test_a_queue_that_is_too_long_ends_and_is_empty() -> None:
    """The first end counts, what waits is dropped, and one frame alone is never too much."""
    outbox = Outbox(bytes_max=100)
    outbox.put([b"x" * 1000])
    assert outbox.code is None
    outbox.put([b"y"])
    outbox.end(CloseCode.GOING_AWAY)
    assert outbox.code == CloseCode.TOO_SLOW
    assert await outbox.take() is None
    outbox.put([b"z"])
    assert await outbox.take() is None
    assert outbox.ended.is_set()


async def test_whoever_waits_for_room_goes_on_when_there_is_some_or_at_the_end() -> None:
    """What is told faster than it is read waits for its reader."""
    outbox = Outbox(bytes_max=100)
    outbox.put([b"x" * 20, b"x" * 20])
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await outbox.take() is not None
    async with asyncio.timeout(10):
        await waiting
        outbox.put([b"x" * 50])
        waiting = asyncio.create_task(outbox.room())
        await asyncio.sleep(0)
        outbox.end(CloseCode.GOING_AWAY)
        await waiting


async def test_what_is_new_leaves_at_once_and_what_follows_within_a_twentieth_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a rest nobody waits; behind that, what comes together leaves together, and nothing is kept for longer."""
    live, ear, waited, go_on = Live(Settings(), Mock(), Mock(), Mock()), Ear(), list[float](), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await go_on.wait()

    live._hub.begin(Channel.RESULTS, {0: -1})
    feed = live._hub.feeds[Channel.RESULTS]
    feed.join(ear, Wanted(EVERYTHING, is_masked=False), NOW)
    with monkeypatch.context() as controlled:
        controlled.setattr(service.asyncio, "sleep", sleep)
        handing = asyncio.create_task(live._for_ever(live._hand_out))
        for offset in range(3):
            feed.add([told_item(0, offset)])
            live._news.set()
        async with asyncio.timeout(10):
            await _until(lambda: waited != [])
            assert ear.offsets() == [(0, 0), (0, 1), (0, 2)]
            assert len(ear.frames) == 1
            feed.add([told_item(0, 3)])
            live._news.set()
            feed.add([told_item(0, 4)])
            await _turns()
            assert len(ear.frames) == 1, "it waits for what else comes"
            go_on.set()
            await _until(lambda: len(waited) == 2)
        handing.cancel()
    assert ear.offsets()[3:] == [(0, 3), (0, 4)]
    assert len(ear.frames) == 2
    assert all(0.005 <= seconds <= 0.05 for seconds in waited)


async def _turns() -> None:
    """Enough of the loop for whatever is ready."""
    for _ in range(10):
        turn = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await _turns()


@pytest.mark.parametrize("value", [b"", b"\x00\x00\x00\x00\x01", b"\x00\x00\x00\x00\x01\x02", b"\xff" * 40])
def test_an_item_that_is_none_has_no_facts(value: bytes) -> None:
    """It is left out, and its offset counts."""
    assert Item(Channel.RESULTS, 0, 0, 0, value).facts is None
