"""Events are read with the schemas that the real registry knows, whatever version wrote them; the rest is refused, with its reason."""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

import fastavro
import pytest

from recon_stream.avro import Schema, SchemaRegistry, frame, parsed_schema, schema_text
from recon_stream.codec import compile_writer
from recon_stream.domain.event import Direction, Event, Source
from recon_stream.domain.validation import Reason
from recon_stream.pipeline import reading
from recon_stream.pipeline.decoding import VALUE_BYTES_MAX, Unreadable
from recon_stream.pipeline.reading import EventReader
from recon_stream.settings import Settings
from tests.reading.registry_path import RegistryPath, registry_path

FIELDS = {
    "event_id": "E1", "txn_id": "T-€-1", "source": "GATEWAY", "amount_minor": 12_345, "currency": "EUR",
    "direction": "CREDIT", "status": "CAPTURED", "occurred_at": 1_790_000_000_000, "account": "DE02", "reference": "R",
    "channel": None, "revision": 2,
}  # fmt: skip
NOBODY_KNOWS = 2_000_000_000


@pytest.fixture
async def path(stack: Settings) -> AsyncIterator[RegistryPath]:
    """The way to the registry."""
    async with registry_path(stack.schema_registry_url) as one:
        yield one


@pytest.fixture
async def registry(stack: Settings, path: RegistryPath) -> AsyncIterator[SchemaRegistry]:
    """The registry by that way."""
    async with SchemaRegistry(replace(stack, schema_registry_url=path.url)) as one:
        yield one


@pytest.fixture
def reader(registry: SchemaRegistry, monkeypatch: pytest.MonkeyPatch) -> EventReader:
    """A reader that knows nothing yet and is quick to ask again."""
    monkeypatch.setattr(reading, "UNKNOWN_PAUSE_SECONDS", 0.05)
    return EventReader(registry)


def contract() -> Schema:
    """Our schema, free to be changed."""
    schema = json.loads(schema_text("transaction_event"))
    assert isinstance(schema, dict)
    return schema


async def registered(registry: SchemaRegistry, schema: Schema) -> int:
    """The id under which the registry knows a schema from now on."""
    subject = f"reading-{uuid.uuid4().hex}-value"
    status, body = await registry._call("POST", f"/subjects/{subject}/versions", {"schema": json.dumps(schema)})
    assert status == 200, body
    return int(body["id"])


def written(schema: Schema, schema_id: int, fields: dict[str, Any]) -> bytes:
    """A framed value as a producer of that version writes it."""
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(schema)), fields)
    return frame(schema_id) + out.getvalue()


def ours(fields: dict[str, Any]) -> tuple[Event, bytes]:
    """The event, and its record in our own form."""
    event = Event(**fields | {"source": Source[fields["source"]], "direction": Direction[fields["direction"]]})
    return event, compile_writer(parsed_schema("transaction_event"))(*event.fields())


def reason(reader: EventReader, value: bytes | None) -> Reason:
    """Why the value cannot be read."""
    with pytest.raises(Unreadable) as refused:
        reader.read(value)
    assert 0 < len(refused.value.detail) <= 200
    return refused.value.reason


async def test_an_event_of_our_own_schema_is_read_and_kept_as_it_was_written(
    registry: SchemaRegistry, reader: EventReader, path: RegistryPath
) -> None:
    """The payload is the record's own bytes; the registry is asked once, however many records come."""
    schema_id = await registered(registry, contract())
    value = written(contract(), schema_id, FIELDS)
    for _ in range(3):
        await reader.prepare([value, value, None, b""])
        assert reader.read(value) == ours(FIELDS)
    assert reader.read(value)[1] == value[5:]
    assert path.times(schema_id) == 1


def with_note(schema: Schema) -> dict[str, Any]:
    """A newer version: one more optional field, in the middle."""
    schema["fields"].insert(3, {"name": "note", "type": ["null", "string"], "default": None})
    return FIELDS | {"note": "for nobody here"}


def without_later_fields(schema: Schema) -> dict[str, Any]:
    """An older version: before reference, channel and revision; their defaults stand in."""
    schema["fields"] = schema["fields"][:9]
    return FIELDS | {"reference": None, "channel": None, "revision": 0}


def in_other_order(schema: Schema) -> dict[str, Any]:
    """The same fields the other way round."""
    schema["fields"].reverse()
    return FIELDS


def with_a_smaller_amount(schema: Schema) -> dict[str, Any]:
    """An int where we have a long: Avro promotes it."""
    next(field for field in schema["fields"] if field["name"] == "amount_minor")["type"] = "int"
    return FIELDS


def with_symbols_in_other_order(schema: Schema) -> dict[str, Any]:
    """The sources in another order: a symbol is its name, not its number."""
    next(field for field in schema["fields"] if field["name"] == "source")["type"]["symbols"].reverse()
    return FIELDS


def with_mandatory_reference(schema: Schema) -> dict[str, Any]:
    """A plain string where we have an optional one."""
    next(field for field in schema["fields"] if field["name"] == "reference").update(type="string", default="")
    return FIELDS


@pytest.mark.parametrize(
    "change",
    [with_note, without_later_fields, in_other_order, with_a_smaller_amount, with_symbols_in_other_order, with_mandatory_reference],
)  # fmt: skip
async def test_a_compatible_version_gives_the_same_event_in_our_own_form(
    registry: SchemaRegistry, reader: EventReader, change: Callable[[Schema], dict[str, Any]]
) -> None:
    """The state and the digests of the duplicate filter know one form: that of our own schema."""
    schema = contract()
    fields = change(schema)
    schema_id = await registered(registry, schema)
    value = written(schema, schema_id, fields)
    await reader.prepare([value])
    expected = {name: fields[name] for name in FIELDS}
    assert reader.read(value) == ours(expected)
    assert reason(reader, value + b"\x00") is Reason.BAD_AVRO
    assert reason(reader, value[:-1]) is Reason.BAD_AVRO


async def test_docs_and_logical_types_do_not_make_another_schema(registry: SchemaRegistry, reader: EventReader) -> None:
    """A contract that only says more about itself is read as our own: the bytes stay what they are."""
    schema = contract() | {"doc": "another sentence"}
    schema["fields"][7] = {"name": "occurred_at", "type": "long", "doc": "epoch milliseconds"}
    schema_id = await registered(registry, schema)
    value = written(schema, schema_id, FIELDS)
    await reader.prepare([value])
    assert reader.read(value) == (ours(FIELDS)[0], value[5:])


async def test_a_symbol_that_we_do_not_know_is_refused(registry: SchemaRegistry, reader: EventReader) -> None:
    """A fourth source needs a new contract; its records are dead letters, those of the other three are not."""
    schema = contract()
    schema["fields"][2]["type"]["symbols"].append("BRANCH")
    schema_id = await registered(registry, schema)
    values = [written(schema, schema_id, FIELDS | {"source": source}) for source in ("BRANCH", "MOBILE")]
    await reader.prepare(values)
    assert reason(reader, values[0]) is Reason.BAD_AVRO
    assert reader.read(values[1])[0].source == Source.MOBILE


async def test_a_schema_of_something_else_is_refused(registry: SchemaRegistry, reader: EventReader) -> None:
    """A record that lacks what an event must have, and one that is no record at all."""
    other = {"type": "record", "name": "Other", "fields": [{"name": "event_id", "type": "string"}]}
    for schema, content in ((other, {"event_id": "E"}), ({"type": "string"}, "E")):
        schema_id = await registered(registry, schema)
        value = written(schema, schema_id, content)  # type: ignore[arg-type]
        await reader.prepare([value])
        assert reason(reader, value) is Reason.BAD_AVRO


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("JSON", '{"type": "object", "properties": {"event_id": {"type": "string"}}}'),
        ("PROTOBUF", 'syntax = "proto3"; message Event { string event_id = 1; }'),
    ],
)
async def test_a_schema_of_another_kind_is_refused(
    registry: SchemaRegistry, reader: EventReader, kind: str, text: str
) -> None:
    """The registry also knows schemas that are not Avro; records that name one are dead letters, the reader goes on."""
    subject = f"reading-{uuid.uuid4().hex}-value"
    status, body = await registry._call("POST", f"/subjects/{subject}/versions", {"schema": text, "schemaType": kind})
    assert status == 200, body
    value = frame(int(body["id"])) + b"x"
    await reader.prepare([value])
    assert reason(reader, value) is Reason.BAD_AVRO


async def test_a_schema_that_is_none_is_refused() -> None:
    """A registry that answers with something that fastavro cannot parse: the records are at fault, the reader goes on."""
    read = reading.reader_for({"type": "record", "name": "R", "fields": [{"type": "string"}]})
    with pytest.raises(Unreadable, match="is not one"):
        read(b"\x00\x00\x00\x00\x01E")


async def test_an_unknown_schema_is_asked_for_three_times_and_then_once_a_unit(
    reader: EventReader, path: RegistryPath, caplog: pytest.LogCaptureFixture
) -> None:
    """A producer may be a moment ahead of the registry; after that its records are dead letters, at one question a unit."""
    value = frame(NOBODY_KNOWS) + b"x"
    await reader.prepare([value, value])
    assert path.times(NOBODY_KNOWS) == 3
    assert reason(reader, value) is Reason.UNKNOWN_SCHEMA
    for times in (4, 5):
        await reader.prepare([value, value])
        assert path.times(NOBODY_KNOWS) == times
    assert caplog.text.count(f"does not know schema {NOBODY_KNOWS}") == 1


async def test_random_bytes_do_not_become_as_many_questions(reader: EventReader, path: RegistryPath) -> None:
    """What is known as unknown is asked for again, but of many such schemas only some by each unit."""
    strangers = [frame(NOBODY_KNOWS + n) + b"x" for n in range(50)]
    await reader.prepare(strangers)
    assert path.asked.total() == 150
    await reader.prepare(strangers)
    assert path.asked.total() == 150 + reading.UNKNOWN_AGAIN_MAX


async def test_lanes_that_meet_the_same_unknown_schema_ask_once(reader: EventReader, path: RegistryPath) -> None:
    """Six partitions at once are one question, and one that is given up does not end it for the others."""
    value = frame(NOBODY_KNOWS) + b"x"
    lanes = [asyncio.create_task(reader.prepare([value])) for _ in range(6)]
    await path.asked_often(1)
    lanes[0].cancel()
    await asyncio.wait(lanes)
    assert lanes[0].cancelled()
    assert not any(lane.exception() for lane in lanes[1:])
    assert path.times(NOBODY_KNOWS) == 3


async def test_other_partitions_do_not_wait_for_an_unknown_schema(registry: SchemaRegistry, path: RegistryPath) -> None:
    """The lane that met it first waits ten seconds; lanes without it read on, also schemas that are new to them."""
    reader = EventReader(registry)
    schema_id = await registered(registry, contract())
    value = written(contract(), schema_id, FIELDS)
    waiting = asyncio.create_task(reader.prepare([frame(NOBODY_KNOWS) + b"x"]))
    await path.asked_often(1)
    began = asyncio.get_running_loop().time()
    for _ in range(100):
        await reader.prepare([value])
        assert reader.read(value) == ours(FIELDS)
    assert asyncio.get_running_loop().time() - began < reading.UNKNOWN_PAUSE_SECONDS
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


def test_the_three_tries_go_over_ten_seconds() -> None:
    """What the design says; the tests above shorten the pause."""
    assert (reading.UNKNOWN_TRIES - 1) * reading.UNKNOWN_PAUSE_SECONDS == 10


async def test_a_schema_that_turns_up_late_is_used_from_its_registration_on(
    registry: SchemaRegistry, reader: EventReader
) -> None:
    """The very next unit reads its records, also right after the three tries."""
    schema = contract() | {"doc": uuid.uuid4().hex}  # the registry gives the same schema the same id
    next_id = await registered(registry, contract() | {"doc": uuid.uuid4().hex}) + 1
    value = written(schema, next_id, FIELDS)
    await reader.prepare([value])
    assert reason(reader, value) is Reason.UNKNOWN_SCHEMA
    assert await registered(registry, schema) == next_id
    await reader.prepare([value])
    assert reader.read(value) == ours(FIELDS)


@pytest.mark.parametrize("failing", [500, 503, 429, 0, 400, 401, 403, 404])
async def test_a_registry_that_is_away_is_waited_for(
    registry: SchemaRegistry, path: RegistryPath, failing: int, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of the registry, or of what stands in front of it, is never taken for an unknown schema, however often it
    comes: nothing is a dead letter, the watchdog knows why the work waits, and what waiting will not cure is an error."""
    pauses: list[str] = []

    @contextmanager
    def pause(why: str) -> Iterator[None]:
        pauses.append(why)
        yield
        pauses.append("over")

    reader = EventReader(registry, pause=pause)
    schema_id = await registered(registry, contract())
    value = written(contract(), schema_id, FIELDS)
    path.failing = failing
    waiting = asyncio.create_task(reader.prepare([value]))
    await path.asked_often(3)
    assert not waiting.done()
    path.failing = None
    await asyncio.wait_for(waiting, 30)
    assert reader.read(value) == ours(FIELDS)
    said = [record for record in caplog.records if record.getMessage().startswith(f"waiting for schema {schema_id}: ")]
    assert len(said) >= (2 if failing else 1)  # a connection that is cut is tried again by the client itself
    assert {record.levelname for record in said} == {"ERROR" if 400 <= failing < 429 else "WARNING"}
    assert [why.split(":")[0] for why in pauses] == [f"waiting for schema {schema_id}", "over"] * len(said)
    if failing in (401, 403):
        assert "RECON_SCHEMA_REGISTRY_USERNAME" in said[0].getMessage()


async def test_an_id_that_no_registry_gives_is_not_asked_for(reader: EventReader, path: RegistryPath) -> None:
    """Ids are positive 32-bit integers: four bytes of poison must not meet a registry that answers 400 for them."""
    value = frame(2**31) + b"x"
    await reader.prepare([value])
    assert reason(reader, value) is Reason.UNKNOWN_SCHEMA
    assert not path.asked


async def test_a_stop_ends_the_waiting(registry: SchemaRegistry, path: RegistryPath) -> None:
    """A process that is told to stop does not wait for a registry that is away."""
    path.failing = 503
    reader = EventReader(registry, stopping=lambda: True)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(reader.prepare([frame(1) + b"x"]), 5)
    assert path.times(1) == 1


async def test_one_unknown_schema_does_not_keep_the_others_waiting_in_line(
    registry: SchemaRegistry, reader: EventReader, path: RegistryPath
) -> None:
    """Schemas of one batch are asked for side by side."""
    schema_id = await registered(registry, contract())
    value = written(contract(), schema_id, FIELDS)
    strangers = [frame(NOBODY_KNOWS + n) + b"x" for n in range(10)]
    began = asyncio.get_running_loop().time()
    await reader.prepare([*strangers, value])
    assert asyncio.get_running_loop().time() - began < 10 * 2 * 0.05 + 2
    assert reader.read(value) == ours(FIELDS)
    assert [path.times(NOBODY_KNOWS + n) for n in range(10)] == [3] * 10


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Reason.NULL_VALUE),
        (b"", Reason.NULL_VALUE),
        (b"\x00", Reason.BAD_MAGIC),
        (b"\x00\x00\x00\x00\x01", Reason.BAD_MAGIC),
        (b"\x01\x00\x00\x00\x01x", Reason.BAD_MAGIC),
        (b'{"json": true}', Reason.BAD_MAGIC),
        (bytes(VALUE_BYTES_MAX + 1), Reason.TOO_LARGE),
    ],
)
async def test_poison_is_refused_without_asking_the_registry(
    reader: EventReader, path: RegistryPath, value: bytes | None, expected: Reason
) -> None:
    """No frame, no question."""
    if expected is not Reason.TOO_LARGE:
        await reader.prepare([value])
    assert reason(reader, value) is expected
    assert not path.asked


async def test_random_bytes_behind_a_good_frame_are_bad_avro(registry: SchemaRegistry, reader: EventReader) -> None:
    """Compiled and resolving readers alike refuse what does not decode to its last byte; none of them falls over."""
    newer = contract()
    fields = with_note(newer)
    for schema, content in ((contract(), FIELDS), (newer, fields)):
        schema_id = await registered(registry, schema)
        good = written(schema, schema_id, content)
        await reader.prepare([good])
        poison = [b"\xff" * 40, b"\x00" * 3, b"\x80" * 20, good[5:] * 2, good[6:], b"\x01" + good[5:]]
        assert [reason(reader, good[:5] + one) for one in poison] == [Reason.BAD_AVRO] * len(poison)
        assert reader.read(good) == ours(FIELDS)


async def test_a_value_as_large_as_allowed_is_read(registry: SchemaRegistry, reader: EventReader) -> None:
    """The bound is on the value; one byte more is too large, whatever it holds."""
    schema_id = await registered(registry, contract())
    room = VALUE_BYTES_MAX - len(written(contract(), schema_id, FIELDS | {"account": "x" * 30_000})) + 30_000
    value = written(contract(), schema_id, FIELDS | {"account": "x" * room})
    assert len(value) == VALUE_BYTES_MAX
    await reader.prepare([value])
    assert len(reader.read(value)[0].account) == room
    assert reason(reader, written(contract(), schema_id, FIELDS | {"account": "x" * (room + 1)})) is Reason.TOO_LARGE
