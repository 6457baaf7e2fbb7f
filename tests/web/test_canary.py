"""An account number on its way through the whole system: those who may see it do, and it is left nowhere else.

Worker, sink and web as processes on the real services; it comes in events that match, differ, conflict, are doubled or cannot be read.
"""

from __future__ import annotations

import asyncio
import re
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
import requests

from recon_stream.redis.client import connect
from recon_stream.registration import register_schemas
from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from recon_stream.topics import create_topics
from tests.conftest import own_database
from tests.hard_cases.feeding import CORE, GATEWAY, MOBILE, Feeder, now_ms
from tests.secured.processes import SECONDS, role
from tests.web.live.serving import Web, serving, ticket_for, token_of
from tests.web.test_permission_matrix import BY_LOGOUT_TOKEN, PATHS, TABLE

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

_UNIQUE = time.time_ns() % 10**18
CANARY, OTHER = f"DE{_UNIQUE:018d}1234", f"FR{_UNIQUE:018d}9876"
SHOWN = 4
"""Characters at the end that everybody may see."""
NEEDLES = (CANARY[:-SHOWN], OTHER[:-SHOWN])
TXN = f"CANARY-{_UNIQUE}"


@dataclass(frozen=True)
class System:
    """What runs, where each process writes its log and tells how it is."""

    web: Web
    logs: list[Path]
    operations: list[int]

    @property
    def settings(self) -> Settings:
        """With the database of this test."""
        return self.web.settings


@pytest.fixture(scope="module")
def system(identity: Settings, database_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """All roles, and tables of their own."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("worker", "sink", "web")}
    with own_database(replace(identity, app_id=f"canary-{_UNIQUE}"), database_template) as settings:
        asyncio.run(create_topics(settings))
        asyncio.run(register_schemas(settings))
        with (
            serving(settings, folders["web"], RECON_RATE_LIMITS="") as web,
            role("worker", settings, folders["worker"], RECON_LOG_LEVEL="DEBUG") as worker,
            role("sink", settings, folders["sink"], RECON_LOG_LEVEL="DEBUG") as sink,
        ):
            services = [*(identity.state_dir / "logs").glob("*.log")]
            assert services, "the services of the stack write logs"
            logs = [web.log, worker.log, sink.log, *services]
            yield System(web, logs, [web.operations_port, worker.port, sink.port])


class Listening:
    """Everything that one person is told over a socket."""

    def __init__(self) -> None:
        self.frames: list[str] = []

    async def until(self, number: int, *texts: str) -> None:
        """So many frames have them all."""
        async with asyncio.timeout(SECONDS):
            while sum(all(text in frame for text in texts) for frame in self.frames) < number:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@asynccontextmanager
async def listening(web: Web, token: str) -> AsyncIterator[Listening]:
    """Subscribed to every channel; those that the person may not hear are refused."""
    heard = Listening()

    async def read(ws: aiohttp.ClientWebSocketResponse) -> None:
        async for message in ws:
            heard.frames.append(message.data)

    params = {"ticket": await ticket_for(web, token)}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{web.url}/ws", params=params) as ws:
        reader = asyncio.create_task(read(ws))
        for channel in ("results", "mismatches", "dead_letters", "stats", "status"):
            await ws.send_json({"type": "subscribe", "channel": channel})
        await heard.until(4, '"subscribed"')
        yield heard
        reader.cancel()


async def feed(settings: Settings) -> None:
    """The number in every kind of record; the transaction itself ends with an account that differs."""
    at = now_ms()
    async with Feeder(settings) as feeder:
        for source in (CORE, GATEWAY):
            await feeder.send(source, TXN, at, account=CANARY)
        await feeder.send(MOBILE, TXN, at, account=OTHER)
        await feeder.send(CORE, TXN, at, account=CANARY)  # doubled
        await feeder.send(CORE, TXN, at, account=OTHER)  # the same event with other content
        await feeder.send_value(CORE, TXN.encode(), b"\x00\x00" + CANARY.encode())  # no Avro
        await feeder.send_value(CORE, TXN.encode(), feeder.value(CORE, TXN, at, account=CANARY)[:-2])  # cut off
        await feeder.send(CORE, f"{TXN}-refused", at, account=CANARY, amount_minor=-1)
        await feeder.send_value(
            MOBILE, f"{TXN}-2".encode(), feeder.value(MOBILE, TXN, at, account=CANARY)
        )  # another's key


def get(system: System, path: str, token: str, **query: Any) -> requests.Response:
    """What the person is answered."""
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{system.web.url}{path}", params=query, headers=headers, timeout=60)


def told(answer: requests.Response) -> str:
    """All of an answer."""
    return f"{answer.status_code} {answer.headers} {answer.text}"


async def items_of(
    system: System, path: str, token: str, number: int, about: str = "", **query: Any
) -> list[dict[str, Any]]:
    """Those of a list that have the text, once there are so many: other tests write to the same topics."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await asyncio.to_thread(get, system, path, token, **query)
            assert answer.status_code == 200, answer.text
            items: list[dict[str, Any]] = [item for item in answer.json()["items"] if about in str(item)]
            if len(items) >= number:
                return items
            await asyncio.sleep(0.2)


def found_in(text: str) -> list[str]:
    """Where the number stands in it, with what is around."""
    return [text[max(0, at.start() - 80) : at.end() + 20] for at in re.finditer("|".join(NEEDLES), text)]


async def test_an_account_number_stays_with_those_who_may_see_it(system: System) -> None:
    """Viewers learn its end by no answer and no frame; logs, metrics, the audit trail and Valkey have no trace of it."""
    viewer, operator, admin = (token_of(system.settings, who) for who in (Role.VIEWER, Role.OPERATOR, Role.ADMIN))
    begun = datetime.now(UTC).isoformat()
    async with listening(system.web, viewer) as masked, listening(system.web, operator) as full:
        await feed(system.settings)
        await masked.until(1, TXN, f"••••{CANARY[-SHOWN:]}", f"••••{OTHER[-SHOWN:]}")
        await full.until(1, TXN, CANARY, OTHER)
    query = {"account": CANARY, "class": "ACCOUNT_MISMATCH"}
    (row,) = await items_of(system, "/mismatches", operator, 1, **query)
    letters = await items_of(system, "/dead-letters", operator, 3, about=TXN, since=begun, limit=100)
    assert CANARY in str(letters)
    mine = [one["id"] for one in letters]

    # the number is there, and who may see it does; the archive follows the verdicts at its own pace
    async with asyncio.timeout(SECONDS):
        while (await asyncio.to_thread(get, system, f"/transactions/{TXN}/records", operator)).status_code == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    seen = [await asyncio.to_thread(get, system, f"/{path}", operator) for path in (
        f"transactions/{TXN}", f"mismatches/{row['break_id']}", f"transactions/{TXN}/records",
    )]  # fmt: skip
    assert [CANARY in answer.text for answer in seen] == [True, True, True]
    for path in ("/transactions", "/mismatches/facets", "/mismatches/export", "/transactions/export"):
        for query in ({"account": CANARY}, {"text": CANARY}):
            assert (await asyncio.to_thread(get, system, path, operator, **query)).status_code == 200
    # an address that is too long to be read has it, too
    refused = await asyncio.to_thread(get, system, "/mismatches", operator, account=CANARY, text="x" * (16 << 10))
    assert refused.status_code == 400
    for letter in mine:
        assert (await asyncio.to_thread(get, system, f"/dead-letters/{letter}", operator)).status_code == 200

    # nobody else does, whatever is asked
    assert not found_in("".join(masked.frames)), "frames"
    things = PATHS | {"txn_id": TXN, "break_id": row["break_id"], "letter_id": mine[0]}
    for operation, allowed in TABLE.items():
        method, path = operation.split(" ")
        if method != "GET" or allowed == BY_LOGOUT_TOKEN:
            continue
        address = re.sub(r"{(\w+)}", lambda part: things[part[1]], path)
        answer = await asyncio.to_thread(get, system, address, viewer)
        assert not found_in(told(answer)), operation
        if "/mismatches" in path or "/transactions" in path:
            for query in ({"account": CANARY}, {"text": CANARY}, {"text": TXN}, {"currency": CANARY}):
                assert not found_in(told(await asyncio.to_thread(get, system, address, viewer, **query))), operation

    # and it is left nowhere
    for port in system.operations:
        for path in ("/metrics", "/readyz", "/livez"):
            assert not found_in(await asyncio.to_thread(operations, port, path)), (port, path)
    entries = await items_of(system, "/audit", admin, 20, limit=100)
    async with await psycopg.AsyncConnection.connect(system.settings.database_reader_url) as connection:
        rows = await (await connection.execute("SELECT to_jsonb(a)::text FROM audit_logs a")).fetchall()
    assert len(rows) >= len(entries)
    assert not found_in("\n".join(text for (text,) in rows)), "the audit trail"
    assert not found_in(await kept_in_redis(system.settings)), "Valkey"
    for log in system.logs:
        assert not found_in(log.read_text(errors="replace")), log.name


def operations(port: int, path: str) -> str:
    """What a process says of itself."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


async def kept_in_redis(settings: Settings) -> str:
    """Every key with what it holds."""
    kept = []
    async with connect(settings, 2) as redis:
        async for key in redis.scan_iter(count=1000):
            match await redis.type(key):
                case b"string":
                    value: Any = await redis.get(key)
                case b"hash":
                    value = await redis.hgetall(key)
                case b"zset":
                    value = await redis.zrange(key, 0, -1)
                case b"none":  # its time was over
                    continue
                case kind:
                    raise AssertionError(f"nobody knows what {key} of the kind {kind} holds")
            kept.append(f"{key} {value}")
    assert kept, "the duplicate filter, the limiter and the cache are at work"
    return "\n".join(kept)
