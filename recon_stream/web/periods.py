"""Which buckets answer for a period or an age, and how wide the points of a chart over it are. Pure: the instant of now is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from recon_stream.storage.values import timestamp
from recon_stream.web.endpoints import Answer, Parameters
from recon_stream.web.times import moment

POINTS_MAX = 200
_STEPS = (60, 120, 300, 600, 1200, 1800, 3600, 7200, 21_600, 43_200, 86_400)
"""Seconds; beyond them whole days."""
_DAY = 86_400
_USUAL = _DAY
_WIDTHS = ((60, 3 * 3600), (600, 3 * _DAY))
"""Width of a bucket and for how many seconds such buckets are kept; those of an hour for ever."""
_MARGIN = 300
"""PostgreSQL's clock decides what is kept, and ours may be another one."""
_AGES = ((900, 60), (3600, 600), (14_400, 600), (_DAY, 3600), (3 * _DAY, 3600))
"""Seconds after which what is open is older, and the buckets that this is told by: fine ones are kept for a while only."""
_LAST = 253_402_300_799  # 9999-12-31T23:59:59Z


class PeriodQuery(Parameters):
    """What is counted. Both ends are moved outwards to whole buckets; the answer says where they are."""

    since: datetime | None = Field(None, description="24 hours ago where not given.")
    before: datetime | None = Field(None, description="Without an end where not given.")
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")


class PeriodAnswer(Answer):
    """What was counted."""

    since: str
    before: str | None
    step_seconds: int = Field(description="Width of a point of the series.")


@dataclass(frozen=True, slots=True)
class Period:
    """Seconds of the epoch; `before` None: no end."""

    since: int
    before: int | None
    width: int
    step: int

    @property
    def identifier(self) -> str:
        """The same for periods that are answered alike."""
        return f"{self.since}:{self.before}:{self.width}:{self.step}"

    def parameters(self, currency: str | None) -> dict[str, Any]:
        """For the statements that count."""
        before = _LAST if self.before is None else self.before
        return {
            "width": self.width,
            "step": self.step,
            "since": timestamp(self.since * 1000),
            "before": timestamp(before * 1000),
            "currency": currency,
        }

    def answer(self) -> dict[str, Any]:
        """See PeriodAnswer."""
        return {"since": _instant(self.since), "before": _instant(self.before), "step_seconds": self.step}


@dataclass(frozen=True, slots=True)
class Age:
    """Opened at or after `since` and before `before`, seconds of the epoch; None: whenever."""

    from_seconds: int
    """About: the ends are moved outwards, to buckets of `width` seconds."""
    to_seconds: int | None
    since: int | None
    before: int | None
    width: int

    def buckets(self) -> tuple[int, str, str]:
        """Width of the buckets, first instant, instant behind the last, for the statement that counts."""
        return self.width, _instant(self.since) or "-infinity", _instant(self.before) or "infinity"

    def answer(self) -> dict[str, Any]:
        """See AgeSum."""
        ends = {"since": _instant(self.since), "before": _instant(self.before)}
        return {"from_seconds": self.from_seconds, "to_seconds": self.to_seconds} | ends


def ages_of(now: int) -> list[Age]:
    """How long something can have been open at `now`, the youngest first; each begins where the next one ends."""
    ends = [_down(now - seconds, width) for seconds, width in _AGES]
    steps, widths = [seconds for seconds, _ in _AGES], [width for _, width in _AGES]
    # coarser buckets begin at an end that they share with the finer ones
    parts = zip([0, *steps], [*steps, None], [*ends, None], [None, *ends], [widths[0], *widths], strict=True)
    return [Age(*part) for part in parts]


def period_of(query: PeriodQuery, now: int) -> Period:
    """The period that a query asks for at `now`, in seconds of the epoch."""
    end = now if query.before is None else _seconds(query.before)
    since = end - _USUAL if query.since is None else _seconds(query.since)
    width = next((w for w, kept in _WIDTHS if _down(since, w) > now - kept + _MARGIN), 3600)
    since = _down(since, width)
    span = max(end - since, width)
    step = next((s for s in _STEPS if s >= width and span <= s * POINTS_MAX), None)
    if step is None:
        step = _up(-(-span // POINTS_MAX), _DAY)
    before = None if query.before is None else max(_up(end, width), since)
    return Period(since, before, width, step)


def _instant(seconds: int | None) -> str | None:
    return None if seconds is None else moment(seconds * 1000)


def _seconds(at: datetime) -> int:
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp())


def _down(seconds: int, width: int) -> int:
    return seconds // width * width


def _up(seconds: int, width: int) -> int:
    return -(-seconds // width) * width
