"""One unit of work, without I/O: records and passed deadlines in, rows and results to write out.

The lane loads rows and asks Redis; this decides. What it holds afterwards is everything there is to publish and store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from recon_stream.avro import FRAME_BYTES
from recon_stream.domain.case import Case, Result
from recon_stream.domain.deadlines import event_time
from recon_stream.domain.event import SOURCE_TOPICS, Event, Verdict
from recon_stream.domain.facts import EVERY_SOURCE, Deadline, DeadlineKind, Fact, Received
from recon_stream.domain.matching import Outcome, decide, every_result, is_old_news, let_pass, reject
from recon_stream.domain.rules import RulesBook
from recon_stream.domain.validation import Reason, invalid
from recon_stream.pipeline.decoding import VALUE_BYTES_MAX, Decoder, Unreadable
from recon_stream.pipeline.encoding import DeadLetter, ResultEncoder
from recon_stream.redis.seen import Seen, is_copy, mark
from recon_stream.transport.batch import RawRecord
from tables.rows import (
    CASE,
    META,
    Meta,
    RowChange,
    deadlines_of,
    decode_case,
    encode_deadlines,
    encode_fact,
    encode_outbox,
    facts_start,
)

_NAMES: Final = tuple([topic.removesuffix("_txns") for topic in SOURCE_TOPICS])

NOT_DUE: Final = 1 << 62
"""An instant that no watermark reaches."""

DEAD_LETTER_BYTES_MAX: Final = 400_000
"""Of key and value that are quoted in a dead letter; the archive has all of them."""

CASE_BYTES_MAX: Final = 600_000
"""Of the facts of a case, some thousands of events: its row must fit into one message of Kafka."""


class Arrived:
    """A record that decoded and whose key is a txn_id: it belongs to a case."""

    __slots__ = ("fact", "key", "payload", "raw_key", "txn_id", "value")

    def __init__(self, fact: Received, txn_id: str, raw_key: bytes, value: bytes, payload: bytes) -> None:
        self.fact = fact
        """What it is if it is accepted."""
        self.txn_id = txn_id
        """What the record's key says."""
        self.raw_key = raw_key
        self.key = CASE + raw_key
        """Of the row of its case."""
        self.value = value
        self.payload = payload
        """The event as our own schema writes it."""


def cases_of(arrived: Sequence[Arrived]) -> set[bytes]:
    """The keys of their cases."""
    return {record.key for record in arrived}


def seen_of(arrived: Sequence[Arrived], epoch: str, partition: int) -> list[Seen]:
    """The records as the duplicate filter knows them; `epoch` of the state in hex."""
    seen = []
    for record in arrived:
        fact = record.fact
        event, source = fact.event, fact.source
        coordinates = f"{SOURCE_TOPICS[source]}:{partition}:{fact.offset}"
        revision = f"{event.event_id}:{event.revision}"
        seen.append(Seen(record.txn_id, _NAMES[source], revision, mark(epoch, record.payload, coordinates)))
    return seen


class Held:
    """A case in memory with its row: what is stored, and what is to be stored."""

    __slots__ = ("case", "deadlines", "facts", "is_stored")

    def __init__(self, txn_id: str, row: bytes | None, book: RulesBook) -> None:
        self.case: Case = decode_case(txn_id, row, book)
        self.is_stored = row is not None
        self.deadlines: list[Deadline] = deadlines_of(row) if row else []
        """As they are stored, and so in the index."""
        self.facts = bytearray(row[facts_start(row) :] if row else b"")


class Unit:
    """Decides over the cases of one partition.

    `held` holds every case that it is asked about (see `load`). The lane keeps it for the next units; should this one
    fail, the lane must forget it.
    """

    def __init__(
        self,
        partition: int,
        meta: Meta,
        book: RulesBook,
        encode: ResultEncoder,
        held: dict[bytes, Held],
        failed_at: int,
    ) -> None:
        self._partition, self._book, self._encode, self._failed_at = partition, book, encode, failed_at
        self._rules = book.current
        self.meta = meta
        self.watermarks = list(meta.watermarks)
        self._held = held
        self._touched: dict[bytes, Held] = {}
        self._waiting: dict[bytes, list[Deadline]] = {}
        self._expired: set[bytes] = set()
        self._outbox: dict[bytes, None] = {}
        self.earliest = [NOT_DUE] * (EVERY_SOURCE + 1)
        """By gate, the first instant that a case waits for which was changed."""
        self.spent: list[tuple[Deadline, bytes]] = []
        """Entries of the index of deadlines that came due, whether or not their cases still wait for them."""
        self.results: list[tuple[bytes, bytes]] = []
        self.mismatches: list[tuple[bytes, bytes]] = []
        self.dead_letters: list[DeadLetter] = []
        self.settled: list[tuple[Seen, bool]] = []
        self._accepted = [0] * len(SOURCE_TOPICS)
        self._verdicts: dict[Verdict, int] = {}
        self._counts: defaultdict[tuple[str, object], int] = defaultdict(int)

    @property
    def counts(self) -> dict[tuple[str, object], int]:
        """(what, of which kind): the lane's surroundings turn it into metrics."""
        accepted = {(Outcome.ACCEPTED.value, source): count for source, count in enumerate(self._accepted) if count}
        return self._counts | accepted | {("result", verdict): count for verdict, count in self._verdicts.items()}

    def load(self, key: bytes, row: bytes | None) -> None:
        """Hold the case of a row."""
        self._held[key] = Held(key[1:].decode(), row, self._book)

    def read(self, decoder: Decoder, source: int, records: Iterable[RawRecord]) -> list[Arrived]:
        """The records of a batch that belong to a case; the others become dead letters."""
        rules, arrived = self._rules, []
        for record in records:
            raw_key, value = record.key, record.value
            try:
                event, payload = decoder.read(value)
            except Unreadable as error:
                self.bury(self._letter(source, record, error.reason, error.detail))
                continue
            offset, timestamp = record.offset, record.timestamp
            txn_id = _txn_id(raw_key)
            if raw_key is None or value is None or not txn_id:
                self.advance(source, event_time(event.occurred_at, timestamp))
                detail = "the key is null, empty, too long or not UTF-8"
                self.bury(self._letter(source, record, Reason.BAD_KEY, detail))
                continue
            schema_id = int.from_bytes(value[1:FRAME_BYTES], "big")
            fact = Received(source, offset, timestamp, rules, schema_id, event)
            arrived.append(Arrived(fact, txn_id, raw_key, value, payload))
        return arrived

    def take_all(
        self,
        arrived: Sequence[Arrived],
        seen: Sequence[Seen],
        known: Sequence[bytes | None] | None,
        first: int,
        end: int,
    ) -> None:
        """Apply the records from the place `first` up to `end`; `known` is what the duplicate filter remembers of each, where
        it was asked and has answered, and `seen` is empty where it was not asked."""
        for place in range(first, min(end, len(arrived))):
            self.take(arrived[place], seen[place] if seen else None, known[place] if known else None)

    def take(self, record: Arrived, seen: Seen | None = None, known: bytes | None = None) -> None:
        """Apply one record; `known` is what the duplicate filter remembers of it."""
        fact = record.fact
        source, offset, timestamp, rules, event = fact.source, fact.offset, fact.timestamp, fact.rules, fact.event
        key = record.key
        time = event.occurred_at
        if time > timestamp:
            time = timestamp
        behind = self.watermarks[source] - time
        if behind < 0:
            self.watermarks[source] = time
        if seen is not None and known is not None and is_copy(known, seen.mark):
            self._counts["copy", source] += 1
            self.settled.append((seen, False))
            return
        held = self._held[key]
        if behind > rules.retention_ms and not held.is_stored and not held.facts:
            self._bury(record, Reason.TOO_LATE, f"{behind} ms behind the watermark and its case is gone")
            return
        if len(held.facts) > CASE_BYTES_MAX and offset > held.case.sources[source].last_offset:
            self._bury(record, Reason.CASE_FULL, f"its case has {len(held.case.facts)} facts")
            return
        problem = invalid(event, record.txn_id, source, timestamp, rules)
        if problem is not None and problem[0] is Reason.FUTURE_DATED and is_old_news(held.case, source, event):
            problem = None
        if problem is None:
            decision = decide(held.case, fact)
        else:
            self._bury(record, problem[0], problem[1])
            decision = reject(held.case, source, offset, timestamp, problem[0], rules)
        outcome = decision.outcome
        if decision.fact is not None:
            self._append(key, held, decision.fact, record.payload)
        if decision.result is not None:
            self._publish(key, held, decision.result)
        if outcome is Outcome.ACCEPTED:
            self._accepted[source] += 1
        else:
            self._counts[outcome, source] += 1
        if seen is not None:
            self.settled.append((seen, problem is None and _is_in_force(held.case, source, event, offset, outcome)))

    def advance(self, source: int, time: int) -> None:
        """Let the watermark follow a record that belongs to no case."""
        self.watermarks[source] = max(self.watermarks[source], time)

    def bury(self, letter: DeadLetter) -> None:
        """A record that belongs to no case."""
        self.dead_letters.append(letter)
        self._counts["dead_letter", letter.reason.value] += 1

    def overdue(self, passed: Sequence[int]) -> list[tuple[Deadline, bytes]]:
        """What the cases that changed in this unit wait for, as they stand, where its gate has passed it; `passed` by gate."""
        found: list[tuple[Deadline, bytes]] = []
        for key, held in self._touched.items():
            deadlines = self._waiting[key] = held.case.deadlines()
            found += [(deadline, key) for deadline in deadlines if deadline.instant < passed[deadline.gate]]
        return found

    def notice(self, deadline: Deadline, key: bytes) -> bool:
        """A deadline that its gate has passed. False where it has to wait for the next unit.

        A case does not expire in a unit that changed it: its results are not acknowledged, and without its row a crash
        would lose them.
        """
        held = self._held[key]
        if deadline.kind is DeadlineKind.EXPIRY:
            if key in self._touched:
                return False
            if deadline in held.case.deadlines():
                self._expired.add(key)
                self._touched[key] = held
                self._counts["deadline", deadline.kind.name] += 1
            return True
        decision = let_pass(held.case, deadline, self._rules)
        if decision is None:
            return True  # only its entry in the index was left
        self._counts["deadline", deadline.kind.name] += 1
        assert decision.fact is not None
        self._append(key, held, decision.fact, b"")
        if decision.result is not None:
            self._publish(key, held, decision.result)
        return True

    def publish_again(self, key: bytes) -> None:
        """Every revision of a case, as it was and in order: some of them may not have left before a crash.

        It stays in the outbox until the unit after this one, which runs only when this one's results are acknowledged.
        """
        held = self._held[key]
        for result in every_result(held.case):
            self._publish(key, held, result)

    def changes(self) -> list[RowChange]:
        """What goes to the changelog and into the state, the partition's own rows first."""
        changed: list[RowChange] = []
        for key, held in self._touched.items():
            before = held.deadlines
            if key in self._expired:
                del self._held[key]
                if held.is_stored:  # a case that came and expired within the unit was never stored
                    changed.append(RowChange(key, None, before, []))
                continue
            known = self._waiting.get(key)
            held.deadlines = held.case.deadlines() if known is None else known
            held.is_stored = True
            for deadline in held.deadlines:
                if deadline.instant < self.earliest[deadline.gate]:
                    self.earliest[deadline.gate] = deadline.instant
            changed.append(RowChange(key, encode_deadlines(held.deadlines) + held.facts, before, held.deadlines))
            if held.case.is_closed():
                del self._held[key]  # nothing more is expected: memory is for cases that wait
        core, gateway, mobile = self.watermarks
        outbox = encode_outbox(self._outbox)
        begun = self.meta._replace(outbox_parts=len(outbox))
        done = begun._replace(watermarks=(core, gateway, mobile))
        own = [RowChange(META, done.encode(), [], [])] if done != self.meta or changed else []
        first = [RowChange(key, part, [], []) for key, part in outbox]
        if changed:
            first.append(RowChange(META, begun.encode(), [], []))
        self.meta = done
        # A crash may cut the changelog off anywhere: the outbox goes first, where it can only name too much, and the
        # watermarks last, because they say that every row before them is there.
        return first + changed + own

    def _append(self, key: bytes, held: Held, fact: Fact, payload: bytes) -> None:
        held.facts += encode_fact(fact, payload)
        self._touched[key] = held
        if self._waiting:
            self._waiting.pop(key, None)

    def _publish(self, key: bytes, held: Held, result: Result) -> None:
        raw_key = key[1:]
        value = self._encode(result)
        self.results.append((raw_key, value))
        self._outbox[key] = None
        self._verdicts[result.verdict] = self._verdicts.get(result.verdict, 0) + 1
        if result.open_breaks_changed:
            self.mismatches.append((raw_key, value))
            for break_class in result.opened:
                self._counts["opened", break_class] += 1
            for break_class in result.resolved:
                self._counts["resolved", break_class] += 1

    def _letter(self, source: int, record: RawRecord, reason: Reason, detail: str) -> DeadLetter:
        key, value = record.key, record.value
        if len(key or b"") + len(value or b"") > DEAD_LETTER_BYTES_MAX:
            half = DEAD_LETTER_BYTES_MAX // 2
            key, value = key and key[:half], value and value[:half]
            detail = f"{detail} (key and value are cut to {half} bytes here)"
        framed = value is not None and len(value) >= FRAME_BYTES and value[0] == 0
        return DeadLetter(
            SOURCE_TOPICS[source], self._partition, record.offset, record.timestamp, key, value, reason, detail,
            int.from_bytes(value[1:FRAME_BYTES], "big", signed=True) if framed and value is not None else None,
            self._failed_at,
        )  # fmt: skip

    def _bury(self, record: Arrived, reason: Reason, detail: str) -> None:
        self.bury(
            DeadLetter(
                SOURCE_TOPICS[record.fact.source], self._partition, record.fact.offset, record.fact.timestamp,
                record.raw_key, record.value, reason, detail, record.fact.schema_id, self._failed_at,
            )
        )  # fmt: skip


def _is_in_force(case: Case, source: int, event: Event, offset: int, outcome: Outcome) -> bool:
    """Whether the record is the one that put the event in force: only then may copies of it be dropped."""
    if outcome is Outcome.ACCEPTED:
        return True
    if outcome is not Outcome.REREAD:
        return False
    known = case.sources[source].accepted(event.event_id)
    return known is not None and known.fact.offset == offset


def keys_of(deadlines: Iterable[tuple[Deadline, bytes]]) -> set[bytes]:
    """The cases of these deadlines."""
    return {key for _, key in deadlines}


def _txn_id(raw_key: bytes | None) -> str:
    """What a key says; empty where it says nothing that could be one."""
    if raw_key is None or len(raw_key) > VALUE_BYTES_MAX:
        return ""
    try:
        return raw_key.decode()
    except UnicodeDecodeError:
        return ""
