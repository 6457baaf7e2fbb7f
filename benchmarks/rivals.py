"""Other engines doing the same job over the same topics, one process each."""

from __future__ import annotations

import json
import shutil
import sys
from abc import abstractmethod
from pathlib import Path

from benchmarks.backlog import Backlog
from benchmarks.children import REPOSITORY
from benchmarks.kafka import Broker
from benchmarks.kafka_streams.build import JAVA
from benchmarks.measuring import Engine
from benchmarks.oracle import claim_without_deadlines, product_said, stock_claim, stock_said
from benchmarks.stock_faust import Config
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.registration import check_schemas, subject_of
from recon_stream.settings import Settings
from recon_stream.topics import RESULTS

PEERS_PYTHON = REPOSITORY / ".venv-peers" / "bin" / "python"
"""Has what the product does not need; `make bench-peers` makes it."""


JVM = ("-Xms1g", "-Xmx1g", "-XX:+UseSerialGC", "-XX:+UseCompactObjectHeaders")
"""The collector that takes the least CPU where one thread does nearly all the work, and a heap in which it seldom runs."""


class Rival(Engine):
    """Publishes to topics of its own, and knows no deadlines."""

    slug: str
    """The part of its topics' and its group's names that tells it from others."""
    hold_seconds = 0.0
    said_in = staticmethod(product_said)
    claim_of = staticmethod(claim_without_deadlines)

    def __init__(self, settings: Settings, broker: Broker, folder: Path, number: int) -> None:
        super().__init__(settings, broker, folder, number)
        self.app_id = f"bench-{self.slug}-{number}"
        self.results_topic = f"{self.app_id}-results"
        self.changelog_topic = f"{self.app_id}-transactions-changelog"

    async def done(self, backlog: Backlog) -> float:
        # every leg but a transaction's first makes one result
        wanted = backlog.events - backlog.transactions
        return sum((await self.broker.ends(self.results_topic)).values()) / wanted

    async def details(self, backlog: Backlog) -> dict[str, float]:
        return {}

    async def clean(self) -> None:
        topics = (self.results_topic, self.mismatches_topic, self.changelog_topic)
        await self.broker.delete([topic for topic in topics if topic is not None])
        shutil.rmtree(self.folder)


class StockFaust(Rival):
    """Stock Faust; see stock_faust.py. Its results are records of its own, as JSON."""

    name = "stock Faust"
    slug = "stock"
    said_in = staticmethod(stock_said)
    claim_of = staticmethod(stock_claim)

    async def prepare(self) -> tuple[list[str], dict[str, str]]:
        await self.broker.create(self.results_topic)
        config = Config(
            self.app_id,
            self.settings.kafka_bootstrap_servers,
            str(self.folder),
            self.settings.partitions,
            self.results_topic,
        )
        return [sys.executable, "-m", "benchmarks.stock_faust", json.dumps(config._asdict())], {}


class WithEvidence(Rival):
    """Publishes the records of recon_results and recon_mismatches with all their evidence."""

    def __init__(self, settings: Settings, broker: Broker, folder: Path, number: int) -> None:
        super().__init__(settings, broker, folder, number)
        self.mismatches_topic = f"{self.app_id}-mismatches"

    async def prepare(self) -> tuple[list[str], dict[str, str]]:
        for topic in (self.results_topic, self.mismatches_topic):
            await self.broker.create(topic)
        await self.broker.create(self.changelog_topic, {"cleanup.policy": "compact"})
        ids = {state.subject: state.schema_id for state in await check_schemas(self.settings)}
        arguments = (
            self.app_id,
            self.settings.kafka_bootstrap_servers,
            str(self.folder),
            self.results_topic,
            self.mismatches_topic,
            # of what it writes, then of what it reads
            *[str(ids[subject_of(topic)]) for topic in (RESULTS, *SOURCE_TOPICS)],
        )
        return [*self._program(), *arguments], {}

    @abstractmethod
    def _program(self) -> list[str]:
        """How it is started; the arguments follow."""


class ConfluentLoop(WithEvidence):
    """A loop over confluent-kafka; see confluent_loop.py."""

    name = "confluent-kafka loop"
    slug = "loop"

    def _program(self) -> list[str]:
        return [str(PEERS_PYTHON), "-m", "benchmarks.confluent_loop"]


class KafkaStreams(WithEvidence):
    """Kafka Streams on the bundled Java; see kafka_streams/Reconcile.java."""

    name = "Kafka Streams"
    slug = "streams"
    class_path: str
    """Set once it is built."""

    async def done(self, backlog: Backlog) -> float:
        # it waits for nothing before its next commit, so the rows are looked for too: one an event
        rows = sum((await self.broker.ends(self.changelog_topic)).values())
        return min(await super().done(backlog), rows / backlog.events)

    def _program(self) -> list[str]:
        return [JAVA, *JVM, "-cp", self.class_path, "Reconcile"]
