"""Breaks: the list, what it can be narrowed by, and one with its evidence and its history."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import Any, Literal, TypeVar

import orjson
from aiohttp.web import StreamResponse
from pydantic import Field

from recon_stream.domain.breaks import BreakClass, Subject
from recon_stream.redis.cache import Category
from recon_stream.security.roles import Permission
from recon_stream.storage import reading
from recon_stream.storage.reading import BREAK_ORDERS, BreakFilter
from recon_stream.web.api.transactions import Amount, Searched, Severity, seen_accounts, shared_filters
from recon_stream.web.call import Call
from recon_stream.web.counting import facets
from recon_stream.web.endpoints import Answer, Parameters, Reply, endpoint
from recon_stream.web.exporting import MEDIA, Formatted, export
from recon_stream.web.paging import Paged, page, position
from recon_stream.web.problems import not_found
from recon_stream.web.shapes import Mismatch, MismatchPage, MismatchRow, mismatch, mismatch_row

FACET_ROWS_MAX = 100_000
"""Breaks of a state that are counted where the counts of the sink do not answer."""
_FACETS = {"subject": "source"}
"""Column -> the filter, where it is called otherwise."""


class MismatchesFilter(Parameters):
    """Filters of the list; those given several times mean any of them."""

    state: Literal["OPEN", "RESOLVED"] = "OPEN"
    break_class: list[BreakClass] = Field([], alias="class", description="Any of these classes.")
    source: list[Subject] = Field([], description="A subject that is any of these.")
    severity: list[Severity] = Field([], description="Any of these severities.")
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")
    amount_min: str | None = Amount
    amount_max: str | None = Amount
    account: Searched | None = Field(None, description="Of any leg; for roles that see account numbers.")
    text: Searched | None = Field(
        None, description="The break id, the transaction id or its beginning, an event id, a reference."
    )
    since: datetime | None = Field(None, description="First opened at or after this instant.")
    before: datetime | None = Field(None, description="First opened before this instant.")

    def needs_too(self) -> Permission | None:
        """An answer would tell an account number to a role that may not see it."""
        return seen_accounts(self.account)


class MismatchesOrder(MismatchesFilter):
    """The list, filtered and ordered."""

    sort: Literal["-opened_at", "opened_at", "-amount", "amount"] = "-opened_at"


class MismatchesQuery(MismatchesOrder, Paged):
    """A page of the list."""


class MismatchesExport(MismatchesOrder, Formatted):
    """All of the list."""


class FacetValue(Answer):
    """A value that a filter can have."""

    value: str
    breaks: int


class MismatchFacets(Answer):
    """By the filter's name, each value that occurs, in order, with the breaks that the list would have by it and all OTHER filters."""

    state: list[FacetValue]
    break_class: list[FacetValue] = Field(alias="class")
    source: list[FacetValue]
    severity: list[FacetValue]
    currency: list[FacetValue] = Field(
        description="With a filter by amount that currency alone, because amounts of different currencies do not compare."
    )
    capped: bool = Field(
        description=f"Whether only the newest {FACET_ROWS_MAX:,} breaks of a state were counted, so that there may be more."
    )


@endpoint(
    "GET", "/mismatches", needs=Permission.TRANSACTIONS_READ, query=MismatchesQuery, answers=MismatchPage,
    records="mismatches.list", tag="Mismatches",
)  # fmt: skip
async def list_mismatches(call: Call[MismatchesQuery, None]) -> Reply:
    """Breaks that are open, or those that are resolved.

    The order is by the time at which they were first opened, newest first, or by what is at risk within a currency.
    """
    query = call.query
    order = BREAK_ORDERS[query.sort]
    after = position(query.after, query.sort, order.kinds)
    rows = await reading.breaks(call.services.pool, wanted(call, query.sort), query.sort, after, query.limit + 1)
    answer = page(rows, query.limit, order.key, query.sort)
    return Reply(answer | {"items": [mismatch_row(row, is_masked=_is_masked(call)) for row in answer["items"]]})


@endpoint(
    "GET", "/mismatches/export", needs=Permission.EXPORT, query=MismatchesExport, media=MEDIA,
    records="mismatches.export", records_itself=True, tag="Mismatches",
)  # fmt: skip
async def export_mismatches(call: Call[MismatchesExport, None]) -> StreamResponse:
    """Breaks as a file, filtered and ordered as the list, as they stand at one moment.

    Behind RECON_EXPORT_ROWS_MAX rows it is cut, and its last line says so.
    """
    order = BREAK_ORDERS[call.query.sort]
    listing = partial(
        reading.every, call.services.pool, "list_breaks", order, wanted(call, call.query.sort).parameters()
    )
    shape = partial(mismatch_row, is_masked=_is_masked(call))
    return await export(call, "mismatches", MismatchRow, shape, listing)


@endpoint(
    "GET", "/mismatches/facets", needs=Permission.TRANSACTIONS_READ, query=MismatchesFilter, answers=MismatchFacets,
    records="mismatches.facets", tag="Mismatches",
)  # fmt: skip
async def mismatch_facets(call: Call[MismatchesFilter, None]) -> Reply:
    """How many breaks each value of a filter would show, the other filters being as they are.

    Filters are those of the list. A count says what a click on its value leads to, so the filter that it belongs to is left out of it.
    """
    filters, pool = wanted(call), call.services.pool

    async def make() -> bytes:
        cells, is_capped = await reading.break_cells(pool, filters, FACET_ROWS_MAX)
        counted = facets(cells, filters.chosen(), "breaks")
        named = {_FACETS.get(column, column): values for column, values in counted.items()}
        return orjson.dumps(named | {"capped": is_capped})

    # an account number has no place among the keys of Redis
    asked = blake2b(call.query.model_dump_json().encode(), digest_size=16).hexdigest()
    return Reply(await call.services.kept.answer(Category.FACETS, f"mismatches:{asked}", make))


@endpoint(
    "GET", "/mismatches/{break_id}", needs=Permission.TRANSACTIONS_READ, answers=Mismatch, records="mismatches.read",
    tag="Mismatches",
)  # fmt: skip
async def read_mismatch(call: Call[Any, None]) -> Reply:
    """One break: what the sources say, and how it moved.

    Account numbers are masked for roles without `accounts:read`.
    """
    found = await reading.one_break(call.services.pool, call.path["break_id"])
    if found is None:
        raise not_found("mismatch")
    return Reply(mismatch(*found, is_masked=_is_masked(call)))


def _is_masked(call: Call[Any, Any]) -> bool:
    return Permission.ACCOUNTS_READ not in call.who.permissions


F = TypeVar("F", bound=MismatchesFilter)


def wanted(call: Call[F, None], sort: str = "") -> BreakFilter:
    """The filter that a query asks for; `sort` is the order, empty where there is none. Raises Problem."""
    return BreakFilter(state=call.query.state, **shared_filters(call, sort))
