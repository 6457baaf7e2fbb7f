"""The failpoints: every step of the write path at which a process may die, freeze or fail."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

VARIABLE = "FAULTS"
"""The environment variable that carries a Plan to a child; nothing of the product reads it."""

WORKER_POINTS = {
    "worker.taken": "batches are taken, nothing is read",
    "worker.decoded": "records are decoded, the filter is not asked",
    "worker.claimed": "the filter was asked, nothing is decided",
    "worker.decided": "decided, nothing is written",
    "worker.changelog.begun": "the partition was found to be still its own, no row is sent",
    "worker.changelog.sending": "rows are on their way to the changelog",
    "worker.changelog.acknowledged": "the changelog knows more than recon_results",
    "worker.results.acknowledged": "recon_results knows more than recon_mismatches",
    "worker.mismatches.acknowledged": "recon_mismatches knows more than recon_dead_letters",
    "worker.published": "all is published, the state is not written",
    "worker.state.written": "the state is written, nothing is acknowledged",
    "worker.acknowledged": "batches are done, the filter does not know",
    "worker.settled": "the filter knows, offsets are not committed",
    "worker.commit.begun": "a commit of offsets is about to be sent",
    "worker.commit.made": "a commit of offsets was answered",
}
"""In the order of the write path; each is met within seconds of a start under load."""

RESTART_POINTS = {
    "worker.outbox.begun": "what a crash cut off is about to be published again",
    "worker.outbox.acknowledged": "rows of the outbox are written again, results are not",
    "worker.recovering": "a part of the changelog is applied to the state",
}
"""Met only after a crash that left something to do."""

SINK_POINTS = {
    "sink.locked": "the bookkeeping of the partitions is locked, nothing is written",
    "sink.copying": "a hundred rows of raw_events are on their way",
    "sink.rows": "rows are written, the bookkeeping is not",
    "sink.offsets": "rows and bookkeeping are written, not committed",
    "sink.committing": "COMMIT is about to be sent",
    "sink.committed": "committed, not acknowledged to Kafka",
    "sink.commit.begun": "a commit of offsets is about to be sent",
    "sink.commit.made": "a commit of offsets was answered",
}

POINTS = WORKER_POINTS | RESTART_POINTS | SINK_POINTS

CONTROLS = {
    "acknowledge-first": "batches are acknowledged before anything is written",
    "remember-first": "the filter remembers an event before it is processed, and drops it at the same coordinates",
    "missing-by-clock": "a source is missed by the clock alone, however far the partition is read",
}
"""Spoilt copies of the product: a harness that does not catch them proves nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a child is to do to itself.

    `action` at the `count`-th time that `point` is met: kill (SIGKILL), freeze (SIGSTOP, until somebody continues it),
    fail (raise what an unreachable service raises). `marker` is a file that is written just before.
    """

    point: str = ""
    action: str = "kill"
    count: int = 1
    marker: str = ""
    clock_seconds: int = 0
    """By how much the clock of the process is wrong."""
    control: str = ""
    delay_seconds: float = 0.0
    """For control `acknowledge-first`: how long after the acknowledgement a unit is written."""

    def __post_init__(self) -> None:
        assert not self.point or self.point in POINTS, self.point
        assert self.action in ("kill", "freeze", "fail"), self.action
        assert not self.control or self.control in CONTROLS, self.control

    def as_variable(self) -> dict[str, str]:
        """For the environment of the child."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def parse(cls, text: str) -> Plan:
        """From the environment."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields)
