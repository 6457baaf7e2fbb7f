"""The brokers' clock, as acknowledgements tell it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recon_stream.pipeline.clock import STEP_MS, BrokerClock

AT = 1_790_000_000_000


def test_before_an_acknowledgement_nobody_knows_what_time_it_is() -> None:
    """Whatever the machine's own clock says."""
    assert BrokerClock().now(12.5) is None


@given(st.lists(st.tuples(st.floats(0.001, 3600), st.integers(0, STEP_MS - 1)), min_size=1, max_size=30))
def test_it_is_never_ahead_never_goes_back_and_is_not_later_than_the_quickest_answer(
    told: list[tuple[float, int]],
) -> None:
    """Acknowledgements take from nothing to seconds, at any moment."""
    clock, passed, shown = BrokerClock(), 0.0, 0
    for pause, under_way in told:
        passed += pause
        truth = AT + int(passed * 1000)
        clock.tell(truth - under_way, passed)
        now = clock.now(passed)
        assert now is not None
        assert max(shown, truth - STEP_MS) <= now <= truth
        assert now >= truth - under_way - 1  # a millisecond for the rounding
        shown = now


def test_it_follows_when_the_brokers_clock_is_set() -> None:
    """Forwards at once; backwards where it is more than brokers may differ by."""
    clock = BrokerClock()
    clock.tell(AT, 0.0)
    clock.tell(AT + 3_600_000, 1.0)
    assert clock.now(2.0) == AT + 3_601_000
    clock.tell(AT + 3_601_000, 3.0)
    assert clock.now(3.0) == AT + 3_602_000, "another broker, a second behind"
    clock.tell(AT, 4.0)
    assert clock.now(4.0) == AT
