"""Raw Kafka records, and what the judge reads in each of them."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import fastavro

from .rules import ARGUABLE, EXPONENT, SOURCE_OF, Rules

DAY_MS = 86_400_000

UNREADABLE = "unreadable"
INVALID = "invalid"
FUTURE = "future"
KEYLESS = "keyless"
LATE = "late"

FAMILY_OF_REASON = {
    "NULL_VALUE": UNREADABLE,
    "BAD_MAGIC": UNREADABLE,
    "UNKNOWN_SCHEMA": UNREADABLE,
    "BAD_AVRO": UNREADABLE,
    "BAD_KEY": KEYLESS,
    "KEY_MISMATCH": INVALID,
    "WRONG_SOURCE": INVALID,
    "UNKNOWN_STATUS": INVALID,
    "UNKNOWN_CURRENCY": INVALID,
    "NEGATIVE_AMOUNT": INVALID,
    "EMPTY_FIELD": INVALID,
    "NEGATIVE_REVISION": INVALID,
    "FUTURE_DATED": FUTURE,
    "TOO_LATE": LATE,
}


class Record(NamedTuple):
    """A record as Kafka hands it out. `appended`: the timestamp is the broker's (LogAppendTime)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    appended: bool = False

    @property
    def at(self) -> tuple[str, int, int]:
        """The coordinates."""
        return (self.topic, self.partition, self.offset)


class Event(NamedTuple):
    """The twelve fields of TransactionEvent; two events have the same content when all of these are equal."""

    event_id: str
    txn_id: str
    source: str
    amount_minor: int
    currency: str
    direction: str
    status: str
    occurred_at: int
    account: str
    reference: str | None
    channel: str | None
    revision: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One record of a source topic as the judge reads it.

    `families` are the reasons for which it may stand among the dead letters (none: it may not). `case` is its key
    where there is one. `behind` says that it lies further behind its partition's watermark than closed cases are kept;
    `watermark_before` is that of its partition before it, None at the beginning.
    """

    record: Record
    source: str
    schema_id: int | None
    event: Event | None
    case: str | None
    families: frozenset[str]
    behind: bool
    watermark_before: int | None
    arguable: bool

    @property
    def moment(self) -> int:
        """min(occurred_at, Kafka timestamp): the event time of a decoded record."""
        assert self.event is not None
        return min(self.event.occurred_at, self.record.timestamp)

    @property
    def valid(self) -> bool:
        """Decoded, with a key, and nothing wrong with it."""
        return self.event is not None and self.case is not None and self.families.isdisjoint({INVALID, FUTURE})


def plain(schema: Any) -> Any:
    """The schema without logical types, so that instants stay integers."""
    if isinstance(schema, dict):
        return {k: plain(v) for k, v in schema.items() if k != "logicalType"}
    if isinstance(schema, list):
        return [plain(item) for item in schema]
    return schema


def parse_schemas(texts: Mapping[int, str]) -> dict[int, Any]:
    """Schemas by id, ready for fastavro, from their JSON texts."""
    return {schema_id: fastavro.parse_schema(plain(json.loads(text))) for schema_id, text in texts.items()}


def schema_id_of(value: bytes | None) -> int | None:
    """The schema id in the frame; None where there is no frame."""
    if value is None or len(value) < 5 or value[0] != 0:
        return None
    return int.from_bytes(value[1:5], "big")


def decode(value: bytes, schema: Any) -> dict[str, Any]:
    """The record after the frame. ValueError unless the value is exactly one record of that schema."""
    body = io.BytesIO(value[5:])
    try:
        decoded = fastavro.schemaless_reader(body, schema, None)
    except Exception as error:
        raise ValueError(f"does not decode: {error!r}") from error
    if body.tell() != len(value) - 5:
        raise ValueError("bytes after the record")
    if not isinstance(decoded, dict):
        raise ValueError("not a record")  # noqa: TRY004 - one error for everything that does not decode
    return decoded


def decode_registered(value: bytes | None, schemas: Mapping[int, Any]) -> dict[str, Any]:
    """The record in a framed value. ValueError unless it is one record of a registered schema."""
    schema_id = schema_id_of(value)
    if value is None or schema_id is None or schema_id not in schemas:
        raise ValueError("not in the wire format, or of an unknown schema")
    return decode(value, schemas[schema_id])


def read_event(value: bytes | None, schemas: Mapping[int, Any]) -> Event | None:
    """Unreadable is: null or empty, wrong magic byte, unknown schema id, Avro that does not decode to its last byte."""
    try:
        decoded = decode_registered(value, schemas)
    except ValueError:
        return None
    decoded = {"reference": None, "channel": None, "revision": 0, **decoded}
    if not all(name in decoded for name in Event._fields):
        return None  # a record of another type
    return Event(**{name: decoded[name] for name in Event._fields})


def read_key(key: bytes | None) -> str | None:
    """The transaction's id; None for a null, empty or non-UTF-8 key."""
    if not key:
        return None
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        return None


def faults(event: Event, case: str, source: str, rules: Rules) -> list[str]:
    """Invalid is, of a record that decodes: everything in this list."""
    found = []
    if event.txn_id != case:
        found.append("key and txn_id differ")
    if event.source != source:
        found.append("source is not that of the topic")
    if event.status not in rules.status_map[source]:
        found.append("status is not in the map")
    if event.currency not in EXPONENT and event.currency not in ARGUABLE:
        found.append("currency is not in ISO 4217")
    if event.amount_minor < 0:
        found.append("negative amount")
    if "" in (event.event_id, event.txn_id, event.account):
        found.append("empty event_id, txn_id or account")
    if event.revision < 0:
        found.append("negative revision")
    return found


def see(record: Record, schemas: Mapping[int, Any], rules: Rules, watermark: int | None) -> Seen:
    """What one record is; `watermark` is that of its partition before it."""
    source = SOURCE_OF[record.topic]
    event = read_event(record.value, schemas)
    case = read_key(record.key)
    families = set()
    behind = False
    if case is None:
        families.add(KEYLESS)
    if event is None:
        families.add(UNREADABLE)
    else:
        moment = min(event.occurred_at, record.timestamp)
        behind = watermark is not None and watermark - moment > rules.retention_ms
        if case is None and behind:
            families.add(LATE)
        if case is not None and faults(event, case, source, rules):
            families.add(INVALID)
        if case is not None and event.occurred_at > record.timestamp + DAY_MS:
            families.add(FUTURE)
    return Seen(
        record=record,
        source=source,
        schema_id=schema_id_of(record.value),
        event=event,
        case=case,
        families=frozenset(families),
        behind=behind,
        watermark_before=watermark,
        arguable=event is not None and event.currency in ARGUABLE,
    )


def see_all(records: Iterable[Record], schemas: Mapping[int, Any], rules: Rules) -> list[Seen]:
    """All records of the source topics, by topic, partition and offset.

    A partition's watermark is the highest event time of its decoded records, valid or not, and counts a record only
    after that record was applied.
    """
    partitions: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in records:
        partitions[record.topic, record.partition].append(record)
    result = []
    for _, in_partition in sorted(partitions.items()):
        watermark: int | None = None
        for record in sorted(in_partition, key=lambda r: r.offset):
            seen = see(record, schemas, rules, watermark)
            result.append(seen)
            if seen.event is not None:
                watermark = seen.moment if watermark is None else max(watermark, seen.moment)
    return result
