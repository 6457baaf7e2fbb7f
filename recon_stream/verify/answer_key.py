"""I4: what the producers say they sent, beside what the system says of it. The format stands in producers/answer_key.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from recon_stream.domain.event import SOURCE_TOPICS, SOURCES, Event
from recon_stream.domain.validation import Reason
from recon_stream.errors import ConfigurationError
from recon_stream.transport.log import Entry
from recon_stream.verify.archive_checks import UNREADABLE_REASONS
from recon_stream.verify.report import Check
from recon_stream.verify.stored_checks import StoredVerdict

OpenBreaks = frozenset[tuple[str, str]]


class Expected(NamedTuple):
    """What must have come of a transaction: verdict, and (class, subject) of every break that is open in the end."""

    verdict: str
    open_breaks: OpenBreaks


class AnswerKey:
    """The key of one run, and how far the system agrees with it."""

    def __init__(self, path: Path, expected: dict[str, Expected], totals: dict[str, Any]) -> None:
        self.path = path
        self._expected, self._totals = expected, totals
        plan = totals["plan"]
        self._prefix = f"T{plan['tag']}-"
        self._numbers = range(plan["first"], plan["first"] + totals["transactions"])
        self._seen: set[str] = set()
        self._money: Counter[tuple[str, str]] = Counter()
        self._families: Counter[str] = Counter()
        self._records: Counter[str] = Counter()

    @classmethod
    def load(cls, path: Path) -> AnswerKey:
        """Read a key; raises ConfigurationError where it is none, or of a run that did not end."""
        expected: dict[str, Expected] = {}
        totals = None
        try:
            with path.open("rb") as lines:
                for line in lines:
                    said = orjson.loads(line)
                    if "totals" in said:
                        totals = said["totals"]
                        continue
                    breaks = frozenset((each["class"], each["subject"]) for each in said["open"])
                    expected[said["txn_id"]] = Expected(said["verdict"], breaks)
            if totals is None:
                raise ConfigurationError(f"answer key {path} has no totals: its run did not end")
            key = cls(path, expected, totals)
        except OSError as error:
            raise ConfigurationError(f"answer key {path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"answer key {path} is none: {error!r}") from error
        if not all(map(key.claims, expected)):
            raise ConfigurationError(f"answer key {path}: transactions that its plan does not have")
        return key

    def claims(self, txn_id: str) -> bool:
        """Whether a transaction, real or invented, would be of this run."""
        if not txn_id.startswith(self._prefix):
            return False
        number = txn_id.removeprefix(self._prefix)
        # an endless plan entered at another time shares the prefix, never the numbers
        return not number.isdecimal() or int(number) in self._numbers

    def saw_record(self, source: int, entry: Entry, event: Event | None, reason: str | None) -> None:
        """Count a record of a source, if it is of this run."""
        names = ((entry.key or b"").decode("utf-8", "replace"), "" if event is None else event.txn_id)
        if not any(map(self.claims, names)):
            return
        self._records[SOURCE_TOPICS[source]] += 1
        if event is not None:
            self._money[SOURCES[source].name, event.currency] += event.amount_minor
        if reason is not None:
            self._families[_family(reason)] += 1

    def check_verdict(self, check: Check, stored: StoredVerdict) -> None:
        """I4 for one transaction as PostgreSQL has it."""
        if not self.claims(stored.txn_id):
            return
        expected = self._expected.get(stored.txn_id)
        if expected is None:
            check.violated(f"{stored.txn_id}: {stored.verdict}, but no such transaction was sent")
            return
        check.examined += 1
        self._seen.add(stored.txn_id)
        found = frozenset((each["class"], each["subject"]) for each in stored.breaks or () if each["state"] == "OPEN")
        check.notes["breaks injected that must be open"] += len(expected.open_breaks)
        for missed in sorted(expected.open_breaks - found):
            check.violated(f"{stored.txn_id}: {missed[0]} of {missed[1]} was injected and is not open")
        for phantom in sorted(found - expected.open_breaks):
            check.violated(f"{stored.txn_id}: {phantom[0]} of {phantom[1]} is open and was not injected")
        if stored.verdict != expected.verdict:
            check.violated(f"{stored.txn_id}: {stored.verdict}, must be {expected.verdict}")

    def check_totals(self, mismatches: Check, money: Check, left_out: set[str]) -> None:
        """What is left when all was seen: transactions without a verdict, dead letters (I4), money and records (I9)."""
        for txn_id in self._expected.keys() - self._seen - left_out:
            mismatches.violated(f"{txn_id}: no verdict, must be {self._expected[txn_id].verdict}")
        wanted_letters = Counter(self._totals["dead_letters"])
        mismatches.notes["records injected that must be dead letters"] += wanted_letters.total()
        for family in sorted(wanted_letters.keys() | self._families.keys()):
            if wanted_letters[family] != self._families[family]:
                mismatches.violated(
                    f"{wanted_letters[family]} records of {family} were sent, {self._families[family]} are dead letters"
                )
        if self._records != Counter(self._totals["records"]):
            money.violated(f"records in Kafka {dict(self._records)}, sent {self._totals['records']}")
        sent = {
            (source, currency): amount
            for source, sums in self._totals["money_minor"].items()
            for currency, amount in sums.items()
        }
        for where in sorted(sent.keys() | self._money.keys()):
            if sent.get(where, 0) != self._money[where]:
                money.violated(
                    f"{where[0]} in {where[1]}: {sent.get(where, 0)} minor units sent, {self._money[where]} in Kafka"
                )


def load_keys(paths: Sequence[Path]) -> list[AnswerKey]:
    """The keys of several runs."""
    return [AnswerKey.load(path) for path in paths]


def _family(reason: str) -> str:
    if reason in (Reason.UNKNOWN_SCHEMA, Reason.BAD_KEY, Reason.TOO_LATE, Reason.CASE_FULL):
        return reason
    return "UNREADABLE" if reason in UNREADABLE_REASONS else "INVALID"
