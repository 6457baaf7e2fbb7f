"""All topics, in the order in which data flows. Key of each: txn_id in UTF-8, murmur2; partitions: the same number."""

from __future__ import annotations

from dataclasses import dataclass

from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.settings import Settings

RESULTS = "recon_results"
MISMATCHES = "recon_mismatches"
DEAD_LETTERS = "recon_dead_letters"
DECISIONS = "recon_decisions"

TABLE = "transactions"

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it must be; `config` holds the Kafka topic settings that are ours to decide."""

    name: str
    about: str
    schema: str | None
    config: dict[str, str]


def changelog_topic(settings: Settings) -> str:
    """The compacted topic from which the workers' state can be rebuilt; Faust's name for it."""
    return f"{settings.app_id}-worker-{TABLE}-changelog"


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """Every topic that must exist before a worker starts, in flow order."""
    week = {"cleanup.policy": "delete", "retention.ms": str(settings.retention_hours * 3_600_000)}
    month = {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)}
    compacted = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1", "segment.ms": "600000"}
    sources = [
        TopicSpec(name, f"events of {name.split('_', 1)[0]}", "transaction_event", week) for name in SOURCE_TOPICS
    ]
    return [
        *sources,
        TopicSpec(DECISIONS, "decisions of people on breaks", None, compacted),
        TopicSpec(changelog_topic(settings), "state of the transactions", None, compacted),
        TopicSpec(RESULTS, "every revision of every verdict", "reconciliation_result", week),
        TopicSpec(MISMATCHES, "a break opened, changed or closed", "reconciliation_result", month),
        TopicSpec(DEAD_LETTERS, "records that were unreadable or invalid", "dead_letter", month),
    ]
