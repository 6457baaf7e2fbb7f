"""The same job in stock Faust, as its documentation shows it: `python -m benchmarks.stock_faust '{"app_id": ...}'`.

Three agents, Record models, a RocksDB table, `await topic.send()`. It is given less to do than the product: no deadlines, so no
missing legs; no duplicate filter, corrections, tolerances, break ids or dead letters; its sends are not awaited.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, NamedTuple

import faust
import orjson
from faust.serializers import codecs

from recon_stream.avro import decode
from recon_stream.domain.event import SOURCE_TOPICS

WINDOW_MS = 30_000
STATUS_MAP = {
    "PENDING": "PENDING", "POSTED": "SUCCESS", "REJECTED": "FAILED", "REVERSED": "REVERSED",
    "AUTHORIZED": "PENDING", "CAPTURED": "SUCCESS", "DECLINED": "FAILED", "REFUNDED": "REVERSED",
    "PROCESSING": "PENDING", "SUCCESS": "SUCCESS", "FAILED": "FAILED",
}  # fmt: skip
EQUAL_FIELDS = ("amount_minor", "currency", "direction", "account")


class Config(NamedTuple):
    """What the process is told on its command line, as JSON."""

    app_id: str
    broker: str
    data_dir: str
    partitions: int
    results_topic: str


class EventCodec(codecs.Codec):
    """TransactionEvent in the Confluent wire format, read by fastavro."""

    def _dumps(self, _: Any) -> bytes:
        raise NotImplementedError("source topics are only read")

    def _loads(self, value: bytes) -> Any:
        return decode("transaction_event", value)


class Transaction(faust.Record):
    """An event of one source."""

    event_id: str
    txn_id: str
    source: str
    amount_minor: int
    currency: str
    direction: str
    status: str
    occurred_at: int
    account: str
    reference: str | None = None
    channel: str | None = None
    revision: int = 0


class Result(faust.Record, serializer="json"):
    """A revision of what is said about a transaction."""

    txn_id: str
    revision: int
    verdict: str
    differing: list[str]
    legs: list[dict[str, Any]]


def differing(legs: list[dict[str, Any]]) -> list[str]:
    """The fields in which the legs do not agree."""
    fields = [field for field in EQUAL_FIELDS if len({leg[field] for leg in legs}) > 1]
    if len({STATUS_MAP[leg["status"]] for leg in legs}) > 1:
        fields.append("status")
    if len({leg["reference"] for leg in legs if leg["reference"]}) > 1:
        fields.append("reference")
    times = [leg["occurred_at"] for leg in legs]
    if max(times) - min(times) > WINDOW_MS:
        fields.append("occurred_at")
    return fields


def build(config: Config) -> faust.App:
    """The application."""
    codecs.register("transaction_event", EventCodec())
    app = faust.App(
        config.app_id,
        broker=f"kafka://{config.broker}",
        store="rocksdb://",
        datadir=config.data_dir,
        topic_partitions=config.partitions,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
    )
    results = app.topic(config.results_topic, key_type=str, value_type=Result)
    transactions = app.Table("transactions", default=dict, partitions=config.partitions)

    def add_agent(name: str) -> None:
        topic = app.topic(name, key_type=str, value_type=Transaction, value_serializer="transaction_event")

        @app.agent(topic, name=f"reconcile-{name}")
        async def reconcile(stream: Any) -> None:
            async for txn_id, event in stream.items():
                legs = transactions[txn_id]
                legs[event.source] = event.asdict()
                transactions[txn_id] = legs
                if len(legs) > 1:
                    evidence = list(legs.values())
                    found = differing(evidence)
                    verdict = "BROKEN" if found else "MATCHED" if len(legs) == len(SOURCE_TOPICS) else "PENDING"
                    await results.send(key=txn_id, value=Result(txn_id, len(legs) - 1, verdict, found, evidence))

    for name in SOURCE_TOPICS:
        add_agent(name)
    return app


def main() -> None:
    """Run until SIGTERM."""
    app = build(Config(**orjson.loads(sys.argv[1])))
    faust.Worker(app, loglevel=logging.WARNING, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
