"""What must hold: at every commit, and when everything has come to rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from recon_stream.avro import schema_text
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.domain.facts import Conflicting, Received, Rejected
from recon_stream.domain.rules import RulesBook
from recon_stream.topics import DEAD_LETTERS, MISMATCHES, RESULTS
from tables.rows import CASE, INDEX, META, OUTBOX, Meta, deadlines_of, decode_case, decode_outbox, index_key
from tables.store import Store
from tables.transactions import CHANGELOG
from tests.judge.records import Event, Record, decode_registered, parse_schemas, read_event, read_key
from tests.judge.rules import Rules as JudgeRules
from tests.judge.verdicts import EXAMINED, Options, Topics, judge
from tests.simulation.broker import Broker, Entry
from tests.simulation.disk import Rdict
from tests.simulation.process import PARTITION

SCHEMAS = parse_schemas(
    {
        1: schema_text("transaction_event"),
        2: schema_text("reconciliation_result"),
        3: schema_text("dead_letter"),
        4: schema_text("reconciliation_result"),
    }
)


def records(topic: str, log: Iterable[Entry]) -> list[Record]:
    """A log as the judge reads it."""
    return [
        Record(topic, PARTITION, one.offset, one.timestamp, one.key, one.value, appended=one.appended) for one in log
    ]


class Oracle:
    """Watches one seed."""

    def __init__(self, broker: Broker, book: RulesBook, judge_rules: JudgeRules) -> None:
        self._broker, self._book, self._judge_rules = broker, book, judge_rules
        self._checked = dict.fromkeys(SOURCE_TOPICS, 0)
        self._folded: dict[bytes, bytes | None] = {}
        self._folded_to = 0
        self._buried: set[tuple[str, int]] = set()
        self._buried_to = 0
        self._in_force = (0, 0)
        """The claim under which rows count: (number, token)."""
        self._void: dict[bytes, int] = {}
        """The offset of the last record of a key, where that is one that does not count."""
        self._unhealed: dict[bytes, int] = {}
        """The same, as it was when somebody took the partition over."""
        self.violations: list[str] = []

    def violation(self, kind: str, text: str) -> None:
        """Something is wrong."""
        self.violations.append(f"{kind}: {text}")

    def fold(self) -> dict[bytes, bytes | None]:
        """The last value that counts of every key of the changelog; None: it was deleted."""
        log = self._broker.log(CHANGELOG)
        for entry in log[self._folded_to :]:
            assert entry.key is not None
            ((_, claim),) = entry.headers
            writer = int.from_bytes(claim[:4], "big"), int.from_bytes(claim[4:], "big")
            if writer[0] > self._in_force[0]:
                self._in_force, self._unhealed = writer, dict(self._void)
            if writer == self._in_force:
                self._folded[entry.key] = entry.value
                self._void.pop(entry.key, None)
                self._unhealed.pop(entry.key, None)
            else:
                self._void[entry.key] = entry.offset
        self._folded_to = len(log)
        return self._folded

    # At every commit

    def on_commit(self, offsets: dict[Any, int]) -> None:
        """Everything below a committed offset is in the changelog or among the dead letters: it is never read again."""
        if not self.has_news(offsets):
            return
        folded = self.fold()
        letters = self._broker.log(DEAD_LETTERS)
        for entry in letters[self._buried_to :]:
            letter = decode_registered(entry.value, SCHEMAS)
            self._buried.add((letter["topic"], letter["offset"]))
        self._buried_to = len(letters)
        for tp, offset in offsets.items():
            log = self._broker.log(tp.topic)
            for entry in log[self._checked[tp.topic] : offset]:
                if not self._is_durable(tp.topic, entry, folded):
                    self.violation("lost", f"{tp.topic}@{entry.offset} is committed and stands nowhere")
            self._checked[tp.topic] = max(offset, self._checked[tp.topic])

    def has_news(self, offsets: dict[Any, int]) -> bool:
        """Whether the offsets cover more than those before."""
        return any(offset > self._checked[tp.topic] for tp, offset in offsets.items())

    def _is_durable(self, topic: str, entry: Entry, folded: dict[bytes, bytes | None]) -> bool:
        if (topic, entry.offset) in self._buried:
            return True
        txn_id, event = read_key(entry.key), read_event(entry.value, SCHEMAS)
        if txn_id is None or event is None:
            return False
        key = CASE + txn_id.encode()
        return key in folded and self._tells(topic, entry, txn_id, event, folded[key])

    def _tells(self, topic: str, entry: Entry, txn_id: str, event: Event, row: bytes | None) -> bool:
        if row is None:
            return True  # the case was closed and has expired
        source = SOURCE_TOPICS.index(topic)
        return any(
            fact.offset == entry.offset or _supersedes(fact, event)
            for fact in decode_case(txn_id, row, self._book).facts
            if isinstance(fact, Received | Conflicting | Rejected) and fact.source == source
        )

    # At the end

    def at_rest(self, disk: Rdict, clock_ms: int) -> None:
        """The judge, the order of revisions, and the state beside the changelog."""
        logs = self._broker.logs
        topics = Topics(
            sources=[record for topic in SOURCE_TOPICS for record in records(topic, logs.get(topic, []))],
            results=records(RESULTS, logs.get(RESULTS, [])),
            mismatches=records(MISMATCHES, logs.get(MISMATCHES, [])),
            dead_letters=records(DEAD_LETTERS, logs.get(DEAD_LETTERS, [])),
            schemas=SCHEMAS,
        )
        options = Options(clock_ms=clock_ms, settle_ms=0, may_be_empty=frozenset(EXAMINED))
        report = judge(topics, self._judge_rules, options)
        self.violations += report.violations
        self._state_is_the_changelog(disk)

    def _state_is_the_changelog(self, disk: Rdict) -> None:
        rows = dict(disk.items())
        folded = {key: row for key, row in self.fold().items() if row is not None}
        kept = {key: row for key, row in rows.items() if key[:1] in (CASE, META) and key != Store.offset_key}
        for key in sorted(kept.keys() | folded.keys()):
            if key[:1] in (CASE, META) and kept.get(key) != folded.get(key):
                self.violation("state", f"{key!r} differs between the state and the folded changelog")
        if META in folded:
            parts = Meta.decode(folded[META]).outbox_parts
            for number in range(parts):
                key = OUTBOX + b"%d" % number
                if rows.get(key) != folded.get(key):
                    self.violation("state", f"{key!r} differs between the state and the folded changelog")
                elif key in rows:
                    decode_outbox(rows[key])
        for key, offset in self._unhealed.items():
            self.violation("compaction", f"of {key!r} it would leave what does not count, at {offset}")
        indexed = {key for key in rows if key[:1] == INDEX}
        wanted = {
            index_key(deadline, key) for key, row in kept.items() if key[:1] == CASE for deadline in deadlines_of(row)
        }
        for key in sorted(wanted - indexed):
            self.violation("index", f"{key!r} is waited for and not in the index")
        end = len(self._broker.log(CHANGELOG)) - 1
        offset = rows.get(Store.offset_key)
        if end >= 0 and (offset is None or int(offset) > end):
            self.violation("state", f"the state says that it stands at {offset!r}, the changelog ends at {end}")


def _supersedes(fact: Received | Conflicting | Rejected, event: Event) -> bool:
    return (
        isinstance(fact, Received) and fact.event.event_id == event.event_id and fact.event.revision >= event.revision
    )
