"""Dead letters by the API: found, shown without harm, replayed and discarded once."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from recon_stream.stack.ports import free_ports
from recon_stream.storage.dead_letters import dead_letter
from recon_stream.storage.pool import connection_pool
from recon_stream.storage.raw_events import raw_event
from recon_stream.storage.store import DeadLetterStore, RawEventStore
from tests.storage.events import NOON_MS, Batch, Record, encode_letter, letter
from tests.web.serving import TIMEOUT, Desk, serving

pytestmark = pytest.mark.stack

TOPIC = "core_txns"
HARM = b'\x00\xff<script>alert("\xe2\x80\xae")</script>\\x41\n\x1b[31m'


async def sent(settings: Settings, key: bytes | None, value: bytes, partition: int | None = None) -> tuple[int, int]:
    """A record in core_txns: (partition, offset)."""
    producer = AIOKafkaProducer(**settings.kafka_client())
    await producer.start()
    try:
        at = await producer.send_and_wait(TOPIC, value, key, partition)
        return at.partition, at.offset
    finally:
        await producer.stop()


async def record_at(settings: Settings, partition: int, offset: int) -> tuple[bytes | None, bytes | None]:
    """(key, value)."""
    consumer = AIOKafkaConsumer(**settings.kafka_client())
    await consumer.start()
    try:
        at = TopicPartition(TOPIC, partition)
        consumer.assign([at])
        consumer.seek(at, offset)
        found = await asyncio.wait_for(consumer.getone(), 30)
        return found.key, found.value
    finally:
        await consumer.stop()


async def end_of(settings: Settings) -> int:
    """Records in core_txns, of all partitions."""
    consumer = AIOKafkaConsumer(**settings.kafka_client())
    await consumer.start()
    try:
        partitions = [TopicPartition(TOPIC, number) for number in range(settings.partitions)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()


async def make_topic(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    await admin.start()
    try:
        if TOPIC not in await admin.list_topics():
            await admin.create_topics([NewTopic(TOPIC, settings.partitions, 1)])
    finally:
        await admin.close()


async def store(settings: Settings, *letters: dict[str, Any], archived: bool = True) -> None:
    """As the sink stores them."""
    async with connection_pool(settings.database_url, settings, "test", size=1) as pool:
        if archived:
            for each in letters:
                record = Record(each["offset"], each["value"], each["key"], each["timestamp"])
                batch = Batch(each["topic"], each["partition"], [record])
                await RawEventStore(pool).write([raw_event(*batch.tp, record, None)], [batch])
        records = [Record(offset, encode_letter(each)) for offset, each in enumerate(letters)]
        batch = Batch("recon_dead_letters", 0, records)
        rows = [dead_letter(*batch.tp, record, each) for record, each in zip(records, letters, strict=True)]
        await DeadLetterStore(pool).write(rows, [batch])


@pytest.fixture
def desk(database: Settings, identity: Settings, tmp_path: Path) -> Iterator[Desk]:
    with serving(database, identity, tmp_path) as one:
        yield one


@pytest.fixture
def refused(desk: Desk) -> str:
    """The id of a record that stands in core_txns, in the archive and among the dead letters."""
    asyncio.run(make_topic(desk.settings))
    partition, offset = asyncio.run(sent(desk.settings, b"T1", HARM))
    asyncio.run(store(desk.settings, letter(offset, partition=partition, key=b"T1", value=HARM)))
    return f"{TOPIC}:{partition}:{offset}"


def audited(settings: Settings, action: str) -> list[tuple[str, str, str, dict[str, Any]]]:
    """(actor, object, outcome, detail) of entries with that action, in order."""
    with psycopg.connect(settings.database_reader_url) as connection:
        query = "SELECT actor, object, outcome, detail FROM audit_logs WHERE action = %s ORDER BY seq"
        return connection.execute(query, [action]).fetchall()


def test_the_list_is_filtered_counted_and_paged_without_gap_or_repeat(desk: Desk) -> None:
    """Letters of the same instant among them; every letter once, whatever the size of the page."""
    letters = [
        letter(n, "BAD_AVRO" if n % 3 else "BAD_KEY", partition=n % 2, failed_at=NOON_MS + n // 4) for n in range(25)
    ]
    asyncio.run(store(desk.settings, *letters, archived=False))
    someone = desk.person(Role.AUDITOR)
    for sort in ("-failed_at", "failed_at"):
        found = someone.every("/dead-letters", limit=4, sort=sort)
        assert len({each["id"] for each in found}) == len(found) == 25
        times = [each["failed_at"] for each in found]
        assert times == sorted(times, reverse=sort == "-failed_at")
    assert len(someone.every("/dead-letters", reason="BAD_KEY")) == 9
    assert len(someone.every("/dead-letters", reason=["BAD_KEY", "BAD_AVRO"], limit=7)) == 25
    assert someone.every("/dead-letters", state="REPLAYED") == []
    discarded = found[0]["id"]
    operator = desk.person(Role.OPERATOR)
    assert operator.post(f"/dead-letters/{discarded}/discard", request_key="request-1").status_code == 200
    assert [each["id"] for each in someone.every("/dead-letters", state="DISCARDED")] == [discarded]
    assert len(someone.every("/dead-letters", state="OPEN")) == 24
    counts = {each.pop("reason"): each for each in someone.get("/dead-letters/reasons").json()["items"]}
    assert counts == {
        "BAD_AVRO": {"open": 16, "replayed": 0, "discarded": 0},
        "BAD_KEY": {"open": 8, "replayed": 0, "discarded": 1},
    }
    assert someone.get("/dead-letters", reasons="BAD_KEY").status_code == 400, "a mistyped filter shows nothing"


@pytest.mark.parametrize(
    "values",
    [
        [10**30, "t", 0, 0],
        [0, "t", 10**12, 0],
        [0, "t\0", 0, 0],
        [0, "t", 0],
        ["0", "t", 0, 0],
        [0, "t", 0, True],
        {},
        "x",
    ],
    ids=repr,
)
def test_a_cursor_that_was_made_up_is_refused(rest: Desk, values: Any) -> None:
    """400, whatever stands in it."""
    cursor = json.dumps(["-failed_at", *values] if isinstance(values, list) else values).encode()
    after = base64.urlsafe_b64encode(cursor).decode().rstrip("=")
    answer = rest.person(Role.OPERATOR).get("/dead-letters", after=after)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:recon:problem:invalid-request")


def test_bytes_are_shown_so_that_nothing_in_them_acts(desk: Desk, refused: str) -> None:
    """Hexadecimal and ASCII, bounded; no byte of the record comes as it is where it could act."""
    shown = desk.person(Role.OPERATOR).get(f"/dead-letters/{refused}").json()
    assert bytes.fromhex(shown["value"]["hex"]) == HARM
    assert shown["value"]["size"] == len(HARM)
    assert shown["value"]["is_cut"] is False
    expected = r'\x00\xff<script>alert("\xe2\x80\xae")</script>\\x41\x0a\x1b[31m'
    assert shown["value"]["text"] == expected
    assert shown["is_archived"] is True
    long = b"A" * 100_000
    asyncio.run(store(desk.settings, letter(10**12, partition=5, value=long)))
    cut = desk.person(Role.OPERATOR).get(f"/dead-letters/{TOPIC}:5:{10**12}").json()["value"]
    assert (len(cut["hex"]), len(cut["text"]), cut["size"], cut["is_cut"]) == (8192, 4096, 100_000, True)


@pytest.mark.parametrize("wrong", ["x", "core_txns:0", "core_txns:0:99999999999999999999", "core_txns:9:9", "%00:1:1"])
def test_a_letter_that_is_not_there_is_not_found(rest: Desk, wrong: str) -> None:
    """Whatever the path says."""
    operator = rest.person(Role.OPERATOR)
    assert operator.get(f"/dead-letters/{wrong}").status_code in (400, 404)
    assert operator.post(f"/dead-letters/{wrong}/replay", request_key="request-1").status_code in (400, 404)


def test_a_replay_sends_the_same_bytes_once_whoever_repeats_it(desk: Desk, refused: str) -> None:
    """A dry run sends nothing; the request made again sends nothing again; another request is refused, unless it insists."""
    operator, path = desk.person(Role.OPERATOR), f"/dead-letters/{refused}/replay"
    before = asyncio.run(end_of(desk.settings))
    dry = operator.post(path, request_key="request-1", dry_run=True)
    assert (dry.status_code, dry.json()["plan"], dry.json()["sent"]) == (200, "DO", None)
    assert asyncio.run(end_of(desk.settings)) == before
    first = operator.post(path, request_key="request-1", comment="the registry was away")
    assert (first.status_code, first.json()["plan"]) == (200, "DO")
    at = first.json()["sent"]
    assert asyncio.run(record_at(desk.settings, at["partition"], int(at["offset"]))) == (b"T1", HARM)
    again = operator.post(path, request_key="request-1")
    assert (again.status_code, again.json()["plan"], again.json()["sent"]) == (200, "DONE", at)
    other = operator.post(path, request_key="request-2")
    assert (other.status_code, other.json()["type"]) == (409, "urn:recon:problem:already")
    discard = operator.post(f"/dead-letters/{refused}/discard", request_key="request-1")
    assert (discard.status_code, discard.json()["type"]) == (409, "urn:recon:problem:key-taken")
    assert asyncio.run(end_of(desk.settings)) == before + 1
    assert operator.post(path, request_key="request-3", again=True).json()["plan"] == "DO"
    assert asyncio.run(end_of(desk.settings)) == before + 2
    shown = operator.get(f"/dead-letters/{refused}").json()
    assert shown["state"] == "REPLAYED"
    assert [(each["request_key"], each["actor"], each["comment"]) for each in shown["actions"]] == [
        ("request-1", "operator", "the registry was away"),
        ("request-3", "operator", None),
    ]


def test_what_was_done_stands_in_the_audit_trail(desk: Desk, refused: str) -> None:
    """Asked, refused and sent, with the place; the trail and the row are of one transaction."""
    operator = desk.person(Role.OPERATOR)
    operator.post(f"/dead-letters/{refused}/replay", request_key="request-1")
    operator.post(f"/dead-letters/{refused}/replay", request_key="request-2")
    asked = audited(desk.settings, "dead-letters.replay")
    assert [entry[:3] for entry in asked] == [("operator", refused, "ALLOWED"), ("operator", refused, "FAILED")]
    assert [entry[3]["plan"] for entry in asked] == ["DO", "ALREADY"]
    (entry,) = audited(desk.settings, "dead-letters.sent")
    assert entry[:3] == ("operator", refused, "ALLOWED")
    with psycopg.connect(desk.settings.database_reader_url) as connection:
        rows = connection.execute("SELECT sent_partition, sent_offset, xmin::text FROM dead_letter_actions").fetchall()
        (written,) = connection.execute(
            "SELECT xmin::text FROM audit_logs WHERE action = 'dead-letters.sent'"
        ).fetchall()
    assert rows == [(entry[3]["partition"], entry[3]["offset"], written[0])]


def test_what_was_discarded_stands_in_the_audit_trail(desk: Desk) -> None:
    """Who, which letter, by which request and how it ended; the trail and the row are of one transaction."""
    asyncio.run(store(desk.settings, letter(77), archived=False))
    operator, path, thing = desk.person(Role.OPERATOR), f"/dead-letters/{TOPIC}:0:77/discard", f"{TOPIC}:0:77"
    answers = [operator.post(path, request_key=key).status_code for key in ("request-1", "request-2")]
    assert answers == [200, 409]
    asked = audited(desk.settings, "dead-letters.discard")
    assert [entry[:3] for entry in asked] == [("operator", thing, "ALLOWED"), ("operator", thing, "FAILED")]
    told = [{name: entry[3][name] for name in ("request_key", "plan", "dry_run")} for entry in asked]
    assert told == [
        {"request_key": "request-1", "plan": "DO", "dry_run": False},
        {"request_key": "request-2", "plan": "ALREADY", "dry_run": False},
    ]
    with psycopg.connect(desk.settings.database_reader_url) as connection:
        rows = connection.execute("SELECT action, actor, xmin::text FROM dead_letter_actions").fetchall()
        query = "SELECT xmin::text FROM audit_logs WHERE action = 'dead-letters.discard' ORDER BY seq LIMIT 1"
        (written,) = connection.execute(query).fetchall()
    assert rows == [("DISCARD", "operator", written[0])]


BODIES = [
    ({"dry_run": "true"}, "dry_run"), ({"dry_run": 1}, "dry_run"), ({"dry_run": None}, "dry_run"), ({"again": "no"}, "again"),
    ({"again": 0}, "again"), ({"request_key": 12345678}, "request_key"), ({"request_key": None}, "request_key"),
    ({"request_key": ["request-1"]}, "request_key"), ({"comment": 1}, "comment"), ({"comment": ""}, "comment"), ({"wish": True}, "wish"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "name"), BODIES, ids=repr)
@pytest.mark.parametrize("action", ["replay", "discard"])
def test_a_part_of_another_type_is_refused(rest: Desk, action: str, part: dict[str, Any], name: str) -> None:
    """Nothing is guessed: a text is no boolean, a number no text, and what is not known is not passed over."""
    path, body = f"/dead-letters/{TOPIC}:0:1/{action}", {"request_key": "request-1", "dry_run": True}
    assert rest.person(Role.OPERATOR).post(path, **body).status_code == 200
    answer = rest.person(Role.OPERATOR).post(path, **body | part)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:recon:problem:invalid-request")
    assert {(each["place"], each["name"]) for each in answer.json()["errors"]} == {("body", name)}


@pytest.mark.parametrize("body", [[], "x", 1, None, [{"request_key": "request-1", "dry_run": True}]], ids=repr)
def test_a_body_that_is_no_object_is_refused(rest: Desk, body: Any) -> None:
    """Whatever else it is."""
    headers = rest.person(Role.OPERATOR).headers | {"Content-Type": "application/json"}
    path = f"{rest.base}/dead-letters/{TOPIC}:0:1/discard"
    answer = requests.post(path, data=json.dumps(body), headers=headers, timeout=TIMEOUT)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:recon:problem:invalid-request")


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 200), ('application/json; charset="UTF-8"', 200), ("application/json; charset=latin-1", 415),
        ("application/json; charset=utf-16", 415), ("text/plain", 415), ("", 415),
    ],
)  # fmt: skip
def test_a_body_is_json_in_utf_8(rest: Desk, media: str, status: int) -> None:
    """What another encoding, or another type, would make of the same bytes is nobody's wish."""
    headers = rest.person(Role.OPERATOR).headers | {"Content-Type": media}
    body = b'{"request_key": "request-1", "dry_run": true}'
    path = f"{rest.base}/dead-letters/{TOPIC}:0:1/discard"
    assert requests.post(path, data=body, headers=headers, timeout=TIMEOUT).status_code == status


def test_where_the_trail_cannot_be_written_nothing_is_done(desk: Desk, refused: str, settings: Settings) -> None:
    """The action is rolled back with the entry that failed."""
    owner = desk.settings.database_owner_url
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION append_audit(json) FROM recon_web")
    before = asyncio.run(end_of(desk.settings))
    answer = desk.person(Role.OPERATOR).post(f"/dead-letters/{refused}/replay", request_key="request-1")
    assert answer.status_code >= 500
    assert "append_audit" not in answer.text
    assert asyncio.run(end_of(desk.settings)) == before
    with psycopg.connect(desk.settings.database_reader_url) as connection:
        assert connection.execute("SELECT count(*) FROM dead_letter_actions").fetchone() == (0,)


def test_people_who_replay_at_once_send_it_once(desk: Desk, refused: str) -> None:
    """Eight requests under one name and eight under names of their own: one record."""
    operator, path = desk.person(Role.OPERATOR), f"/dead-letters/{refused}/replay"
    before = asyncio.run(end_of(desk.settings))

    async def all_at_once() -> list[int]:
        keys = ["the-same-1"] * 8 + [f"own-name-{number}" for number in range(8)]
        return await asyncio.gather(
            *[asyncio.to_thread(lambda key=key: operator.post(path, request_key=key).status_code) for key in keys]
        )

    statuses = asyncio.run(all_at_once())
    assert set(statuses) <= {200, 409, 429, 503}
    assert 200 in statuses
    assert asyncio.run(end_of(desk.settings)) == before + 1


def test_what_the_archive_does_not_hold_is_not_sent(desk: Desk) -> None:
    """A letter may hold a part of the bytes only: those are never sent in place of the record."""
    asyncio.run(store(desk.settings, letter(77), archived=False))
    operator, path = desk.person(Role.OPERATOR), f"/dead-letters/{TOPIC}:0:77"
    answer = operator.post(f"{path}/replay", request_key="request-1")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:recon:problem:nothing-to-send")
    assert operator.post(f"{path}/discard", request_key="request-2").status_code == 200
    assert operator.get(path).json()["state"] == "DISCARDED"


def test_while_kafka_is_away_the_outcome_stays_open_and_the_request_can_be_made_again(
    database: Settings, identity: Settings, tmp_path: Path
) -> None:
    """503, a row without an outcome; with Kafka back the same request sends it and another one is refused."""
    asyncio.run(make_topic(database))
    asyncio.run(store(database, letter(5)))
    (nobody,) = free_ports(1)
    path = f"/dead-letters/{TOPIC}:0:5/replay"
    away = replace(database, kafka_bootstrap_servers=f"127.0.0.1:{nobody}")
    (tmp_path / "away").mkdir()
    with serving(away, identity, tmp_path / "away") as desk:
        operator = desk.person(Role.OPERATOR)
        assert operator.post(path, request_key="request-1").status_code == 503
        assert operator.get(f"/dead-letters/{TOPIC}:0:5").json()["state"] == "OPEN"
        assert operator.post(path, request_key="request-2").status_code == 409
    with serving(database, identity, tmp_path) as desk:
        answer = desk.person(Role.OPERATOR).post(path, request_key="request-1")
        assert (answer.status_code, answer.json()["plan"]) == (200, "REPEAT")
        assert answer.json()["sent"] is not None
    assert [entry[2] for entry in audited(database, "dead-letters.sent")] == ["FAILED", "ALLOWED"]


@pytest.mark.parametrize(
    ("who", "read", "write"),
    [(Role.VIEWER, 403, 403), (Role.AUDITOR, 200, 403), (Role.ADMIN, 200, 200), (None, 401, 401)],
)
def test_who_may_read_and_who_may_act(desk: Desk, refused: str, who: Role | None, read: int, write: int) -> None:
    """Viewers see no letters; auditors read and change nothing."""
    someone = desk.person(who)
    for path in ("/dead-letters", "/dead-letters/reasons", f"/dead-letters/{refused}"):
        assert someone.get(path).status_code == read
    assert someone.post(f"/dead-letters/{refused}/discard", request_key="request-1").status_code == write
    replay = someone.post(f"/dead-letters/{refused}/replay", request_key="request-2", again=True)
    assert replay.status_code == write


def test_replays_are_limited_by_address(database: Settings, identity: Settings, tmp_path: Path) -> None:
    """Like every endpoint, each counted for itself; a dry run counts too."""
    asyncio.run(store(database, letter(5)))
    # a Valkey in which no other test has spent anything
    own = {
        "redis_url": database.redis_url.rsplit("/", 1)[0] + "/9",
        "rate_limits": "/dead-letters/{letter_id}/replay=3",
    }
    with serving(database, identity, tmp_path, **own) as desk:
        operator, path = desk.person(Role.OPERATOR), f"/dead-letters/{TOPIC}:0:5/replay"
        answers = [operator.post(path, request_key=f"request-{n}", dry_run=True) for n in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
