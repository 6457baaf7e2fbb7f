"""What the API reads of PostgreSQL: one function a statement of reading.sql, rows as dicts. Nothing is written here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import product
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import sql
from psycopg.rows import dict_row

from recon_stream.domain.breaks import SUBJECTS, BreakClass
from recon_stream.domain.severity import LEVELS
from recon_stream.storage.pool import STATEMENT_SECONDS, Pool
from recon_stream.storage.queries import QUERIES
from recon_stream.storage.values import timestamp

Row = dict[str, Any]
Ages = Sequence[tuple[int, str, str]]
"""Of each: width of the buckets, first instant, instant behind the last."""

LAST = "\U0010ffff"
"""Behind every other character: what begins with a text lies between it and it with this at the end."""

REVISIONS_MAX = 1000
MOVES_MAX = 1000
RECORDS_MAX = 500
"""Of one transaction; some have thousands."""
RECORDS_BYTES_MAX = 8_000_000
"""Of their keys and values: one of a source has up to a megabyte."""
_EVER: Final = {"width": 3600, "since": "-infinity", "before": "infinity", "currency": None}
"""Of all times, by the buckets that are kept for ever."""
STREAM_ROWS = 500
"""In one fetch of a list that is read to its end."""


class Order(NamedTuple):
    """An order of a list: its sort key as columns of the answer, their types, and how SQL says it."""

    key: tuple[str, ...]
    kinds: tuple[type, ...]
    after: LiteralString
    order: LiteralString


_DECIDED: LiteralString = "(decided_at, txn_id)"
_AFTER_INSTANT: LiteralString = (
    "('epoch'::timestamptz + %(after_0)s::bigint * interval '1 millisecond', %(after_1)s::text)"
)
_AMOUNT: LiteralString = "(amount_minor, txn_id)"
_AFTER_AMOUNT: LiteralString = "(%(after_0)s::bigint, %(after_1)s::text)"

TRANSACTION_ORDERS: Final = {
    "-decided_at": Order(("decided_at_ms", "txn_id"), (int, str), f"{_DECIDED} < {_AFTER_INSTANT}", "decided_at DESC, txn_id DESC"),
    "decided_at": Order(("decided_at_ms", "txn_id"), (int, str), f"{_DECIDED} > {_AFTER_INSTANT}", "decided_at, txn_id"),
    "-amount": Order(("amount_minor", "txn_id"), (int, str), f"{_AMOUNT} < {_AFTER_AMOUNT}", "amount_minor DESC, txn_id DESC"),
    "amount": Order(("amount_minor", "txn_id"), (int, str), f"{_AMOUNT} > {_AFTER_AMOUNT}", "amount_minor, txn_id"),
}  # fmt: skip

_OPENED: LiteralString = "(opened_at, break_id)"
_AT_RISK: LiteralString = "(at_risk_minor, break_id)"

BREAK_ORDERS: Final = {
    "-opened_at": Order(("opened_at_ms", "break_id"), (int, str), f"{_OPENED} < {_AFTER_INSTANT}", "opened_at DESC, break_id DESC"),
    "opened_at": Order(("opened_at_ms", "break_id"), (int, str), f"{_OPENED} > {_AFTER_INSTANT}", "opened_at, break_id"),
    "-amount": Order(("at_risk_minor", "break_id"), (int, str), f"{_AT_RISK} < {_AFTER_AMOUNT}", "at_risk_minor DESC, break_id DESC"),
    "amount": Order(("at_risk_minor", "break_id"), (int, str), f"{_AT_RISK} > {_AFTER_AMOUNT}", "at_risk_minor, break_id"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFilter:
    """What is wanted; None: anything. Amounts in minor units of `currency`, which they need. `since` <= decided at < `before`.

    Of class, subject and severity those that are given hold for one open break together.
    """

    verdicts: Sequence[str] | None = None
    classes: Sequence[str] | None = None
    subjects: Sequence[str] | None = None
    severities: Sequence[str] | None = None
    account: str | None = None
    currency: str | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    since: datetime | None = None
    before: datetime | None = None
    text: str | None = None

    def parameters(self) -> dict[str, Any]:
        """For the statement."""
        return {
            "verdicts": listed(self.verdicts),
            "breaks": _break_tags(self.classes, self.subjects, self.severities),
            "account": self.account,
            "currency": self.currency,
            "amount_min": self.amount_min,
            "amount_max": self.amount_max,
            "since": self.since,
            "before": self.before,
            "text": self.text,
            "text_end": None if self.text is None else self.text + LAST,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakFilter:
    """What is wanted; None: anything. Amounts are what is at risk, in minor units of `currency`. `since` <= opened < `before`."""

    state: str
    classes: Sequence[str] | None = None
    subjects: Sequence[str] | None = None
    severities: Sequence[str] | None = None
    account: str | None = None
    currency: str | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    since: datetime | None = None
    before: datetime | None = None
    text: str | None = None

    def parameters(self) -> dict[str, Any]:
        """For the statement."""
        return asdict(self) | {
            "classes": listed(self.classes),
            "subjects": listed(self.subjects),
            "severities": listed(self.severities),
            "text_end": None if self.text is None else self.text + LAST,
        }

    def chosen(self) -> dict[str, Sequence[str]]:
        """By column of break_cells, which values of it are wanted; none: any."""
        return {
            "class": self.classes or (),
            "subject": self.subjects or (),
            "severity": self.severities or (),
            "state": (self.state,),
            "currency": () if self.currency is None else (self.currency,),
        }

    def others(self, state: str) -> BreakFilter:
        """What is wanted beside the columns of break_cells, of that state. Amounts keep their currency."""
        is_by_amount = self.amount_min is not None or self.amount_max is not None
        currency = self.currency if is_by_amount else None
        return replace(self, state=state, classes=None, subjects=None, severities=None, currency=currency)


async def transactions(
    pool: Pool, wanted: TransactionFilter, sort: str, after: Sequence[Any] | None, limit: int
) -> list[Row]:
    """Up to `limit` live verdicts, in one of TRANSACTION_ORDERS, behind the sort key `after`."""
    return await listing(pool, "list_transactions", TRANSACTION_ORDERS[sort], wanted.parameters(), after, limit)


async def transaction(pool: Pool, txn_id: str) -> Row | None:
    """The live result of a transaction with its body; None where there is none."""
    rows = await fetched(pool, sql.SQL(QUERIES["transaction"]), {"txn_id": txn_id})
    return rows[0] if rows else None


async def history(pool: Pool, txn_id: str) -> tuple[list[Row], list[Row]]:
    """(revisions, moves of breaks) of a transaction, in their order; the first thousand of each."""
    revisions = await fetched(
        pool, sql.SQL(QUERIES["transaction_revisions"]), {"txn_id": txn_id, "limit": REVISIONS_MAX}
    )
    moves = await fetched(pool, sql.SQL(QUERIES["transaction_moves"]), {"txn_id": txn_id, "limit": MOVES_MAX})
    return revisions, moves


async def records(pool: Pool, txn_id: str) -> tuple[list[Row], bool]:
    """(the source records that name a transaction, with their bytes and what became of each; whether there are more).

    The first RECORDS_MAX, and of these as many as RECORDS_BYTES_MAX have room for, one at least.
    """
    limits = {"limit": RECORDS_MAX, "bytes_max": RECORDS_BYTES_MAX}
    rows = await fetched(pool, sql.SQL(QUERIES["transaction_records"]), {"txn_id": txn_id, **limits})
    return rows, bool(rows) and rows[0]["found"] > len(rows)


async def breaks(pool: Pool, wanted: BreakFilter, sort: str, after: Sequence[Any] | None, limit: int) -> list[Row]:
    """Up to `limit` breaks, in one of BREAK_ORDERS, behind the sort key `after`."""
    return await listing(pool, "list_breaks", BREAK_ORDERS[sort], wanted.parameters(), after, limit)


async def break_cells(pool: Pool, wanted: BreakFilter, limit: int) -> tuple[list[Row], bool]:
    """(breaks by class, subject, severity, state and currency, whatever is wanted of these; whether there may be more).

    What else is wanted holds. Without any of that the counts of the sink answer, exactly; else the newest `limit` breaks of each state.
    """
    others = {state: wanted.others(state) for state in ("OPEN", "RESOLVED")}
    if others["OPEN"] == BreakFilter(state="OPEN"):
        return await fetched(pool, sql.SQL(QUERIES["break_counts"]), _EVER), False
    order = sql.SQL(BREAK_ORDERS["-opened_at"].order)
    found = sql.SQL(QUERIES["list_breaks"]).format(after=sql.SQL("true"), order=order)
    tally = sql.SQL(QUERIES["tally_breaks"]).format(found=found)
    cells = [await fetched(pool, tally, other.parameters() | {"limit": limit}) for other in others.values()]
    is_capped = any(sum(cell["breaks"] for cell in each) == limit for each in cells)
    return [cell for each in cells for cell in each], is_capped


async def one_break(pool: Pool, break_id: str) -> tuple[Row, list[Row]] | None:
    """(a break with the live result of its transaction, its moves in their order); None where there is none."""
    rows = await fetched(pool, sql.SQL(QUERIES["break"]), {"break_id": break_id})
    if not rows:
        return None
    moves = await fetched(pool, sql.SQL(QUERIES["break_moves"]), {"break_id": break_id, "limit": MOVES_MAX})
    return rows[0], moves


async def results_reached(pool: Pool, topic: str) -> int:
    """Another number as soon as counts of verdicts or breaks may have changed; `topic` is the one of results."""
    (row,) = await fetched(pool, sql.SQL(QUERIES["results_reached"]), {"topic": topic})
    return int(row["results"])


async def verdict_counts(pool: Pool, period: Mapping[str, Any]) -> tuple[list[Row], list[Row]]:
    """(totals by verdict and currency, points by verdict); `period`: width, step, since, before, currency or None."""
    totals = await fetched(pool, sql.SQL(QUERIES["verdict_counts"]), period)
    return totals, await fetched(pool, sql.SQL(QUERIES["verdict_series"]), period)


async def break_counts(pool: Pool, period: Mapping[str, Any]) -> tuple[list[Row], list[Row]]:
    """(totals by class, subject, severity, state and currency; points by class), as verdict_counts."""
    totals = await fetched(pool, sql.SQL(QUERIES["break_counts"]), period)
    return totals, await fetched(pool, sql.SQL(QUERIES["break_series"]), period)


async def open_breaks(pool: Pool, ages: Ages, currency: str | None) -> list[Row]:
    """Open breaks by age, class, subject, severity and currency."""
    return await fetched(pool, sql.SQL(QUERIES["open_breaks"]), of_ages(ages) | {"currency": currency})


def of_ages(ages: Ages) -> dict[str, Any]:
    """For the statement that counts open breaks."""
    return {name: [age[part] for age in ages] for part, name in enumerate(("widths", "begins", "ends"))}


async def accounting(pool: Pool) -> tuple[list[Row], list[Row]]:
    """(the newest result of each check, how far each partition is stored)."""
    checks = await fetched(pool, sql.SQL(QUERIES["accounting"]), {})
    return checks, await fetched(pool, sql.SQL(QUERIES["stored_offsets"]), {})


async def server_version(pool: Pool) -> str:
    """PostgreSQL's."""
    (row,) = await fetched(pool, sql.SQL(QUERIES["server_version"]), {})
    return str(row["version"])


async def every(
    pool: Pool, statement: str, order: Order, parameters: Mapping[str, Any], limit: int
) -> AsyncGenerator[list[Row], None]:
    """The first `limit` rows of a list, as they stand at one moment, STREAM_ROWS at a time; holds a connection meanwhile."""
    query = sql.SQL(QUERIES[statement]).format(after=sql.SQL("true"), order=sql.SQL(order.order))
    async with (
        pool.connection() as connection,
        connection.transaction(),
        connection.cursor(name="every", row_factory=dict_row) as cursor,
    ):
        # a filter that few rows pass reads far for the next ones; nobody looks at a screen meanwhile
        await connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(STATEMENT_SECONDS * 1000))
        await cursor.execute(query, {**parameters, "limit": limit})
        while rows := await cursor.fetchmany(STREAM_ROWS):
            yield rows


async def listing(
    pool: Pool,
    statement: str,
    order: Order,
    parameters: Mapping[str, Any],
    after: Sequence[Any] | None,
    limit: int,
) -> list[Row]:
    """Up to `limit` rows of a list, behind the sort key `after`."""
    behind = sql.SQL("true" if after is None else order.after)
    query = sql.SQL(QUERIES[statement]).format(after=behind, order=sql.SQL(order.order))
    places = {f"after_{number}": value for number, value in enumerate(after or ())}
    return await fetched(pool, query, {**parameters, **places, "limit": limit})


async def fetched(pool: Pool, query: sql.SQL | sql.Composed, parameters: Mapping[str, Any]) -> list[Row]:
    """All rows that a statement answers."""
    async with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


def instant(ms: int | None) -> datetime | None:
    """Epoch milliseconds for a statement."""
    return None if ms is None else timestamp(ms)


def listed(values: Sequence[str] | None) -> list[str] | None:
    """A filter that may be given several times; None where it is not given."""
    return list(values) if values else None


def _break_tags(
    classes: Sequence[str] | None, subjects: Sequence[str] | None, severities: Sequence[str] | None
) -> list[str] | None:
    """The tags of which one is to be there; None: any will do. Of two filters or three, all whole breaks that they allow."""
    given = [
        (kind, each) for kind, each in (("class", classes), ("subject", subjects), ("severity", severities)) if each
    ]
    if not given:
        return None
    if len(given) == 1:
        ((kind, values),) = given
        return [f"{kind}:{value}" for value in values]
    allowed = product(classes or BreakClass, subjects or SUBJECTS, severities or LEVELS)
    return [f"break:{kind}/{subject}/{severity}" for kind, subject, severity in allowed]
