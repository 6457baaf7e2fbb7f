"""The duplicate filter on a real Valkey: what it remembers, what it lets through, and what it does without its server."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import uvloop
from redis.asyncio import Connection, Redis

from recon_stream.metrics.catalogue import FILTER_FAIL_OPEN, ZOMBIES
from recon_stream.redis import dedup
from recon_stream.redis.client import connect
from recon_stream.redis.dedup import DuplicateFilter
from recon_stream.redis.seen import Seen, is_copy, mark
from recon_stream.settings import Settings
from tests.redis.impaired import Forwarder, closed_port, forwarder

EPOCH, OTHER_EPOCH = "00000000000000e1", "00000000000000e2"
CONNECTIONS = 4
TIMEOUT = 0.5
WITHIN = 6 * TIMEOUT
"""One more try, and some room for a busy machine: no unit of work waits longer for the filter."""


@pytest.fixture
async def redis(stack: Settings) -> AsyncIterator[Redis]:
    """A client of the running Valkey, patient with a busy machine."""
    client = connect(replace(stack, redis_timeout=10.0), CONNECTIONS)
    yield client
    await client.aclose()


@pytest.fixture
def txn() -> str:
    """A transaction that no other test knows."""
    return f"T-{uuid.uuid4().hex}"


def seen(txn_id: str, at: int = 1, *, payload: bytes = b"content", epoch: str = EPOCH, event: str = "E1:0") -> Seen:
    """An event of CORE as it was read at offset `at`."""
    return Seen(txn_id, "CORE", event, mark(epoch, payload, f"core_txns:0:{at}"))


async def copies(one: DuplicateFilter, events: Sequence[Seen]) -> list[bool]:
    """Which of these the filter would drop."""
    known = await one.claim(events)
    assert known is not None
    return [is_copy(there, event.mark) for there, event in zip(known, events, strict=True)]


async def test_a_copy_at_other_coordinates_is_known(redis: Redis, txn: str) -> None:
    """What was settled as accepted and comes again elsewhere, from whichever worker, is dropped early."""
    one, two = DuplicateFilter(redis, "one"), DuplicateFilter(redis, "two")
    assert await copies(one, [seen(txn, 1)]) == [False]
    await one.settle([(seen(txn, 1), True)])
    assert await copies(one, [seen(txn, 2)]) == [True]
    await one.settle([(seen(txn, 2), False)])
    assert await copies(two, [seen(txn, 3)]) == [True]


async def test_the_same_coordinates_are_a_reread_and_go_on(redis: Redis, txn: str) -> None:
    """After a crash behind the settling the record is read again, and its results must be published again."""
    one = DuplicateFilter(redis, "one")
    await one.settle([(seen(txn, 1), True)])
    assert await copies(one, [seen(txn, 1)]) == [False]


@pytest.mark.parametrize(
    "other", [{"payload": b"CONTENT"}, {"epoch": OTHER_EPOCH}, {"event": "E1:1"}, {"event": "E2:0"}]
)
async def test_other_content_another_life_of_the_state_and_other_events_go_on(
    redis: Redis, txn: str, other: dict[str, object]
) -> None:
    """Only the state can say what they are: a conflict, the same again to an empty state, a correction, progress."""
    one = DuplicateFilter(redis, "one")
    await one.settle([(seen(txn, 1), True)])
    assert await copies(one, [seen(txn, 2, **other)]) == [False]  # type: ignore[arg-type]
    assert await copies(one, [seen(txn, 2)]) == [True]


async def test_a_claim_alone_and_a_refused_event_are_not_remembered(redis: Redis, txn: str) -> None:
    """What was not accepted must reach the state again, as often as it comes."""
    one = DuplicateFilter(redis, "one")
    await one.claim([seen(txn, 1)])
    assert await copies(one, [seen(txn, 2)]) == [False]
    await one.settle([(seen(txn, 1), False), (seen(txn, 2), False)])
    assert await copies(one, [seen(txn, 3)]) == [False]


async def test_keys_have_the_names_of_the_contract_and_end_by_themselves(redis: Redis, txn: str) -> None:
    """`dedupe:{txn_id}:{source}` for an hour, a hash of event_id:revision; `inflight:{txn_id}:{source}` for a minute."""
    one, event = DuplicateFilter(redis, "host:one:0"), seen(txn, 1)
    await one.claim([event])
    assert await redis.keys(f"*{txn}*") == [f"inflight:{txn}:CORE".encode()]
    assert await redis.get(f"inflight:{txn}:CORE") == b"host:one:0"
    assert 58 <= await redis.ttl(f"inflight:{txn}:CORE") <= 60
    await one.settle([(event, True)])
    assert await redis.keys(f"*{txn}*") == [f"dedupe:{txn}:CORE".encode()]
    assert await redis.hgetall(f"dedupe:{txn}:CORE") == {b"E1:0": event.mark.encode()}  # type: ignore[misc]
    assert 3598 <= await redis.ttl(f"dedupe:{txn}:CORE") <= 3600
    await redis.expire(f"dedupe:{txn}:CORE", 100)
    await one.settle([(seen(txn, 2, event="E2:0"), True)])
    assert 3598 <= await redis.ttl(f"dedupe:{txn}:CORE") <= 3600  # a transaction that goes on is remembered on


async def test_sources_of_one_transaction_do_not_meet(redis: Redis, txn: str) -> None:
    """The same event id from another source is another event."""
    one, core = DuplicateFilter(redis, "one"), seen(txn, 1)
    await one.settle([(core, True)])
    gateway = Seen(txn, "GATEWAY", core.event_revision, mark(EPOCH, b"content", "gateway_txns:0:1"))
    assert await copies(one, [gateway]) == [False]


async def test_a_zombie_is_counted_and_said(redis: Redis, txn: str, caplog: pytest.LogCaptureFixture) -> None:
    """Another worker's name on an event in flight means two owners of a partition; one's own name means nothing."""
    one, two = DuplicateFilter(redis, "one"), DuplicateFilter(redis, "two")
    before = ZOMBIES._value.get()
    await one.claim([seen(txn, 1)])
    await one.claim([seen(txn, 1)])
    assert ZOMBIES._value.get() == before
    assert await two.claim([seen(txn, 2), seen(f"{txn}-free", 3)]) == [None, None]
    assert ZOMBIES._value.get() == before + 1
    assert "one of us is a zombie" in caplog.text


async def test_settling_takes_away_ones_own_names_only(redis: Redis, txn: str) -> None:
    """The name of the worker that came later stays until that worker is done, so that it is found."""
    one, two = DuplicateFilter(redis, "one"), DuplicateFilter(redis, "two")
    await one.claim([seen(txn, 1)])
    await two.claim([seen(txn, 1)])
    await one.settle([(seen(txn, 1), True)])
    assert await redis.get(f"inflight:{txn}:CORE") == b"two"
    await two.settle([(seen(txn, 1), True)])
    assert await redis.get(f"inflight:{txn}:CORE") is None


@pytest.mark.parametrize(
    "name",
    ["ключ-取引-🏦", "quote\"s'\\", "a\nb\x00c", "{brace}:{colon}:*", "x" * 30_000, "\u2028", "\ufeffbom", "0", "1e5"],
)
async def test_any_transaction_id_is_kept_as_it_is(redis: Redis, txn: str, name: str) -> None:
    """Unicode, control characters, what looks like a number or a pattern, and very long ids."""
    one, txn_id = DuplicateFilter(redis, "one"), f"{name}{txn}"
    await one.claim([seen(txn_id, 1, event=f"{name}:0")])
    assert await redis.exists(f"inflight:{txn_id}:CORE") == 1
    await one.settle([(seen(txn_id, 1, event=f"{name}:0"), True)])
    assert await redis.exists(f"dedupe:{txn_id}:CORE") == 1
    assert await redis.exists(f"inflight:{txn_id}:CORE") == 0
    assert await copies(one, [seen(txn_id, 2, event=f"{name}:0"), seen(f"{txn_id}x", 2, event=f"{name}:0")]) == [
        True,
        False,
    ]


async def test_more_events_than_one_call_takes_keep_their_order(redis: Redis, txn: str) -> None:
    """Beyond the bound of one script call there are several, and each answer is that of its event."""
    one, number = DuplicateFilter(redis, "one"), 2 * dedup.EVENTS_PER_CALL_MAX + 500
    events = [seen(f"{txn}-{n}", n) for n in range(number)]
    assert await copies(one, events) == [False] * number
    await one.settle([(event, n % 3 == 0) for n, event in enumerate(events)])
    again = [seen(f"{txn}-{n}", number + n) for n in range(number)]
    assert await copies(one, again) == [n % 3 == 0 for n in range(number)]


async def test_the_same_event_twice_in_one_unit_is_no_copy_of_itself(redis: Redis, txn: str) -> None:
    """Nothing is remembered before it was acknowledged: the state tells the two apart."""
    one = DuplicateFilter(redis, "one")
    assert await copies(one, [seen(txn, 1), seen(txn, 2)]) == [False, False]


async def test_no_events_ask_nobody(stack: Settings) -> None:
    """A unit of deadlines alone needs no server."""
    async with _client(stack, closed_port()) as client:
        one = DuplicateFilter(client, "one")
        before = FILTER_FAIL_OPEN._value.get()
        assert await one.claim([]) == []
        await one.settle([])
        assert FILTER_FAIL_OPEN._value.get() == before


async def test_a_lost_script_is_loaded_again(redis: Redis, txn: str) -> None:
    """A server that was restarted knows no scripts; that is no failure."""
    one = DuplicateFilter(redis, "one")
    await one.settle([(seen(txn, 1), True)])
    await redis.script_flush()
    assert await copies(one, [seen(txn, 2)]) == [True]


async def test_many_lanes_ask_at_once_over_few_connections(redis: Redis, txn: str) -> None:
    """Lanes wait for a connection within the timeout: a busy moment is no failure of the server."""
    one = DuplicateFilter(redis, "one")
    before = FILTER_FAIL_OPEN._value.get()
    lanes = [[seen(f"{txn}-{lane}-{n}", n) for n in range(50)] for lane in range(3 * CONNECTIONS)]
    answers = await asyncio.gather(*[one.claim(events) for events in lanes])
    assert answers == [[None] * 50] * len(lanes)
    assert FILTER_FAIL_OPEN._value.get() == before


@asynccontextmanager
async def _client(stack: Settings, port: int) -> AsyncIterator[Redis]:
    url = urlsplit(stack.redis_url)
    at = url.netloc.replace(f":{url.port}", f":{port}")
    client = connect(replace(stack, redis_url=url._replace(netloc=at).geturl(), redis_timeout=TIMEOUT), CONNECTIONS)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def _impaired(stack: Settings) -> AsyncIterator[tuple[Forwarder, DuplicateFilter]]:
    url = urlsplit(stack.redis_url)
    assert url.hostname
    assert url.port
    async with forwarder(url.hostname, url.port) as path, _client(stack, path.port) as client:
        yield path, DuplicateFilter(client, "one")


async def _fails_open(one: DuplicateFilter, txn_id: str) -> None:
    """A claim and a settling without the server: no answer, soon, counted."""
    before, began = FILTER_FAIL_OPEN._value.get(), time.monotonic()
    assert await one.claim([seen(txn_id, 1)]) is None
    assert time.monotonic() - began < WITHIN
    assert FILTER_FAIL_OPEN._value.get() == before + 1
    began = time.monotonic()
    await one.settle([(seen(txn_id, 1), True)])
    assert time.monotonic() - began < WITHIN


async def test_a_server_that_refuses_fails_open(stack: Settings, txn: str) -> None:
    """Nobody listens there: the state decides alone."""
    async with _client(stack, closed_port()) as client:
        await _fails_open(DuplicateFilter(client, "one"), txn)


async def test_a_server_that_goes_away_and_comes_back_is_asked_again(
    stack: Settings, txn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Connections cut, port closed; afterwards what was remembered before still counts, and both are said once."""
    caplog.set_level("INFO")
    monkeypatch.setattr(dedup, "AWAY_SECONDS", 0.2)
    async with _impaired(stack) as (path, one):
        await one.settle([(seen(txn, 1), True)])
        await path.refuse()
        for _ in range(3):
            await _fails_open(one, txn)
        await path.listen()
        await asyncio.sleep(0.25)
        assert await copies(one, [seen(txn, 2)]) == [True]
    assert caplog.text.count("the state decides alone") == 1
    assert caplog.text.count("answers again") == 1


async def test_a_server_that_hangs_fails_open_within_the_timeout(
    stack: Settings, txn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts and says nothing, the worst way to be away; a late answer is never taken for another question's."""
    monkeypatch.setattr(dedup, "AWAY_SECONDS", 0.2)
    async with _impaired(stack) as (path, one):
        await one.settle([(seen(txn, 1), True)])
        path.hang()
        await _fails_open(one, txn)
        path.flow()
        await asyncio.sleep(0.25)
        fresh = [seen(f"{txn}-fresh", 1), seen(txn, 2), seen(f"{txn}-more", 1)]
        assert await copies(one, fresh) == [False, True, False]


class _CutWhenOpened(Connection):
    """Is reset between its opening and the first word on it."""

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        assert self._writer is not None
        self._writer.transport.abort()
        await super().on_connect_check_health(check_health)


def test_a_connection_that_is_reset_before_the_first_word_fails_open(stack: Settings, txn: str) -> None:
    """The loop of the roles says RuntimeError of it, which no client of Redis knows."""

    async def asked() -> None:
        async with _client(stack, urlsplit(stack.redis_url).port or 0) as client:
            client.connection_pool.connection_class = _CutWhenOpened
            await _fails_open(DuplicateFilter(client, "one"), txn)

    uvloop.run(asked())


async def test_a_dead_server_is_not_asked_by_every_unit(stack: Settings, txn: str) -> None:
    """After a failure nobody waits for it for a while: the next units go on at once, counted too."""
    async with _impaired(stack) as (path, one):
        path.hang()
        assert await one.claim([seen(txn, 1)]) is None
        before, began = FILTER_FAIL_OPEN._value.get(), time.monotonic()
        for _ in range(20):
            assert await one.claim([seen(txn, 1)]) is None
            await one.settle([(seen(txn, 1), True)])
        assert time.monotonic() - began < TIMEOUT
        assert FILTER_FAIL_OPEN._value.get() == before + 20


async def test_a_server_that_answers_with_an_error_fails_open(redis: Redis, txn: str) -> None:
    """A key of another kind in the way, as out of memory or read-only, is an error of the server, not of the event."""
    await redis.set(f"dedupe:{txn}:CORE", "not a hash", ex=60)
    await _fails_open(DuplicateFilter(redis, "one"), txn)
