"""Verifies the audit trail of PostgreSQL from its first entry to its last, a page in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from psycopg.rows import dict_row

from recon_stream.security.audit import FIRST, Fault, Stored, check
from recon_stream.storage.pool import Connection
from recon_stream.storage.queries import QUERIES

PAGE_ENTRIES = 2000
EXAMPLES_MAX = 10
_BELOW_ALL = -(1 << 63)


@dataclass(slots=True)
class Verification:
    """What was examined and found. The chain ended with `last_seq`, whose hash is `last_hash`."""

    examined: int = 0
    last_seq: int = 0
    last_hash: bytes = FIRST
    faults: int = 0
    examples: list[Fault] = field(default_factory=list)
    """The first faults."""

    def found(self, faults: Iterable[Fault]) -> None:
        """Count faults; the first ones are kept."""
        for fault in faults:
            self.faults += 1
            if len(self.examples) < EXAMPLES_MAX:
                self.examples.append(fault)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": self.faults == 0,
            "examined": self.examined,
            "last_seq": self.last_seq,
            "last_hash": self.last_hash.hex(),
            "faults": self.faults,
            "examples": [fault._asdict() for fault in self.examples],
        }


async def verify(
    connection: Connection,
    reached: int = 0,
    expect: Callable[[int], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Examine every entry, and remember the outcome in audit_verifications; the connection is in autocommit mode.

    A chain whose end was cut off is whole in itself. So it has to reach the furthest end that an earlier verification
    without faults has seen, with the same hash there, and the number `reached`, which the caller knows from elsewhere.
    `expect` is told how many entries there are, `advance` how many more have been examined.
    """
    found = Verification()
    (size,) = await _rows(connection, "audit_size", {})
    remembered = await _rows(connection, "remembered_audit_end", {})
    end: dict[str, Any] = remembered[0] if remembered else {"last_seq": 0, "last_hash": FIRST}
    expect(size["entries"])
    page = await _page(connection, _BELOW_ALL)
    while page:
        found.found(check(page, (found.last_seq, found.last_hash)))
        found.found(
            Fault(one.seq, "has another hash than an earlier verification saw: the chain was written anew")
            for one in page
            if one.seq == end["last_seq"] and one.hash != end["last_hash"]
        )
        found.examined += len(page)
        found.last_seq, found.last_hash = page[-1].seq, page[-1].hash
        advance(len(page))
        page = await _page(connection, found.last_seq)
    found.found(_missing(found, size["entries"], end["last_seq"], reached))
    examples = orjson.dumps([fault._asdict() for fault in found.examples]).decode()
    values = {name: getattr(found, name) for name in ("examined", "last_seq", "last_hash", "faults")}
    await connection.execute(QUERIES["save_audit_verification"], values | {"examples": examples})
    return found


def _missing(found: Verification, entries: int, remembered: int, reached: int) -> Iterable[Fault]:
    """What is not there although it should be."""
    if found.examined < entries:
        yield Fault(found.last_seq, f"{found.examined} entries were examined, and the table has {entries}")
    if found.last_seq < remembered:
        yield Fault(
            found.last_seq, f"is the last entry, and an earlier verification saw {remembered}: the end is missing"
        )
    if found.last_seq < reached:
        yield Fault(found.last_seq, f"is the last entry, and it is known that there was {reached}: the end is missing")


async def _page(connection: Connection, after: int) -> list[Stored]:
    cursor = await connection.execute(QUERIES["audit_chain"], {"after": after, "limit": PAGE_ENTRIES})
    return [Stored(*row) for row in await cursor.fetchall()]


async def _rows(connection: Connection, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(QUERIES[statement], values)
        return await cursor.fetchall()
