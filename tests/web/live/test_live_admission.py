"""Who gets a socket at all: tickets, origins, limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import aiohttp
import orjson
import pytest

from recon_stream.redis.client import connect
from recon_stream.security.keys import Keys
from recon_stream.security.tokens import TokenVerifier
from recon_stream.settings import Settings
from recon_stream.web.live.origins import may_connect
from recon_stream.web.live.socket import MESSAGES_MAX
from recon_stream.web.live.tickets import TTL_SECONDS, Tickets, TicketsAway
from tests.web.live.conftest import Tokens
from tests.web.live.serving import SECONDS, Web, connected, serving, ticket_for
from tests.web.serving import keeps_browsers_safe, trail

pytestmark = pytest.mark.stack
PAGE = "https://recon.example"


@pytest.fixture(scope="module")
def strict(served: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A process that takes two sockets of a person, three in all, and pages of one other origin."""
    limits = {"RECON_SOCKETS_PER_USER": 2, "RECON_SOCKETS_MAX": 3, "ALLOWED_ORIGINS": PAGE}
    with serving(served, tmp_path_factory.mktemp("strict"), **limits) as one:
        yield one


async def upgraded(web: Web, ticket: str | None, origin: str | None = None) -> tuple[int, str]:
    """Status and problem code that an upgrade is answered with; (101, "") where it becomes a socket."""
    headers = {} if origin is None else {"Origin": origin}
    params = {} if ticket is None else {"ticket": ticket}
    handshake = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{web.url}/ws", params=params, headers=handshake | headers) as answer,
    ):
        if answer.status == 101:
            return 101, ""
        assert answer.content_type == "application/problem+json"
        return answer.status, (await answer.json())["type"].removeprefix("urn:recon:problem:")


async def test_a_ticket_is_good_for_one_socket(web: Web, token: Tokens) -> None:
    """The second upgrade with it is refused, before it becomes a socket."""
    ticket = await ticket_for(web, token("viewer"))
    assert await upgraded(web, ticket) == (101, "")
    assert await upgraded(web, ticket) == (401, "ticket")


async def test_the_upgrade_tells_browsers_no_less_than_other_answers(web: Web, token: Tokens) -> None:
    """The answer that becomes a socket is one too."""
    params = {"ticket": await ticket_for(web, token("viewer"))}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{web.url}/ws", params=params) as ws:
        assert ws._response.status == 101
        keeps_browsers_safe(ws._response.headers, web.settings)


async def test_a_ticket_that_two_use_at_once_serves_one(web: Web, token: Tokens) -> None:
    """Taken and deleted in one step."""
    ticket = await ticket_for(web, token("viewer"))
    answers = await asyncio.gather(*(upgraded(web, ticket) for _ in range(8)))
    assert sorted(status for status, _ in answers) == [101] + 7 * [401]


@pytest.mark.parametrize(
    ("ticket", "status"),
    [(None, 400), ("", 400), ("x", 400), ("A" * 43, 401), ("A" * 42 + "/", 400), ("A" * 4000, 400), ("A" * 5000, 414)],
)
async def test_what_is_no_ticket_is_refused(web: Web, ticket: str | None, status: int) -> None:
    """Missing, misshapen, guessed or huge."""
    assert (await upgraded(web, ticket))[0] == status


async def test_a_ticket_needs_a_token(web: Web) -> None:
    """Nobody and strangers get none."""
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {"Authorization": "Bearer x.y.z"}):
            async with session.post(f"{web.url}/ws/ticket", headers=headers) as answer:
                assert answer.status == 401


async def test_a_ticket_ends_by_itself_and_is_nowhere_in_clear(web: Web, served: Settings, token: Tokens) -> None:
    """Valkey holds its hash alone, for half a minute; once that is over, it opens nothing."""
    ticket = await ticket_for(web, token("viewer"))
    key = f"ticket:{sha256(ticket.encode()).hexdigest()}"
    async with connect(served, 2) as redis:
        assert 0 < await redis.ttl(key) <= TTL_SECONDS
        kept = await redis.get(key)
        assert ticket not in kept.decode()
        assert token("viewer") not in kept.decode()
        assert not await redis.exists(f"ticket:{ticket}")
        # its time is over
        await redis.pexpire(key, 1)
        while await redis.exists(key):  # noqa: ASYNC110 of another process
            await asyncio.sleep(0.01)
    assert await upgraded(web, ticket) == (401, "ticket")


async def test_a_ticket_outlives_no_token(web: Web, served: Settings, token: Tokens) -> None:
    """A ticket of a person whose token has run out meanwhile opens nothing."""
    principal = await TokenVerifier(served, Keys(served)).verify(token("viewer"))
    async with connect(served, 2) as redis:
        ticket = await Tickets(redis).make(replace(principal, expires_at=int(time.time()) - 1))
        assert await upgraded(web, ticket) == (401, "ticket")


async def test_tickets_bring_back_the_person(served: Settings, token: Tokens) -> None:
    """All that the token said, roles and permissions among it."""
    principal = await TokenVerifier(served, Keys(served)).verify(token("auditor"))
    async with connect(served, 2) as redis:
        tickets = Tickets(redis)
        assert await tickets.use(await tickets.make(principal)) == principal
    async with connect(replace(served, redis_url="redis://127.0.0.1:1/0"), 1) as nobody:
        with pytest.raises(TicketsAway):
            await Tickets(nobody).make(principal)
        with pytest.raises(TicketsAway):
            await Tickets(nobody).use("x")


async def test_pages_of_other_origins_are_refused_and_their_ticket_is_kept(strict: Web, token: Tokens) -> None:
    """The own page and those of ALLOWED_ORIGINS may connect, programs without an origin too; all others get 403."""
    for origin in ("https://evil.example", f"{PAGE}.evil.example", f"{PAGE}:444", "null", "", strict.url + "0"):
        ticket = await ticket_for(strict, token("viewer"))
        assert await upgraded(strict, ticket, origin) == (403, "origin"), origin
        assert (await upgraded(strict, ticket))[0] == 101
        await strict.until("recon_live_sockets", lambda open_: open_ == 0)
    for origin in (PAGE, PAGE.upper(), strict.url, None):
        assert await upgraded(strict, await ticket_for(strict, token("viewer")), origin) == (101, "")
        await strict.until("recon_live_sockets", lambda open_: open_ == 0)


async def test_who_is_refused_a_socket_stands_in_the_audit_trail(strict: Web, served: Settings, token: Tokens) -> None:
    """A page of another origin, and a ticket that is none; where they came from, for nobody is known."""
    ticket = await ticket_for(strict, token("viewer"))
    assert await upgraded(strict, ticket, "https://evil.example") == (403, "origin")
    assert await upgraded(strict, "A" * 43) == (401, "ticket")
    for reason in ("origin", "ticket"):
        # of a storm the first is written; the others of its minute are a number
        entries = await asyncio.to_thread(trail, served, "authenticate", object="/ws", detail={"reason": reason})
        told = {name: entries[0][name] for name in ("actor", "role", "outcome", "address")}
        assert told == {"actor": "-", "role": "-", "outcome": "DENIED", "address": "127.0.0.1"}


def test_two_origins_are_none() -> None:
    """A request with several Origin headers is no browser's."""
    assert may_connect([PAGE], "recon.example", [])
    assert not may_connect([PAGE, PAGE], "recon.example", [PAGE])
    assert not may_connect(["https://"], "", [])


async def test_what_is_no_upgrade_costs_no_ticket(web: Web, token: Tokens) -> None:
    """A plain GET is told that a websocket is needed."""
    ticket = await ticket_for(web, token("viewer"))
    async with aiohttp.ClientSession() as session, session.get(f"{web.url}/ws", params={"ticket": ticket}) as answer:
        assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
        assert orjson.loads(await answer.read())["type"] == "urn:recon:problem:upgrade"
    assert await upgraded(web, ticket) == (101, "")


async def test_the_life_of_a_socket_is_no_latency_of_a_request(web: Web, token: Tokens) -> None:
    """Whoever ends it; what is refused is counted like other requests."""
    refused = 'recon_http_requests_total{method="GET",path="/ws",status="401"}'
    ended = [f'recon_live_closed_total{{code="{code}"}}' for code in ("by client", "1008")]
    before = {line: await asyncio.to_thread(web.metric, line) for line in (refused, *ended)}
    for line in ended:
        async with connected(web, token("viewer")) as client:
            if line == ended[1]:
                for _ in range(MESSAGES_MAX + 1):
                    await client.say("unsubscribe", channel="stats")
                assert await client.closed() == 1008
        await web.until(line, lambda number, line=line: number > before[line])
    assert await upgraded(web, "A" * 43) == (401, "ticket")
    await web.until(refused, lambda number: number == before[refused] + 1)
    assert await asyncio.to_thread(web.metric, 'recon_http_request_seconds_count{method="GET",path="/ws"}') == 0
    assert await asyncio.to_thread(web.metric, 'recon_http_request_seconds_count{method="POST",path="/ws/ticket"}') > 0


async def test_sockets_are_limited_for_each_person_and_in_all(strict: Web, token: Tokens) -> None:
    """Two of a person, three in all; a socket that ends makes room."""
    async with connected(strict, token("viewer")):
        async with connected(strict, token("viewer")):
            assert await upgraded(strict, await ticket_for(strict, token("viewer"))) == (429, "too-many-sockets")
            async with connected(strict, token("operator")):
                refused = await upgraded(strict, await ticket_for(strict, token("auditor")))
                assert refused == (503, "too-many-sockets")
        await strict.until("recon_live_sockets", lambda open_: open_ == 1)
        async with asyncio.timeout(SECONDS), connected(strict, token("viewer")) as client:
            assert (await client.subscribe("results"))["type"] == "subscribed"
