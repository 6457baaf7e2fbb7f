"""The web role as a process, and people who talk to it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import jwt
import orjson
import psycopg
from pydantic import TypeAdapter

from recon_stream.security.realm import demo_users
from recon_stream.settings import Settings
from recon_stream.stack.ports import free_ports
from recon_stream.web.live.protocol import ServerMessage
from tests.secured.processes import role
from tests.security.logins import api_client

SECONDS = 60.0
"""For anything that is waited for, on a machine that does other work."""
MESSAGES: TypeAdapter[Any] = TypeAdapter(ServerMessage)


@dataclass(frozen=True)
class Web:
    """A process of the web role."""

    process: subprocess.Popen[bytes]
    port: int
    operations_port: int
    log: Path
    settings: Settings

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def metric(self, line: str) -> float:
        """A value of /metrics, by its name and labels as they stand there; 0 while it is not there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.operations_port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(each.rsplit(" ", 1)[1]) for each in lines if each.rsplit(" ", 1)[0] == line), 0.0)

    async def until(self, line: str, is_reached: Callable[[float], bool]) -> None:
        """Until a metric says so."""
        async with asyncio.timeout(SECONDS):
            while not is_reached(await asyncio.to_thread(self.metric, line)):  # noqa: ASYNC110 of another process
                await asyncio.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM, and how it ended."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def serving(settings: Settings, folder: Path, port: int = 0, **changed: object) -> Iterator[Web]:
    """Started and answering; killed on leaving."""
    web_port = port or free_ports(1)[0]
    wanted: dict[str, object] = {"RECON_WEB_PORT": web_port, "RECON_RATE_LIMIT_DEFAULT": 100_000, **changed}
    with role("web", settings, folder, **{name: str(value) for name, value in wanted.items()}) as process:
        web = Web(process.process, web_port, process.port, process.log, settings)
        until = time.monotonic() + SECONDS
        while not _answers(web.url):
            assert web.process.poll() is None, web.log.read_text()
            assert time.monotonic() < until, web.log.read_text()
            time.sleep(0.1)
        yield web


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
    except OSError:
        return False


def token_of(settings: Settings, name: str) -> str:
    """A fresh access token of a demo user, from Keycloak."""
    user = next(user for user in demo_users() if user.role == name)
    return str(api_client(settings).token(user.username, user.password)["access_token"])


async def subscriptions(settings: Settings, token: str) -> list[dict[str, Any]]:
    """What the audit trail has of them so far, of the log-in that a token is from."""
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    query = "SELECT to_jsonb(a) FROM audit_logs a WHERE action = 'live.subscribe' AND session = %s ORDER BY seq"
    async with await psycopg.AsyncConnection.connect(settings.database_web_url) as connection:
        return [row[0] for row in await (await connection.execute(query, [session])).fetchall()]


async def ticket_for(web: Web, token: str) -> str:
    """What POST /ws/ticket gives."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{web.url}/ws/ticket", headers={"Authorization": f"Bearer {token}"}) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["ticket"])


class Client:
    """One socket. Every message that it hears is held against the schema."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.positions: dict[str, dict[str, str]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.ws.close()

    async def say(self, kind: str, **parts: Any) -> None:
        """A message; `since` is sent as `from`."""
        if "since" in parts:
            parts["from"] = parts.pop("since")
        await self.ws.send_str(orjson.dumps({"type": kind} | parts).decode())

    async def hear(self, *kinds: str) -> dict[str, Any]:
        """The next message of these kinds; others are passed over."""
        async with asyncio.timeout(SECONDS):
            while True:
                message = await self.ws.receive()
                assert message.type is aiohttp.WSMsgType.TEXT, (message, self.ws.close_code)
                told = orjson.loads(message.data)
                held = MESSAGES.validate_python(told).model_dump(by_alias=True, mode="json")
                assert held == told, "the schema knows each part, and no other"
                if told.get("position") is not None:
                    known = {} if told["type"] in ("subscribed", "reload") else self.positions.get(told["channel"], {})
                    self.positions[told["channel"]] = known | told["position"]
                if told["type"] in kinds:
                    return told

    async def subscribe(self, channel: str, **parts: Any) -> dict[str, Any]:
        """Subscribe, and the answer."""
        await self.say("subscribe", channel=channel, **parts)
        return await self.hear("subscribed", "error")

    async def items(self, channel: str, until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Everything that is told of a channel up to an item."""
        heard: list[dict[str, Any]] = []
        while not (heard and any(map(until, heard))):
            told = await self.hear("messages")
            if told["channel"] == channel:
                heard += told["items"]
        return heard

    async def closed(self) -> int | None:
        """Read on until the socket ends; the code."""
        async with asyncio.timeout(SECONDS):
            while not self.ws.closed:
                await self.ws.receive()
        return self.ws.close_code


@asynccontextmanager
async def connected(web: Web, token: str, *, autoping: bool = True) -> AsyncIterator[Client]:
    """A socket for whoever the token names, which has said hello. `autoping`: whether the library deals with pings."""
    ticket = await ticket_for(web, token)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{web.url}/ws", params={"ticket": ticket}, max_msg_size=0, autoping=autoping) as ws,
    ):
        client = Client(ws)
        await client.hear("hello")
        yield client
