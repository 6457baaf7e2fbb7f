"""Clients that are slow, broken or mean harm cost themselves, and nobody else."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from recon_stream.settings import Settings
from recon_stream.web.answering import SAID_BYTES_MAX
from recon_stream.web.live import socket as live_socket
from tests.web.live.conftest import Tokens
from tests.web.live.serving import SECONDS, Client, Web, connected, serving, ticket_for
from tests.web.live.writing import Writer, result, txn_id

pytestmark = pytest.mark.stack

NOT_UNDERSTOOD = [
    "", "hello", "[]", "3", "null", '"subscribe"', "{", "{}", "[" * 8000 + "]" * 8000, '{"a":' * 2500 + "1" + "}" * 2500,
    '{"type":"shout"}', '{"type":7}', '{"type":"subscribe"}', '{"type":"subscribe","channel":"audit"}',
    '{"type":"subscribe","channel":"results","wish":1}', '{"type":"subscribe","channel":"results","filter":{"verdict":["SO"]}}',
    '{"type":"subscribe","channel":"results","filter":{"txn":["T"]}}', '{"type":"subscribe","channel":"results","from":{"0":7}}',
    '{"type":"subscribe","channel":"results","from":{"x":"7"}}', '{"type":"subscribe","channel":"results","from":{"0":"-2"}}',
    '{"type":"subscribe","channel":"results","from":{"0":"9999999999999999999"}}', '{"type":"subscribe","channel":"stats","from":{"0":"1"}}',
    '{"type":"subscribe","channel":"stats","filter":{"currency":["EUR"]}}', '{"type":"subscribe","channel":"results","filter":{"currency":["euro"]}}',
    '{"type":"subscribe","channel":"results","from":{"0":"\U00011F50"}}', '{"type":"subscribe","channel":"results","from":{"\u0660":"7"}}',
    '{"type":"unsubscribe","channel":"all"}', '{"type":"renew"}', '{"type":"renew","token":""}', '{"type":"subscribe","channel":"\\ud800"}',
]  # fmt: skip


async def ensure_serving(web: Web, token: str, writer: Writer) -> None:
    """A new client still hears what is new."""
    txn = txn_id()
    async with connected(web, token) as client:
        await client.subscribe("results")
        await writer.results(result(txn))
        assert await client.items("results", lambda item: item["txn_id"] == txn)


async def test_what_is_not_understood_is_answered_and_the_socket_lives(web: Web, token: Tokens, writer: Writer) -> None:
    """One error for each, in order, and a subscription works afterwards."""
    async with connected(web, token("viewer")) as client:
        for text in NOT_UNDERSTOOD:
            await client.ws.send_str(text)
            answer = await client.hear("error", "subscribed", "unsubscribed", "renewed")
            assert (answer["type"], answer["code"]) == ("error", "invalid"), text[:80]
            assert len(answer["detail"]) < 400
        assert (await client.subscribe("results"))["type"] == "subscribed"


@pytest.mark.parametrize(
    ("kind", "code"), [("binary", 1003), ("huge", 1009), ("many", 1008), ("no text", 1007), ("reserved", 1002)]
)
async def test_a_socket_that_breaks_the_rules_is_closed(
    web: Web, token: Tokens, writer: Writer, kind: str, code: int
) -> None:
    """With the code that says why, while others go on."""
    async with connected(web, token("viewer")) as other, connected(web, token("operator")) as client:
        await other.subscribe("results")
        await client.subscribe("results")
        if kind == "binary":
            await client.ws.send_bytes(b"\x00\x01")
        elif kind == "huge":
            await client.ws.send_str("x" * (1 << 20))
        elif kind == "many":
            with suppress(ConnectionError):
                for _ in range(1000):
                    await client.say("subscribe", channel="results")
        else:
            client.ws._writer.transport.write(
                b"\x81\x82\x00\x00\x00\x00\xff\xfe" if kind == "no text" else b"\xf1\x80\x00\x00\x00\x00"
            )
        assert await client.closed() == code
        txn = txn_id()
        await writer.results(result(txn))
        assert await other.items("results", lambda item: item["txn_id"] == txn)


async def test_pings_are_answered_and_counted(web: Web, token: Tokens) -> None:
    """A client may ask whether we are there, but not without end: pings and pongs are messages like others."""
    for kind in (aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG):
        async with connected(web, token("viewer"), autoping=False) as client:
            await client.ws.ping(b"there?")
            answer = await client.ws.receive()
            while answer.type is aiohttp.WSMsgType.TEXT:
                answer = await client.ws.receive()
            assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"there?")
            with suppress(ConnectionError):
                for _ in range(live_socket.MESSAGES_MAX):
                    await client.ws.send_frame(b"", kind)
            assert await client.closed() == 1008


async def test_parts_of_a_message_are_not_taken_without_end(web: Web, token: Tokens, writer: Writer) -> None:
    """Frames that never become a message: the connection is cut before they have cost much."""
    async with connected(web, token("viewer")) as client:
        transport = client.ws._writer.transport
        transport.write(b"\x01\x80\x00\x00\x00\x00")
        with suppress(ConnectionError):
            for _ in range(2 * SAID_BYTES_MAX // 6_000):
                transport.write(b"\x00\x80\x00\x00\x00\x00" * 1000)
        assert await client.closed() == 1006
    await ensure_serving(web, token("viewer"), writer)


async def test_a_slow_client_is_closed_while_others_go_on(web: Web, token: Tokens, writer: Writer) -> None:
    """Who does not read is closed with 4008 once too much waits; others have each record meanwhile; it comes back and resumes."""
    ticket = await ticket_for(web, token("viewer"))
    slow = await unread(web, ticket, '{"type":"subscribe","channel":"results"}')
    txns: list[str] = []
    heard: list[str] = []
    async with connected(web, token("viewer")) as other:
        await other.subscribe("results")
        while not await asyncio.to_thread(web.metric, 'recon_live_closed_total{code="4008"}'):
            part = [txn_id() for _ in range(2000)]
            await writer.results(*(result(txn, rules_version="r" * 900) for txn in part))
            txns += part
            while len(heard) < len(txns):
                heard += [item["txn_id"] for item in (await other.hear("messages"))["items"]]
            assert len(txns) < 100_000, "nobody was found slow"
        assert sorted(heard) == sorted(txns)
    slow.close()
    await ensure_serving(web, token("viewer"), writer)


async def unread(web: Web, ticket: str, text: str) -> socket.socket:
    """A socket whose client says one thing and never reads again; its own buffer is small."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", web.port))
    key = base64.b64encode(os.urandom(16)).decode()
    head = f"GET /ws?ticket={ticket} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    raw.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    assert b" 101 " in raw.recv(1024)
    raw.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode())
    return raw


async def test_clients_that_vanish_leave_nothing(web: Web, token: Tokens, writer: Writer) -> None:
    """Connections that are cut without a word are forgotten."""
    async with asyncio.timeout(SECONDS):
        await web.until("recon_live_sockets", lambda open_: open_ == 0)
        clients = []
        async with aiohttp.ClientSession() as session:
            for _ in range(5):
                params = {"ticket": await ticket_for(web, token("viewer"))}
                clients.append(Client(await session.ws_connect(f"{web.url}/ws", params=params)))
                await clients[-1].subscribe("results")
            assert await asyncio.to_thread(web.metric, "recon_live_sockets") == 5
            for client in clients:
                client.ws._writer.transport.abort()
            await web.until("recon_live_sockets", lambda open_: open_ == 0)
    await ensure_serving(web, token("viewer"), writer)
    assert "Traceback" not in web.log.read_text()


async def test_a_client_that_answers_no_ping_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is switched off closes nothing: silence is asked about, soon enough for what lies between, and then it ends."""
    assert 5 <= live_socket.HEARTBEAT_SECONDS <= 30
    monkeypatch.setattr(live_socket, "HEARTBEAT_SECONDS", 0.2)
    ended = asyncio.Event()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        ws = live_socket.response()
        await ws.prepare(request)
        try:
            await ws.receive()
        finally:
            ended.set()
        return ws

    application = web.Application()
    application.router.add_get("/ws", serve)
    async with TestServer(application) as server, asyncio.timeout(SECONDS):
        assert server.port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"\x89\x00", "a ping"
        assert await reader.read() == b"", "the connection is cut"
        await ended.wait()
        writer.close()
        await writer.wait_closed()


async def test_kafka_that_is_away_at_the_start_is_told(served: Settings, token: Tokens, tmp_path: Path) -> None:
    """Sockets open all the same: status says why nothing comes, and a subscription is told to try again."""
    with serving(served, tmp_path, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1") as web:
        async with connected(web, token("viewer")) as client:
            assert (await client.subscribe("results"))["code"] == "unavailable"
            await client.subscribe("status")
            status = await client.hear("status")
            while status["reason"] == "starting":
                status = await client.hear("status")
            assert status["live"] is False
            assert status["reason"] == "Kafka does not answer", "viewers are not told where it is"
