"""Reports that are filed: all of one is read as it stands at one moment."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from recon_stream.domain.event import Verdict
from recon_stream.security.roles import Permission
from recon_stream.storage import reports
from recon_stream.storage.accounting import FLOW
from recon_stream.storage.reading import Row
from recon_stream.storage.reports import Daily
from recon_stream.storage.values import timestamp
from recon_stream.topics import DEAD_LETTERS, RESULTS
from recon_stream.web.api.operating import Accounted, accounted
from recon_stream.web.api.stats import OpenBreaks, open_now
from recon_stream.web.call import Call
from recon_stream.web.counting import total
from recon_stream.web.endpoints import Answer, Parameters, Reply, endpoint
from recon_stream.web.periods import ages_of
from recon_stream.web.problems import Fault, invalid
from recon_stream.web.shapes import Money, money
from recon_stream.web.times import moment

FIRST: Final = date(2000, 1, 1)
_DAY_MS: Final = 86_400_000
_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UNDECIDED: Final = (Verdict.PENDING, Verdict.BROKEN)


def _day(text: str) -> date:
    if _WRITTEN.fullmatch(text):
        with suppress(ValueError):  # no day of the calendar
            return date.fromisoformat(text)
    raise PydanticCustomError("day", "is no day of the calendar, written YYYY-MM-DD")


class DailyQuery(Parameters):
    """Which day."""

    day: Annotated[date, BeforeValidator(_day)] | None = Field(
        None, description=f"In UTC, from {FIRST} to today; yesterday where not given."
    )


class VerdictCell(Answer):
    """Transactions of a verdict in a currency."""

    verdict: str
    currency: str | None = Field(description="Null: without any, as no leg of them has come.")
    transactions: int
    amount: Money | None


class DayVerdicts(Answer):
    """Transactions whose last decision was in the day; one that was decided again since is counted at the day of that."""

    transactions: int
    amounts: list[Money] = Field(description="One for each currency.")
    items: list[VerdictCell]


class BreakCell(Answer):
    """Breaks of a class, source, severity and currency, as they are now."""

    break_class: str = Field(alias="class")
    source: str = Field(description="That differs, or ALL.")
    severity: str
    currency: str | None = Field(description="Null: without any, as no leg of their transactions has come.")
    breaks: int
    still_open: int = Field(description="Of them, when the report was made.")
    at_risk: Money | None = Field(description="By all of them, whether they are still open or not.")


class DayBreaks(Answer):
    """Breaks that were opened in the day for the first time, whatever became of them."""

    breaks: int
    still_open: int = Field(description="Of them, when the report was made.")
    amounts: list[Money] = Field(description="At risk by all of them, one for each currency.")
    items: list[BreakCell]


class LetterCell(Answer):
    """Records of a topic that were refused for a reason."""

    topic: str
    reason: str
    letters: int


class DayLetters(Answer):
    """Records that were refused in the day, whatever was done with them since."""

    letters: int
    items: list[LetterCell]


class TrailEnd(Answer):
    """The last entry of the audit trail; the one about this reading is written behind it."""

    last_seq: int = Field(description="0: there is none.")
    last_hash: str | None = Field(description="Hexadecimal, as the list of the trail has it.")


class DayAccounted(Accounted):
    """Whether every record is accounted for, as the sink found it last before the report was made, and the end of the trail."""

    trail: TrailEnd


class DailyReport(Answer):
    """One day in UTC, as it stands at one moment: made again later, it may say something else."""

    day: str
    since: str = Field(alias="from", description="Where the day begins.")
    before: str = Field(description="Where it ends.")
    made_at: str = Field(description="By the clock of the database.")
    is_final: bool = Field(
        description="Nothing is known to be left of the day: it is over, results of later are stored in every partition and all dead "
        "letters, none of its transactions is PENDING or BROKEN and none of its breaks open. Records that come late, and "
        "corrections, change the numbers even so."
    )
    verdicts: DayVerdicts
    breaks_opened: DayBreaks
    open_now: OpenBreaks = Field(description="When the report was made, not at the end of the day.")
    dead_letters: DayLetters
    accounting: DayAccounted


@endpoint(
    "GET", "/reports/daily", needs=Permission.REPORTS_READ, query=DailyQuery, answers=DailyReport, records="reports.daily",
    records_itself=True, tag="Reports",
)  # fmt: skip
async def daily(call: Call[DailyQuery, None]) -> Reply:
    """The control report of one day: verdicts, breaks, dead letters, the checks, and the end of the audit trail to tie it to.

    It is read as it stands at one moment, so its parts agree with each other. Numbers follow what is decided later:
    a transaction is counted at the day of its last decision, a break as it is now.
    """
    day = _asked(call.query.day, datetime.now(UTC).date())
    # noted before the data leaves: what cannot be recorded is not shown
    call.trail.read(call.who, "reports.daily", {"day": day.isoformat()}, {})
    since_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
    before_ms = since_ms + _DAY_MS
    ages = ages_of(int(time.time()))
    found = await reports.daily(
        call.services.pool, RESULTS, timestamp(since_ms), timestamp(before_ms), [age.buckets() for age in ages]
    )
    end = found.trail_end
    return Reply(
        {
            "day": day.isoformat(),
            "from": moment(since_ms),
            "before": moment(before_ms),
            "made_at": moment(found.read_at_ms),
            "is_final": is_final(found, before_ms),
            "verdicts": _verdicts(found.verdicts),
            "breaks_opened": _breaks(found.breaks),
            "open_now": open_now(found.open, ages),
            "dead_letters": {"letters": sum(row["letters"] for row in found.letters), "items": found.letters},
            "accounting": accounted(found.checks, found.read_at_ms)
            | {
                "trail": {
                    "last_seq": end["last_seq"] if end else 0,
                    "last_hash": end["last_hash"].hex() if end else None,
                }
            },
        }
    )


def _asked(day: date | None, today: date) -> date:
    """Raises Problem on a day of which there can be no report."""
    if day is None:
        return today - timedelta(days=1)
    if not FIRST <= day <= today:
        why = f"is after {today}, which is today in UTC" if day > today else f"is before {FIRST}, the first day"
        raise invalid([Fault("query", "day", why)])
    return day


def is_final(found: Daily, before_ms: int) -> bool:
    """Whether nothing is known to be left of the day that ends at `before_ms`; see DailyReport."""
    return (
        found.read_at_ms >= before_ms
        and found.is_passed
        and _are_letters_stored(found.checks, before_ms)
        and not any(row["verdict"] in _UNDECIDED for row in found.verdicts)
        and not any(row["state"] == "OPEN" for row in found.breaks)
    )


def _are_letters_stored(checks: Sequence[Row], before_ms: int) -> bool:
    """Whether a check behind that instant found that no dead letter waits in Kafka; False where Kafka did not answer it."""
    flow = next((row for row in checks if row["name"] == FLOW), None)
    if flow is None or flow["checked_at_ms"] < before_ms:
        return False
    lags = flow["detail"].get("topics", {}).get(DEAD_LETTERS, {}).get("lags")
    return lags is not None and not any(lags.values())


def _verdicts(rows: Sequence[Row]) -> dict[str, Any]:
    items = [
        {
            "verdict": row["verdict"],
            "currency": row["currency"] or None,
            "transactions": row["transactions"],
            "amount": _amount(row["amount_minor"], row["currency"]),
        }
        for row in rows
    ]
    return total(rows, "transactions", "amount_minor") | {"items": items}


def _breaks(rows: Sequence[Row]) -> dict[str, Any]:
    cells: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        cells[row["class"], row["subject"], row["severity"], row["currency"]].append(row)
    items = [
        {
            "class": break_class,
            "source": subject,
            "severity": severity,
            "currency": currency or None,
            "breaks": sum(row["breaks"] for row in cell),
            "still_open": _still_open(cell),
            "at_risk": _amount(sum(row["at_risk_minor"] for row in cell), currency),
        }
        for (break_class, subject, severity, currency), cell in sorted(cells.items())
    ]
    return total(rows, "breaks", "at_risk_minor") | {"still_open": _still_open(rows), "items": items}


def _still_open(rows: Sequence[Row]) -> int:
    return sum(row["breaks"] for row in rows if row["state"] == "OPEN")


def _amount(minor: Any, currency: str) -> dict[str, str | None] | None:
    """None where there is no currency to it. `minor` is a whole number of PostgreSQL's numeric."""
    return money(int(minor), currency) if currency else None
