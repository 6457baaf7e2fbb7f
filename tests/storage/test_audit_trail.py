"""The audit trail on a real PostgreSQL: nobody changes it, and whoever can all the same is found."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from recon_stream.security.audit import FIRST, Entry, Outcome, Stored, hash_of
from recon_stream.settings import Settings
from recon_stream.stack import local
from recon_stream.storage import audit_chain
from recon_stream.storage.audit_chain import Verification
from recon_stream.storage.audit_log import BATCH_MAX, AuditLog, append
from recon_stream.storage.pool import Connection, Pool, connection_pool
from tests.secured.processes import command

pytestmark = pytest.mark.stack

ENTRIES = 12


def entry(number: int, **fields: Any) -> Entry:
    """A read by an auditor."""
    usual = {
        "actor": "auditor",
        "role": "auditor",
        "action": "transactions.read",
        "object": f'T{number} – Ünïcode, "quoted"',
        "outcome": Outcome.ALLOWED,
        "address": "127.0.0.1",
        "session": "s1",
        "request_id": f"r{number}",
        "detail": {"number": number, "text": "a\tb\\ü\u2028"},
    }
    return Entry(**(usual | fields))


async def write(settings: Settings, numbers: range) -> int:
    """Entries, in one transaction; the number of the last one."""
    async with await psycopg.AsyncConnection.connect(settings.database_web_url) as connection:
        return await append(connection, [entry(number) for number in numbers])


async def verified(settings: Settings, reached: int = 0) -> Verification:
    async with await psycopg.AsyncConnection.connect(settings.database_web_url, autocommit=True) as connection:
        return await audit_chain.verify(connection, reached)


def superuser(settings: Settings) -> psycopg.Connection:
    """Somebody who may do anything, with the trigger out of the way."""
    state = local.read_state(settings)
    assert state is not None
    name = settings.database_web_url.rsplit("/", 1)[1].split("?")[0]
    connection = psycopg.connect(state.database_url("postgres", name), autocommit=True)
    connection.execute("SET session_replication_role = replica")
    return connection


@pytest.fixture
def trail(database: Settings) -> Settings:
    """A database whose trail has twelve entries of two transactions."""
    asyncio.run(write(database, range(5)))
    assert asyncio.run(write(database, range(5, ENTRIES))) == ENTRIES
    return database


def rehashed(connection: psycopg.Connection, seq: int) -> None:
    """Give an entry the hash that fits its content, as a careful forger would."""
    query = """SELECT seq, (extract(epoch FROM at) * 1000000)::bigint, actor, role, action, object, outcome, address, session,
        request_id, detail::text, previous_hash, hash FROM audit_logs WHERE seq = %s"""
    row = connection.execute(query, [seq]).fetchone()
    assert row is not None
    connection.execute("UPDATE audit_logs SET hash = %s WHERE seq = %s", [hash_of(Stored(*row)), seq])


async def test_a_trail_that_nobody_touched_holds(trail: Settings) -> None:
    """PostgreSQL and the verification compute the same hashes, each on its own; it holds page by page as well as at once."""
    found = await verified(trail)
    assert (found.faults, found.examined, found.last_seq) == (0, ENTRIES, ENTRIES)


async def test_a_trail_is_read_in_pages_of_a_bounded_size(trail: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies on both sides of a page's edge is held together like the rest."""
    monkeypatch.setattr(audit_chain, "PAGE_ENTRIES", 5)
    seen: list[int] = []
    async with await psycopg.AsyncConnection.connect(trail.database_web_url, autocommit=True) as connection:
        found = await audit_chain.verify(connection, advance=seen.append)
        assert (found.faults, seen) == (0, [5, 5, 2])
        with superuser(trail) as forger:
            forger.execute("DELETE FROM audit_logs WHERE seq = 6")
        found = await audit_chain.verify(connection)
    assert found.examples[0].seq == 7


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'somebody'", "role = 'viewer'", "action = 'x'", "object = 'T9'", "outcome = 'DENIED'", "address = '::1'",
        "session = 's2'", "request_id = 'r9'", "detail = '{}'", "at = at + interval '1 microsecond'",
        """detail = (' ' || detail::text)::json""", "hash = sha256('x')", "previous_hash = sha256('x')",
    ],
)  # fmt: skip
async def test_an_entry_that_was_changed_is_found(trail: Settings, change: str) -> None:
    """Whatever part of it; the first wrong entry is named."""
    with superuser(trail) as forger:
        forger.execute(f"UPDATE audit_logs SET {change} WHERE seq = 6")
    found = await verified(trail)
    assert found.faults
    assert found.examples[0].seq == 6


async def test_a_changed_entry_is_found_also_with_a_hash_that_fits(trail: Settings) -> None:
    """Then the entry after it does not hold that hash."""
    with superuser(trail) as forger:
        forger.execute("UPDATE audit_logs SET actor = 'somebody' WHERE seq = 6")
        rehashed(forger, 6)
    found = await verified(trail)
    assert found.examples[0].seq == 7


async def test_a_deleted_entry_is_found(trail: Settings) -> None:
    """In the middle and at the beginning."""
    with superuser(trail) as forger:
        forger.execute("DELETE FROM audit_logs WHERE seq = 6")
    assert (await verified(trail)).examples[0].seq == 7
    with superuser(trail) as forger:
        forger.execute("DELETE FROM audit_logs WHERE seq = 1")
    assert (await verified(trail)).examples[0].seq == 2


@pytest.mark.parametrize("gone", [range(1, 2), range(6, 7), range(4, 9)], ids=["the first", "one", "some"])
async def test_a_gap_is_found_also_where_the_hashes_fit(trail: Settings, gone: range) -> None:
    """All behind it was chained anew onto what is before it: the numbers tell, at the entry behind the gap and nowhere else."""
    with superuser(trail) as forger:
        forger.execute("DELETE FROM audit_logs WHERE seq >= %s AND seq < %s", [gone.start, gone.stop])
        for seq in range(gone.stop, ENTRIES + 1):
            before = "SELECT hash FROM audit_logs WHERE seq < %s ORDER BY seq DESC LIMIT 1"
            row = forger.execute(before, [seq]).fetchone() or (FIRST,)
            forger.execute("UPDATE audit_logs SET previous_hash = %s WHERE seq = %s", [row[0], seq])
            rehashed(forger, seq)
    found = await verified(trail)
    assert [(fault.seq, fault.what) for fault in found.examples] == [
        (gone.stop, f"comes after {gone.start - 1}: entries are missing, or were moved")
    ]


async def test_entries_that_changed_places_are_found(trail: Settings) -> None:
    """Their numbers are exchanged."""
    with superuser(trail) as forger:
        forger.execute("UPDATE audit_logs SET seq = 1000 WHERE seq = 6")
        forger.execute("UPDATE audit_logs SET seq = 6 WHERE seq = 7")
        forger.execute("UPDATE audit_logs SET seq = 7 WHERE seq = 1000")
    assert (await verified(trail)).examples[0].seq == 6


@pytest.mark.parametrize("place", [0, -5, 6], ids=["before the first", "far before", "between"])
async def test_an_entry_that_was_put_in_is_found(trail: Settings, place: int) -> None:
    """Also with a hash that fits; between two, the later ones move on to make room."""
    columns = "at, actor, role, action, object, outcome, address, session, request_id, detail, previous_hash, hash"
    with superuser(trail) as forger:
        if place > 0:
            forger.execute("UPDATE audit_logs SET seq = seq + 1000 WHERE seq >= %s", [place])
            forger.execute("UPDATE audit_logs SET seq = seq - 999 WHERE seq >= 1000")
        forger.execute(
            f"INSERT INTO audit_logs (seq, {columns}) SELECT %s, {columns} FROM audit_logs WHERE seq = 3", [place]
        )
        rehashed(forger, place)
    assert (await verified(trail)).examples[0].seq == place


async def test_an_end_that_was_cut_off_is_found(trail: Settings) -> None:
    """By the verification before, or by a number that somebody has noted; the rest is whole in itself."""
    with superuser(trail) as forger:
        forger.execute("DELETE FROM audit_logs WHERE seq > 10")
    assert (await verified(trail, ENTRIES)).faults == 1
    found = await verified(trail)
    assert (found.faults, found.last_seq) == (0, 10), "nobody could know"
    with superuser(trail) as forger:
        forger.execute("DELETE FROM audit_logs WHERE seq > 8")
    found = await verified(trail)
    assert "the end is missing" in found.examples[0].what


async def test_a_chain_that_was_written_anew_is_found(trail: Settings) -> None:
    """Cut off behind an entry and continued in its own way, with hashes that fit."""
    assert (await verified(trail)).faults == 0
    with superuser(trail) as forger:
        forger.execute("DELETE FROM audit_logs WHERE seq > 10")
    await write(trail, range(100, 105))
    found = await verified(trail)
    assert (found.faults, found.examples[0].seq) == (1, ENTRIES)
    assert "written anew" in found.examples[0].what


async def test_writers_at_once_leave_one_chain_without_gap(database: Settings) -> None:
    """Also where some of them roll back."""

    async def one(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(database.database_web_url) as connection:
            await append(connection, [entry(number), entry(number)])
            if number % 3 == 0:
                await connection.rollback()

    await asyncio.gather(*[one(number) for number in range(30)])
    found = await verified(database)
    assert (found.faults, found.examined, found.last_seq) == (0, 40, 40)


def noted(settings: Settings) -> list[tuple[Any, ...]]:
    """(actor, request id, detail) of every entry, in order."""
    with psycopg.connect(settings.database_reader_url) as connection:
        return connection.execute("SELECT actor, request_id, detail FROM audit_logs ORDER BY seq").fetchall()


@pytest.fixture
async def pool(database: Settings) -> AsyncIterator[Pool]:
    async with connection_pool(database.database_web_url, database, "test", size=2) as opened:
        yield opened


async def test_an_entry_that_cannot_be_written_holds_up_no_other(database: Settings, pool: Pool) -> None:
    """PostgreSQL takes no U+0000 and JSON no half of a pair: such an entry is written escaped, the others as they are."""
    log = AuditLog(pool)
    unfit = {3: {"actor": "a\0b"}, 5: {"session": "\ud800"}, 6: {"detail": {"x": "\udfff"}}, 7: {"detail": {"x": {1}}}}
    async with log.running():
        for number in range(BATCH_MAX + 10):
            log.note(entry(number, **unfit.get(number, {})))
    written = noted(database)
    assert [request for _, request, _ in written] == [f"r{number}" for number in range(BATCH_MAX + 10)]
    assert written[3][:1] == ("a\\x00b",)
    assert written[6][2] == {"escaped": "{'x': '\\udfff'}"}
    assert {number for number, (_, _, detail) in enumerate(written) if "escaped" in detail} == unfit.keys()
    assert (await verified(database)).faults == 0


class SlowToReturn:
    """A pool whose connections take a moment to come back once they have committed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.has_committed = asyncio.Event()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with self._pool.connection() as connection:
            yield connection
        self.has_committed.set()
        await asyncio.sleep(0.1)


async def test_what_was_committed_as_the_writer_ends_is_not_written_again(database: Settings, pool: Pool) -> None:
    """The end comes between the commit and the moment in which the writer knows of it."""
    slow: Any = SlowToReturn(pool)
    log = AuditLog(slow)
    async with log.running():
        log.note(entry(1))
        await slow.has_committed.wait()
    assert [request for _, request, _ in noted(database)] == ["r1"]


def as_role(settings: Settings, role: str) -> psycopg.Connection:
    """A connection as that role, which asks to be let write: the reader's sessions begin read-only."""
    urls = {
        "web": settings.database_web_url,
        "sink": settings.database_url,
        "reader": settings.database_reader_url,
        "owner": settings.database_owner_url,
    }
    return psycopg.connect(urls[role], options="-c default_transaction_read_only=off")


@pytest.mark.parametrize("role", ["web", "sink", "reader", "owner"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_logs SET actor = 'x'", "DELETE FROM audit_logs", "TRUNCATE audit_logs",
        "UPDATE audit_verifications SET faults = 0", "DELETE FROM audit_verifications", "TRUNCATE audit_verifications",
    ],
)  # fmt: skip
def test_nobody_changes_or_removes(trail: Settings, role: str, statement: str) -> None:
    """The roles of the product by their grants, the owner of the tables by the trigger."""
    with as_role(trail, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize("role", ["web", "sink", "reader"])
def test_nobody_writes_an_entry_of_their_own(trail: Settings, role: str) -> None:
    """Entries come by append_audit alone, and that is granted to the web role alone."""
    copy = "INSERT INTO audit_logs SELECT * FROM audit_logs"
    with as_role(trail, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(copy)
    if role != "web":
        with as_role(trail, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT append_audit('[]')")


def run(settings: Settings, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command(settings, folder, "audit", "verify", *arguments)


def test_the_command_says_what_it_found_and_ends_with_it(trail: Settings, tmp_path: Path) -> None:
    """0 where the chain holds, 1 where it does not, naming the first wrong entry; JSON for programs; 2 where it cannot look."""
    held = run(trail, tmp_path)
    assert (held.returncode, "PASSED: 12 entries" in held.stdout) == (0, True), held.stderr
    told = orjson.loads(run(trail, tmp_path, "--json").stdout)
    assert (told["ok"], told["examined"], told["last_seq"]) == (True, ENTRIES, ENTRIES)
    assert told["last_hash"] in held.stdout
    assert run(trail, tmp_path, "--reached", "13").returncode == 1
    with superuser(trail) as forger:
        forger.execute("UPDATE audit_logs SET actor = 'somebody' WHERE seq = 6")
    broken = run(trail, tmp_path)
    assert (broken.returncode, "entry 6 was changed" in broken.stdout) == (1, True), broken.stderr
    unwell = orjson.loads(run(trail, tmp_path, "--json").stdout)
    assert (unwell["ok"], unwell["examples"][0]["seq"]) == (False, 6)


def test_the_command_says_so_where_there_is_nothing_or_nobody(database: Settings, tmp_path: Path) -> None:
    """An empty trail is no proof of anything; a PostgreSQL that is away is not a broken chain."""
    empty = run(database, tmp_path)
    assert (empty.returncode, "empty" in empty.stdout) == (0, True), empty.stderr
    away = run(replace(database, database_web_url="postgresql://recon_web@127.0.0.1:1/recon"), tmp_path)
    assert (away.returncode, "PostgreSQL" in away.stderr) == (2, True), away.stdout + away.stderr
