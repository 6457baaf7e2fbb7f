"""What is told to whom: permissions, masking, filters, and the second that has passed."""

from __future__ import annotations

import asyncio

import aiohttp
import orjson
import psycopg
import pytest

from recon_stream.security.roles import PERMISSIONS, Role
from recon_stream.settings import Settings
from recon_stream.web.live.channels import Channel
from tests.web.live.conftest import Tokens
from tests.web.live.serving import SECONDS, Web, connected, subscriptions
from tests.web.live.writing import ACCOUNT, Writer, account_break, broken, result, txn_id

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("role", [role.value for role in Role])
async def test_a_channel_needs_the_permission_that_rest_needs(web: Web, token: Tokens, role: str) -> None:
    """Subscribed or refused, as the table of permissions says; hello lists the same."""
    allowed = {channel for channel in Channel if channel.needs in PERMISSIONS[Role(role)]}
    assert (Channel.DEAD_LETTERS in allowed) == (role != "viewer")
    async with connected(web, token(role)) as client:
        for channel in Channel:
            answer = await client.subscribe(channel)
            assert answer["type"] == ("subscribed" if channel in allowed else "error"), answer
            assert answer["channel"] == channel
            if channel not in allowed:
                assert answer["code"] == "forbidden"


async def test_a_refused_channel_tells_nothing_and_the_socket_lives(web: Web, token: Tokens, writer: Writer) -> None:
    """A viewer hears of no dead letter, and goes on hearing results."""
    txn = txn_id()
    async with connected(web, token("viewer")) as client, connected(web, token("operator")) as other:
        await client.subscribe("dead_letters")
        await client.subscribe("results")
        await other.subscribe("dead_letters")
        await writer.dead_letter(txn)
        letter = (await other.items("dead_letters", lambda item: item["detail"] == txn))[-1]
        assert (letter["reason"], letter["place"]["topic"]) == ("BAD_AVRO", "core_txns")
        await writer.results(result(txn))
        told = await client.hear("messages")
        while told["channel"] == "results" and txn not in {item["txn_id"] for item in told["items"]}:
            told = await client.hear("messages")
        assert told["channel"] == "results"
        assert "dead_letters" not in client.positions


async def test_account_numbers_are_masked_for_viewers_alone(web: Web, token: Tokens, writer: Writer) -> None:
    """In legs, evidence and sentences of a mismatch; not one character more than the last four arrives."""
    txn = txn_id()
    async with connected(web, token("viewer")) as viewer, connected(web, token("operator")) as operator:
        for client in (viewer, operator):
            await client.subscribe("mismatches")
            await client.subscribe("results")
        await writer.results(broken(txn))
        await writer.mismatches(broken(txn))
        heard = {}
        for role, client in (("viewer", viewer), ("operator", operator)):
            items = await client.items("mismatches", lambda item: item["txn_id"] == txn)
            heard[role] = next(item for item in items if item["txn_id"] == txn)
    assert heard["operator"]["legs"]["CORE"]["account"] == ACCOUNT
    assert ACCOUNT in heard["operator"]["explanation"][0]
    said = orjson.dumps(heard["viewer"]).decode()
    assert heard["viewer"]["legs"]["CORE"]["account"] == "••••2051"
    assert heard["viewer"]["breaks"][0]["expected"] == "••••2051"
    assert ACCOUNT[:-4] not in said
    assert ACCOUNT[-5:] not in said


async def test_filters_let_through_what_fits_and_nothing_else(web: Web, token: Tokens, writer: Writer) -> None:
    """By verdict, class, source and currency; several lists must all fit. What does not fit moves the position on."""
    fits, other, foreign = txn_id(), txn_id(), txn_id()
    wanted = {"verdict": ["BROKEN"], "class": ["ACCOUNT_MISMATCH"], "source": ["MOBILE"], "currency": ["EUR"]}
    async with connected(web, token("operator")) as client, connected(web, token("operator")) as everything:
        answer = await client.subscribe("results", filter=wanted)
        assert {name: values for name, values in answer["filter"].items() if values} == wanted
        await everything.subscribe("results")
        await writer.results(result(other), broken(foreign, currency="USD"), broken(fits))
        heard = await client.items("results", lambda item: item["txn_id"] == fits)
        assert {item["txn_id"] for item in heard} == {fits}
        assert heard[0] | {"classes": ["ACCOUNT_MISMATCH"], "subjects": ["MOBILE"], "severity": "CRITICAL"} == heard[0]
        seen: set[str] = set()
        while not {fits, other, foreign} <= seen:
            seen |= {item["txn_id"] for item in (await everything.hear("messages"))["items"]}
        # what the filter let through tells its own partition; silence brings the rest
        while client.positions["results"] != everything.positions["results"]:
            await client.hear("messages")


async def test_who_filters_mismatches_by_class_hears_that_a_break_was_closed(
    web: Web, token: Tokens, writer: Writer
) -> None:
    """A closed break no longer makes its transaction one of that class, and yet its subscribers must learn of it."""
    txn = txn_id()
    async with connected(web, token("operator")) as client:
        await client.subscribe("mismatches", filter={"class": ["ACCOUNT_MISMATCH"]})
        await writer.mismatches(broken(txn), result(txn, 2, breaks=[account_break("RESOLVED")]))
        heard = await client.items("mismatches", lambda item: item["revision"] == 2)
    assert [item["verdict"] for item in heard if item["txn_id"] == txn] == ["BROKEN", "MATCHED"]


async def test_subscribing_again_changes_the_filter_and_unsubscribing_ends(
    web: Web, token: Tokens, writer: Writer
) -> None:
    """One subscription a channel: the last filter counts from then on."""
    first, second, third = txn_id(), txn_id(), txn_id()
    async with connected(web, token("operator")) as client:
        await client.subscribe("results", filter={"verdict": ["VOID"]})
        await client.subscribe("results", filter={"verdict": ["MATCHED"]})
        await writer.results(result(first, verdict="VOID"), result(second))
        heard = await client.items("results", lambda item: item["txn_id"] == second)
        assert first not in {item["txn_id"] for item in heard}
        await client.say("unsubscribe", channel="results")
        await client.hear("unsubscribed")
        await client.subscribe("mismatches")
        await writer.results(result(third))
        await writer.mismatches(broken(third))
        told = await client.hear("messages")
        assert told["channel"] == "mismatches"


async def test_a_record_that_nobody_can_read_is_passed_over(web: Web, token: Tokens, writer: Writer) -> None:
    """It stops no feed and ends no socket, and positions go on behind it."""
    txn = txn_id()
    async with connected(web, token("viewer")) as client:
        await client.subscribe("results")
        for value in (b"", None, b"\x00\x00\x00\x00\x01garbage", b"no avro at all"):
            await writer.garbage(value)
        await writer.results(result(txn))
        heard = await client.items("results", lambda item: item["txn_id"] == txn)
        assert [item["txn_id"] for item in heard] == [txn]


async def test_each_second_is_told(web: Web, token: Tokens, writer: Writer) -> None:
    """Numbers by channel and by verdict, and that the feed is live."""
    counts: dict[str, int] = {}
    async with connected(web, token("viewer")) as client:
        await client.subscribe("stats")
        await client.subscribe("status")
        await client.hear("stats")
        await writer.results(result(txn_id()), broken(txn_id()), broken(txn_id()))
        while sum(counts.values()) < 3:
            told = await client.hear("stats")
            assert told["results"] == sum(told["verdicts"].values())
            assert (told["latency_ms"] is None) == (told["results"] == 0)
            for verdict, number in told["verdicts"].items():
                counts[verdict] = counts.get(verdict, 0) + number
        assert counts == {"MATCHED": 1, "BROKEN": 2}
        status = await client.hear("status")
        assert (status["live"], status["reason"]) == (True, None)
        assert status["sockets"] >= 1
    address, seen = f"{web.url}/status", {"Authorization": f"Bearer {token('viewer')}"}
    async with aiohttp.ClientSession() as session, asyncio.timeout(SECONDS):
        took = None
        while took is None:  # an answer is kept for some seconds
            await asyncio.sleep(0.2)
            async with session.get(address, headers=seen) as answer:
                took = (await answer.json())["latency_ms"]
        assert 0 <= took["p50"] <= took["p95"]


async def test_who_subscribes_over_and_over_does_not_fill_the_trail(web: Web, served: Settings, token: Tokens) -> None:
    """A channel is noted once a socket, however often it is left and joined."""
    mine = token("auditor")
    async with connected(web, mine) as client:
        for _ in range(10):
            await client.subscribe("status")
            await client.say("unsubscribe", channel="status")
        await client.subscribe("results")
        seen: list[str] = []
        while "results" not in seen:
            seen = [entry["object"] for entry in await subscriptions(served, mine)]
        assert seen == ["status", "results"]


async def test_the_audit_trail_knows_who_watched_what(web: Web, served: Settings, token: Tokens) -> None:
    """A subscription that was allowed and one that was refused, with person and address."""
    async with connected(web, token("viewer")) as client:
        await client.subscribe("mismatches")
        await client.subscribe("dead_letters")
        query = "SELECT actor, outcome, object FROM audit_logs WHERE action = 'live.subscribe' AND actor = 'viewer'"
        entries: set[tuple[object, ...]] = set()
        async with await psycopg.AsyncConnection.connect(served.database_web_url, autocommit=True) as connection:
            while not {("viewer", "ALLOWED", "mismatches"), ("viewer", "DENIED", "/ws")} <= entries:
                entries = set(await (await connection.execute(query)).fetchall())
        assert ("viewer", "ALLOWED", "dead_letters") not in entries
