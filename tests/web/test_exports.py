"""Lists as files: complete or visibly not, streamed, harmless in a spreadsheet, and told to the audit trail."""

from __future__ import annotations

import asyncio
import csv
import io
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import orjson
import psycopg
import pytest
import requests
from aiohttp import web
from aiohttp.test_utils import TestServer

from recon_stream.avro import decode
from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from recon_stream.storage.audit_log import append
from recon_stream.storage.pool import connection_pool
from recon_stream.storage.reading import Row
from recon_stream.storage.store import VerdictStore
from recon_stream.storage.verdicts import Incoming
from recon_stream.web import exporting
from recon_stream.web.endpoints import Answer
from recon_stream.web.exporting import UNDER_WAY_MAX, Formatted, cell
from tests.secured.processes import SECONDS
from tests.storage.events import Batch, Record, encode_result, result, said_break
from tests.storage.test_audit_trail import entry
from tests.web.serving import Desk, Person, serving

pytestmark = pytest.mark.stack

FORMULAS = [
    "=1+1", "+1", "-1+1", "@SUM(A1)", "\t1", "\r=1", "\n=1", "=cmd|' /C calc'!A0", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201",
]  # fmt: skip


async def write(settings: Settings, *fields: dict[str, Any]) -> None:
    """Entries of the audit trail."""
    async with await psycopg.AsyncConnection.connect(settings.database_web_url) as connection:
        await append(connection, [entry(number, **each) for number, each in enumerate(fields)])


async def store(settings: Settings, *said: dict[str, Any]) -> None:
    """Live verdicts, as the sink stores them."""
    batch = Batch("recon_results", 0, [Record(number, encode_result(one)) for number, one in enumerate(said)])
    incoming = [
        Incoming(*batch.tp, each.offset, each.timestamp, each.value, decode("reconciliation_result", each.value or b""))
        for each in batch.records
    ]
    async with connection_pool(settings.database_url, settings, "test", size=1) as pool:
        await VerdictStore(pool).write(incoming, [batch])


def objects(answer: requests.Response) -> list[dict[str, Any]]:
    """The lines of an NDJSON file."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    return [orjson.loads(line) for line in answer.content.splitlines()]


def table(answer: requests.Response) -> list[dict[str, str]]:
    """The lines of a CSV file by their header."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/csv; charset=utf-8")
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


@pytest.fixture
def desk(database: Settings, identity: Settings, tmp_path: Path) -> Iterator[Desk]:
    with serving(database, identity, tmp_path) as one:
        yield one


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_with_what_a_spreadsheet_evaluates(text: str) -> None:
    """An apostrophe stands before it; everything behind stays as it was."""
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A;=1+1", "A;'=1+1"),
        ("A;  @SUM(A1)", "A;  '@SUM(A1)"),
        ("A\t-1+1", "A\t'-1+1"),
        ("\t=1", "'\t'=1"),
        ("=1;+2", "'=1;'+2"),
        ("A; B;C", "A; B;C"),
    ],
)
def test_nor_does_what_is_a_cell_where_semicolons_part_them(text: str, expected: str) -> None:
    """As they do where a comma stands in numbers."""
    assert cell(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("-134702", "-134702"), ("-1347.02", "-1347.02"), (None, ""), (True, "true"), (7, "7"), (["A", "B"], "A B"),
     (["=A", "B"], "'=A B"), ({"a": 1}, '{"a":1}'), ("T1", "T1"), ("-1e5", "'-1e5")],
)  # fmt: skip
def test_other_cells_stay_what_they_are(value: Any, expected: str) -> None:
    """Numbers stay numbers, also negative ones; an amount must not become a text."""
    assert cell(value) == expected


def test_transactions_are_exported_as_their_list_shows_them(desk: Desk) -> None:
    """The same rows in the same order with the same filters, in both kinds."""
    said = [result(f"T{n:03}", 1, [said_break(break_id=f"b{n}")] if n % 3 == 0 else (), amount_minor=n * 100) for n in range(40)]  # fmt: skip
    asyncio.run(store(desk.settings, *said))
    operator = desk.person(Role.OPERATOR)
    for query in ({}, {"verdict": "BROKEN"}, {"currency": "EUR", "amount_min": "20.00", "sort": "amount"}):
        listed = operator.every("/transactions", limit=7, **query)
        assert listed
        assert objects(operator.get("/transactions/export", format="ndjson", **query)) == listed
        cells = table(operator.get("/transactions/export", **query))
        assert [(row["txn_id"], row["verdict"], row["amount.minor"], row["amount.major"]) for row in cells] == [
            (each["txn_id"], each["verdict"], each["amount"]["minor"], each["amount"]["major"]) for each in listed
        ]
    assert operator.get("/transactions/export", verdicts="BROKEN").status_code == 400


def test_mismatches_are_exported_as_their_list_shows_them(rest: Desk) -> None:
    """The open ones and the resolved ones, account numbers among their evidence: who may export sees those."""
    operator = rest.person(Role.OPERATOR)
    for query in ({}, {"state": "RESOLVED"}, {"class": "ACCOUNT_MISMATCH", "sort": "opened_at"}):
        listed = operator.every("/mismatches", limit=3, **query)
        assert listed
        assert objects(operator.get("/mismatches/export", format="ndjson", **query)) == listed
        cells = table(operator.get("/mismatches/export", **query))
        assert [(row["break_id"], row["class"], row["actual"]) for row in cells] == [
            (each["break_id"], each["class"], each["actual"] or "") for each in listed
        ]


def test_the_audit_trail_is_exported_without_a_formula(desk: Desk) -> None:
    """What people control, as actor and object, cannot act where the file is opened; NDJSON has it as it is."""
    asyncio.run(write(desk.settings, *[{"object": text, "action": "test"} for text in FORMULAS]))
    auditor = desk.person(Role.AUDITOR)
    cells = table(auditor.get("/audit/export", action="test", sort="seq"))
    assert [row["object"] for row in cells] == [f"'{text}" for text in FORMULAS]
    lines = objects(auditor.get("/audit/export", action="test", sort="seq", format="ndjson"))
    assert [line["object"] for line in lines] == FORMULAS
    assert orjson.loads(cells[0]["detail"]) == lines[0]["detail"] == entry(0).detail
    assert cells[0]["hash"] == lines[0]["hash"]


def test_an_exported_trail_proves_itself(desk: Desk) -> None:
    """By what stands in the file alone: each hash is that of its entry and of the one before."""
    asyncio.run(
        write(desk.settings, *[{"object": text, "detail": {"what": [text, 1.5, None], "Ä": {}}} for text in FORMULAS])
    )
    lines = objects(desk.person(Role.AUDITOR).get("/audit/export", sort="seq", format="ndjson"))
    assert len(lines) >= len(FORMULAS)
    parts = ("seq", "at_us", "actor", "role", "action", "object", "outcome", "address", "session", "request_id")
    previous = ""
    for line in lines:
        assert line["previous_hash"] == previous
        digest = sha256(bytes.fromhex(previous))
        for part in (*(str(line[name]) for name in parts), orjson.dumps(line["detail"]).decode()):
            digest.update(len(part.encode()).to_bytes(4, "big") + part.encode())
        previous = digest.hexdigest()
        assert line["hash"] == previous


def test_an_export_that_is_too_long_is_cut_and_says_so(database: Settings, identity: Settings, tmp_path: Path) -> None:
    """In the last line of either kind; one of exactly the bound is complete."""
    asyncio.run(write(database, *[{"action": "test"} for _ in range(1201)]))
    with serving(database, identity, tmp_path, export_rows_max=1200) as desk:
        auditor = desk.person(Role.AUDITOR)
        lines = objects(auditor.get("/audit/export", action="test", format="ndjson"))
        assert len(lines) == 1201
        assert (lines[-1]["cut"], lines[-1]["rows"]) == (True, 1200)
        cells = table(auditor.get("/audit/export", action="test"))
        assert len(cells) == 1201
        assert cells[-1]["seq"].startswith("CUT: there are more than 1200 rows")
        some = objects(auditor.get("/audit/export", action="test", request_id="r1200", format="ndjson"))
        assert [line["seq"] for line in some] == [1201]
    (tmp_path / "wider").mkdir()
    with serving(database, identity, tmp_path / "wider", export_rows_max=1201) as desk:
        lines = objects(desk.person(Role.AUDITOR).get("/audit/export", action="test", format="ndjson"))
        assert [line["seq"] for line in lines] == list(range(1201, 0, -1))


def test_an_export_is_told_to_the_trail_before_it_leaves(desk: Desk) -> None:
    """Who took what in which kind with which filters; an account number in them is masked."""
    operator = desk.person(Role.OPERATOR)
    assert operator.get("/transactions/export", account="DE89370400440532013000", verdict="BROKEN").status_code == 200
    with psycopg.connect(desk.settings.database_reader_url) as connection:
        rows = connection.execute(
            "SELECT actor, object, outcome, detail FROM audit_logs WHERE action = 'transactions.export'"
        ).fetchall()
    filters = {"account": "••••3000", "verdict": ["BROKEN"]}
    subject = operator.get("/me").json()["subject"]
    detail = {"subject": subject, "format": "csv", "filters": filters}
    assert rows == [("operator", "transactions", "ALLOWED", detail)]


def test_what_cannot_be_told_to_the_trail_is_not_exported(desk: Desk) -> None:
    """No byte of a list leaves unrecorded, and what was begun makes room for the next."""
    asyncio.run(store(desk.settings, result("T-SECRET")))
    with psycopg.connect(desk.settings.database_owner_url, autocommit=True) as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION append_audit(json) FROM recon_web")
    for _ in range(UNDER_WAY_MAX + 1):
        answer = desk.person(Role.OPERATOR).get("/transactions/export")
        assert answer.status_code >= 500
        assert "T-SECRET" not in answer.text


@pytest.mark.parametrize(
    ("who", "status"), [(Role.VIEWER, 403), (Role.OPERATOR, 200), (Role.AUDITOR, 200), (None, 401)]
)
def test_who_may_export(rest: Desk, who: Role | None, status: int) -> None:
    """By a permission of its own: reading is not taking along."""
    assert rest.person(who).get("/transactions/export").status_code == status


def test_only_a_few_exports_are_under_way_at_once(desk: Desk) -> None:
    """One of a person, and two in all: clients that do not read hold up two of them; a third is told to wait, other requests are served,
    and all who go away or have got their file make room again."""
    asyncio.run(write(desk.settings, *[{"action": "test", "detail": {"text": "x" * 4000}} for _ in range(4000)]))
    auditor, admin, operator = (desk.person(who) for who in (Role.AUDITOR, Role.ADMIN, Role.OPERATOR))
    assert UNDER_WAY_MAX == 2
    for _ in range(2):
        with ExitStack() as slow:
            slow.enter_context(_begun(desk, auditor))
            mine = auditor.get("/audit/export", action="test")
            assert (mine.status_code, mine.json()["type"]) == (429, "urn:recon:problem:too-many-exports")
            assert "of yours" in mine.json()["detail"]
            slow.enter_context(_begun(desk, admin))
            refused = operator.get("/transactions/export")
            assert (refused.status_code, refused.json()["type"]) == (429, "urn:recon:problem:too-many-exports")
            assert refused.headers["Content-Type"].startswith("application/problem+json")
            assert f"{UNDER_WAY_MAX} exports are under way" in refused.json()["detail"]
            assert int(refused.headers["Retry-After"]) >= 1
            assert auditor.get("/audit", action="test").status_code == 200
    _begun(desk, auditor).close()
    deadline = time.monotonic() + SECONDS
    while auditor.get("/audit/export", action="test").status_code == 429:  # it is missed in a moment
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for _ in range(UNDER_WAY_MAX + 1):
        assert len(objects(auditor.get("/audit/export", action="test", format="ndjson"))) == 4000


def _begun(desk: Desk, auditor: Person) -> socket.socket:
    """A client that has read the head of its export and nothing more; it waits for those who went away to be missed."""
    head = f"GET /audit/export?action=test HTTP/1.1\r\nHost: x\r\nAuthorization: {auditor.authorization}\r\n\r\n"
    deadline = time.monotonic() + SECONDS
    while True:
        connection = socket.create_connection(("127.0.0.1", desk.settings.web_port), timeout=SECONDS)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head.encode())
        status = connection.recv(12)
        if status == b"HTTP/1.1 200":
            return connection
        connection.close()
        assert (status, time.monotonic() < deadline) == (b"HTTP/1.1 429", True)
        time.sleep(0.2)


@pytest.mark.parametrize("reads", [False, True])
async def test_a_client_that_takes_nothing_is_cut_off_and_makes_room(
    reads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has is visibly not the whole; one that takes its time, but takes, gets all of it."""
    monkeypatch.setattr(exporting, "WRITE_SECONDS", 0.5)
    exports, rows, size = exporting.Exports(), 40, 1_000_000

    async def listing(_: int) -> AsyncGenerator[list[Row], None]:
        for number in range(rows):
            yield [{"number": number, "text": "x" * size}]

    async def answer(request: web.Request) -> web.StreamResponse:
        services = SimpleNamespace(
            exports=exports, settings=Settings(export_rows_max=rows), audit=SimpleNamespace(record=AsyncMock())
        )
        trail = SimpleNamespace(entry=Mock())
        call: Any = SimpleNamespace(
            request=request,
            request_id="1",
            who=SimpleNamespace(subject="s"),
            query=Formatted(format="ndjson"),
            services=services,
            trail=trail,
        )
        return await exporting.export(call, "test", Answer, dict, listing)

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**16)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        got = bytearray(await reader.readuntil(b"\r\n\r\n"))
        assert "s" in exports.under_way
        async with asyncio.timeout(SECONDS):
            while reads and not got.endswith(b"0\r\n\r\n"):
                got += await reader.read(2**20)
                await asyncio.sleep(0.01)
            while exports.under_way:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            with suppress(ConnectionResetError):
                while not reads and (more := await reader.read(2**20)):
                    got += more
        writer.close()
    assert (len(got) > rows * size, got.endswith(b"0\r\n\r\n")) == (reads, reads)
