"""Cases worked out by hand from section 4 of the design: every fact, and the result that it must publish or none.

Nothing here is computed by rules of reconciliation; each expectation was written down from the text. Rules of the
cases: hand_worked_rules.toml (grace 30 s, gateway 40 s; status 60 s; pending 24 h; window 30 s; EUR and JPY tolerate).
"""

from __future__ import annotations

from . import hand_worked_events, hand_worked_fields
from .hand_worked_form import HandWorked

CASES: tuple[HandWorked, ...] = tuple(
    sorted(hand_worked_fields.CASES + hand_worked_events.CASES, key=lambda case: case.txn_id)
)
