"""How a process ends, in one number; supervisors restart on everything but 0 and 2."""

from __future__ import annotations

CLEAN = 0
CRASHED = 1
CONFIGURATION = 2
STALLED = 70
RECOVERY_STALLED = 71
STOP_TIMED_OUT = 72
