"""The answer key: what must have come of every transaction in the end, as JSON Lines, and the totals of a run.

A line for each transaction:
`{"txn_id", "fault", "verdict", "open": [{"class", "subject"}], "resolved": [{"class", "subject"}]}`. `open` is exactly
the set of breaks that are open in the end. `resolved` are breaks that open and resolve on the way when the records are
sent and read at their times; what was never seen open is not wrong, and others may open and resolve.

The last line: `{"totals": {...}}` with `transactions`; `faults`, how often each; `records`, by topic; `dead_letters`, by
family; `money_minor`, by source (that of the topic) and currency as written, over all records that decode, copies,
corrections and invalid ones included; `plan`, by which the same key can be made again. A key without that line is of a
run that did not end.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, TextIO

import orjson

from producers.plan import BreakKey, Frame, Plan, Planned
from recon_stream.domain.event import SOURCE_TOPICS, SOURCES
from recon_stream.errors import ConfigurationError


class Totals:
    """Sums over the transactions of a run."""

    def __init__(self) -> None:
        self.transactions = 0
        self.faults: Counter[str] = Counter()
        self.records: Counter[str] = Counter(dict.fromkeys(SOURCE_TOPICS, 0))
        self.dead_letters: Counter[str] = Counter()
        self.money_minor: dict[str, Counter[str]] = {source.name: Counter() for source in SOURCES}

    def add(self, planned: Planned) -> None:
        """Count one transaction."""
        self.transactions += 1
        self.faults[planned.fault.value] += 1
        for record in planned.records:
            self.records[SOURCE_TOPICS[record.source]] += 1
            if record.event is not None and record.frame is Frame.OURS:
                self.money_minor[SOURCES[record.source].name][record.event.currency] += record.event.amount_minor
        for family in planned.dead_letters:
            self.dead_letters[family.value] += 1

    def as_json(self) -> dict[str, Any]:
        """For the last line of the key and for programs."""
        return {
            "transactions": self.transactions,
            "faults": dict(sorted(self.faults.items())),
            "records": dict(self.records),
            "dead_letters": dict(sorted(self.dead_letters.items())),
            "money_minor": {source: dict(sorted(sums.items())) for source, sums in self.money_minor.items()},
        }


def line(planned: Planned) -> dict[str, Any]:
    """The line of a transaction."""
    return {
        "txn_id": planned.txn_id,
        "fault": planned.fault.value,
        "verdict": planned.verdict,
        "open": [_break(each) for each in planned.open],
        "resolved": [_break(each) for each in planned.resolved],
    }


def _break(key: BreakKey) -> dict[str, str]:
    return {"class": key.break_class, "subject": key.subject}


class AnswerKey:
    """Writes the key of a run while it goes on; `path` None writes nothing and only counts."""

    def __init__(self, path: Path | None) -> None:
        self.totals = Totals()
        self._path = path
        self._file: TextIO | None = None
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("w", encoding="utf-8")
            except OSError as error:
                raise ConfigurationError(f"answer key {path} cannot be written: {error.strerror}") from error

    def add(self, planned: Planned) -> None:
        """Count a transaction and write its line."""
        self.totals.add(planned)
        if self._file is not None:
            self._file.write(orjson.dumps(line(planned)).decode() + "\n")

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        if self._file is not None:
            self._file.flush()

    def close(self, plan: Plan | None) -> None:
        """Close the file; with the totals as last line where the plan is given, that is where the run has ended well."""
        if self._file is None:
            return
        if plan is not None:
            totals = self.totals.as_json() | {"plan": described(plan)}
            self._file.write(orjson.dumps({"totals": totals}).decode() + "\n")
        self._file.close()
        self._file = None


def described(plan: Plan) -> dict[str, Any]:
    """The parameters of a plan, for programs."""
    return {
        "tag": plan.tag,
        "seed": plan.seed,
        "base_ms": plan.base_ms,
        "interval_us": plan.interval_us,
        "first": plan.first,
        "transactions": plan.transactions,
        "paced": plan.paced,
    }
