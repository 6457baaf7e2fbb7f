"""Live verdicts: the list, and one transaction with all its evidence."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from aiohttp.web import StreamResponse
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from recon_stream.avro import decode, parsed_schema
from recon_stream.domain.breaks import BreakClass, Subject
from recon_stream.domain.event import Verdict
from recon_stream.domain.money import is_currency, parse_major
from recon_stream.security.roles import Permission
from recon_stream.storage import reading
from recon_stream.storage.reading import TRANSACTION_ORDERS, TransactionFilter
from recon_stream.storage.values import identifier, storable
from recon_stream.web.call import Call
from recon_stream.web.endpoints import Answer, Parameters, Reply, endpoint
from recon_stream.web.exporting import MEDIA, Formatted, export
from recon_stream.web.paging import Paged, page, position
from recon_stream.web.problems import Fault, invalid, not_found
from recon_stream.web.shapes import (
    Money,
    Place,
    Transaction,
    TransactionPage,
    TransactionRow,
    base64_of,
    money,
    place,
    transaction,
    transaction_row,
)
from recon_stream.web.times import moment

Severity = Literal["CRITICAL", "HIGH", "MEDIUM", "LOW"]
SEARCHED_BYTES_MAX = 500
"""The tables hold longer texts shortened, and by whole ones nothing would be found."""


def _findable(text: str) -> str:
    if len(text.encode()) > SEARCHED_BYTES_MAX:
        raise PydanticCustomError("too_long", f"has more than {SEARCHED_BYTES_MAX} bytes in UTF-8")
    return text


Searched = Annotated[str, Field(min_length=1, max_length=SEARCHED_BYTES_MAX), AfterValidator(_findable)]
Amount = Field(None, pattern=r"^-?\d{1,19}(\.\d{1,4})?$", description="In major units of `currency`, which it needs.")


class TransactionsFilter(Parameters):
    """Filters of the list; those given several times mean any of them. Class, source and severity hold for one open break together."""

    verdict: list[Verdict] = Field([], description="Any of these verdicts.")
    break_class: list[BreakClass] = Field([], alias="class", description="An open break of any of these classes.")
    source: list[Subject] = Field([], description="An open break whose subject is any of these.")
    severity: list[Severity] = Field([], description="An open break of any of these severities.")
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")
    amount_min: str | None = Amount
    amount_max: str | None = Amount
    account: Searched | None = Field(None, description="Of any leg; for roles that see account numbers.")
    text: Searched | None = Field(None, description="The transaction id or its beginning, an event id, a reference.")
    since: datetime | None = Field(None, description="Decided at or after this instant.")
    before: datetime | None = Field(None, description="Decided before this instant.")
    sort: Literal["-decided_at", "decided_at", "-amount", "amount"] = "-decided_at"

    def needs_too(self) -> Permission | None:
        """An answer would tell an account number to a role that may not see it."""
        return seen_accounts(self.account)


class TransactionsQuery(TransactionsFilter, Paged):
    """A page of the list."""


class TransactionsExport(TransactionsFilter, Formatted):
    """All of the list."""


@endpoint(
    "GET", "/transactions", needs=Permission.TRANSACTIONS_READ, query=TransactionsQuery, answers=TransactionPage,
    records="transactions.list", tag="Transactions",
)  # fmt: skip
async def list_transactions(call: Call[TransactionsQuery, None]) -> Reply:
    """Live verdicts, one a transaction.

    The order is by the time of the last decision, newest first, or by amount within a currency.
    """
    query = call.query
    order = TRANSACTION_ORDERS[query.sort]
    after = position(query.after, query.sort, order.kinds)
    rows = await reading.transactions(call.services.pool, wanted(call), query.sort, after, query.limit + 1)
    answer = page(rows, query.limit, order.key, query.sort)
    return Reply(answer | {"items": [transaction_row(row) for row in answer["items"]]})


@endpoint(
    "GET", "/transactions/export", needs=Permission.EXPORT, query=TransactionsExport, media=MEDIA,
    records="transactions.export", records_itself=True, tag="Transactions",
)  # fmt: skip
async def export_transactions(call: Call[TransactionsExport, None]) -> StreamResponse:
    """Live verdicts as a file, filtered and ordered as the list, as they stand at one moment.

    Behind RECON_EXPORT_ROWS_MAX rows it is cut, and its last line says so.
    """
    order = TRANSACTION_ORDERS[call.query.sort]
    listing = partial(reading.every, call.services.pool, "list_transactions", order, wanted(call).parameters())
    return await export(call, "transactions", TransactionRow, transaction_row, listing)


class RecordView(Answer):
    """A record of a source as it stands in Kafka, and what became of it."""

    source: str
    event_id: str
    revision: int
    outcome: str = Field(description="ACCEPTED, DUPLICATE, STALE, CONFLICT or REJECTED.")
    reason: str | None = Field(description="Why it was rejected.")
    amount: Money
    kafka_timestamp: str
    place: Place
    schema_id: int
    key: str | None = Field(description="Base64 of the bytes.")
    value: str | None = Field(description="Base64 of the bytes.")
    event: dict[str, Any] | None = Field(
        description="The event in it, where our schema can read it; its longs are strings, as amounts are everywhere.",
        examples=[{"event_id": "E1", "amount_minor": "134702", "currency": "EUR", "revision": 0}],
    )


class Records(Answer):
    """In order of their Kafka timestamps: the first 500, and of these as many as fit into 8 MB of keys and values."""

    items: list[RecordView]
    cut: bool = Field(description="There are more.")


@endpoint(
    "GET", "/transactions/{txn_id}", needs=Permission.TRANSACTIONS_READ, answers=Transaction, records="transactions.read",
    tag="Transactions",
)  # fmt: skip
async def read_transaction(call: Call[Any, None]) -> Reply:
    """One transaction: legs, breaks, history.

    Account numbers are masked for roles without `accounts:read`.
    """
    pool, txn_id = call.services.pool, identifier(call.path["txn_id"])
    row = await reading.transaction(pool, txn_id)
    if row is None:
        raise not_found("transaction")
    revisions, moves = await reading.history(pool, txn_id)
    is_masked = Permission.ACCOUNTS_READ not in call.who.permissions
    return Reply(transaction(row, revisions, moves, is_masked=is_masked))


@endpoint(
    "GET", "/transactions/{txn_id}/records", needs=Permission.RAW_READ, answers=Records, records="transactions.records",
    tag="Transactions",
)  # fmt: skip
async def read_records(call: Call[Any, None]) -> Reply:
    """The evidence: every source record that names the transaction, down to its bytes."""
    rows, is_cut = await reading.records(call.services.pool, identifier(call.path["txn_id"]))
    if not rows:
        raise not_found("transaction")
    return Reply({"items": [_record(row) for row in rows], "cut": is_cut})


def _record(row: reading.Row) -> dict[str, Any]:
    kept = ("source", "event_id", "revision", "outcome", "reason", "schema_id")
    return {name: row[name] for name in kept} | {
        "amount": money(row["amount_minor"], row["currency"]),
        "kafka_timestamp": moment(row["kafka_timestamp_ms"]),
        "place": place(row["topic"], row["partition"], row["kafka_offset"]),
        "key": base64_of(row["key"]),
        "value": base64_of(row["value"]),
        "event": event_in(row["value"]),
    }


_LONGS = [
    field["name"]
    for field in parsed_schema("transaction_event")["fields"]
    if field["type"] in ("long", {"type": "long"})
]


def event_in(value: bytes) -> dict[str, Any] | None:
    """The event as our own schema reads it; another writer's schema would need the registry.

    A long is told as a string: behind 2^53 the JSON of a browser rounds it, and this is evidence.
    """
    try:
        event = decode("transaction_event", value)
    except Exception:
        return None  # damaged bytes make fastavro raise almost anything
    return event | {name: str(event[name]) for name in _LONGS}


F = TypeVar("F", bound=TransactionsFilter)


def wanted(call: Call[F, None]) -> TransactionFilter:
    """The filter that a query asks for. Raises Problem."""
    return TransactionFilter(verdicts=call.query.verdict, **shared_filters(call, call.query.sort))


def seen_accounts(account: str | None) -> Permission | None:
    """What a filter by account needs beside the list."""
    return None if account is None else Permission.ACCOUNTS_READ


def shared_filters(call: Call[Any, None], sort: str) -> dict[str, Any]:
    """What both lists can be filtered by, as the caller may ask for it in that order. Raises Problem."""
    query = call.query
    currency = _comparable(sort, query.currency, query.amount_min, query.amount_max)
    return {
        "classes": query.break_class,
        "subjects": query.source,
        "severities": query.severity,
        "account": None if query.account is None else storable(query.account),
        "currency": currency,
        "amount_min": _minor_of("amount_min", query.amount_min, currency),
        "amount_max": _minor_of("amount_max", query.amount_max, currency),
        "since": query.since,
        "before": query.before,
        "text": None if query.text is None else storable(query.text),
    }


def _comparable(sort: str, currency: str | None, *limits: str | None) -> str | None:
    """The currency that is asked for. Raises Problem where amounts are compared without one."""
    if currency is None and (sort.endswith("amount") or any(limit is not None for limit in limits)):
        raise invalid([Fault("query", "currency", "is needed, because amounts of different currencies do not compare")])
    return currency


def _minor_of(name: str, text: str | None, currency: str | None) -> int | None:
    """Minor units of an amount in a query. Raises Problem."""
    if text is None:
        return None
    if currency is None or not is_currency(currency):
        raise invalid([Fault("query", "currency", "is not an ISO 4217 currency with a minor unit")])
    try:
        return parse_major(text, currency)
    except ValueError as error:
        raise invalid([Fault("query", name, str(error))]) from None
