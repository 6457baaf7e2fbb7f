"""What `watch` knows, apart from where it comes from and how it is shown. Instants are epoch seconds, given as arguments."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from recon_stream.domain.event import SOURCE_TOPICS, SOURCES, Verdict
from recon_stream.storage.verdicts import Move
from recon_stream.verify.moves import BreakMove, Moves

RATE_WINDOW = 5.0
"""Seconds over which a rate is taken."""
HISTORY_SECONDS = 60
TRANSACTIONS_MAX = 100_000
NEWEST_MAX = 200
TOTALS_FRESH = 15.0
"""Seconds for which totals of the database are shown after its last answer."""


class Process(NamedTuple):
    """One process of a role, as its operations port answers. `reasons`: why it is not ready; empty when it is."""

    role: str
    number: int
    port: int
    reasons: tuple[str, ...]


class Sample(NamedTuple):
    """What the operations ports said in one round."""

    processes: tuple[Process, ...]
    watermark_age: Mapping[str, float]
    """Topic -> seconds, of the partition that is furthest behind."""
    deadlines_held: frozenset[str]
    dead_letters: Mapping[str, int]
    """Reason -> records, since the workers started."""


NOTHING_SAID = Sample((), {}, frozenset(), {})


class Totals(NamedTuple):
    """What the database holds."""

    verdicts: Mapping[str, int]
    open_breaks: Mapping[str, int]
    dead_letters: Mapping[str, int]


class Counts(NamedTuple):
    """The counts to show and where they are from."""

    verdicts: Mapping[str, int]
    open_breaks: Mapping[str, int]
    dead_letters: Mapping[str, int]
    origin: str


class Rate:
    """Turns readings of a counter into a rate a second; a counter that falls was started anew."""

    __slots__ = ("_readings", "history")

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int]] = deque(maxlen=64)
        self.history: deque[float] = deque(maxlen=HISTORY_SECONDS)

    def read(self, at: float, total: int) -> None:
        """Take a reading; about one a second."""
        if self._readings:
            before_at, before = self._readings[-1]
            if at <= before_at:
                return
            if total < before:
                self._readings.clear()
            else:
                self.history.append((total - before) / (at - before_at))
        self._readings.append((at, total))
        while len(self._readings) > 2 and at - self._readings[0][0] > RATE_WINDOW:
            self._readings.popleft()

    def per_second(self, now: float) -> float | None:
        """The rate over the last seconds; None before two readings, and when the readings have stopped."""
        if len(self._readings) < 2 or now - self._readings[-1][0] > 2 * RATE_WINDOW:
            return None
        (first_at, first), (last_at, last) = self._readings[0], self._readings[-1]
        return (last - first) / (last_at - first_at)


class _Case(NamedTuple):
    revision: int
    verdict: str
    open_classes: tuple[str, ...]


@dataclass(slots=True)
class Model:
    """Everything a frame shows. Fed by the methods, read by the view; bounded by the limits above."""

    started_at: float
    broker: str = ""
    rules_version: str = ""
    rates: dict[str, Rate] = field(default_factory=dict)
    """Topic -> records that arrive there."""
    lag: dict[str, dict[str, int]] = field(default_factory=dict)
    """Consumer group (role) -> topic -> records that wait."""
    newest: deque[BreakMove] = field(default_factory=lambda: deque(maxlen=NEWEST_MAX))
    sample: Sample = NOTHING_SAID
    away: dict[str, str] = field(default_factory=dict)
    """What does not answer -> why."""
    results_seen: int = 0
    results_skipped: int = 0
    moves_seen: Counter[str] = field(default_factory=Counter)
    _cases: OrderedDict[str, _Case] = field(default_factory=OrderedDict)
    _verdicts: Counter[str] = field(default_factory=Counter)
    _open: Counter[str] = field(default_factory=Counter)
    _moves: Moves = field(default_factory=Moves)
    _totals: tuple[float, Totals] | None = None

    def saw_result(self, result: Mapping[str, Any]) -> None:
        """A record of recon_results."""
        self.results_seen += 1
        self.rules_version = result["rules_version"]
        before = self._cases.get(result["txn_id"])
        if before is not None and before.revision >= result["revision"]:
            return
        open_classes = tuple(said["class"] for said in result["breaks"] if said["state"] == "OPEN")
        case = _Case(result["revision"], result["verdict"], open_classes)
        self._cases[result["txn_id"]] = case
        self._cases.move_to_end(result["txn_id"])
        self._count(case, 1)
        if before is not None:
            self._count(before, -1)
        while len(self._cases) > TRANSACTIONS_MAX:
            self._count(self._cases.popitem(last=False)[1], -1)

    def saw_mismatch(self, result: Mapping[str, Any]) -> None:
        """A record of recon_mismatches."""
        for move in self._moves.of(result):
            self.moves_seen[move.move] += 1
            if move.move is not Move.RESOLVED:
                self.newest.appendleft(move)

    def saw_ends(self, at: float, ends: Mapping[str, int]) -> None:
        """Topic -> records ever written there, the sum of its partitions' end offsets."""
        for topic, total in ends.items():
            self.rates.setdefault(topic, Rate()).read(at, total)

    def saw_totals(self, at: float, totals: Totals) -> None:
        """What the database answered."""
        self._totals = (at, totals)

    def answers(self, name: str) -> None:
        """A dependency answered."""
        self.away.pop(name, None)

    def is_away(self, name: str, why: str) -> None:
        """A dependency did not answer."""
        self.away[name] = why

    def counts(self, now: float) -> Counts:
        """Of the database while it answers, else of the transactions seen here since the start."""
        if self._totals is not None and now - self._totals[0] <= TOTALS_FRESH and "PostgreSQL" not in self.away:
            return Counts(*self._totals[1], "all, from PostgreSQL")
        return Counts(+self._verdicts, +self._open, self.sample.dead_letters, "seen here since the start")

    def topic_rate(self, topics: Iterable[str], now: float) -> float | None:
        """Records a second over several topics; None where none of them is known."""
        known = [rate for topic in topics if (rate := self.rate(topic, now)) is not None]
        return sum(known) if known else None

    def rate(self, topic: str, now: float) -> float | None:
        """Records a second that arrive in a topic."""
        return self.rates[topic].per_second(now) if topic in self.rates else None

    def history(self, topics: Iterable[str]) -> list[float]:
        """Records a second of the last minute, oldest first, summed over topics."""
        series = [self.rates[topic].history for topic in topics if topic in self.rates]
        length = min((len(one) for one in series), default=0)
        return [sum(one[place - length] for one in series) for place in range(length)]

    def of_role(self, role: str) -> list[Process]:
        """The processes of a role that answer."""
        return [process for process in self.sample.processes if process.role == role]

    def _count(self, case: _Case, by: int) -> None:
        self._verdicts[case.verdict] += by
        for break_class in case.open_classes:
            self._open[break_class] += by


def match_rate(verdicts: Mapping[str, int]) -> tuple[int, int]:
    """(matched, decided): PENDING is not decided yet, VOID is out of scope."""
    matched = verdicts.get(Verdict.MATCHED, 0) + verdicts.get(Verdict.MATCHED_WITHIN_TOLERANCE, 0)
    return matched, matched + verdicts.get(Verdict.BROKEN, 0) + verdicts.get(Verdict.ACCEPTED, 0)


def as_json(model: Model, now: float) -> dict[str, Any]:
    """One frame for programs. Rates a second, ages in seconds, amounts in minor units; null is not known."""
    counts = model.counts(now)
    matched, decided = match_rate(counts.verdicts)
    return {
        "at": round(now, 3),
        "rates": {topic: _rounded(model.rate(topic, now)) for topic in sorted(model.rates)},
        "records_per_second": _rounded(model.topic_rate(SOURCE_TOPICS, now)),
        "counts_from": counts.origin,
        "verdicts": dict(counts.verdicts),
        "matched": matched,
        "decided": decided,
        "match_rate": round(matched / decided, 6) if decided else None,
        "open_breaks": dict(counts.open_breaks),
        "dead_letters": dict(counts.dead_letters),
        "moves_seen": {str(move): number for move, number in model.moves_seen.items()},
        "lag": model.lag,
        "watermark_age_seconds": {topic: _rounded(age) for topic, age in model.sample.watermark_age.items()},
        "deadlines_held": sorted(model.sample.deadlines_held),
        "processes": [process._asdict() for process in model.sample.processes],
        "newest": [move._asdict() for move in list(model.newest)[:10]],
        "results_seen": model.results_seen,
        "results_skipped": model.results_skipped,
        "rules_version": model.rules_version or None,
        "away": dict(model.away),
    }


def sources_of(topic: str) -> str | None:
    """The name of the source that writes a topic."""
    return next((source.name for source in SOURCES if source.topic == topic), None)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 2)
