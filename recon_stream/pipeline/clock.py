"""The brokers' clock, as their acknowledgements tell it. Deadlines go by it, not by the clock of the machine that a worker runs on."""

from __future__ import annotations

STEP_MS = 5_000
"""What the brokers' clocks may differ by; when they go back by more, the clock was set."""


class BrokerClock:
    """Instants in epoch milliseconds; `monotonic` in seconds, of one clock that never goes back.

    Behind the brokers' own clock by no more than an acknowledgement takes, and never ahead of it. It goes back only
    where theirs does.
    """

    def __init__(self) -> None:
        self._told: tuple[int, float] | None = None

    def tell(self, appended_at: int, monotonic: float) -> None:
        """A broker has appended something at that instant of its clock, and we know it now."""
        now = self.now(monotonic)
        if now is None or not 0 <= now - appended_at <= STEP_MS:
            self._told = appended_at, monotonic

    def now(self, monotonic: float) -> int | None:
        """What it shows; None before anything was told."""
        if self._told is None:
            return None
        at, since = self._told
        return at + int((monotonic - since) * 1000)
