"""Lists as files: read as they stand at one moment, sent as fast as the client takes them, cut at a bound that says so.

A spreadsheet evaluates cells that begin with certain characters: ours never do.
"""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Literal, Protocol, Union, get_args, get_origin

import orjson
import psycopg
from aiohttp import web
from pydantic import Field

from recon_stream.metrics.catalogue import EXPORTED_ROWS
from recon_stream.security.audit import Outcome
from recon_stream.storage.reading import Row
from recon_stream.web.call import Call
from recon_stream.web.endpoints import Answer, Parameters
from recon_stream.web.masking import masked
from recon_stream.web.problems import too_many

logger = logging.getLogger(__name__)

MEDIA = ("text/csv", "application/x-ndjson")
UNDER_WAY_MAX = 2
"""Exports of one process at a time, each of another person: each holds a connection to PostgreSQL."""
WRITE_SECONDS = 20.0
"""A client that takes nothing for so long is cut off."""
RETRY_SECONDS = 10
TOO_MANY = "too-many-exports"

_EVALUATED = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters that make a cell a formula; the last four are the wide forms of the first four."""
_INSIDE = re.compile("([;\t][ ]*)(?=[=+@\uff1d\uff0b\uff0d\uff20-])")
"""The same behind what parts cells where people write a comma in numbers."""
_NUMBER = re.compile(r"-\d+(\.\d+)?")
_MAY_NAME_ACCOUNTS = ("account", "text")

Listing = Callable[[int], AsyncGenerator[list[Row], None]]
"""From a number of rows to so many rows of a list, some at a time."""
Path = tuple[str, ...]


class Exports:
    """Those that are under way in this process."""

    def __init__(self) -> None:
        self.under_way: set[str] = set()
        """Subjects of the people whose they are."""

    @asynccontextmanager
    async def turn(self, person: str) -> AsyncIterator[None]:
        """While one is made. Raises Problem where this person has one, or too many are under way."""
        if person in self.under_way:
            raise too_many(TOO_MANY, "An export of yours is under way; try again when it has ended.", RETRY_SECONDS)
        if len(self.under_way) >= UNDER_WAY_MAX:
            detail = f"{UNDER_WAY_MAX} exports are under way here; try again in a moment."
            raise too_many(TOO_MANY, detail, RETRY_SECONDS)
        self.under_way.add(person)
        try:
            yield
        finally:
            self.under_way.discard(person)


class Formatted(Parameters):
    """Which kind of file."""

    format: Literal["csv", "ndjson"] = Field("csv", description="csv has a header line; ndjson is one object a line.")


class Lines(Protocol):
    """A kind of file."""

    media: str

    def head(self) -> bytes:
        """What it begins with."""

    def rows(self, items: Sequence[dict[str, Any]]) -> bytes:
        """The lines of these answers."""

    def cut(self, detail: str, rows: int) -> bytes:
        """The last line of one that is not complete."""


async def export(
    call: Call[Any, None], name: str, model: type[Answer], shape: Callable[[Row], dict[str, Any]], listing: Listing
) -> web.StreamResponse:
    """Answer with all rows of a list as a file, up to RECON_EXPORT_ROWS_MAX; `shape` makes `model` of a row.

    The audit trail has it before the first byte leaves. Raises Problem until then; afterwards what fails breaks the
    answer off, so that no client takes a part for the whole.
    """
    lines = Csv(model) if call.query.format == "csv" else NdJson()
    rows_max = call.services.settings.export_rows_max
    async with call.services.exports.turn(call.who.subject), aclosing(listing(rows_max + 1)) as batches:
        # the first statement may be refused or take too long: that is still told as a problem
        first: list[Row] = await anext(batches, [])
        entry = call.trail.entry(
            call.who, f"{name}.export", name, Outcome.ALLOWED, format=call.query.format, filters=filters_of(call.query)
        )
        await call.services.audit.record(entry)
        response = web.StreamResponse(headers={"Content-Type": lines.media, "Content-Disposition": _named(name, call)})
        await response.prepare(call.request)
        try:
            await _send(response, lines, name, shape, first, batches, rows_max)
        except ConnectionError:
            pass  # the client went away
        except (psycopg.Error, OSError, TimeoutError) as error:
            logger.warning("request %s: the export broke off: %s", call.request_id, error or type(error).__name__)
            if call.request.transport is not None:
                call.request.transport.abort()
    return response


async def _send(
    response: web.StreamResponse,
    lines: Lines,
    name: str,
    shape: Callable[[Row], dict[str, Any]],
    batch: list[Row],
    batches: AsyncGenerator[list[Row], None],
    rows_max: int,
) -> None:
    await _write(response, lines.head())
    sent = 0
    while batch:
        taken = batch[: rows_max - sent]
        await _write(response, lines.rows([shape(row) for row in taken]))
        sent += len(taken)
        EXPORTED_ROWS.labels(name).inc(len(taken))
        if len(taken) < len(batch):
            detail = f"CUT: there are more than {rows_max} rows; narrow the filters, or raise RECON_EXPORT_ROWS_MAX"
            await _write(response, lines.cut(detail, sent))
            return
        batch = await anext(batches, [])


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(data)


def _named(name: str, call: Call[Any, None]) -> str:
    return f'attachment; filename="{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{call.query.format}"'


def filters_of(query: Parameters) -> dict[str, Any]:
    """What a query asks for, as the audit trail may have it: without account numbers."""
    given = query.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"format"})
    return {name: masked(value) if name in _MAY_NAME_ACCOUNTS else value for name, value in given.items()}


class NdJson:
    """One JSON object a line, as the list has it."""

    media = "application/x-ndjson; charset=utf-8"

    def head(self) -> bytes:
        """Nothing."""
        return b""

    def rows(self, items: Sequence[dict[str, Any]]) -> bytes:
        """One line each."""
        return b"".join(orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE) for item in items)

    def cut(self, detail: str, rows: int) -> bytes:
        """An object that is none of the list."""
        return orjson.dumps({"cut": True, "rows": rows, "detail": detail}, option=orjson.OPT_APPEND_NEWLINE)


class Csv:
    """RFC 4180: a header line, then a line each; what the answer nests has a column each, `amount.minor`."""

    media = "text/csv; charset=utf-8; header=present"

    def __init__(self, model: type[Answer]) -> None:
        self._columns = columns_of(model)

    def head(self) -> bytes:
        """The names of the columns."""
        return _csv([[".".join(path) for path in self._columns]])

    def rows(self, items: Sequence[dict[str, Any]]) -> bytes:
        """A line each."""
        return _csv([[cell(_at(item, path)) for path in self._columns] for item in items])

    def cut(self, detail: str, rows: int) -> bytes:
        """A line whose first cell says it."""
        return _csv([[detail, *[""] * (len(self._columns) - 1)]])


def columns_of(model: type[Answer]) -> list[Path]:
    """The columns of a kind of answer, as paths into it; lists stay one column."""
    columns: list[Path] = []
    for name, described in model.model_fields.items():
        label = described.alias or name
        nested = _nested(described.annotation)
        columns += [(label, *path) for path in columns_of(nested)] if nested is not None else [(label,)]
    return columns


def _nested(annotation: Any) -> type[Answer] | None:
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((option for option in options if isinstance(option, type) and issubclass(option, Answer)), None)


def _at(item: Any, path: Path) -> Any:
    for name in path:
        if item is None:
            return None
        item = item[name]
    return item


def cell(value: Any) -> str:
    """A value as a cell that no spreadsheet evaluates: what would be is preceded by an apostrophe; numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        text = " ".join(value)
    elif isinstance(value, list | dict):
        text = orjson.dumps(value).decode()
    else:
        text = str(value)
    text = _INSIDE.sub(r"\1'", text)
    return f"'{text}" if text.startswith(_EVALUATED) and not _NUMBER.fullmatch(text) else text


def _csv(lines: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(lines)
    return out.getvalue().encode()
