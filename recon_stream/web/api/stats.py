"""How many verdicts and breaks there are, and when: sums of what the sink counts, kept in Redis until new results come."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from pydantic import Field

from recon_stream.redis.cache import Category
from recon_stream.security.roles import Permission
from recon_stream.storage import reading
from recon_stream.web.call import Call
from recon_stream.web.counting import points, sums
from recon_stream.web.endpoints import Answer, Reply, endpoint
from recon_stream.web.periods import Age, Period, PeriodAnswer, PeriodQuery, ages_of, period_of
from recon_stream.web.shapes import Money


class Point(Answer):
    """What was counted at one step of a series."""

    at: str
    counts: dict[str, int]


class VerdictSum(Answer):
    """Transactions of a verdict."""

    verdict: str
    transactions: int
    amounts: list[Money] = Field(description="One for each currency.")


class TransactionStats(PeriodAnswer):
    """Live verdicts by the time of their last decision."""

    transactions: int
    verdicts: list[VerdictSum]
    series: list[Point] = Field(description="By verdict; steps without any are left out.")


class BreakSum(Answer):
    """Breaks with a value in common."""

    breaks: int
    amounts: list[Money] = Field(description="At risk, one for each currency.")


class ClassSum(BreakSum):
    """Of a class."""

    break_class: str = Field(alias="class")


class SubjectSum(BreakSum):
    """Of a source that differs, or of ALL."""

    subject: str


class SeveritySum(BreakSum):
    """Of a severity."""

    severity: str


class AgeSum(BreakSum):
    """Of those that are open for about so long: opened at or after `since` and before `before`, by which a list can be filtered."""

    from_seconds: int
    to_seconds: int | None
    since: str | None
    before: str | None


class OpenBreaks(Answer):
    """What is open now, whenever it was opened."""

    open: int
    classes: list[ClassSum]
    subjects: list[SubjectSum]
    severities: list[SeveritySum]
    ages: list[AgeSum] = Field(description="All of them, the youngest first.")


class MismatchStats(PeriodAnswer):
    """Breaks by the time at which they were opened first."""

    now: OpenBreaks
    open: int
    resolved: int
    classes: list[ClassSum] = Field(description="Of the open ones.")
    subjects: list[SubjectSum] = Field(description="Of the open ones.")
    severities: list[SeveritySum] = Field(description="Of the open ones.")
    series: list[Point] = Field(
        description="Opened, by class, whatever became of them; steps without any are left out."
    )


@endpoint(
    "GET", "/transactions/stats", needs=Permission.STATS_READ, query=PeriodQuery, answers=TransactionStats,
    tag="Transactions",
)  # fmt: skip
async def transaction_stats(call: Call[PeriodQuery, None]) -> Reply:
    """Live verdicts in numbers."""

    async def count(period: Period) -> dict[str, Any]:
        totals, series = await reading.verdict_counts(call.services.pool, period.parameters(call.query.currency))
        verdicts = sums(totals, "verdict", "transactions", "amount_minor")
        return {
            "transactions": sum(each["transactions"] for each in verdicts),
            "verdicts": verdicts,
            "series": points(series, "verdict", "transactions"),
        }

    return await _counted(call, "transactions", count)


@endpoint(
    "GET", "/mismatches/stats", needs=Permission.STATS_READ, query=PeriodQuery, answers=MismatchStats,
    tag="Mismatches",
)  # fmt: skip
async def mismatch_stats(call: Call[PeriodQuery, None]) -> Reply:
    """Breaks in numbers: those that are open now, and those that were opened in a period."""

    async def count(period: Period) -> dict[str, Any]:
        totals, series = await reading.break_counts(call.services.pool, period.parameters(call.query.currency))
        ages = ages_of(int(time.time()))
        rows = await reading.open_breaks(call.services.pool, [age.buckets() for age in ages], call.query.currency)
        return {
            "now": open_now(rows, ages),
            "resolved": sum(row["breaks"] for row in totals if row["state"] == "RESOLVED"),
            **_open([row for row in totals if row["state"] == "OPEN"]),
            "series": points(series, "class", "breaks"),
        }

    return await _counted(call, "mismatches", count)


def _open(rows: Sequence[reading.Row]) -> dict[str, Any]:
    return {
        "open": sum(row["breaks"] for row in rows),
        "classes": sums(rows, "class", "breaks", "at_risk_minor"),
        "subjects": sums(rows, "subject", "breaks", "at_risk_minor"),
        "severities": sums(rows, "severity", "breaks", "at_risk_minor"),
    }


def open_now(rows: Sequence[reading.Row], ages: Sequence[Age]) -> dict[str, Any]:
    """See OpenBreaks; `rows` as open_breaks counts them for these ages."""
    by_age = {each.pop("age"): each for each in sums(rows, "age", "breaks", "at_risk_minor")}
    nothing = {"breaks": 0, "amounts": []}
    return _open(rows) | {"ages": [age.answer() | by_age.get(number, nothing) for number, age in enumerate(ages)]}


async def _counted(
    call: Call[PeriodQuery, None], what: str, count: Callable[[Period], Awaitable[dict[str, Any]]]
) -> Reply:
    """The answer for the period of a query."""
    period = period_of(call.query, int(time.time()))

    async def make() -> bytes:
        return orjson.dumps(period.answer() | await count(period))

    return Reply(
        await call.services.kept.answer(Category.STATS, f"{what}:{period.identifier}:{call.query.currency}", make)
    )
