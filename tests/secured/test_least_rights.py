"""The rights that docs/security.md lists are enough for the roles: they are read from there and granted, and nothing else."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from producers.feed import feed
from producers.plan import Plan
from producers.rules import rules_in_force
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.errors import TransientFailure
from recon_stream.registration import register_schemas
from recon_stream.security.audit import Outcome
from recon_stream.settings import Settings
from recon_stream.storage import dead_letter_actions
from recon_stream.storage.dead_letter_actions import Action, Letter, Request
from recon_stream.topics import DEAD_LETTERS, MISMATCHES, RESULTS, create_topics, topic_specs
from recon_stream.transport.log import Log
from recon_stream.web.probing import groups
from recon_stream.web.services import services_of
from tests.secured.broker import ROLES, Broker, grant
from tests.secured.processes import SECONDS, command, role
from tests.storage.events import letter
from tests.storage.test_audit_trail import entry
from tests.web.test_dead_letters import store

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
TOPIC, GROUP, CLUSTER = 2, 3, 4
OPERATIONS = {"READ": 3, "WRITE": 4, "CREATE": 5, "DESCRIBE": 8, "DESCRIBE_CONFIGS": 10, "IDEMPOTENT_WRITE": 12}


def rights(user: str, settings: Settings) -> Iterator[tuple[int, str, int]]:
    """(resource type, name, operation) of that user by the document's table."""
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or cells[0].removeprefix("a ") != user:
            continue
        named = [name.replace("recon-", f"{settings.app_id}-") for name in re.findall(r"`([^`]+)`", cells[1])]
        topics = [name for name in named if f"group `{name.replace(settings.app_id, 'recon')}`" not in cells[1]]
        topics += SOURCE_TOPICS if "source topics" in cells[1] else []
        topics += [spec.name for spec in topic_specs(settings)] if "all topics" in cells[1] else []
        groups = [name for name in named if name not in topics]
        groups += [f"{settings.app_id}-{user}"] if "its group" in cells[1] else []
        for operation in cells[2].split(", "):
            yield from ((TOPIC, name, OPERATIONS[operation]) for name in topics)
            yield from ((GROUP, name, OPERATIONS[operation]) for name in groups)
            if cells[1] == "the cluster":
                yield CLUSTER, "kafka-cluster", OPERATIONS[operation]


async def test_each_role_does_its_work_with_the_rights_of_the_document(
    database: Settings, broker: Broker, tmp_path: Path
) -> None:
    """Worker, sink and a subscriber as users of their own: results come, offsets are committed, mismatches are read."""
    everything = broker.settings(database)
    await create_topics(everything)
    await register_schemas(everything)
    users = {name: broker.settings(database, kafka_sasl_username=name) for name in ROLES}
    for name, settings in users.items():
        granted = list(rights(name, settings))
        assert granted, f"the document says nothing of {name}"
        await grant(broker, name, granted)
    timing, tolerances = rules_in_force(everything)
    now = time.time_ns() // 1_000_000
    plan = Plan(
        seed=2, base_ms=now, interval_us=1000, transactions=50, paced=False, timing=timing, tolerances=tolerances
    )
    with (
        role("worker", users["worker"], tmp_path) as worker,
        role("sink", users["sink"], tmp_path) as sink,
    ):
        await feed(everything, plan)
        async with Log(everything) as log, asyncio.timeout(SECONDS):
            sources = [(topic, number) for topic in SOURCE_TOPICS for number in range(everything.partitions)]
            ends = {place: end for place, end in (await log.ends(sources)).items() if end}
            for process, group in ((worker, "worker"), (sink, "sink")):
                while not ends.items() <= (await committed(log, f"{everything.app_id}-{group}")).items():
                    assert process.process.poll() is None, process.log.read_text()[-3000:]
                    await asyncio.sleep(0.2)
        said = worker.log.read_text() + sink.log.read_text()
    assert "uthorization" not in said, said[-3000:]
    options = ("--from", "beginning", "--no-follow", "--group", f"{everything.app_id}-subscriber")
    tailed = command(users["subscriber"], tmp_path, "mismatches", "tail", *options)
    assert (tailed.returncode, tailed.stderr) == (0, "")
    assert "OPENED" in tailed.stdout


async def test_the_web_role_reads_replays_and_does_nothing_else(database: Settings, broker: Broker) -> None:
    """The live feed, the groups and a replay by the rights of the document; a result it cannot forge, nor read what banks send."""
    everything = broker.settings(database)
    await create_topics(everything)
    settings = broker.settings(database, kafka_sasl_username="web")
    await grant(broker, "web", rights("web", settings))
    await store(database, letter(5))
    async with services_of(settings) as services, asyncio.timeout(SECONDS):
        # a grant takes a moment to reach the broker: until then topics look as if they were not there
        while services.live._status()["reason"] is not None:  # noqa: ASYNC110 it has no event for that
            await asyncio.sleep(0.1)
        assert [group.role for group in await groups(settings)] == ["worker", "sink"]
        found, request = Letter("core_txns", 0, 5), Request(Action.REPLAY, "request-1", "operator")
        async with services.pool.connection() as connection:
            await dead_letter_actions.enter(connection, found, request)
        await services.replayer.send(found, request, lambda *_: entry(0, outcome=Outcome.ALLOWED), entry(1))
    async with AIOKafkaProducer(**settings.kafka_client()) as producer:
        for topic in (RESULTS, MISMATCHES, DEAD_LETTERS):
            with pytest.raises(TopicAuthorizationFailedError):
                await producer.send_and_wait(topic, b"forged", partition=0)
    async with AIOKafkaConsumer(**settings.kafka_client()) as consumer:
        consumer.assign([TopicPartition("core_txns", 0)])
        await consumer.seek_to_beginning()
        with pytest.raises(TopicAuthorizationFailedError):
            await consumer.getone()


async def committed(log: Log, group: str) -> dict[tuple[str, int], int]:
    """What the group has committed; nothing while a new cluster has no coordinator yet."""
    try:
        return await log.committed(group)
    except TransientFailure:
        return {}


@pytest.mark.parametrize(
    ("user", "lacking", "told"),
    [
        ("no-group", lambda kind, _, __: kind == GROUP, r"no-group is not authorized: group \S+-worker; grant it"),
        ("no-topic", lambda _, name, operation: (name, operation) == ("core_txns", 3), r"no-topic is not authorized: core_txns"),
    ],
    ids=["group", "topic"],
)  # fmt: skip
async def test_a_right_that_is_lacking_ends_the_worker_with_its_name(
    settings: Settings, broker: Broker, tmp_path: Path, user: str, lacking: Callable[[int, str, int], bool], told: str
) -> None:
    """Not a process that waits for a group it may never join, or fetches what it may never read."""
    everything = broker.settings(settings)
    await create_topics(everything)
    await register_schemas(everything)
    poorer = broker.settings(settings, kafka_sasl_username=user)
    await grant(broker, user, [one for one in rights("worker", poorer) if not lacking(*one)])
    with role("worker", poorer, tmp_path) as worker:
        assert await asyncio.to_thread(worker.process.wait, SECONDS) == 1
    # the first is the reason; on a busy machine another may say that stopping took too long
    first, *_ = [line for line in worker.log.read_text().splitlines() if "level=CRITICAL" in line]
    assert re.search(told, first), worker.log.read_text()[-3000:]
