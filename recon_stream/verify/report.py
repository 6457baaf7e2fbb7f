"""What a verification found: one Check an invariant, with how much it looked at."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

EXAMPLES_MAX = 10
EXAMPLE_CHARACTERS_MAX = 300


class State(StrEnum):
    """How a check ended."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    NOT_CHECKED = "NOT CHECKED"


@dataclass(slots=True)
class Check:
    """One invariant. `violations` counts all, `examples` holds the first ones in words; `seconds` is the time spent."""

    name: str
    title: str
    examined_what: str
    examined: int = 0
    violations: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    """What one should know beside: sentence -> how often."""
    not_checked: str = ""
    """Why the check could not be made at all."""

    def violated(self, text: str) -> None:
        """Count a violation; the first ones are kept in words."""
        self.violations += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(text if len(text) <= EXAMPLE_CHARACTERS_MAX else text[:EXAMPLE_CHARACTERS_MAX] + "…")

    @contextmanager
    def timed(self) -> Iterator[None]:
        """The time inside belongs to this check."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began

    @property
    def state(self) -> State:
        """A check that looked at nothing has proved nothing: it fails."""
        if self.not_checked:
            return State.NOT_CHECKED
        return State.PASSED if self.examined > 0 and not self.violations else State.FAILED

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "check": self.name,
            "title": self.title,
            "state": self.state.value,
            "examined": self.examined,
            "examined_what": self.examined_what,
            "violations": self.violations,
            "seconds": round(self.seconds, 3),
            "examples": self.examples,
            "notes": dict(self.notes),
            "not_checked": self.not_checked or None,
        }


@dataclass(slots=True)
class Report:
    """All checks, in order."""

    i1: Check = field(default_factory=lambda: Check("I1", "every record is archived exactly once", "records"))
    i2: Check = field(default_factory=lambda: Check("I2", "at most one accepted copy of an event", "events and legs"))
    i3: Check = field(default_factory=lambda: Check("I3", "one live verdict a transaction", "transactions"))
    i4: Check = field(
        default_factory=lambda: Check("I4", "injected = reported mismatches, no phantoms", "transactions of the key")
    )
    i5: Check = field(default_factory=lambda: Check("I5", "nothing is missed before its deadline", "revisions"))
    i6: Check = field(default_factory=lambda: Check("I6", "breaks move by the life cycle, each move recorded", "moves"))
    i7: Check = field(default_factory=lambda: Check("I7", "live verdicts are the published ones", "verdicts"))
    i9: Check = field(default_factory=lambda: Check("I9", "money sums are exact", "amounts"))
    i11: Check = field(default_factory=lambda: Check("I11", "a full replay says the same", "transactions"))

    @property
    def checks(self) -> tuple[Check, ...]:
        """In order of their names."""
        return (self.i1, self.i2, self.i3, self.i4, self.i5, self.i6, self.i7, self.i9, self.i11)

    @property
    def ok(self) -> bool:
        """Whether no check failed; one that was not made does not count as passed, nor as failed."""
        return all(check.state is not State.FAILED for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"ok": self.ok, "checks": [check.as_json() for check in self.checks]}
