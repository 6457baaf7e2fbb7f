"""Lists: each filter shows what it says and nothing else, pages join without a gap, and a wrong question is told what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from recon_stream.domain.breaks import EVERYONE, SUBJECTS
from recon_stream.domain.event import Source
from recon_stream.security.roles import Role
from tests.web.filling import ACCOUNT, OTHER_ACCOUNT, TRANSACTIONS, said
from tests.web.serving import Desk, Person

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

LIVE = [said(number, 0)[-1] for number in range(TRANSACTIONS)]
"""The newest revision of each transaction; instants are those of the epoch."""
BROKEN = {each["txn_id"]: each["breaks"][0] for each in LIVE if each["breaks"] and each["breaks"][0]["state"] == "OPEN"}
STATS = "/mismatches/stats?since=1970-01-01T00:00:00Z"


@pytest.fixture
def auditor(rest: Desk) -> Person:
    return rest.person(Role.AUDITOR)


def names(items: list[dict[str, Any]]) -> set[str]:
    """Which transactions."""
    return {item["txn_id"] for item in items}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {each["txn_id"] for each in LIVE}),
        ({"verdict": "BROKEN"}, set(BROKEN)),
        ({"verdict": ["BROKEN", "MATCHED"]}, {each["txn_id"] for each in LIVE}),
        ({"verdict": "VOID"}, set()),
        *(
            ({"class": name}, {txn_id for txn_id, each in BROKEN.items() if each["class"] == name})
            for name in ("AMOUNT_MISMATCH", "ACCOUNT_MISMATCH", "MISSING_ENTRY")
        ),
        ({"source": "ALL"}, {txn_id for txn_id, each in BROKEN.items() if each["subject"] == "ALL"}),
        (
            {"severity": ["CRITICAL", "MEDIUM"]},
            {txn_id for txn_id, each in BROKEN.items() if each["severity"] in ("CRITICAL", "MEDIUM")},
        ),
        ({"currency": "JPY"}, {each["txn_id"] for each in LIVE if each["currency"] == "JPY"}),
        (
            {"currency": "EUR", "amount_min": "100.01", "amount_max": "200.01"},
            {f"T{number:03d}" for number in range(10, 21) if number % 10 != 9},
        ),
        ({"account": ACCOUNT}, {f"T{number:03d}" for number in range(1, TRANSACTIONS, 2)}),
        ({"text": "T05"}, {f"T{number:03d}" for number in range(50, 60)}),
        ({"text": "R-7"}, {"T007"}),
        ({"text": "MOBILE-8"}, {"T008"}),
    ],
)
def test_transactions_by_filter(auditor: Person, query: dict[str, Any], expected: set[str]) -> None:
    """Small pages: a filter holds over all of them, and no row comes twice."""
    items = auditor.every("/transactions", limit=7, **query)
    assert names(items) == expected
    assert len(items) == len(expected)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, set(BROKEN)),
        ({"state": "RESOLVED"}, {each["txn_id"] for each in LIVE if each["breaks"]} - set(BROKEN)),
        ({"class": "MISSING_ENTRY"}, {txn_id for txn_id, each in BROKEN.items() if each["class"] == "MISSING_ENTRY"}),
        ({"source": "GATEWAY"}, {txn_id for txn_id, each in BROKEN.items() if each["subject"] == "GATEWAY"}),
        ({"severity": "CRITICAL"}, {txn_id for txn_id, each in BROKEN.items() if each["severity"] == "CRITICAL"}),
        ({"text": "b018"}, {"T018"}),
        ({"text": "T04"}, {txn_id for txn_id in BROKEN if txn_id.startswith("T04")}),
        ({"text": "R-24"}, {"T024"}),
        ({"account": ACCOUNT}, set()),
        ({"account": OTHER_ACCOUNT}, set(BROKEN)),
        (
            {"currency": "EUR", "amount_max": "0.45"},
            {txn_id for txn_id, each in BROKEN.items() if each["class"] == "AMOUNT_MISMATCH"},
        ),
    ],
)
def test_mismatches_by_filter(auditor: Person, query: dict[str, Any], expected: set[str]) -> None:
    """The same of breaks; open ones where nothing else is asked for."""
    items = auditor.every("/mismatches", limit=3, **query)
    assert names(items) == expected
    assert len(items) == len(expected)


@pytest.mark.parametrize("path", ["/transactions", "/mismatches"])
def test_a_period_has_its_first_instant_and_not_its_last(auditor: Person, path: str) -> None:
    """`since` is in it, `before` is not, so periods side by side count each row once."""
    column = "decided_at" if path == "/transactions" else "opened_at"
    items = auditor.every(path)
    middle = items[len(items) // 2][column]
    early, late = auditor.every(path, before=middle), auditor.every(path, since=middle)
    assert sorted(map(str, early + late)) == sorted(map(str, items))
    assert all(item[column] < middle for item in early)
    assert all(item[column] >= middle for item in late)


@pytest.mark.parametrize(
    ("path", "sort", "key"),
    [
        ("/transactions", "decided_at", lambda item: item["decided_at"]),
        ("/transactions", "amount", lambda item: int(item["amount"]["minor"])),
        ("/mismatches", "opened_at", lambda item: item["opened_at"]),
        ("/mismatches", "amount", lambda item: int(item["at_risk"]["minor"])),
    ],
)
def test_pages_in_both_orders(auditor: Person, path: str, sort: str, key: Any) -> None:
    """Up and down are each other's reverse, whatever the size of a page."""
    currency = {"currency": "EUR"} if sort == "amount" else {}
    up, down = (auditor.every(path, sort=order, limit=4, **currency) for order in (sort, f"-{sort}"))
    assert up == down[::-1] == auditor.every(path, sort=sort, limit=200, **currency)
    assert [key(item) for item in up] == sorted(key(item) for item in up)
    assert len(up) > 8


@pytest.mark.parametrize(
    ("path", "query", "faults"),
    [
        ("/transactions", {"verdikt": "BROKEN"}, ["verdikt"]),
        ("/transactions", {"verdict": "broken"}, ["verdict.0"]),
        ("/transactions", {"limit": 0}, ["limit"]),
        ("/transactions", {"limit": 201, "since": "yesterday"}, ["limit", "since"]),
        ("/transactions", {"sort": "amount"}, ["currency"]),
        ("/transactions", {"amount_min": "1"}, ["currency"]),
        ("/transactions", {"amount_min": "1.001", "currency": "EUR"}, ["amount_min"]),
        ("/transactions", {"amount_min": "1", "currency": "XXX"}, ["currency"]),
        ("/transactions", {"currency": ["EUR", "USD"]}, ["currency"]),
        ("/transactions", {"text": "a\0b"}, ["text"]),
        ("/transactions", {"after": "%%%"}, ["after"]),
        ("/transactions", {"after": "W10"}, ["after"]),
        ("/mismatches", {"state": "ANY"}, ["state"]),
        ("/mismatches", {"class": "NO_SUCH"}, ["class.0"]),
        ("/mismatches", {"sort": "-amount"}, ["currency"]),
        ("/mismatches/stats", {"since": "never"}, ["since"]),
        ("/status", {"x": "1"}, ["x"]),
    ],
)
def test_a_wrong_question(auditor: Person, path: str, query: dict[str, Any], faults: list[str]) -> None:
    """Each parameter that is wrong is named, in one shape; nothing is guessed."""
    answer = auditor.get(path, **query)
    assert answer.status_code == 400, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json; charset=utf-8"
    problem = answer.json()
    assert problem["type"] == "urn:recon:problem:invalid-request"
    assert sorted((error["place"], error["name"]) for error in problem["errors"]) == [
        ("query", name) for name in faults
    ]


def test_a_cursor_belongs_to_its_list_and_order(auditor: Person) -> None:
    """One of another order is refused, not misread."""
    cursor = auditor.get("/transactions", limit=2).json()["next"]
    assert auditor.get("/transactions", limit=2, after=cursor).status_code == 200
    for path, query in (("/transactions", {"sort": "decided_at"}), ("/mismatches", {})):
        assert auditor.get(path, after=cursor, **query).status_code == 400


@pytest.mark.parametrize(
    "path",
    ["/transactions/T-none", "/transactions/T-none/records", "/mismatches/none", "/nowhere", "/transactions/T003/x"],
)
def test_what_is_not_there(auditor: Person, path: str) -> None:
    """404 as a problem, also where no endpoint is."""
    answer = auditor.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:recon:problem:not-found")


def test_a_method_that_a_path_does_not_take(auditor: Person) -> None:
    """405 as a problem, with what it takes."""
    answer = auditor.ask("DELETE", "/transactions")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    assert answer.json()["type"] == "urn:recon:problem:method-not-allowed"


@pytest.mark.parametrize(
    "path", ["/transactions", "/transactions/T003", "/mismatches", "/mismatches/b018", STATS, "/me"]
)
def test_what_has_not_changed_is_not_sent_again(auditor: Person, path: str) -> None:
    """The ETag of an answer, sent back, gives 304 without a body; another one gives the answer."""
    first = auditor.get(path)
    again = auditor.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    tag = first.headers["ETag"]
    for known in (f'"other", {tag}', f"W/{tag}", "*"):
        assert auditor.get(path, headers={"If-None-Match": known}).status_code == 304
    other = auditor.get(path, headers={"If-None-Match": f'"other{tag[1:]}'})
    assert (other.status_code, other.content) == (200, first.content)


def test_a_break_can_be_about_each_source_and_about_all() -> None:
    """The filters of lists, sockets and the command take these and no others."""
    assert (*(source.name for source in Source), EVERYONE) == SUBJECTS
