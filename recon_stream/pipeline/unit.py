"""One unit of work, without I/O: records and passed deadlines in, rows and results to write out.

The lane loads rows and asks Redis; this decides. What it holds afterwards is everything there is to publish and store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from recon_stream.domain.case import Case, Result
from recon_stream.domain.deadlines import event_time
from recon_stream.domain.event import SOURCE_TOPICS, SOURCES, Event
from recon_stream.domain.facts import Deadline, DeadlineKind, Fact
from recon_stream.domain.matching import Outcome, Record, decide, every_result, let_pass, reject
from recon_stream.domain.rules import RulesBook
from recon_stream.domain.validation import Reason, invalid
from recon_stream.pipeline.encoding import DeadLetter, ResultEncoder
from recon_stream.redis.dedup import Seen, is_copy
from tables.rows import META, Meta, deadlines_of, decode_case, encode_deadlines, encode_fact, facts_start


class Arrived(NamedTuple):
    """A record that decoded and whose key is a txn_id: it belongs to a case."""

    source: int
    offset: int
    timestamp: int
    key: bytes
    """Key of its case's row."""
    raw_key: bytes
    value: bytes
    txn_id: str
    """What the record's key says."""
    event: Event
    payload: bytes
    schema_id: int


class Unit:
    """Decides over the rows of the cases it touches; `rows` must hold every key before it is used."""

    def __init__(self, partition: int, meta: Meta, book: RulesBook, encode: ResultEncoder, failed_at: int) -> None:
        self._partition, self._book, self._encode, self._failed_at = partition, book, encode, failed_at
        self._meta = meta
        self.watermarks = list(meta.watermarks)
        self.rows: dict[bytes, bytes | None] = {}
        """Rows as they were before the unit."""
        self._cases: dict[bytes, Case] = {}
        self._appended: dict[bytes, bytearray] = {}
        self._expired: set[bytes] = set()
        self._outbox: list[bytes] = []
        self.spent: list[tuple[Deadline, bytes]] = []
        """Entries of the index of deadlines that came due, whether or not their cases still wait for them."""
        self.results: list[tuple[bytes, bytes]] = []
        self.mismatches: list[tuple[bytes, bytes]] = []
        self.dead_letters: list[DeadLetter] = []
        self.settled: list[tuple[Seen, bool]] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        """(what, of which kind): the lane turns it into metrics."""

    def take(self, record: Arrived, seen: Seen | None = None, known: bytes | None = None) -> None:
        """Apply one record; `known` is what the duplicate filter remembers of it."""
        source, offset, timestamp, key, _, _, txn_id, event, payload, schema_id = record
        time = event_time(event.occurred_at, timestamp)
        behind = self.watermarks[source] - time
        if behind < 0:
            self.watermarks[source] = time
        rules = self._book.current
        if seen is not None and is_copy(known, seen.mark):
            self.counts["copy", SOURCES[source].name] += 1
            self.settled.append((seen, False))
            return
        if behind > rules.retention_ms and self.rows[key] is None and key not in self._cases:
            self._bury(record, Reason.TOO_LATE, f"{behind} ms behind the watermark and its case is gone")
            return
        case = self._case(key, txn_id)
        problem = invalid(event, txn_id, source, timestamp, rules)
        if problem is None:
            decision = decide(case, Record(source, offset, timestamp, schema_id, event), rules)
        else:
            self._bury(record, *problem)
            decision = reject(case, source, offset, timestamp, problem[0], rules)
        if decision.fact is not None:
            self._append(key, decision.fact, payload)
        if decision.result is not None:
            self._publish(decision.result, record.raw_key)
        outcome = decision.outcome
        self.counts[outcome.value, SOURCES[source].name] += 1
        if seen is not None:
            self.settled.append((seen, problem is None and _is_in_force(case, source, event, offset, outcome)))

    def advance(self, source: int, time: int) -> None:
        """Let the watermark follow a record that belongs to no case."""
        self.watermarks[source] = max(self.watermarks[source], time)

    def bury(self, letter: DeadLetter) -> None:
        """A record that belongs to no case."""
        self.dead_letters.append(letter)
        self.counts["dead_letter", letter.reason.value] += 1

    def touched_deadlines(self) -> list[tuple[Deadline, bytes]]:
        """What the cases of this unit wait for, as they stand."""
        return [(deadline, key) for key, case in self._cases.items() for deadline in case.deadlines()]

    def notice(self, deadline: Deadline, key: bytes) -> None:
        """A deadline that its gate has passed."""
        row = self.rows[key]
        if row is None and key not in self._cases:
            return  # the case is gone, only its entry in the index was left
        if row is not None and key not in self._cases and deadline not in deadlines_of(row):
            return
        case = self._case(key, key[1:].decode())
        if deadline.kind is DeadlineKind.EXPIRY:
            if deadline in case.deadlines():
                self._expired.add(key)
                self.counts["deadline", deadline.kind.name] += 1
            return
        decision = let_pass(case, deadline, self._book.current)
        if decision is None:
            return
        self.counts["deadline", deadline.kind.name] += 1
        assert decision.fact is not None
        self._append(key, decision.fact, b"")
        self._outbox.append(key)
        if decision.result is not None:
            self._publish(decision.result, key[1:])

    def publish_again(self, key: bytes) -> None:
        """Every revision of a case, as it was: some of them may not have left before a crash.

        It stays in the outbox until the unit after this one, which runs only when this one's results are acknowledged.
        """
        if self.rows[key] is not None:
            for result in every_result(self._case(key, key[1:].decode())):
                self._publish(result, key[1:])
            self._outbox.append(key)

    def changed_rows(self) -> list[tuple[bytes, bytes | None]]:
        """What goes to the changelog and into the state, the partition's own row first."""
        changed: list[tuple[bytes, bytes | None]] = []
        for key, appended in self._appended.items():
            before = self.rows[key]
            facts = before[facts_start(before) :] if before else b""
            if key not in self._expired:
                changed.append((key, encode_deadlines(self._cases[key].deadlines()) + facts + appended))
        # a case that came and expired within the unit was never stored
        changed += [(key, None) for key in self._expired if self.rows[key] is not None]
        low = tuple(self.watermarks)
        meta = self._meta._replace(watermarks=(low[0], low[1], low[2]), outbox=tuple(self._outbox))
        if meta != self._meta or changed:
            changed.insert(0, (META, meta.encode()))
        self.meta = meta
        return changed

    def _case(self, key: bytes, txn_id: str) -> Case:
        case = self._cases.get(key)
        if case is None:
            case = self._cases[key] = decode_case(txn_id, self.rows[key], self._book)
        return case

    def _append(self, key: bytes, fact: Fact, payload: bytes) -> None:
        appended = self._appended.get(key)
        if appended is None:
            appended = self._appended[key] = bytearray()
        appended += encode_fact(fact, payload)
        self._expired.discard(key)

    def _publish(self, result: Result, raw_key: bytes) -> None:
        value = self._encode(result)
        self.results.append((raw_key, value))
        self.counts["result", result.verdict.value] += 1
        if result.open_breaks_changed:
            self.mismatches.append((raw_key, value))
            for break_class in result.opened:
                self.counts["opened", break_class.value] += 1
            for break_class in result.resolved:
                self.counts["resolved", break_class.value] += 1

    def _bury(self, record: Arrived, reason: Reason, detail: str) -> None:
        self.bury(
            DeadLetter(
                SOURCE_TOPICS[record.source], self._partition, record.offset, record.timestamp, record.raw_key,
                record.value, reason, detail, record.schema_id, self._failed_at,
            )
        )  # fmt: skip


def _is_in_force(case: Case, source: int, event: Event, offset: int, outcome: Outcome) -> bool:
    """Whether the record is the one that put the event in force: only then may copies of it be dropped."""
    if outcome not in (Outcome.ACCEPTED, Outcome.REREAD):
        return False
    known = case.sources[source].accepted.get(event.event_id)
    return known is not None and known.offset == offset


def keys_of(deadlines: Iterable[tuple[Deadline, bytes]]) -> set[bytes]:
    """The cases of these deadlines."""
    return {key for _, key in deadlines}
