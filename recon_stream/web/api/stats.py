"""How many verdicts and breaks there are, and when: sums of what the sink counts, kept in Redis until new results come."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from pydantic import Field

from recon_stream.redis.cache import Category
from recon_stream.security.roles import Permission
from recon_stream.storage import reading
from recon_stream.topics import RESULTS
from recon_stream.web.call import Call
from recon_stream.web.counting import points, sums
from recon_stream.web.endpoints import Answer, Reply, endpoint
from recon_stream.web.periods import Period, PeriodAnswer, PeriodQuery, period_of
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


class MismatchStats(PeriodAnswer):
    """Breaks by the time at which they were opened first."""

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

    return await _kept(call, "transactions", count)


@endpoint(
    "GET", "/mismatches/stats", needs=Permission.STATS_READ, query=PeriodQuery, answers=MismatchStats,
    tag="Mismatches",
)  # fmt: skip
async def mismatch_stats(call: Call[PeriodQuery, None]) -> Reply:
    """Breaks in numbers."""

    async def count(period: Period) -> dict[str, Any]:
        totals, series = await reading.break_counts(call.services.pool, period.parameters(call.query.currency))
        opened = [row for row in totals if row["state"] == "OPEN"]
        return {
            "open": sum(row["breaks"] for row in opened),
            "resolved": sum(row["breaks"] for row in totals if row["state"] == "RESOLVED"),
            "classes": sums(opened, "class", "breaks", "at_risk_minor"),
            "subjects": sums(opened, "subject", "breaks", "at_risk_minor"),
            "severities": sums(opened, "severity", "breaks", "at_risk_minor"),
            "series": points(series, "class", "breaks"),
        }

    return await _kept(call, "mismatches", count)


async def _kept(
    call: Call[PeriodQuery, None], what: str, count: Callable[[Period], Awaitable[dict[str, Any]]]
) -> Reply:
    """The answer for the period of a query: from the cache, until a second after a result has come."""
    period, cache = period_of(call.query, int(time.time())), call.services.cache

    async def ask() -> bytes:
        return str(await reading.results_reached(call.services.pool, RESULTS)).encode()

    async def make() -> bytes:
        return orjson.dumps(period.answer() | await count(period))

    reached = (await cache.get(Category.REACHED, RESULTS, ask)).decode()
    return Reply(await cache.get(Category.STATS, f"{what}:{period.identifier}:{call.query.currency}:{reached}", make))
