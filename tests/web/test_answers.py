"""What answers say: one break with its evidence, counts, status, and that account numbers stay with those who may see them."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest
import requests

from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from recon_stream.topics import DEAD_LETTERS, RESULTS
from recon_stream.web.api.operating import _topic, holds
from tests.web.filling import ACCOUNT, OTHER_ACCOUNT, TRANSACTIONS, said
from tests.web.serving import TIMEOUT, Desk, keeps_browsers_safe

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

LIVE = [said(number, 0)[-1] for number in range(TRANSACTIONS)]
OPEN = [each for each in LIVE if each["verdict"] == "BROKEN"]
OF_ALL_TIME = {"since": "1970-01-01T00:00:00Z"}


def test_one_break(rest: Desk) -> None:
    """Money as exact strings, the sources side by side, a sentence, and its moves in order."""
    found = rest.person(Role.OPERATOR).get("/mismatches/b018").json()
    assert {name: found[name] for name in ("txn_id", "class", "subject", "state", "revision", "reopened", "verdict")} == {
        "txn_id": "T018", "class": "AMOUNT_MISMATCH", "subject": "MOBILE", "state": "OPEN", "revision": 1, "reopened": 0,
        "verdict": "BROKEN",
    }  # fmt: skip
    assert found["legs"]["CORE"]["amount"] == {"minor": "18001", "major": "180.01", "currency": "EUR"}
    assert (found["legs"]["GATEWAY"], found["resolved_at"]) == (None, None)
    assert found["explanation"]
    assert [move["move"] for move in found["moves"]] == ["OPENED"]
    closed = rest.person(Role.OPERATOR).get("/mismatches/b003").json()
    assert ([move["move"] for move in closed["moves"]], closed["explanation"]) == (["OPENED", "RESOLVED"], None)
    assert closed["resolved_at"] is not None


@pytest.mark.parametrize("path", ["/transactions", "/mismatches", "/mismatches?state=RESOLVED", "/status"])
def test_viewers_see_no_account_number_in_lists(rest: Desk, path: str) -> None:
    """The canary is in none of their answers."""
    text = rest.person(Role.VIEWER).get(path).text
    assert ACCOUNT not in text
    assert OTHER_ACCOUNT not in text


def test_viewers_see_the_end_of_an_account_number_and_others_all_of_it(rest: Desk) -> None:
    """In legs, in evidence with and without a majority, and in the history of a break."""
    with_accounts = next(each for each in OPEN if each["breaks"][0]["class"] == "ACCOUNT_MISMATCH")
    paths = (f"/transactions/{with_accounts['txn_id']}", f"/mismatches/{with_accounts['breaks'][0]['break_id']}")
    for path in paths:
        hidden, shown = (rest.person(role).get(path).text for role in (Role.VIEWER, Role.OPERATOR))
        assert ACCOUNT not in hidden
        assert OTHER_ACCOUNT not in hidden
        assert f"CORE=••••{ACCOUNT[-4:]};GATEWAY=••••{OTHER_ACCOUNT[-4:]}" in hidden
        assert f"CORE={ACCOUNT};GATEWAY={OTHER_ACCOUNT}" in shown


def test_records_say_whether_they_are_all(rest: Desk) -> None:
    """All three of this transaction fit."""
    found = rest.person(Role.OPERATOR).get("/transactions/T003/records").json()
    assert ([each["event_id"] for each in found["items"]], found["cut"]) == (["E0", "E1", "E2"], False)
    assert [each["event"]["amount_minor"] for each in found["items"]] == [
        each["amount"]["minor"] for each in found["items"]
    ]


@pytest.mark.parametrize("path", ["/transactions", "/mismatches"])
def test_viewers_cannot_guess_an_account_number_by_a_filter(rest: Desk, path: str) -> None:
    """The filter is for those who may see what it looks at."""
    assert rest.person(Role.VIEWER).get(path, account=ACCOUNT).status_code == 403
    assert rest.person(Role.OPERATOR).get(path, account=ACCOUNT).status_code == 200


@pytest.mark.parametrize("path", ["/transactions", "/mismatches", "/transactions/export", "/mismatches/export"])
@pytest.mark.parametrize("name", ["text", "account"])
def test_a_text_that_nothing_can_be_found_by_is_refused(rest: Desk, path: str, name: str) -> None:
    """The tables hold a longer one shortened: an empty list would be a lie."""
    operator = rest.person(Role.OPERATOR)
    assert operator.get(path, **{name: "x" * 500}).status_code == 200
    for text in ("x" * 501, "ü" * 251, ""):
        answer = operator.get(path, **{name: text})
        assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json; charset=utf-8")
        assert [(each["place"], each["name"]) for each in answer.json()["errors"]] == [("query", name)]


def sums(rows: list[dict[str, Any]], name: str, number: str) -> dict[str, int]:
    """Value -> how many."""
    return {row[name]: row[number] for row in rows}


def test_counts_are_those_of_the_lists(rest: Desk) -> None:
    """Verdicts, open breaks by class, source and severity, and money to the unit."""
    viewer = rest.person(Role.VIEWER)
    verdicts = viewer.get("/transactions/stats", **OF_ALL_TIME).json()
    assert verdicts["transactions"] == TRANSACTIONS
    assert sums(verdicts["verdicts"], "verdict", "transactions") == {
        "BROKEN": len(OPEN), "MATCHED": TRANSACTIONS - len(OPEN),
    }  # fmt: skip
    broken = next(each for each in verdicts["verdicts"] if each["verdict"] == "BROKEN")
    amounts = {each["currency"]: int(each["minor"]) for each in broken["amounts"]}
    assert amounts["EUR"] == sum(each["amount_minor"] for each in OPEN if each["currency"] == "EUR")
    breaks = viewer.get("/mismatches/stats", **OF_ALL_TIME).json()
    assert (breaks["open"], breaks["open"] + breaks["resolved"]) == (len(OPEN), TRANSACTIONS // 3)
    for field, rows in (("class", "classes"), ("subject", "subjects"), ("severity", "severities")):
        found = [each["breaks"][0][field] for each in OPEN]
        assert sums(breaks[rows], field, "breaks") == {value: found.count(value) for value in sorted(found)}


def test_what_is_open_now_is_told_with_every_period(rest: Desk) -> None:
    """One call says what is open, whenever it was opened, and what the period has; each age has what the list shows of it."""
    viewer = rest.person(Role.VIEWER)
    nothing_was = {"since": "2001-01-01T00:00:00Z", "before": "2001-01-02T00:00:00Z"}
    told = viewer.get("/mismatches/stats", **nothing_was).json()
    now, ever = told["now"], viewer.get("/mismatches/stats", **OF_ALL_TIME).json()
    assert (told["open"], told["classes"], told["resolved"]) == (0, [], 0)
    assert {name: now[name] for name in ("open", "classes", "subjects", "severities")} == {
        name: ever[name] for name in ("open", "classes", "subjects", "severities")
    }
    assert now["open"] == len(OPEN)
    assert [age["from_seconds"] for age in now["ages"]] == [0, 900, 3600, 14_400, 86_400, 259_200]
    assert sum(age["breaks"] for age in now["ages"]) == len(OPEN)
    for age in now["ages"]:
        listed = viewer.every("/mismatches", since=age["since"], before=age["before"])
        assert age["breaks"] == len(listed), age
        minor = sum(int(amount["minor"]) for amount in age["amounts"])
        assert minor == sum(int(row["at_risk"]["minor"]) for row in listed)
    assert min(age["breaks"] for age in now["ages"][:2]) > 0
    yen = viewer.get("/mismatches/stats", currency="JPY", **nothing_was).json()["now"]
    assert yen["open"] == sum(each["currency"] == "JPY" for each in OPEN) < now["open"]


@pytest.mark.parametrize(
    ("path", "total"), [("/transactions/stats", TRANSACTIONS), ("/mismatches/stats", TRANSACTIONS // 3)]
)
def test_a_series_adds_up_at_every_width(rest: Desk, path: str, total: int) -> None:
    """All instants lie within the last hours: ten minutes and days of buckets have the same sum, and few points."""
    viewer = rest.person(Role.VIEWER)
    steps = set()
    for since in (OF_ALL_TIME["since"], "2020-01-01T00:00:00Z", None):
        answer = viewer.get(path, since=since).json()
        steps.add(answer["step_seconds"])
        assert sum(sum(point["counts"].values()) for point in answer["series"]) == total
        assert len(answer["series"]) <= 201
    assert len(steps) == 3


def test_a_new_result_makes_a_new_answer(rest: Desk, filled: Settings) -> None:
    """A kept answer is that of the results which were there: it serves until a second after the sink has stored another."""
    viewer = rest.person(Role.VIEWER)
    first = viewer.get("/transactions/stats", currency="JPY", **OF_ALL_TIME)
    with psycopg.connect(filled.database_owner_url, autocommit=True) as owner:
        more = "UPDATE verdict_rollups SET transactions = transactions + {} WHERE currency = 'JPY' AND width = 3600"
        moved = "UPDATE sink_offsets SET next_offset = next_offset + 1 WHERE topic = %s"
        owner.execute(more.format("1"))
        kept = viewer.get("/transactions/stats", currency="JPY", **OF_ALL_TIME)
        owner.execute(moved, [RESULTS])
        until = time.monotonic() + 30
        while (fresh := viewer.get("/transactions/stats", currency="JPY", **OF_ALL_TIME)).json() == first.json():
            assert time.monotonic() < until
            time.sleep(0.1)
        owner.execute(more.format("-1"))
        owner.execute(moved, [RESULTS])
    assert kept.json() == first.json()
    assert fresh.json()["transactions"] > first.json()["transactions"]


def test_status(rest: Desk, filled: Settings) -> None:
    """Whether every record is accounted for, check by check, and how far each topic is stored."""
    with psycopg.connect(filled.database_owner_url, autocommit=True) as owner:
        owner.execute("UPDATE accounting SET checked_at = now()")
    answer = rest.person(Role.VIEWER).get("/status").json()
    assert answer["holds"] is True
    assert {check["name"]: check["holds"] for check in answer["checks"]} == dict.fromkeys(
        [
            "archive-core_txns", "archive-gateway_txns", "archive-mobile_txns", "break-counts", "conflicts", "dead-letters",
            "flow", "results", "verdict-counts",
        ],
        True,
    )  # fmt: skip
    topics = {
        topic["topic"]: (topic["is_source"], topic["lag"], len(topic["partitions"])) for topic in answer["topics"]
    }
    never = dict.fromkeys(("gateway_txns", "mobile_txns"), (True, None, 0))
    assert topics == never | {"core_txns": (True, None, 1), RESULTS: (False, None, 1), DEAD_LETTERS: (False, None, 1)}


def test_a_topic_is_told_by_its_partitions() -> None:
    """One that nothing was ever stored of counts where something waits; one that stands still is told from the others."""
    stored = {0: {"next_offset": 70, "updated_at_ms": 1000}, 2: {"next_offset": 2**53, "updated_at_ms": 2000}}
    told = _topic("core_txns", stored, {"per_second": 1.5, "lags": {"0": 3, "1": 4, "2": 0, "3": 0}})
    assert (told["lag"], told["offset"], told["stored_at"]) == (7, str(2**53 + 70), "1970-01-01T00:00:02.000Z")
    assert [(each["partition"], each["offset"], each["lag"], each["stored_at"]) for each in told["partitions"]] == [
        (0, "70", 3, "1970-01-01T00:00:01.000Z"),
        (1, "0", 4, None),
        (2, str(2**53), 0, "1970-01-01T00:00:02.000Z"),
    ]
    silent = _topic("core_txns", {}, {})
    assert (silent["lag"], silent["stored_at"], silent["partitions"]) == (None, None, [])


@pytest.mark.parametrize(
    ("ages_seconds", "violations", "said"),
    [([], 0, None), ([0, 60], 0, True), ([0, 301], 0, None), ([0, 60], 1, False), ([0, 301], 1, False)],
)
def test_what_was_not_checked_of_late_is_not_said_to_hold(
    ages_seconds: list[int], violations: int, said: object
) -> None:
    """A checker that stands still must not leave the last good word standing; a fault that was found stands."""
    now = 1_790_000_000_000
    rows = [{"checked_at_ms": now - age * 1000, "violations": violations} for age in ages_seconds]
    assert holds(rows, now) is said


def test_system_health(rest: Desk) -> None:
    """Each thing that the product stands on was asked, and answered."""
    answer = rest.person(Role.AUDITOR).get("/admin/system-health").json()
    assert {each["name"]: each["answers"] for each in answer["dependencies"]} == dict.fromkeys(
        ["PostgreSQL", "Redis", "Kafka", "Schema registry", "Keycloak"], True
    )
    assert [(group["role"], group["members"]) for group in answer["groups"]] == [("worker", []), ("sink", [])]


def test_every_answer_has_a_request_id_and_says_nothing_of_the_server(rest: Desk) -> None:
    """The caller's own id comes back, one that is no id does not; errors and answers alike carry the headers."""
    viewer = rest.person(Role.VIEWER)
    for path in ("/me", "/nowhere", "/admin/system-health"):
        answer = viewer.get(path, headers={"X-Request-ID": "complaint-4711"})
        assert answer.headers["X-Request-ID"] == "complaint-4711"
        assert answer.headers["Server"] == "recon-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert viewer.get("/me", headers={"X-Request-ID": "<script>"}).headers["X-Request-ID"] != "<script>"


@pytest.mark.parametrize(
    ("path", "status", "kept"),
    [
        ("/me", 200, "no-store"),
        ("/transactions/export", 200, "no-store"),
        ("/me?wish=1", 400, "no-store"),
        ("/audit", 403, "no-store"),
        ("/nowhere", 404, "no-store"),
        ("/", 302, "no-store"),
        ("/docs", 200, "public, max-age=3600"),
        ("/docs/start.js", 200, "public, max-age=3600"),
        ("/dashboard/", 200, "no-cache"),
    ],
)
def test_every_answer_tells_browsers_what_they_may_do_with_it(rest: Desk, path: str, status: int, kept: str) -> None:
    """Answers, errors, files and exports alike; what belongs to somebody is kept nowhere, files of ours may be."""
    answer = requests.get(
        rest.base + path, headers=rest.person(Role.OPERATOR).headers, timeout=TIMEOUT, allow_redirects=False
    )
    assert answer.status_code == status
    keeps_browsers_safe(answer.headers, rest.settings)
    assert answer.headers["Cache-Control"] == kept


def test_an_answer_to_nobody_or_without_a_body_tells_browsers_no_less(rest: Desk) -> None:
    """Who is not known, what has not changed, a method that is not taken."""
    viewer = rest.person(Role.VIEWER)
    same = viewer.get("/me", headers={"If-None-Match": viewer.get("/me").headers["ETag"]})
    answers = {401: rest.person(None).get("/me"), 304: same, 405: viewer.ask("DELETE", "/me")}
    for status, answer in answers.items():
        assert answer.status_code == status
        keeps_browsers_safe(answer.headers, rest.settings)
