"""Replays that Kafka, PostgreSQL, the client or the end of the process interrupts: no copy comes later, and the trail knows."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.produce import ProduceRequest
from psycopg_pool import PoolTimeout

from recon_stream.errors import TransientFailure
from recon_stream.security.audit import Entry, Outcome
from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from recon_stream.storage import dead_letter_actions, reading
from recon_stream.storage.dead_letter_actions import Action, Letter, Plan, Request
from recon_stream.storage.queries import QUERIES
from recon_stream.storage.reading import Order
from recon_stream.web import replaying
from recon_stream.web.problems import Problem
from recon_stream.web.replaying import UNDER_WAY_MAX
from recon_stream.web.services import Services, services_of
from tests.conftest import superuser
from tests.secured.processes import SECONDS
from tests.storage.events import letter
from tests.storage.test_audit_trail import entry
from tests.web.serving import serving
from tests.web.test_dead_letters import audited, store

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

SENT = "dead-letters.sent"
REQUEST = Request(Action.REPLAY, "request-1", "operator")


async def with_admin(settings: Settings, work: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> None:
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    await admin.start()
    try:
        await work(admin)
    finally:
        await admin.close()


class Broker:
    """How the connection of a producer stands: with `lost` each attempt to send fails, with `stuck` it does not return."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch, self._send = monkeypatch, AIOKafkaClient.send
        self.asked = asyncio.Event()
        self._back = asyncio.Event()

    def away(self, how: str) -> None:
        async def send(client: AIOKafkaClient, node: int, request: Any, **options: Any) -> Any:
            if isinstance(request, ProduceRequest) and not self._back.is_set():
                self.asked.set()
                if how == "lost":
                    raise NodeNotReadyError(node)
                await self._back.wait()
            return await self._send(client, node, request, **options)

        self._patch.setattr(AIOKafkaClient, "send", send)

    def back(self) -> None:
        self._back.set()


@pytest.fixture
async def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    return Broker(monkeypatch)


async def end_of(settings: Settings, topic: str) -> int:
    """Records in its only partition."""
    consumer = AIOKafkaConsumer(**settings.kafka_client())
    await consumer.start()
    try:
        return sum((await consumer.end_offsets([TopicPartition(topic, 0)])).values())
    finally:
        await consumer.stop()


@pytest.fixture
async def refused(database: Settings) -> Letter:
    """A letter about a record of a topic of its own, whose bytes the archive holds."""
    topic = f"refused-{uuid.uuid4().hex[:8]}"
    await with_admin(database, lambda admin: admin.create_topics([NewTopic(topic, 1, 1)]))
    await store(database, letter(5, topic=topic))
    return Letter(topic, 0, 5)


@pytest.fixture
async def services(database: Settings) -> AsyncIterator[Services]:
    async with services_of(database) as opened:
        yield opened


def done(settings: Settings) -> list[bool]:
    """Of each action, in order, whether its outcome is known."""
    with psycopg.connect(settings.database_reader_url) as connection:
        rows = connection.execute("SELECT done_at IS NOT NULL FROM dead_letter_actions ORDER BY action_id").fetchall()
    return [is_done for (is_done,) in rows]


def said(outcome: Outcome) -> Entry:
    return entry(0, action=SENT, outcome=outcome)


async def entered(services: Services, found: Letter) -> None:
    async with services.pool.connection() as connection:
        await dead_letter_actions.enter(connection, found, REQUEST)


async def sending(services: Services, found: Letter, at: Callable[[], object] = lambda: None) -> None:
    """A replay as the endpoint makes it; `at` is called when Kafka has the record and the database does not know."""

    def sent(_partition: int, _offset: int) -> Entry:
        at()
        return said(Outcome.ALLOWED)

    await services.replayer.carried(lambda: services.replayer.send(found, REQUEST, sent, said(Outcome.FAILED)))


@pytest.mark.parametrize("how", ["lost", "stuck"])
async def test_what_was_not_acknowledged_is_not_sent_later(
    services: Services, refused: Letter, broker: Broker, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Made again when Kafka takes records once more, it is sent once; whatever the first had left would be before it."""
    monkeypatch.setattr(replaying, "SEND_SECONDS", 3.0)
    broker.away(how)
    await entered(services, refused)
    with pytest.raises(TransientFailure):
        await sending(services, refused)
    assert broker.asked.is_set()
    broker.back()
    await sending(services, refused)
    assert await end_of(services.settings, refused.topic) == 1
    assert [each[2] for each in audited(services.settings, SENT)] == ["FAILED", "ALLOWED"]


def test_a_client_that_goes_away_leaves_no_replay_half_done(
    database: Settings, identity: Settings, tmp_path: Path, refused: Letter
) -> None:
    """Its connection is closed while PostgreSQL waits for a lock: the record is sent, and the trail and the row say so."""
    with serving(database, identity, tmp_path) as desk:
        body = orjson.dumps({"request_key": "request-1"}).decode()
        head = (
            f"POST /dead-letters/{refused.topic}:0:5/replay HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: {desk.person(Role.OPERATOR).authorization}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with psycopg.connect(database.database_owner_url) as holder:
            holder.execute("LOCK TABLE dead_letter_actions IN ACCESS EXCLUSIVE MODE")
            with socket.create_connection(("127.0.0.1", desk.settings.web_port)) as client:
                client.sendall((head + body).encode())
                _until(lambda: _waits(database))
            # so long a request that ends with its client has to be seen as such
            time.sleep(1)
        _until(lambda: audited(database, SENT) != [])
    assert [each[2] for each in audited(database, SENT)] == ["ALLOWED"]
    assert (done(database), asyncio.run(end_of(database, refused.topic))) == ([True], 1)


def _waits(settings: Settings) -> bool:
    """Whether the API waits for a lock."""
    name = psycopg.conninfo.conninfo_to_dict(settings.database_web_url)["dbname"]
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename = 'recon_web' AND wait_event_type = 'Lock'"
    with superuser(settings) as connection:
        return connection.execute(query, [name]).fetchone() != (0,)


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_a_replay_goes_on_where_its_request_is_cancelled(services: Services, refused: Letter) -> None:
    """Between the acknowledgement and the commit: row and entry are written."""
    await entered(services, refused)
    request = asyncio.create_task(sending(services, refused, lambda: request.cancel()))
    with pytest.raises(asyncio.CancelledError):
        await request
    await asyncio.to_thread(_until, lambda: done(services.settings) == [True])
    assert [each[2] for each in audited(services.settings, SENT)] == ["ALLOWED"]


async def test_what_the_database_does_not_take_after_the_send_is_told_to_the_trail(
    services: Services, refused: Letter
) -> None:
    """Its connections end when Kafka has the record: FAILED, and the same request may be made again."""
    await entered(services, refused)

    def end_connections() -> None:
        with superuser(services.settings) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = 'recon_web'",
                [psycopg.conninfo.conninfo_to_dict(services.settings.database_web_url)["dbname"]],
            )

    with pytest.raises(psycopg.OperationalError):
        await sending(services, refused, end_connections)
    await asyncio.to_thread(_until, lambda: audited(services.settings, SENT) != [])
    assert [each[2] for each in audited(services.settings, SENT)] == ["FAILED"]
    await sending(services, refused)
    assert done(services.settings) == [True]


@pytest.mark.parametrize("how", ["lost", "stuck"])
async def test_the_process_ends_while_kafka_takes_nothing(
    database: Settings, refused: Letter, broker: Broker, how: str
) -> None:
    """A replay under way is broken off within a bound; then the queue of the trail is written, and that entry with it."""
    broker.away(how)
    async with asyncio.timeout(SECONDS):
        async with services_of(database) as services:
            await entered(services, refused)
            replay = asyncio.create_task(sending(services, refused))
            await broker.asked.wait()
            services.audit.note(entry(1, action="read"))
        with pytest.raises(asyncio.CancelledError):
            await replay
    broker.back()
    assert [each[2] for each in audited(database, SENT)] == ["FAILED"]
    assert len(audited(database, "read")) == 1
    assert (done(database), await end_of(database, refused.topic)) == ([False], 0)


@pytest.mark.parametrize("action", Action)
async def test_who_asks_while_another_decides_waits_and_is_told(
    services: Services, refused: Letter, action: Action
) -> None:
    """Under a name of its own, for the same letter: not before the first has said what it does, so that it is done once."""
    second = Request(action, "request-2", "operator")

    async def admitted() -> Plan:
        async with services.pool.connection() as connection:
            found = await dead_letter_actions.enter(connection, refused, second)
            assert found is not None
            return found[1]

    async with services.pool.connection() as connection:
        found = await dead_letter_actions.enter(connection, refused, Request(Action.DISCARD, "request-1", "admin"))
        assert found is not None
        assert found[1] is Plan.DO
        waiting = asyncio.create_task(admitted())
        await asyncio.to_thread(_until, lambda: waiting.done() or _waits(services.settings))
        assert not waiting.done(), "it has not seen what the first does"
    assert await asyncio.wait_for(waiting, SECONDS) is Plan.ALREADY
    assert done(services.settings) == [True]


async def test_only_a_few_replays_are_under_way_at_once(services: Services) -> None:
    """Also those whose clients have gone away count, until they end."""
    gate = asyncio.Event()
    slow = [asyncio.create_task(services.replayer.carried(gate.wait)) for _ in range(UNDER_WAY_MAX)]
    await asyncio.sleep(0)
    slow[0].cancel()
    with pytest.raises(Problem) as told:
        # one that is let in would wait for the gate as the others do
        await asyncio.wait_for(services.replayer.carried(gate.wait), 1)
    assert (told.value.status, told.value.code) == (HTTPStatus.TOO_MANY_REQUESTS, "too-many-replays")
    assert int(told.value.headers["Retry-After"]) >= 1
    gate.set()
    assert await slow[1]
    await asyncio.sleep(0)
    assert await services.replayer.carried(gate.wait)


async def test_reads_that_take_all_connections_leave_the_trail_its_own(services: Services) -> None:
    """What was done can be written down while every other connection is in use, and those are within the limit."""
    async with AsyncExitStack() as stack:
        for _ in range(services.settings.database_pool_max - 1):
            await stack.enter_async_context(services.pool.connection())
        with pytest.raises(PoolTimeout):
            await services.pool.getconn(timeout=0.1)
        await services.audit.record(said(Outcome.ALLOWED))


async def test_a_read_is_ended_sooner_than_an_export(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody waits for the one; the other reads a whole list."""
    shown = "SELECT current_setting('statement_timeout') AS ended"
    monkeypatch.setitem(QUERIES, "limits", f"{shown} WHERE {{after}} ORDER BY {{order}}")
    order = Order((), (), "true", "1")
    assert await reading.listing(services.pool, "limits", order, {}, None, 1) == [{"ended": "5s"}]
    async with aclosing(reading.every(services.pool, "limits", order, {}, 1)) as batches:
        assert await anext(batches) == [{"ended": "30s"}]
    assert await reading.listing(services.pool, "limits", order, {}, None, 1) == [{"ended": "5s"}]
