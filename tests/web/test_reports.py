"""The daily report: it says what statistics and lists say of the same day, as things stood at one moment, and who read it is known."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from recon_stream.storage.reports import Daily
from recon_stream.topics import DEAD_LETTERS, RESULTS
from recon_stream.web.api.reports import is_final
from tests.web.filling import TRANSACTIONS
from tests.web.serving import Desk, Person, trail

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

OF_THE_LETTER = "2025-11-22"
"""When the one dead letter failed; there is nothing else of that day."""
NOTHING: dict[str, Any] = {
    "verdicts": {"transactions": 0, "amounts": [], "items": []},
    "breaks_opened": {"breaks": 0, "still_open": 0, "amounts": [], "items": []},
    "dead_letters": {"letters": 0, "items": []},
}


@pytest.fixture
def auditor(rest: Desk) -> Person:
    return rest.person(Role.AUDITOR)


def report_of(person: Person, day: str) -> Any:
    """Of that day."""
    answer = person.get("/reports/daily", day=day)
    assert answer.status_code == 200, answer.text
    return answer.json()


def filled_days(person: Person) -> list[str]:
    """Days in which something was decided: two where the tests were begun behind midnight."""
    return sorted({row["decided_at"][:10] for row in person.every("/transactions", limit=200)})


def period_of(day: str) -> dict[str, str]:
    """As lists and statistics take it."""
    return {"since": day, "before": (date.fromisoformat(day) + timedelta(days=1)).isoformat()}


def minor(money: dict[str, str] | None) -> int:
    """In minor units."""
    return 0 if money is None else int(money["minor"])


def amounts_of(cells: list[dict[str, Any]], name: str) -> dict[str, int]:
    """Currency -> sum."""
    found: Counter[str] = Counter()
    for cell in cells:
        found[cell[name]["currency"]] += minor(cell[name])
    return dict(found)


def amounts(told: dict[str, Any]) -> dict[str, int]:
    """The same of what an answer has summed."""
    return {each["currency"]: minor(each) for each in told["amounts"]}


def test_verdicts_are_those_of_statistics_and_list(auditor: Person) -> None:
    """By verdict and currency, count and money; the days together have all."""
    days = filled_days(auditor)
    for day in days:
        told = report_of(auditor, day)["verdicts"]
        stats = auditor.get("/transactions/stats", **period_of(day)).json()
        assert told["transactions"] == stats["transactions"] == sum(cell["transactions"] for cell in told["items"]) > 0
        assert amounts(told) == amounts_of(told["items"], "amount")
        for each in stats["verdicts"]:
            cells = [cell for cell in told["items"] if cell["verdict"] == each["verdict"]]
            assert sum(cell["transactions"] for cell in cells) == each["transactions"]
            assert [cell["amount"] for cell in cells] == each["amounts"]
        counts, sums = Counter[Any](), Counter[Any]()
        for row in auditor.every("/transactions", limit=200, **period_of(day)):
            key = (row["verdict"], row["amount"]["currency"])
            counts[key] += 1
            sums[key] += minor(row["amount"])
        cells = told["items"]
        assert {(cell["verdict"], cell["currency"]): cell["transactions"] for cell in cells} == counts
        assert {(cell["verdict"], cell["currency"]): minor(cell["amount"]) for cell in cells} == sums
    assert sum(report_of(auditor, day)["verdicts"]["transactions"] for day in days) == TRANSACTIONS


def test_breaks_are_those_of_statistics_and_lists(auditor: Person) -> None:
    """By class, source, severity and currency; those that are resolved count, and are told from those that are open."""
    found: Counter[str] = Counter()
    for day in filled_days(auditor):
        told = report_of(auditor, day)["breaks_opened"]
        stats = auditor.get("/mismatches/stats", **period_of(day)).json()
        assert (told["breaks"], told["still_open"]) == (stats["open"] + stats["resolved"], stats["open"])
        assert amounts(told) == amounts_of(told["items"], "at_risk")
        counts, still_open, sums = Counter[Any](), Counter[Any](), Counter[Any]()
        for state in ("OPEN", "RESOLVED"):
            for row in auditor.every("/mismatches", limit=200, state=state, **period_of(day)):
                key = (row["class"], row["subject"], row["severity"], row["at_risk"]["currency"])
                counts[key] += 1
                still_open[key] += state == "OPEN"
                sums[key] += minor(row["at_risk"])
        cells = {(cell["class"], cell["source"], cell["severity"], cell["currency"]): cell for cell in told["items"]}
        assert len(cells) == len(told["items"])
        assert {key: cell["breaks"] for key, cell in cells.items()} == counts
        assert {key: cell["still_open"] for key, cell in cells.items()} == still_open
        assert {key: minor(cell["at_risk"]) for key, cell in cells.items()} == sums
        found += Counter({"breaks": told["breaks"], "still_open": told["still_open"]})
    assert found["breaks"] == TRANSACTIONS // 3 > found["still_open"] > 0


def test_what_is_open_now_is_that_of_the_statistics(auditor: Person) -> None:
    """Whatever the day."""
    now, stats = report_of(auditor, OF_THE_LETTER)["open_now"], auditor.get("/mismatches/stats").json()["now"]
    for name in ("open", "classes", "subjects", "severities"):
        assert now[name] == stats[name]
    assert now["open"] == sum(age["breaks"] for age in now["ages"]) > 0


def test_dead_letters_are_those_of_the_list(auditor: Person) -> None:
    """By topic and reason, of that day alone."""
    told = report_of(auditor, OF_THE_LETTER)
    listed = auditor.every("/dead-letters", **period_of(OF_THE_LETTER))
    assert [(each["place"]["topic"], each["reason"]) for each in listed] == [("core_txns", "BAD_AVRO")]
    only = {"letters": 1, "items": [{"topic": "core_txns", "reason": "BAD_AVRO", "letters": 1}]}
    assert {name: told[name] for name in NOTHING} == NOTHING | {"dead_letters": only}


@pytest.mark.parametrize("day", ["2000-01-01", "2025-11-21", "2025-11-23"])
def test_a_day_without_anything_is_all_zero(auditor: Person, day: str) -> None:
    """From midnight to midnight in UTC."""
    told = report_of(auditor, day)
    assert {name: told[name] for name in NOTHING} == NOTHING
    assert (told["day"], told["from"]) == (day, f"{day}T00:00:00.000Z")
    assert told["before"] == f"{period_of(day)['before']}T00:00:00.000Z"


def test_it_is_of_yesterday_where_no_day_is_given(auditor: Person) -> None:
    """In UTC."""
    days = {(datetime.now(UTC).date() - timedelta(days=1)).isoformat()}
    told = auditor.get("/reports/daily").json()
    days.add((datetime.now(UTC).date() - timedelta(days=1)).isoformat())
    assert told["day"] in days


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ((datetime.now(UTC).date() + timedelta(days=2)).isoformat(), "today in UTC"),
        ("9999-12-31", "today in UTC"),
        ("1999-12-31", "is before 2000-01-01"),
        ("2026-02-29", "no day of the calendar"),
        ("2025-11-22T00:00:00", "YYYY-MM-DD"),
        ("20251122", "YYYY-MM-DD"),
        ("1763769600", "YYYY-MM-DD"),
        ("yesterday", "YYYY-MM-DD"),
        ("", "YYYY-MM-DD"),
    ],
)
def test_a_day_that_has_no_report_is_refused(auditor: Person, day: str, why: str) -> None:
    """The problem names the parameter and says what is wrong with it."""
    answer = auditor.get("/reports/daily", day=day)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json; charset=utf-8")
    ((place, name, message),) = [(each["place"], each["name"], each["message"]) for each in answer.json()["errors"]]
    assert (place, name) == ("query", "day")
    assert why in message


def test_a_reading_is_recorded_with_its_day_and_a_refusal_too(rest: Desk, auditor: Person) -> None:
    """Also where the day is not said."""
    for query in ({"day": "2003-04-05"}, {}):
        request_id = uuid4().hex
        told = auditor.get("/reports/daily", headers={"X-Request-ID": request_id}, **query).json()
        (entry,) = trail(rest.settings, "reports.daily", request_id=request_id)
        assert (entry["actor"], entry["object"], entry["outcome"]) == ("auditor", told["day"], "ALLOWED")
    assert rest.person(Role.OPERATOR).get("/reports/daily", day="2003-04-05").status_code == 403
    assert trail(rest.settings, "reports.daily", outcome="DENIED", actor="operator")


def test_it_can_be_tied_to_the_trail_and_has_the_checks(rest: Desk, auditor: Person) -> None:
    """Number and hash are those of one entry; the checks are those of the status."""
    told = report_of(auditor, OF_THE_LETTER)["accounting"]
    (entry,) = [one for one in auditor.every("/audit", limit=200) if one["seq"] == told["trail"]["last_seq"]]
    assert entry["hash"] == told["trail"]["last_hash"]
    status = auditor.get("/status").json()
    assert told["checks"]
    assert {name: told[name] for name in ("checks", "checked_at")} == {
        name: status[name] for name in ("checks", "checked_at")
    }


def test_all_of_it_is_of_one_moment(auditor: Person, filled: Settings) -> None:
    """While the report waits for one table, another changes: it does not see that."""
    with (
        psycopg.connect(filled.database_owner_url) as holder,
        psycopg.connect(filled.database_owner_url, autocommit=True) as owner,
        ThreadPoolExecutor(1) as pool,
    ):
        holder.execute("LOCK TABLE accounting IN ACCESS EXCLUSIVE MODE")
        asked = pool.submit(report_of, auditor, "2003-04-05")
        waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'accounting'::regclass AND NOT granted"
        while owner.execute(waiting).fetchone() == (0,):
            assert not asked.done()
            time.sleep(0.01)
        owner.execute("INSERT INTO verdict_rollups VALUES (3600, '2003-04-05 06:00Z', 0, 'MATCHED', 'EUR', 7, 70)")
        try:
            holder.rollback()
            assert asked.result()["verdicts"]["transactions"] == 0
            assert report_of(auditor, "2003-04-05")["verdicts"]["transactions"] == 7
        finally:
            owner.execute("DELETE FROM verdict_rollups WHERE bucket = '2003-04-05 06:00Z'")


@contextmanager
def changed(settings: Settings, there: str, back: str) -> Iterator[None]:
    """A statement of the owner of the tables, undone behind the body."""
    with psycopg.connect(settings.database_owner_url, autocommit=True) as owner:
        owner.execute(there)
        try:
            yield
        finally:
            owner.execute(back)


def test_it_is_final_when_every_partition_has_got_beyond_the_day(auditor: Person, filled: Settings) -> None:
    """By a decision that is not dated in time to come; and no dead letter waits in Kafka, as far as the sink could ask."""
    lags = (
        f"UPDATE accounting SET detail = jsonb_set(detail, '{{topics,{DEAD_LETTERS},lags}}', '%s') WHERE name = 'flow'"
    )
    assert report_of(auditor, OF_THE_LETTER)["is_final"] is False
    with changed(filled, lags % '{"0": 0}', lags % "null"):
        assert report_of(auditor, OF_THE_LETTER)["is_final"] is True
        assert report_of(auditor, datetime.now(UTC).date().isoformat())["is_final"] is False
        with changed(
            filled,
            f"INSERT INTO sink_offsets VALUES ('{RESULTS}', 7, 1)",
            f"DELETE FROM sink_offsets WHERE (topic, partition) = ('{RESULTS}', 7)",
        ):
            assert report_of(auditor, OF_THE_LETTER)["is_final"] is False
            for instant, expected in (("2100-01-01Z", False), ("2025-11-23Z", True)):
                with changed(
                    filled,
                    f"INSERT INTO verdict_rollups VALUES (3600, '{instant}', 7, 'MATCHED', 'EUR', 0, 0)",
                    "DELETE FROM verdict_rollups WHERE partition = 7",
                ):
                    assert report_of(auditor, OF_THE_LETTER)["is_final"] is expected


def day_with(checked_at: int = 1000, lags: object = None, **fields: Any) -> Daily:
    """Of a day that ended at 1000, with nothing left of it but what is given."""
    detail = {"topics": {DEAD_LETTERS: {"lags": {"0": 0} if lags is None else lags}}}
    check = {"name": "flow", "checked_at_ms": checked_at, "detail": detail}
    usual: dict[str, Any] = {
        "read_at_ms": 1000, "is_passed": True, "verdicts": [{"verdict": "MATCHED"}], "breaks": [{"state": "RESOLVED"}],
        "letters": [], "open": [], "checks": [check], "trail_end": None,
    }  # fmt: skip
    return Daily(**usual | fields)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (day_with(), True),
        (day_with(read_at_ms=999), False),
        (day_with(is_passed=False), False),
        (day_with(verdicts=[{"verdict": "MATCHED"}, {"verdict": "PENDING"}]), False),
        (day_with(verdicts=[{"verdict": "BROKEN"}]), False),
        (day_with(breaks=[{"state": "OPEN"}]), False),
        (day_with(checked_at=999), False),
        (day_with(lags={"0": 0, "1": 1}), False),
        (day_with(lags={}, checks=[]), False),
        (day_with(checks=[{"name": "flow", "checked_at_ms": 1000, "detail": {}}]), False),
    ],
)
def test_what_may_still_change_is_not_final(day: Daily, expected: bool) -> None:
    """Each of them alone is enough."""
    assert is_final(day, 1000) is expected


def test_who_may_not_read_it_learns_nothing(rest: Desk) -> None:
    """Not even which days there are."""
    answers = [rest.person(who).get("/reports/daily", day="1999-01-01") for who in (Role.OPERATOR, Role.VIEWER)]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert all("errors" not in answer.json() for answer in answers)
