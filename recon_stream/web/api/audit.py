"""The audit trail: the list, the file, and what its last verification found."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, Literal

import orjson
from aiohttp.web import StreamResponse
from pydantic import Field

from recon_stream.security.audit import Outcome
from recon_stream.security.roles import Permission
from recon_stream.storage import oversight, reading
from recon_stream.storage.oversight import AUDIT_ORDERS, AuditFilter
from recon_stream.storage.reading import Row
from recon_stream.web.call import Call
from recon_stream.web.endpoints import Answer, Parameters, Reply, endpoint
from recon_stream.web.exporting import MEDIA, Formatted, export
from recon_stream.web.paging import Paged, page, position
from recon_stream.web.problems import forbidden
from recon_stream.web.times import moment


class TrailFilter(Parameters):
    """Filters of the list; those given several times mean any of them."""

    actor: str | None = Field(None, min_length=1, max_length=255, description="Who did it; - where nobody knows.")
    action: list[str] = Field([], max_length=20, description="Any of these actions.")
    object: str | None = Field(None, min_length=1, max_length=600, description="What it was done to, or its beginning.")
    outcome: list[Outcome] = Field([], description="Any of these outcomes.")
    address: str | None = Field(None, min_length=1, max_length=64, description="From where.")
    request_id: str | None = Field(None, min_length=1, max_length=64, description="The X-Request-ID of the answer.")
    since: datetime | None = Field(None, description="At or after this instant.")
    before: datetime | None = Field(None, description="Before this instant.")
    sort: Literal["-seq", "seq"] = "-seq"


class TrailQuery(TrailFilter, Paged):
    """A page of the list."""


class TrailExport(TrailFilter, Formatted):
    """All of the list."""


class AuditEntry(Answer):
    """Who did what, to what, from where, and how it ended."""

    seq: int
    at: str
    actor: str
    role: str
    action: str
    object: str
    outcome: Outcome
    address: str
    session: str
    request_id: str
    detail: dict[str, Any]
    at_us: str = Field(description="Epoch microseconds: `at` as the hash has it.")
    previous_hash: str = Field(description="The hash of the entry before it, hexadecimal.")
    hash: str = Field(description="SHA-256 of the entry and of the hash before it, hexadecimal.")


class AuditPage(Answer):
    """A page of a list; `next` goes into `after` for the following one."""

    items: list[AuditEntry]
    next: str | None


class FoundFault(Answer):
    """A place at which the chain does not hold."""

    seq: int
    what: str


class AuditVerification(Answer):
    """What the last `recon-stream audit verify` found."""

    ok: bool
    at: str
    examined: int
    last_seq: int
    last_hash: str
    faults: int
    examples: list[FoundFault] = Field(description="The first faults.")


class Verified(Answer):
    """How far the trail reaches, and how far it was verified."""

    last_seq: int = Field(description="Number of its last entry now.")
    verification: AuditVerification | None = Field(description="The newest; null where there was none yet.")


@endpoint(
    "GET", "/audit", needs=Permission.AUDIT_READ, query=TrailQuery, answers=AuditPage, records="audit.list", tag="Audit",
)  # fmt: skip
async def list_audit(call: Call[TrailQuery, None]) -> Reply:
    """The audit trail, newest first. Reading it is recorded too."""
    query = call.query
    order = AUDIT_ORDERS[query.sort]
    after = position(query.after, query.sort, order.kinds)
    rows = await oversight.audit_entries(call.services.pool, _wanted(query), query.sort, after, query.limit + 1)
    answer = page(rows, query.limit, order.key, query.sort)
    return Reply(answer | {"items": [_entry(row) for row in answer["items"]]})


@endpoint(
    "GET", "/audit/export", needs=Permission.EXPORT, query=TrailExport, media=MEDIA, records="audit.export",
    records_itself=True, tag="Audit",
)  # fmt: skip
async def export_audit(call: Call[TrailExport, None]) -> StreamResponse:
    """The audit trail as a file, filtered and ordered as the list; needs `audit:read` as well.

    Behind RECON_EXPORT_ROWS_MAX rows it is cut, and its last line says so.
    """
    if Permission.AUDIT_READ not in call.who.permissions:
        call.trail.refused(call.who, "audit.export", needs=Permission.AUDIT_READ.value)
        raise forbidden()
    order = AUDIT_ORDERS[call.query.sort]
    listing = partial(reading.every, call.services.pool, "list_audit", order, _wanted(call.query).parameters())
    return await export(call, "audit", AuditEntry, _entry, listing)


@endpoint(
    "GET", "/audit/verification", needs=Permission.AUDIT_READ, answers=Verified, records="audit.verification", tag="Audit",
)  # fmt: skip
async def read_verification(call: Call[Any, None]) -> Reply:
    """What the last verification of the chain found, and how far the trail reaches now.

    `recon-stream audit verify` examines the whole chain; entries behind its last_seq came later.
    """
    row, last_seq = await oversight.last_audit_verification(call.services.pool)
    return Reply({"last_seq": last_seq, "verification": None if row is None else _verification(row)})


def _wanted(query: TrailFilter) -> AuditFilter:
    return AuditFilter(
        actor=query.actor,
        actions=query.action,
        object=query.object,
        outcomes=query.outcome,
        address=query.address,
        request_id=query.request_id,
        since=query.since,
        before=query.before,
    )


def _entry(row: Row) -> dict[str, Any]:
    kept = ("seq", "actor", "role", "action", "object", "outcome", "address", "session", "request_id")
    return {name: row[name] for name in kept} | {
        "at": moment(row["at_us"] // 1000),
        "detail": orjson.loads(row["detail"]),
        "at_us": str(row["at_us"]),
        "previous_hash": row["previous_hash"].hex(),
        "hash": row["hash"].hex(),
    }


def _verification(row: Row) -> dict[str, Any]:
    kept = ("examined", "last_seq", "faults", "examples")
    return {name: row[name] for name in kept} | {
        "ok": row["faults"] == 0,
        "at": moment(row["at_ms"]),
        "last_hash": row["last_hash"].hex(),
    }
