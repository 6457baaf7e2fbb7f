"""When the clock speaks for a feed: never of one that may only be late, in the end of every one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon_stream.domain.deadlines import NEVER, Feeds, Pace, event_time
from recon_stream.domain.rules import Stall, parse_rules
from recon_stream.errors import ConfigurationError

CORE, GATEWAY, MOBILE = range(3)
NOON = 1_790_000_000_000 // 86_400_000 * 86_400_000 + 12 * 3_600_000
S = 1000
AFTER, RECORDS, LIMIT = 20 * S, 50, 900 * S
NO_QUIET: tuple[tuple[tuple[int, int], ...], ...] = ((), (), ())


class World:
    """Three feeds and an observer; CORE and GATEWAY are live at `rate` records a second unless told otherwise."""

    def __init__(self, stall: Stall | None = None, now: int = NOON, rate: int = 100) -> None:
        self.feeds = Feeds(stall or Stall(AFTER, RECORDS, LIMIT, NO_QUIET))
        self.now, self.rate = now, rate
        self.records = [1000, 1000, 1000]
        self.newest = [now, now, now]
        self.reports: list[int] = []
        self.look()

    def look(self) -> None:
        """One observation."""
        a, b, c = self.records
        x, y, z = self.newest
        self.reports += self.feeds.observe(self.now, (a, b, c), (x, y, z))

    def run(self, seconds: int, *, mobile: int = 0, behind: int = 0, others: bool = True) -> None:
        """So many seconds, an observation each; `mobile` records a second, `behind` seconds old."""
        for _ in range(seconds):
            self.now += S
            for source in (CORE, GATEWAY) if others else ():
                self.records[source] += self.rate
                self.newest[source] = self.now
            if mobile:
                self.records[MOBILE] += mobile
                self.newest[MOBILE] = max(self.newest[MOBILE], self.now - behind * S)
            self.look()

    @property
    def mobile(self) -> int:
        """What the clock says of MOBILE."""
        return self.feeds.passed(MOBILE)


def test_a_record_dated_in_the_future_does_not_run_ahead_of_kafka() -> None:
    """Its own feed has come to the instant of sending, no further."""
    assert event_time(NOON + 1, NOON) == NOON
    assert event_time(NOON - 1, NOON) == NOON - 1


def test_of_a_live_feed_the_clock_says_what_its_newest_event_proves() -> None:
    """Up to `after` ago: also for a partition that no record comes to."""
    world = World()
    world.run(60, mobile=1)
    assert world.mobile == world.now - AFTER


def test_no_deadline_passes_by_the_clock_before_a_stall_can_be_seen() -> None:
    """However short the grace: when a feed stops among others, the clock stops with it, at once and for good."""
    world = World()
    world.run(30, mobile=100)
    stopped = world.now
    for _ in range(100):
        world.run(1)
        assert world.mobile <= stopped
    assert world.reports == [MOBILE]
    assert world.feeds.is_held(MOBILE)
    assert world.feeds.passed(CORE) == world.now - AFTER


def test_one_record_does_not_lift_the_hold() -> None:
    """A stalled feed that comes back is behind: the clock waits until its events are as new as the clock."""
    world = World()
    world.run(100)
    assert world.reports == [MOBILE]
    for behind in range(99, 20, -3):
        world.run(1, mobile=1, behind=behind)
        assert world.mobile == NEVER
        assert world.feeds.is_held(MOBILE)
    world.run(1, mobile=1, behind=20)
    assert world.mobile == world.now - AFTER
    assert not world.feeds.is_held(MOBILE)
    assert world.reports == [MOBILE]


def test_a_stalled_feed_that_trickles_is_one_stall() -> None:
    """A record now and then begins no new hold, and is no second report."""
    world = World()
    for _ in range(45):
        world.run(22)
        world.run(1, mobile=1, behind=500)
    world.run(25)
    assert world.reports == [MOBILE]
    assert world.mobile == world.now - AFTER, "the limit counts from the beginning"


def test_after_the_limit_deadlines_go_on() -> None:
    """A feed that stays away holds nothing for ever; when it moves again its own records say how far it is."""
    world = World()
    world.run(20 + 899)
    assert world.mobile == NEVER
    world.run(5)
    assert world.mobile == world.now - AFTER
    assert not world.feeds.is_held(MOBILE)
    world.run(1, mobile=1, behind=900)
    assert world.mobile == NEVER
    world.run(1, mobile=1)
    assert world.mobile == world.now - AFTER
    world.run(60)
    assert world.reports == [MOBILE, MOBILE], "a new stall is reported anew"


def test_a_feed_rests_while_the_others_hardly_move() -> None:
    """Below `records` it is no stall: the clock goes on."""
    world = World(rate=1)
    world.run(5, mobile=1)
    world.run(30)
    assert world.feeds.is_resting(MOBILE)
    assert world.mobile == world.now - AFTER
    world.run(30)
    assert world.reports == [MOBILE], "until they have"
    assert world.mobile == NEVER


def test_when_all_feeds_rest_the_clock_goes_on() -> None:
    """The end of a day: what is due passes, `after` later."""
    world = World()
    world.run(5, mobile=100)
    world.run(22, others=False)
    assert [world.feeds.passed(source) for source in range(3)] == [world.now - AFTER] * 3
    assert world.reports == []


def test_a_feed_that_is_always_late_is_judged_by_its_own_records() -> None:
    """Events that come a minute old: the clock would be a minute ahead of them."""
    world = World()
    world.newest[MOBILE] = NOON - 60 * S
    world.run(100, mobile=10, behind=60)
    assert world.mobile == NEVER
    assert not world.feeds.is_held(MOBILE)
    assert world.reports == []


def test_after_a_start_nothing_is_known() -> None:
    """Whether a feed stands still, or all of them because of an outage, shows only in time."""
    world = World()
    world.newest = [NOON - 100 * S] * 3
    world.feeds = Feeds(Stall(AFTER, RECORDS, LIMIT, NO_QUIET))
    assert world.mobile == NEVER
    for _ in range(20):
        world.look()
        assert world.mobile == NEVER
        world.run(1)
    world.run(1)
    assert world.reports == [MOBILE]


@pytest.mark.parametrize("jump", [21 * S, 3600 * S, -3600 * S])
def test_after_a_time_without_observation_nothing_is_known(jump: int) -> None:
    """The broker was away, and the feeds with it; or the clock was set: silence counts from now."""
    world = World()
    world.run(5, mobile=100)
    world.run(30, others=False)
    assert world.mobile == world.now - AFTER
    world.now += jump
    world.newest = [min(at, world.now - 30 * S) for at in world.newest]
    world.look()
    assert world.mobile == NEVER
    world.run(19, others=False)
    assert world.mobile == NEVER
    world.run(2, others=False)
    assert world.mobile == world.now - AFTER


def quiet(spans: str) -> Stall:
    """With these quiet hours of MOBILE."""
    text = f'version = "v"\n[stall]\nafter = "20s"\nrecords = 50\nlimit = "15m"\nquiet_hours = {{ mobile = {spans} }}'
    return parse_rules(text).stall


def test_silence_in_quiet_hours_is_no_stall() -> None:
    """It is not reported, and the clock says nothing of the feed, however long they are."""
    world = World(quiet('[["12:00", "14:00"]]'))
    world.newest[MOBILE] = NOON - 60 * S
    world.run(7199)
    assert world.mobile == NEVER
    assert world.reports == []
    assert world.feeds.passed(CORE) == world.now - AFTER
    assert not world.feeds.is_held(MOBILE)


def test_the_end_of_quiet_hours_is_like_a_start() -> None:
    """The feed has the time of a stall to begin; the cases of the night wait for its records."""
    world = World(quiet('[["12:00", "14:00"]]'))
    world.newest[MOBILE] = NOON - 60 * S
    world.run(7200 + 15)
    assert world.mobile == NEVER
    assert world.reports == []
    world.run(10, mobile=10, behind=3000)
    assert world.mobile == NEVER
    world.run(1, mobile=10, behind=5)
    assert world.mobile == world.now - AFTER
    assert world.reports == []


def test_a_feed_that_stays_away_after_its_quiet_hours_is_stalled() -> None:
    """Counted from their end, and so is the limit."""
    world = World(quiet('[["12:00", "14:00"]]'))
    world.newest[MOBILE] = NOON - 60 * S
    world.run(7200 + 18)
    assert world.reports == []
    world.run(3)
    assert world.reports == [MOBILE]
    world.run(890)
    assert world.mobile == NEVER
    world.run(20)
    assert world.mobile == world.now - AFTER


def test_a_feed_that_is_live_in_its_quiet_hours_counts_as_live() -> None:
    """They say that silence is expected, not that records do not count."""
    world = World(quiet('[["12:00", "14:00"]]'))
    world.run(60, mobile=1)
    assert world.mobile == world.now - AFTER


@pytest.mark.parametrize(
    ("spans", "is_quiet"),
    [
        ('[["12:00", "12:01"]]', True),
        ('[["11:59", "12:00"]]', False),
        ('[["22:00", "06:00"]]', False),
        ('[["22:00", "12:01"]]', True),
        ('[["00:00", "01:00"], ["11:00", "13:00"]]', True),
        ("[]", False),
    ],
)
def test_quiet_hours_are_spans_of_the_utc_day(spans: str, is_quiet: bool) -> None:
    """From the first minute up to, not including, the second; over midnight where the second is the smaller."""
    assert quiet(spans).is_quiet(MOBILE, NOON) is is_quiet
    assert not quiet(spans).is_quiet(CORE, NOON)


@pytest.mark.parametrize(
    "wrong",
    [
        'quiet_hours = { mobil = [["22:00", "06:00"]] }',
        'quiet_hours = { mobile = ["22:00", "06:00"] }',
        'quiet_hours = { mobile = [["22:00"]] }',
        'quiet_hours = { mobile = [["22:00", "24:00"]] }',
        'quiet_hours = { mobile = "22:00" }',
        'quiet_hours = { mobile = [["22:00", "22:00"]] }',
        'aftr = "20s"',
        'after = "1s"',
    ],
)
def test_wrong_stall_settings_refuse_the_start(wrong: str) -> None:
    """A misspelt entry would else silently leave the default in force."""
    with pytest.raises(ConfigurationError, match=r"rules: (stall|quiet)"):
        parse_rules(f'version = "v"\n[stall]\n{wrong}')


steps = st.lists(
    st.tuples(
        st.integers(1, 25_000),
        st.tuples(*[st.sampled_from((0, 0, 1, 10, 200))] * 3),
        st.tuples(*[st.integers(-5_000, 60_000)] * 3),
    ),
    max_size=80,
)


@given(steps)
def test_the_clock_never_runs_ahead_of_a_feed_that_moves_or_is_stalled(
    steps: list[tuple[int, tuple[int, int, int], tuple[int, int, int]]],
) -> None:
    """Whatever the feeds do: what the clock says of a feed is proved by its own newest event, or it rests, or its stall has
    lasted for longer than the limit. Never more than up to `after` ago."""
    feeds = Feeds(Stall(AFTER, RECORDS, 60 * S, NO_QUIET))
    now, records, newest = NOON, [0, 0, 0], [NEVER] * 3
    for pause, growth, behind in steps:
        now += pause
        for source in range(3):
            records[source] += growth[source]
            if growth[source]:
                newest[source] = max(newest[source], now - behind[source])
        feeds.observe(now, (records[0], records[1], records[2]), (newest[0], newest[1], newest[2]))
        for source in range(3):
            passed, feed = feeds.passed(source), feeds._feeds[source]
            assert passed <= now - AFTER
            if passed > newest[source]:
                assert feed.pace is Pace.RESTING or (feed.stalled_since or now) < now - 60 * S
