"""Which buckets answer for a period: always some that are kept, never too many points."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from recon_stream.web.periods import POINTS_MAX, PeriodQuery, ages_of, period_of
from recon_stream.web.times import moment

NOW = 1_790_000_123
KEPT = {60: 3 * 3600, 600: 3 * 86_400, 3600: None}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INSTANTS = st.none() | st.integers(-62_135_596_800, 253_402_300_799).map(lambda s: EPOCH + timedelta(seconds=s))
NEAR = st.integers(0, 5 * 86_400).map(lambda s: EPOCH + timedelta(seconds=NOW - s))


@given(INSTANTS | NEAR, INSTANTS | NEAR)
def test_a_period_is_answered_by_whole_buckets_that_are_kept(since: datetime | None, before: datetime | None) -> None:
    """It covers what was asked for, begins and ends with a bucket, and a chart over it stays small; any instants at all."""
    period = period_of(PeriodQuery(since=since, before=before), NOW)
    kept = KEPT[period.width]
    assert period.since % period.width == 0
    assert kept is None or period.since > NOW - kept
    assert period.step % period.width == 0
    end = NOW if before is None else int((before - EPOCH).total_seconds())
    if since is not None:
        asked = int((since - EPOCH).total_seconds())
        assert period.since <= asked < period.since + period.width
    assert (period.before is None) == (before is None)
    if period.before is not None:
        assert period.before >= end or period.before == period.since
    assert (end - period.since) / period.step <= POINTS_MAX
    assert period.parameters(None)["since"] <= period.parameters(None)["before"]


@given(st.integers(1_600_000_000, 2_000_000_000))
def test_ages_are_told_by_whole_buckets_that_are_kept(now: int) -> None:
    """Every instant is in one of them, the ends lie between buckets of the width that is asked, and these are still there."""
    ages = ages_of(now)
    assert [age.since for age in ages[:-1]] == [age.before for age in ages[1:]]
    assert (ages[0].before, ages[-1].since, ages[-1].to_seconds) == (None, None, None)
    for age in ages:
        kept = KEPT[age.width]
        assert all(end is None or end % age.width == 0 for end in (age.since, age.before))
        assert kept is None or (age.since is not None and age.since > now - kept)
        if age.to_seconds is not None and age.since is not None:
            # an end is moved by less than a third of its age
            assert age.to_seconds <= now - age.since < age.to_seconds * 4 / 3


def test_an_instant_without_a_zone_is_utc() -> None:
    """As everywhere in the API."""
    naive, aware = (PeriodQuery(since=datetime(2026, 3, 1, 12, tzinfo=zone)) for zone in (None, UTC))
    assert period_of(naive, NOW) == period_of(aware, NOW)


def test_an_instant_is_told_to_the_millisecond_in_every_year() -> None:
    """RFC 3339 has four digits for a year; an instant outside of its years is the nearest one inside."""
    said = [moment(ms) for ms in (-(2**62), -62_135_596_799_999, -1, 0, 1_790_000_123_007, 2**62)]
    assert said == [
        "0001-01-01T00:00:00.000Z",
        "0001-01-01T00:00:00.001Z",
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00.000Z",
        "2026-09-21T14:15:23.007Z",
        "9999-12-31T23:59:59.999Z",
    ]
