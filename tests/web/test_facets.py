"""Facets: each count is what the list would have with that value chosen and all other filters as they are."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from recon_stream.storage import reading
from recon_stream.storage.pool import connection_pool
from recon_stream.storage.reading import BreakFilter
from tests.web.filling import ACCOUNT, OTHER_ACCOUNT
from tests.web.serving import Desk, Person, trail

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

SHOWN = {"state": "state", "class": "class", "source": "subject", "severity": "severity"}
"""Filter -> where a row of the list has it."""
BY_AMOUNT = {"currency": "EUR", "amount_max": "200"}


@pytest.fixture
def operator(rest: Desk) -> Person:
    return rest.person(Role.OPERATOR)


def listed(person: Person, name: str, query: dict[str, Any]) -> Counter[str]:
    """Value of the filter `name` -> rows of the list by all other filters of the query."""
    others = {key: value for key, value in query.items() if key != name}
    if name == "currency":
        return Counter(row["at_risk"]["currency"] for row in person.every("/mismatches", limit=200, **others))
    if name != "state":
        return Counter(row[SHOWN[name]] for row in person.every("/mismatches", limit=200, **others))
    states = ("OPEN", "RESOLVED")
    return Counter({each: len(person.every("/mismatches", limit=200, **others | {"state": each})) for each in states})


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"state": "RESOLVED"},
        {"class": "MISSING_ENTRY"},
        {"class": ["MISSING_ENTRY", "AMOUNT_MISMATCH"], "source": "GATEWAY"},
        {"severity": "CRITICAL", "source": "ALL", "state": "RESOLVED"},
        {"currency": "JPY"},
        {"currency": "JPY", "class": "ACCOUNT_MISMATCH"},
        {"text": "T01"},
        {"text": "T01", "class": "MISSING_ENTRY"},
        {"account": OTHER_ACCOUNT, "severity": "MEDIUM"},
        {"account": ACCOUNT},
        {"text": "nothing has it"},
    ],
)
def test_a_count_is_what_its_value_leads_to(operator: Person, query: dict[str, Any]) -> None:
    """Whatever is filtered: for each filter, every value with as many rows as the list has, and no other value."""
    told = operator.get("/mismatches/facets", **query)
    assert told.status_code == 200, told.text
    for name in (*SHOWN, "currency"):
        counts = {each["value"]: each["breaks"] for each in told.json()[name]}
        expected = {value: number for value, number in listed(operator, name, query).items() if number}
        assert counts == expected, name
    assert told.json()["capped"] is False


def test_amounts_keep_their_currency(operator: Person) -> None:
    """200 yen and 200 euro do not compare: the counts are of the one that was asked for; other filters as always."""
    told = operator.get("/mismatches/facets", **BY_AMOUNT, **{"class": "MISSING_ENTRY"}).json()
    in_euro = operator.every("/mismatches", **BY_AMOUNT)
    assert {each["value"]: each["breaks"] for each in told["class"]} == Counter(row["class"] for row in in_euro)
    missing = [row for row in in_euro if row["class"] == "MISSING_ENTRY"]
    assert told["currency"] == [{"value": "EUR", "breaks": len(missing)}]
    assert missing
    assert len(missing) < len(in_euro)


def test_a_period_holds_to_the_millisecond(operator: Person) -> None:
    """Counted break by break, not by buckets: what lies within it is what the list shows."""
    rows = operator.every("/mismatches")
    since, before = rows[-3]["opened_at"], rows[3]["opened_at"]
    told = operator.get("/mismatches/facets", since=since, before=before).json()
    inside = Counter(row["class"] for row in operator.every("/mismatches", since=since, before=before))
    assert {each["value"]: each["breaks"] for each in told["class"]} == inside


def test_a_wrong_question_and_one_that_is_not_allowed(rest: Desk, operator: Person) -> None:
    """As of the list: misspelt filters are named, amounts need a currency, and an order or a page means nothing here."""
    for query in ({"klass": "X"}, {"amount_min": "1"}, {"sort": "opened_at"}, {"limit": "5"}, {"state": "ANY"}):
        assert operator.get("/mismatches/facets", **query).status_code == 400, query
    assert rest.person(Role.VIEWER).get("/mismatches/facets", account=ACCOUNT).status_code == 403


def test_a_look_is_in_the_audit_trail_without_its_account_number(operator: Person, filled: Settings) -> None:
    """A count by account tells of somebody; the trail has the number masked."""
    answer = operator.get("/mismatches/facets", account=OTHER_ACCOUNT)
    assert answer.status_code == 200
    (look,) = trail(filled, "mismatches.facets", request_id=answer.headers["X-Request-ID"])
    assert (look["actor"], look["detail"]["filters"]["account"]) == ("operator", f"••••{OTHER_ACCOUNT[-4:]}")
    assert OTHER_ACCOUNT not in str(look)


async def _cells(settings: Settings, wanted: BreakFilter, limit: int) -> tuple[list[reading.Row], bool]:
    async with connection_pool(settings.database_web_url or settings.database_url, settings, "test", size=1) as pool:
        return await reading.break_cells(pool, wanted, limit)


def test_counting_ends_at_a_bound_and_says_so(filled: Settings) -> None:
    """Of each state the newest are counted; where the sink has counted already there is no bound, for it costs nothing."""
    by_text = BreakFilter(state="OPEN", text="T0")
    cells, is_capped = asyncio.run(_cells(filled, by_text, 4))
    assert is_capped
    counted = Counter[str]()
    for cell in cells:
        counted[cell["state"]] += cell["breaks"]
    assert counted == {"OPEN": 4, "RESOLVED": 4}
    for wanted, limit in ((by_text, 1000), (BreakFilter(state="OPEN", currency="EUR"), 4)):
        cells, is_capped = asyncio.run(_cells(filled, wanted, limit))
        assert not is_capped
        assert sum(cell["breaks"] for cell in cells) == 20
