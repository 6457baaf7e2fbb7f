"""The limiter and the cache of the API on a real Valkey, and what they do without it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from recon_stream.metrics.catalogue import LIMITER_FALLBACK
from recon_stream.redis.cache import Cache, Category
from recon_stream.redis.client import connect
from recon_stream.redis.limiter import WINDOW_SECONDS, Limiter
from recon_stream.settings import Settings
from tests.redis.impaired import closed_port, forwarder

pytestmark = pytest.mark.stack

ENDPOINT = "/transactions"
LIMIT = 5


@asynccontextmanager
async def client_of(stack: Settings, port: int | None = None) -> AsyncIterator[Redis]:
    """A client of the running Valkey, or of what answers at another port in its place."""
    parts = urlsplit(stack.redis_url)
    url = stack.redis_url if port is None else urlunsplit(parts._replace(netloc=f"127.0.0.1:{port}"))
    client = connect(replace(stack, redis_url=url, redis_timeout=10.0 if port is None else 0.3), 4)
    try:
        yield client
    finally:
        await client.aclose()


def limiter(redis: Redis, limit: int = LIMIT) -> Limiter:
    """Of one process."""
    return Limiter(redis, {ENDPOINT: limit}, 1000)


@pytest.fixture
def address() -> str:
    """Of a client that no other test knows."""
    return f"test-{uuid.uuid4().hex}"


async def until_refused(one: Limiter, address: str, endpoint: str = ENDPOINT) -> int:
    """Calls that were allowed before the first that was not; ends however slow the machine is."""
    for number in range(1000):
        if not (await one.spend(address, endpoint)).allowed:
            return number
    raise AssertionError("nothing was refused")


async def test_processes_count_together(stack: Settings, address: str) -> None:
    """Two processes, many calls at once: as many are allowed as one address may make, and others are not affected."""
    async with client_of(stack) as redis:
        one, two = limiter(redis, 50), limiter(redis, 50)
        quotas = await asyncio.gather(*((one, two)[n % 2].spend(address, ENDPOINT) for n in range(90)))
        allowed = [quota for quota in quotas if quota.allowed]
        assert len(allowed) == 50
        assert sorted(quota.remaining for quota in allowed) == list(range(50))
        assert {quota.headers().get("Retry-After") for quota in allowed} == {None}
        assert all(1 <= int(quota.headers()["Retry-After"]) <= 10 for quota in quotas if not quota.allowed)
        assert (await one.spend(f"{address}-other", ENDPOINT)).allowed
        assert (await one.spend(address, "/me")).allowed


async def test_a_refused_call_does_not_count(stack: Settings, address: str) -> None:
    """Whoever goes on asking is let in again when the window has passed, not later: the key holds the allowed calls alone."""
    async with client_of(stack) as redis:
        one = limiter(redis)
        await until_refused(one, address)
        for _ in range(20):
            await one.spend(address, ENDPOINT)
        key = f"rate:{address}:{ENDPOINT}"
        assert await redis.zcard(key) <= LIMIT
        assert 0 < await redis.ttl(key) <= 11


async def test_calls_that_left_the_window_count_no_more(stack: Settings, address: str) -> None:
    """Each makes room for one when its own ten seconds are over, not when those of all are."""
    async with client_of(stack) as redis:
        one, key = limiter(redis), f"rate:{address}:{ENDPOINT}"
        await until_refused(one, address)
        for call in await redis.zrange(key, 0, 1):
            # as if it had been made a window earlier
            await redis.zincrby(key, -WINDOW_SECONDS * 1000, call)
        again = [await one.spend(address, ENDPOINT) for _ in range(2)]
        assert [quota.allowed for quota in again] == [True, True]
        assert await redis.zcard(key) <= LIMIT


async def test_a_connection_that_was_cut_is_made_anew_once(stack: Settings) -> None:
    """What the server closed under a call is asked for once more, and what it closes again is told."""
    async with client_of(stack) as redis, client_of(stack) as admin:
        queue = f"test-{uuid.uuid4().hex}"
        # a call that the server keeps, so that it is under way when the connection is cut
        first = asyncio.create_task(redis.blpop([queue], 60))
        cut = await cut_off(admin, set())
        await admin.rpush(queue, "answer")
        assert await first == (queue.encode(), b"answer")
        second = asyncio.create_task(redis.blpop([queue], 60))
        cut = await cut_off(admin, cut)
        await cut_off(admin, cut)
        with pytest.raises(RedisConnectionError):
            await second


async def cut_off(admin: Redis, before: set[str]) -> set[str]:
    """Close the connection of whoever waits, once there is one that was not cut before; all that were."""
    async with asyncio.timeout(30):
        while not (new := {each["id"] for each in await admin.client_list() if each["cmd"] == "blpop"} - before):  # noqa: ASYNC110 of another process
            await asyncio.sleep(0.01)
    for each in new:
        await admin.client_kill_filter(_id=each)
    return before | new


@pytest.mark.parametrize("mode", ["refuses", "hangs"])
async def test_without_redis_a_process_counts_for_itself(stack: Settings, address: str, mode: str) -> None:
    """Neither open to all nor closed: a part of the limit, and the fallback is counted."""
    target = urlsplit(stack.redis_url).port
    assert target is not None
    async with forwarder("127.0.0.1", target) as path:
        path.hang()
        async with client_of(stack, path.port if mode == "hangs" else closed_port()) as redis:
            before = LIMITER_FALLBACK._value.get()
            assert await until_refused(limiter(redis, 10), address) == 5
            assert LIMITER_FALLBACK._value.get() > before


def making(answers: list[bytes], counted: list[int]) -> Callable[[], Awaitable[bytes]]:
    """Makes the next answer each time, and counts."""

    async def make() -> bytes:
        counted.append(1)
        await asyncio.sleep(0.01)
        return answers.pop(0)

    return make


async def test_an_answer_is_made_once_for_all_who_wait(stack: Settings) -> None:
    """Of one process by one task, of others from Redis; another identifier or application is another answer."""
    async with client_of(stack) as redis:
        scope, made = uuid.uuid4().hex, list[int]()
        one, two, other = Cache(redis, scope), Cache(redis, scope), Cache(redis, f"{scope}-other")
        make = making([b"first", b"second", b"third"], made)
        assert set(await asyncio.gather(*(one.get(Category.FACETS, "a", make) for _ in range(20)))) == {b"first"}
        assert await two.get(Category.FACETS, "a", make) == b"first"
        assert len(made) == 1
        assert await one.get(Category.FACETS, "b", make) == b"second"
        assert await other.get(Category.FACETS, "a", make) == b"third"
        assert 0 < await redis.ttl(f"cache:facets:{scope}:a") <= Category.FACETS.value


async def test_a_client_that_goes_away_takes_no_answer_from_others(stack: Settings) -> None:
    """The first who asked is cancelled; the second still gets what was being made."""
    async with client_of(stack) as redis:
        cache, begun, go = Cache(redis, uuid.uuid4().hex), asyncio.Event(), asyncio.Event()

        async def make() -> bytes:
            begun.set()
            await go.wait()
            return b"answer"

        first = asyncio.create_task(cache.get(Category.STATS, "a", make))
        await begun.wait()
        second = asyncio.create_task(cache.get(Category.STATS, "a", make))
        await asyncio.sleep(0)
        first.cancel()
        go.set()
        assert await second == b"answer"


async def test_an_error_is_not_kept(stack: Settings) -> None:
    """Who waits is told of it, and the next one tries anew."""
    async with client_of(stack) as redis:
        cache = Cache(redis, uuid.uuid4().hex)

        async def fails() -> bytes:
            raise ValueError("the database is away")

        with pytest.raises(ValueError, match="away"):
            await cache.get(Category.STATS, "a", fails)
        assert await cache.get(Category.STATS, "a", making([b"answer"], [])) == b"answer"


async def test_without_redis_each_answer_is_made_anew(stack: Settings) -> None:
    """It is passed by."""
    async with client_of(stack, closed_port()) as redis:
        cache, made = Cache(redis, uuid.uuid4().hex), list[int]()
        make = making([b"first", b"second"], made)
        assert [await cache.get(Category.STATS, "a", make) for _ in range(2)] == [b"first", b"second"]
