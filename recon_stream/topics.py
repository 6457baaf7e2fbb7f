"""All topics, in the order in which data flows. Key of each: txn_id in UTF-8, murmur2; partitions: the same number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.structs import OffsetAndMetadata

from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.errors import ConfigurationError
from recon_stream.settings import Settings
from recon_stream.transport.reach import kafka_away

RESULTS = "recon_results"
MISMATCHES = "recon_mismatches"
DEAD_LETTERS = "recon_dead_letters"
DECISIONS = "recon_decisions"

TABLE = "transactions"

GROUPS = {"worker": SOURCE_TOPICS, "sink": (*SOURCE_TOPICS, RESULTS, DEAD_LETTERS)}
"""Role that has a consumer group -> the topics that it reads."""

DAY_MS = 86_400_000

_ADMIN_TIMEOUT_MS = 15_000


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
    # of what workers write, the brokers' clock counts: theirs may be wrong, and by it they know what time it is
    stamped = {"message.timestamp.type": "LogAppendTime"}
    sources = [
        TopicSpec(name, f"events of {name.split('_', 1)[0]}", "transaction_event", week) for name in SOURCE_TOPICS
    ]
    return [
        *sources,
        TopicSpec(DECISIONS, "decisions of people on breaks", None, compacted),
        # rows that do not count must not outlive those that do before an owner has written them again
        TopicSpec(
            changelog_topic(settings),
            "state of the transactions",
            None,
            compacted | stamped | {"min.compaction.lag.ms": "600000"},
        ),
        TopicSpec(RESULTS, "every revision of every verdict", "reconciliation_result", week | stamped),
        TopicSpec(MISMATCHES, "a break opened, changed or closed", "reconciliation_result", month | stamped),
        TopicSpec(DEAD_LETTERS, "records that were unreadable or invalid", "dead_letter", month | stamped),
    ]


@dataclass(frozen=True, slots=True)
class TopicState:
    """How one topic stands at the broker. `problems`: sentences that say what is wrong and what to do; empty is well."""

    name: str
    about: str
    partitions: int | None
    replication_factor: int | None
    created: bool
    problems: tuple[str, ...]


async def create_topics(settings: Settings) -> list[TopicState]:
    """Create the topics that are not there and say how each stands then; existing topics are left as they are.

    Raises TransientFailure where no broker answers, ConfigurationError where the broker refuses a topic.
    """
    specs = topic_specs(settings)
    async with administration(settings) as admin:
        existing = await _described(admin, specs)
        missing = [spec for spec in specs if spec.name not in existing]
        if missing:
            answer = await admin.create_topics(
                [
                    NewTopic(spec.name, settings.partitions, settings.replication_factor, topic_configs=spec.config)
                    for spec in missing
                ]
            )
            _raise_refusals(answer.topic_errors)
            await _wait_for_leaders(admin, specs)
        created = {spec.name for spec in missing}
        return await _states(admin, settings, created)


async def check_topics(settings: Settings) -> list[TopicState]:
    """How each topic stands: existence, partitions, replication, settings. Changes nothing.

    Raises TransientFailure where no broker answers.
    """
    async with administration(settings) as admin:
        return await _states(admin, settings, set())


@asynccontextmanager
async def administration(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that asks about brokers, topics and groups. Raises TransientFailure where Kafka does not answer."""
    admin = AIOKafkaAdminClient(**settings.kafka_client(), request_timeout_ms=_ADMIN_TIMEOUT_MS)
    try:
        async with asyncio.timeout(_ADMIN_TIMEOUT_MS / 1000):
            await admin.start()
        yield admin
    except (KafkaError, TimeoutError, OSError) as error:
        raise await kafka_away(settings, error) from error
    finally:
        await admin.close()


async def spans(settings: Settings, topics: Iterable[str], seconds: float) -> dict[TopicPartition, tuple[int, int]]:
    """(first offset that Kafka still has, end) of each partition of these topics now, asked within that time.

    Raises KafkaError, OSError, TimeoutError, ValueError where it does not answer.
    """
    wanted = [TopicPartition(topic, number) for topic in topics for number in range(settings.partitions)]
    consumer = AIOKafkaConsumer(**settings.kafka_client(), request_timeout_ms=int(seconds * 1000))
    try:
        async with asyncio.timeout(seconds):
            await consumer.start()
            return await spans_seen_by(consumer, wanted)
    finally:
        await consumer.stop()


async def spans_seen_by(
    consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]
) -> dict[TopicPartition, tuple[int, int]]:
    """As `spans`, of these partitions, by a consumer that has started. Raises KafkaError."""
    firsts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    return {place: (firsts[place], ends[place]) for place in places}


def waiting(
    spans: Mapping[TopicPartition, tuple[int, int]],
    committed: Mapping[TopicPartition, OffsetAndMetadata],
    topics: Iterable[str],
) -> dict[TopicPartition, int]:
    """Records that Kafka still has and a group has not done, by partition of these topics; `spans` as `spans()` gives them.

    All of them where the group has committed nothing (no entry, or -1); what has expired waits no longer.
    """
    lags = {}
    for place, (first, end) in spans.items():
        if place.topic in topics:
            done = committed[place].offset if place in committed else -1
            lags[place] = max(0, end - max(first, done))
    return lags


async def _described(admin: AIOKafkaAdminClient, specs: list[TopicSpec]) -> dict[str, list[dict[str, Any]]]:
    """Partitions, as the broker describes them, of the topics that exist."""
    # asked by name, a broker with auto.create.topics.enable would create what is missing, in a shape of its own
    described = await admin.describe_topics(None)
    ours = {spec.name for spec in specs}
    return {t["topic"]: t["partitions"] for t in described if t["topic"] in ours and t["error_code"] == 0}


def _raise_refusals(errors: list[tuple[str, int, str | None]]) -> None:
    for name, code, message in errors:
        # another process may have created it at the same time
        if code not in (0, TopicAlreadyExistsError.errno):
            raise ConfigurationError(f"topic {name}: {(message or for_code(code).__name__).rstrip('.')}")


async def _wait_for_leaders(admin: AIOKafkaAdminClient, specs: list[TopicSpec]) -> None:
    async with asyncio.timeout(_ADMIN_TIMEOUT_MS / 1000):
        while True:
            existing = await _described(admin, specs)
            ready = [all(p["leader"] >= 0 for p in existing.get(spec.name, ())) for spec in specs]
            if len(existing) == len(specs) and all(ready):
                return
            await asyncio.sleep(0.1)


async def _states(admin: AIOKafkaAdminClient, settings: Settings, created: set[str]) -> list[TopicState]:
    specs = topic_specs(settings)
    existing = await _described(admin, specs)
    present = [spec for spec in specs if spec.name in existing]
    config = await _config(admin, present) if present else {}
    states = []
    for spec in specs:
        if spec.name not in existing:
            problem = "does not exist: run `recon-stream topics create`"
            if settings.kafka_sasl_username or settings.kafka_ssl_certfile:
                # what a client may not see is left out of the list
                who = settings.kafka_sasl_username or "this client"
                problem = f"does not exist, or {who} may not see it: run `recon-stream topics create`, or grant the access of docs/security.md"
            states.append(TopicState(spec.name, spec.about, None, None, False, (problem,)))
            continue
        partitions = existing[spec.name]
        replicas = min(len(p["replicas"]) for p in partitions)
        problems = _problems(spec, settings, len(partitions), replicas, config[spec.name])
        states.append(
            TopicState(spec.name, spec.about, len(partitions), replicas, spec.name in created, tuple(problems))
        )
    return states


async def _config(admin: AIOKafkaAdminClient, specs: list[TopicSpec]) -> dict[str, dict[str, str]]:
    wanted = [ConfigResource(ConfigResourceType.TOPIC, spec.name, dict(spec.config)) for spec in specs]
    answers = await admin.describe_configs(wanted)
    config = {}
    for answer in answers:
        for code, message, _kind, name, entries in answer.resources:
            if code:
                raise ConfigurationError(f"settings of topic {name}: {message or for_code(code).__name__}")
            config[name] = {entry[0]: entry[1] for entry in entries}
    return config


def _problems(
    spec: TopicSpec, settings: Settings, partitions: int, replicas: int, config: dict[str, str]
) -> Iterator[str]:
    if partitions != settings.partitions:
        # a transaction's records would land in partitions of different numbers, on different workers
        yield (
            f"has {partitions} partitions, RECON_PARTITIONS says {settings.partitions}, and all topics need the same: "
            "set RECON_PARTITIONS to what the topics have, or stop all roles, delete the topic and create it again"
        )
    if replicas < settings.replication_factor:
        yield (
            f"has {replicas} replicas, RECON_REPLICATION_FACTOR says {settings.replication_factor}: "
            "add replicas with kafka-reassign-partitions.sh"
        )
    for name, value in spec.config.items():
        if config.get(name) != value:
            yield (
                f"{name} is {config.get(name)}, not {value}: kafka-configs.sh --bootstrap-server "
                f"{settings.kafka_bootstrap_servers} --alter --topic {spec.name} --add-config {name}={value}"
            )
