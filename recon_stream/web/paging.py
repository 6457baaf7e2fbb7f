"""Keyset paging: a cursor is the sort key of the last row, so a page costs the same however deep it lies, and rows that come
or go meanwhile neither repeat nor hide others."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import Field

from recon_stream.web.endpoints import Parameters
from recon_stream.web.problems import Fault, invalid

CURSOR_CHARACTERS_MAX = 2000


class Paged(Parameters):
    """Which page of a list."""

    limit: int = Field(50, ge=1, le=200)
    after: str | None = Field(None, max_length=CURSOR_CHARACTERS_MAX, description="`next` of the page before.")


def page(rows: Sequence[Mapping[str, Any]], limit: int, key: Sequence[str], sort: str) -> dict[str, Any]:
    """The answer of a list of which one row more than `limit` was asked for; `key` names the columns of the sort key."""
    items = list(rows[:limit])
    more = len(rows) > limit
    return {"items": items, "next": _cursor(sort, [items[-1][name] for name in key]) if more else None}


def _cursor(sort: str, values: Sequence[Any]) -> str:
    return urlsafe_b64encode(orjson.dumps([sort, *values])).decode().rstrip("=")


def position(cursor: str | None, sort: str, kinds: Sequence[type]) -> list[Any] | None:
    """The sort key in a cursor, None without one. Raises Problem on one that is not of this list and order."""
    if cursor is None:
        return None
    try:
        given = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        raise invalid([Fault("query", "after", "is no cursor of ours")]) from None
    told, *values = given if isinstance(given, list) and given else [None]
    fits = len(values) == len(kinds) and all(
        type(value) is kind or value is None for value, kind in zip(values, kinds, strict=True)
    )
    if told != sort or not fits:
        raise invalid([Fault("query", "after", "belongs to another list or order")])
    return values
