"""The same job as a loop over confluent-kafka (librdkafka), fastavro and rocksdict.

`python -m benchmarks.confluent_loop GROUP BROKER FOLDER RESULTS MISMATCHES RESULT_SCHEMA EVENT_SCHEMA...`

What one writes who wants neither a framework nor a JVM. It is given less to do than the product: no deadlines (so no missing legs
and no grace for a status), no duplicate filter, no corrections, tolerances or dead letters, no rebuilding of its state from the
changelog, and the one schema of each topic that it is told at its start. What it publishes of legs and breaks is the same, to
the id and the severity; the benchmark compares it.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.resources import files
from io import BytesIO
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaException, Message, Producer
from rocksdict import Options, Rdict, WriteBatch

from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.domain.ids import identity
from recon_stream.domain.money import exponent

BATCH = 10_000
"""Records of one turn."""
WAIT_SECONDS = 0.05
FLUSH_SECONDS = 60.0
FRAME_BYTES = 5
CONSUMER = {"auto.offset.reset": "earliest", "enable.auto.commit": False}
PRODUCER = {
    "acks": "all",
    "enable.idempotence": True,
    "batch.size": 900_000,
    # a report of each record that went well would cost more than to send it
    "delivery.report.only.error": True,
}

Record = dict[str, Any]

WINDOW_MS = 30_000
RULES_VERSION = "2026-11"
RAISED_FROM_MAJOR = (10_000, 100_000)
SEVERITIES = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
BASE = {
    "CURRENCY_MISMATCH": 3, "DIRECTION_MISMATCH": 3, "ACCOUNT_MISMATCH": 3, "AMOUNT_MISMATCH": 2, "REFERENCE_MISMATCH": 1,
    "TIMESTAMP_MISMATCH": 0, "TERMINAL_CONFLICT": 3, "ONE_SIDED_REVERSAL": 2, "LAGGING": 1,
}  # fmt: skip
STATUS_MAP = {
    "PENDING": "PENDING", "POSTED": "SUCCESS", "REJECTED": "FAILED", "REVERSED": "REVERSED",
    "AUTHORIZED": "PENDING", "CAPTURED": "SUCCESS", "DECLINED": "FAILED", "REFUNDED": "REVERSED",
    "PROCESSING": "PENDING", "SUCCESS": "SUCCESS", "FAILED": "FAILED",
}  # fmt: skip
PLACES = {"CORE": 0, "GATEWAY": 1, "MOBILE": 2}


def agree(legs: Sequence[Record]) -> bool:
    """The common case, found without looking at each condition."""
    first = legs[0]
    low = high = first["occurred_at"]
    for leg in legs[1:]:
        if (
            leg["amount_minor"] != first["amount_minor"]
            or leg["currency"] != first["currency"]
            or leg["direction"] != first["direction"]
            or leg["canonical_status"] != first["canonical_status"]
            or leg["account"] != first["account"]
            or leg["reference"] != first["reference"]
        ):
            return False
        low, high = min(low, leg["occurred_at"]), max(high, leg["occurred_at"])
    return bool(high - low <= WINDOW_MS)


def differences(txn_id: str, legs: Sequence[Record]) -> list[Record]:
    """The breaks that are open between these legs, in order of precedence."""
    if len(legs) < 2 or agree(legs):
        return []
    found: list[Record] = []

    def add(
        kind: str, subtype: str, field: str, odd: int | None, delta: int | None = None, majority: bool = True
    ) -> None:
        words = [leg[field] for leg in legs]
        expected = None if odd is None or not majority else str(words[1 if odd == 0 else 0])
        listed = ";".join(f"{leg['source']}={word}" for leg, word in zip(legs, words, strict=True) if word is not None)
        found.append(
            {
                "break_id": identity(txn_id, kind, ""),
                "class": kind,
                "subtype": subtype,
                "subject": "ALL" if odd is None else legs[odd]["source"],
                "field": field,
                "expected": expected,
                "actual": listed if odd is None or expected is None else str(words[odd]),
                "delta_minor": delta,
                "severity": severity(kind, subtype, delta, legs[0]),
                "state": "OPEN",
                "resolution": None,
            }
        )

    for kind, field in (
        ("CURRENCY_MISMATCH", "currency"),
        ("DIRECTION_MISMATCH", "direction"),
        ("ACCOUNT_MISMATCH", "account"),
    ):
        words = [leg[field] for leg in legs]
        if len(set(words)) > 1:
            add(kind, "", field, odd_one(words))
    amounts = [leg["amount_minor"] for leg in legs]
    # amounts of different currencies are not comparable
    if len(set(amounts)) > 1 and len({leg["currency"] for leg in legs}) == 1:
        odd = outlier(amounts, 0)
        delta = max(amounts) - min(amounts) if odd is None else amounts[odd] - amounts[1 if odd == 0 else 0]
        add("AMOUNT_MISMATCH", "", "amount_minor", odd, delta)
    statuses = [leg["canonical_status"] for leg in legs]
    if len(set(statuses)) > 1:
        odd = odd_one(statuses)
        if "FAILED" in statuses and {"SUCCESS", "REVERSED"} & set(statuses):
            add("STATUS_MISMATCH", "TERMINAL_CONFLICT", "status", odd)
        elif "PENDING" in statuses:
            lagging = statuses.index("PENDING") if statuses.count("PENDING") == 1 else None
            add("STATUS_MISMATCH", "LAGGING", "status", lagging, majority=odd == lagging)
        else:
            add("STATUS_MISMATCH", "ONE_SIDED_REVERSAL", "status", odd)
    references = [leg["reference"] for leg in legs]
    if len({word for word in references if word is not None}) > 1:
        add("REFERENCE_MISMATCH", "", "reference", None if None in references else odd_one(references))
    times = [leg["occurred_at"] for leg in legs]
    if max(times) - min(times) > WINDOW_MS:
        add("TIMESTAMP_MISMATCH", "", "occurred_at", outlier(times, WINDOW_MS))
    return found


def odd_one(values: Sequence[Any]) -> int | None:
    """With three values of which exactly two are equal, the place of the other."""
    if len(values) != 3 or len(set(values)) != 2:
        return None
    return next(place for place, value in enumerate(values) if values.count(value) == 1)


def outlier(numbers: Sequence[int], span: int) -> int | None:
    """With three numbers, the place of the only one without which the others keep within the span."""
    if len(numbers) != 3:
        return None
    a, b, c = numbers
    outside = [place for place, rest in enumerate((abs(b - c), abs(a - c), abs(a - b))) if rest <= span]
    return outside[0] if len(outside) == 1 else None


def severity(kind: str, subtype: str, delta: int | None, first: Record) -> str:
    """By the class and by the money at stake."""
    exposure = first["amount_minor"] if delta is None else abs(delta)
    major = 10 ** exponent(first["currency"])
    level = BASE[subtype or kind] + sum(exposure >= limit * major for limit in RAISED_FROM_MAJOR)
    return SEVERITIES[min(level, 1 if kind == "TIMESTAMP_MISMATCH" else 3)]


def result_of(txn_id: str, revision: int, legs: list[Record], breaks: list[Record], decided_at: int) -> Record:
    """A ReconciliationResult."""
    complete = len(legs) == len(PLACES) and legs[0]["canonical_status"] != "PENDING"
    return {
        "result_id": identity(txn_id, revision),
        "txn_id": txn_id,
        "revision": revision,
        "verdict": "BROKEN" if breaks else "MATCHED" if complete else "PENDING",
        "primary_class": breaks[0]["class"] if breaks else None,
        "breaks": breaks,
        "legs": legs,
        "amount_minor": legs[0]["amount_minor"],
        "currency": legs[0]["currency"],
        "rules_version": RULES_VERSION,
        "decided_at": decided_at,
    }


def schema_of(name: str) -> Any:
    """`schemas/<name>.avsc` with plain longs for times: nobody needs a datetime per event."""
    return json.loads(
        files("schemas").joinpath(f"{name}.avsc").read_text(),
        object_hook=lambda node: {key: value for key, value in node.items() if key != "logicalType"},
    )


def writer(schema: Any, head: bytes = b"") -> Callable[[Record], bytes]:
    """A function from a record to its Avro bytes behind the head."""
    parsed = fastavro.parse_schema(schema)

    def write(record: Record) -> bytes:
        out = BytesIO(head)
        out.seek(len(head))
        fastavro.schemaless_writer(out, parsed, record)
        return out.getvalue()

    return write


def reader(schema: Any, skipped: int = 0) -> Callable[[bytes], Record]:
    """A function from Avro bytes, behind so many others, to the record."""
    parsed = fastavro.parse_schema(schema)

    def read(value: bytes) -> Record:
        source = BytesIO(value)
        source.seek(skipped)
        return fastavro.schemaless_reader(source, parsed, None)  # type: ignore[return-value]

    return read


class Loop:
    """Consumer, producer, state; one turn after the other until it is stopped."""

    def __init__(self, arguments: Sequence[str]) -> None:
        group, broker, folder, self.results, self.mismatches, result_schema, *event_schemas = arguments
        self.changelog = f"{group}-transactions-changelog"
        self.consumer = Consumer({"bootstrap.servers": broker, "group.id": group, **CONSUMER})
        self.producer = Producer({"bootstrap.servers": broker, **PRODUCER})
        self.state = Rdict(folder, Options(raw_mode=True))
        self.stopped = False
        self.failed: str | None = None
        self.heads = {b"\x00" + int(schema_id).to_bytes(4): int(schema_id) for schema_id in event_schemas}
        schema = schema_of("reconciliation_result")
        legs = next(field for field in schema["fields"] if field["name"] == "legs")
        row = {"type": "record", "name": "Row", "fields": [{"name": "revision", "type": "int"}, legs]}
        self.read_event = reader(schema_of("transaction_event"), FRAME_BYTES)
        self.read_row, self.write_row = reader(row), writer(row)
        self.write_result = writer(schema, b"\x00" + int(result_schema).to_bytes(4))

    def run(self) -> None:
        """Until `stop`. Raises KafkaException where Kafka refuses something."""
        self.consumer.subscribe(list(SOURCE_TOPICS))
        while not self.stopped:
            messages = self.consumer.consume(BATCH, WAIT_SECONDS)
            if messages:
                self.turn(messages)
        self.consumer.close()
        self.state.close()

    def turn(self, messages: list[Message]) -> None:
        """Decide on a batch; changelog and results acknowledged, then the state, then the offsets."""
        keys = list({message.key() for message in messages})
        stored = zip(keys, self.state.get(keys), strict=True)
        rows = {key: {"revision": 0, "legs": []} if row is None else self.read_row(row) for key, row in stored}
        changed: dict[bytes, int] = {}
        results: list[Record] = []
        mismatches: list[Record] = []
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            key = message.key()
            row, leg = rows[key], self.leg(message)
            if any(each["source"] == leg["source"] for each in row["legs"]):
                continue  # read again, or another event of the source
            self.take(key, row, leg, message, results, mismatches)
            changed[key] = message.partition()
        written = WriteBatch(raw_mode=True)
        changes = []
        for key, partition in changed.items():
            value = self.write_row(rows[key])
            written.put(key, value)
            changes.append({"key": key, "value": value, "partition": partition})
        self.publish({self.changelog: changes, self.results: results, self.mismatches: mismatches})
        self.state.write(written)
        self.consumer.commit(asynchronous=False)

    def leg(self, message: Message) -> Record:
        """What the event says, and where."""
        value = message.value()
        event = self.read_event(value)
        return {
            "source": event["source"],
            "event_id": event["event_id"],
            "revision": event["revision"],
            "amount_minor": event["amount_minor"],
            "currency": event["currency"],
            "direction": event["direction"],
            "status": event["status"],
            "canonical_status": STATUS_MAP[event["status"]],
            "occurred_at": event["occurred_at"],
            "account": event["account"],
            # an empty one is none
            "reference": event["reference"] or None,
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "schema_id": self.heads[value[:FRAME_BYTES]],
        }

    def take(
        self, key: bytes, row: Record, leg: Record, message: Message, results: list[Record], mismatches: list[Record]
    ) -> None:
        """Add a leg to its transaction, and what is then to be published."""
        txn_id, legs = key.decode(), row["legs"]
        before = differences(txn_id, legs)
        legs.append(leg)
        if len(legs) < 2:
            return
        legs.sort(key=lambda each: PLACES[each["source"]])
        row["revision"] += 1
        breaks = differences(txn_id, legs)
        value = self.write_result(result_of(txn_id, row["revision"], legs, breaks, message.timestamp()[1]))
        published = {"key": key, "value": value, "partition": message.partition()}
        results.append(published)
        if breaks != before:
            mismatches.append(published.copy())

    def publish(self, batches: dict[str, list[Record]]) -> None:
        """Send to several topics and wait for all acknowledgements."""
        for topic, batch in batches.items():
            self.producer.produce_batch(topic, batch, on_delivery=self.report)
        left = self.producer.flush(FLUSH_SECONDS)
        if left or self.failed:
            raise SystemExit(f"{left} records are not acknowledged: {self.failed}")

    def report(self, error: object, _: Message) -> None:
        """Called for a record that could not be delivered."""
        self.failed = str(error)

    def stop(self, *_: object) -> None:
        """End after this turn."""
        self.stopped = True


if __name__ == "__main__":
    loop = Loop(sys.argv[1:])
    signal.signal(signal.SIGTERM, loop.stop)
    loop.run()
