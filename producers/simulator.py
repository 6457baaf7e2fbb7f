"""The pure, seeded simulator: one transaction by its number, and all of them as records in the order of sending."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import accumulate, count
from random import Random

from producers.draft import Draft
from producers.faults import FAULTS, tolerating_currencies
from producers.plan import Fault, Plan, Planned, Record

# A period for the seeds of single transactions: plans of different seeds share none.
_NUMBERS = 1 << 40


class Simulator:
    """The transactions of a plan. Nothing is kept from one to the next: any may be asked for, in any order."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        mix = {fault: weight for fault, weight in plan.mix.items() if weight > 0}
        if not tolerating_currencies(plan):
            # without a tolerance nothing can be within it
            mix.pop(Fault.TOLERANCE, None)
        self._faults = sorted(mix) or [Fault.CLEAN]
        self._bounds = list(accumulate(mix[fault] for fault in self._faults)) if mix else [1]
        self._rng = Random()  # noqa: S311 - reproducible on purpose, nothing secret

    def transaction(self, number: int) -> Planned:
        """The transaction of that number."""
        rng = self._rng
        rng.seed(self.plan.seed * _NUMBERS + number)
        fault = self._faults[bisect_right(self._bounds, int(rng.random() * self._bounds[-1]))]
        draft = Draft(self.plan, number, fault, rng)
        FAULTS[fault](draft)
        return draft.finished()


def schedule(plan: Plan, begun: Callable[[Planned], None], stopped: Callable[[], bool]) -> Iterator[Record]:
    """The records of a plan in the order of sending.

    `begun` is called with each transaction when its first record comes near. Once `stopped` says so no further
    transaction begins; those begun are still given to their last record, so that every one of them is whole.
    """
    simulator = Simulator(plan)
    # (when, counter, record): the counter keeps records of one instant in the order of planning
    pending: list[tuple[int, int, Record]] = []
    ticket = count()
    numbers = count(plan.first) if plan.transactions is None else range(plan.first, plan.first + plan.transactions)
    for number in numbers:
        begin = plan.begin_ms(number)
        while pending and pending[0][0] < begin and not stopped():
            yield heappop(pending)[2]
        if stopped():
            break
        planned = simulator.transaction(number)
        begun(planned)
        for record in sorted(planned.records, key=_send_ms):
            heappush(pending, (record.send_ms, next(ticket), record))
    while pending:
        yield heappop(pending)[2]


def _send_ms(record: Record) -> int:
    return record.send_ms
