"""The audit trail by the API, and what requests leave in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from recon_stream.security.audit import Outcome
from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from recon_stream.storage import audit_chain
from recon_stream.storage.audit_log import append
from recon_stream.web.services import services_of
from tests.storage.test_audit_trail import entry
from tests.web.serving import Desk, serving, trail

pytestmark = pytest.mark.stack


@pytest.fixture
def desk(database: Settings, identity: Settings, tmp_path: Path) -> Iterator[Desk]:
    with serving(database, identity, tmp_path) as one:
        yield one


async def write(settings: Settings, *fields: dict[str, Any]) -> None:
    """Entries of a test's own."""
    async with await psycopg.AsyncConnection.connect(settings.database_web_url) as connection:
        await append(connection, [entry(number, **each) for number, each in enumerate(fields)])


def test_the_trail_is_searched_and_paged(desk: Desk) -> None:
    """By actor, action, object, outcome, address, request and time, alone and together; every entry once."""
    kinds: list[dict[str, Any]] = [
        {"actor": f"person-{n % 3}", "action": "test.one" if n % 2 else "test.two", "object": f"T{n:03}",
         "outcome": Outcome.DENIED if n % 5 == 0 else Outcome.ALLOWED, "address": f"10.0.0.{n % 4}"}
        for n in range(30)
    ]  # fmt: skip
    asyncio.run(write(desk.settings, *kinds))
    auditor = desk.person(Role.AUDITOR)
    both = ["test.one", "test.two"]
    newest = auditor.every("/audit", action=both, limit=7)
    assert [each["object"] for each in newest] == [f"T{n:03}" for n in reversed(range(30))]
    oldest = auditor.every("/audit", action=both, limit=7, sort="seq")
    assert [each["seq"] for each in oldest] == [each["seq"] for each in reversed(newest)]
    assert len(auditor.every("/audit", actor="person-1")) == 10
    assert len(auditor.every("/audit", actor="person-1", action="test.one")) == 5
    assert [each["object"] for each in auditor.every("/audit", object="T00", action=both, sort="seq")] == [
        f"T00{n}" for n in range(10)
    ]
    assert len(auditor.every("/audit", outcome="DENIED", action=both)) == 6
    assert len(auditor.every("/audit", address="10.0.0.3", action=both)) == 7
    (one,) = auditor.every("/audit", request_id="r7")
    assert (one["object"], one["detail"]) == ("T007", entry(7).detail)
    assert auditor.every("/audit", action=both, before=oldest[0]["at"]) == []
    assert len(auditor.every("/audit", action=both, since=oldest[0]["at"])) == 30
    assert auditor.get("/audit", action=both, sort="seq", after=auditor.get("/audit", action=both, limit=5).json()["next"]).status_code == 400  # fmt: skip


def test_a_page_that_has_not_changed_is_not_sent_again(desk: Desk) -> None:
    """By its ETag; a new entry changes it."""
    asyncio.run(write(desk.settings, {"action": "test.one"}))
    auditor = desk.person(Role.AUDITOR)
    tag = auditor.get("/audit", action="test.one").headers["ETag"]
    same = auditor.get("/audit", {"If-None-Match": tag}, action="test.one")
    assert (same.status_code, same.content) == (304, b"")
    asyncio.run(write(desk.settings, {"action": "test.one"}))
    assert auditor.get("/audit", {"If-None-Match": tag}, action="test.one").status_code == 200


def test_the_last_verification_is_told(desk: Desk) -> None:
    """None at first; then what it found, and how far the trail has gone on since."""
    auditor = desk.person(Role.AUDITOR)
    assert auditor.get("/audit/verification").json()["verification"] is None
    trail(desk.settings, "audit.verification")

    async def verify() -> int:
        async with await psycopg.AsyncConnection.connect(desk.settings.database_web_url, autocommit=True) as connection:
            return (await audit_chain.verify(connection)).last_seq

    last = asyncio.run(verify())
    asyncio.run(write(desk.settings, {}, {}))
    told = auditor.get("/audit/verification").json()
    assert told["last_seq"] >= last + 2
    found = told["verification"]
    assert (found["ok"], found["examined"], found["last_seq"], found["faults"]) == (True, last, last, 0)


@pytest.mark.parametrize(
    ("who", "status"), [(Role.ADMIN, 200), (Role.AUDITOR, 200), (Role.OPERATOR, 403), (Role.VIEWER, 403), (None, 401)]
)
def test_who_may_read_the_trail(rest: Desk, who: Role | None, status: int) -> None:
    """Those who oversee; an operator may export, but not the trail."""
    someone = rest.person(who)
    for path in ("/audit", "/audit/verification", "/audit/export"):
        assert someone.get(path).status_code == status, path


def test_reads_and_refusals_leave_a_trace(desk: Desk) -> None:
    """Who read what from where under which request, and who was refused; account numbers never."""
    answer = desk.person(Role.AUDITOR).get("/audit", {"X-Request-ID": "request-of-mine"}, actor="nobody-at-all")
    assert answer.headers["X-Request-ID"] == "request-of-mine"
    (read,) = trail(desk.settings, "audit.list")
    assert (read["actor"], read["role"], read["outcome"]) == ("auditor", "auditor", "ALLOWED")
    assert (read["address"], read["request_id"]) == ("127.0.0.1", "request-of-mine")
    assert read["session"] != "-"
    subject = desk.person(Role.AUDITOR).get("/me").json()["subject"]
    assert read["detail"] == {"subject": subject, "filters": {"actor": "nobody-at-all"}}
    desk.person(Role.VIEWER).get("/audit/verification")
    (refused,) = trail(desk.settings, "audit.verification")
    subject = desk.person(Role.VIEWER).get("/me").json()["subject"]
    assert (refused["actor"], refused["outcome"]) == ("viewer", "DENIED")
    assert refused["detail"] == {"subject": subject, "needs": "audit:read"}
    desk.person(None).get("/audit")
    (unknown,) = trail(desk.settings, "authenticate")
    assert (unknown["actor"], unknown["outcome"], unknown["object"]) == ("-", "DENIED", "/audit")


def test_a_read_tells_what_was_looked_for(desk: Desk) -> None:
    """With the filters of a list, in which account numbers are masked; of one thing, the thing."""
    operator = desk.person(Role.OPERATOR)
    operator.get("/transactions", account="DE89370400440532013000", text="DE89370400440532013000", verdict="BROKEN")
    (read,) = trail(desk.settings, "transactions.list")
    assert read["detail"]["filters"] == {"account": "••••3000", "text": "••••3000", "verdict": ["BROKEN"]}
    operator.get("/transactions/T1")
    (read,) = trail(desk.settings, "transactions.read")
    assert (read["object"], read["detail"].keys()) == ("T1", {"subject"})


@pytest.mark.parametrize("path", ["transactions", "mismatches"])
def test_who_may_not_filter_by_account_is_recorded_as_refused_alone(desk: Desk, path: str) -> None:
    """Nothing says that the list was shown; the number is nowhere in the entry."""
    assert desk.person(Role.VIEWER).get(f"/{path}", account="DE89370400440532013000").status_code == 403
    # written behind the refusal: what would have been noted before is there too
    assert desk.person(Role.OPERATOR).get(f"/{path}").status_code == 200
    found = [(each["actor"], each["outcome"]) for each in trail(desk.settings, f"{path}.list", 2)]
    assert found == [("viewer", "DENIED"), ("operator", "ALLOWED")]
    (refused, _) = trail(desk.settings, f"{path}.list", 2)
    assert refused["detail"]["needs"] == "accounts:read"
    assert "3000" not in str(refused)


def test_a_storm_of_refusals_does_not_fill_the_trail(desk: Desk) -> None:
    """The first of a kind is written; the others of its minute are counted."""
    viewer = desk.person(Role.VIEWER)
    assert {viewer.get("/audit").status_code for _ in range(200)} == {403}
    assert {desk.person(None).get("/audit").status_code for _ in range(100)} == {401}
    assert len(trail(desk.settings, "audit.list")) <= 2
    assert len(trail(desk.settings, "authenticate")) <= 2


async def test_the_end_of_a_process_tells_how_often_was_refused(database: Settings) -> None:
    """Whose minute is not over is told nevertheless."""
    refused = entry(1, action="test.refused", outcome=Outcome.DENIED)
    async with services_of(database) as services:
        for _ in range(5):
            services.denials.note(refused, time.monotonic())
    (told,) = await asyncio.to_thread(trail, database, "test.refused")
    assert told["detail"]["more_within_60_s"] == 4
