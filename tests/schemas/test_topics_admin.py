"""Topics on the real broker: created once, checked against what the roles need."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from click.testing import CliRunner

from recon_stream import topics_commands
from recon_stream.errors import TransientFailure
from recon_stream.settings import Settings
from recon_stream.topics import changelog_topic, check_topics, create_topics, topic_specs

pytestmark = pytest.mark.stack


async def test_topics_are_created_as_specified_and_only_once(settings: Settings) -> None:
    """All are there with the same number of partitions; the second run creates none and finds nothing wrong."""
    first = await create_topics(settings)
    assert [state.name for state in first] == [spec.name for spec in topic_specs(settings)]
    assert next(state for state in first if state.name == changelog_topic(settings)).created
    assert {state.partitions for state in first} == {settings.partitions}
    assert not any(state.problems for state in first)
    assert await create_topics(settings) == [replace(state, created=False) for state in first]
    assert await check_topics(settings) == [replace(state, created=False) for state in first]


async def test_a_topic_that_is_not_there_is_named(settings: Settings) -> None:
    """check creates nothing and says which command does."""
    await create_topics(settings)
    other = replace(settings, app_id=f"{settings.app_id}-other")
    for _ in range(2):
        missing = [state for state in await check_topics(other) if state.partitions is None]
        assert [state.name for state in missing] == [changelog_topic(other)]
        assert "topics create" in missing[0].problems[0]


async def test_another_number_of_partitions_is_named_on_every_topic(settings: Settings) -> None:
    """Records of one transaction would meet in no partition; nothing is repartitioned behind anybody's back."""
    await create_topics(settings)
    states = await create_topics(replace(settings, partitions=settings.partitions + 1))
    assert all(f"has {settings.partitions} partitions" in state.problems[0] for state in states)


async def test_too_few_replicas_are_named(settings: Settings) -> None:
    """A production setting on topics made for one broker."""
    await create_topics(settings)
    states = await check_topics(replace(settings, replication_factor=3))
    assert all("has 1 replicas" in state.problems[0] for state in states)


async def test_a_setting_that_was_changed_is_named_with_the_command_that_sets_it_right(settings: Settings) -> None:
    """A changelog that is deleted by time instead of compacted would lose state."""
    await create_topics(settings)
    name = changelog_topic(settings)
    await with_admin(settings, ConfigResource(ConfigResourceType.TOPIC, name, {"cleanup.policy": "delete"}))
    expected = (
        "cleanup.policy is delete, not compact: kafka-configs.sh "
        f"--bootstrap-server {settings.kafka_bootstrap_servers} --alter --topic {name} --add-config cleanup.policy=compact"
    )
    async with asyncio.timeout(10):
        # brokers learn of a changed setting a little later
        while expected not in await problems_of(settings, name):  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.1)


async def problems_of(settings: Settings, name: str) -> tuple[str, ...]:
    return next(state.problems for state in await check_topics(settings) if state.name == name)


async def with_admin(settings: Settings, resource: ConfigResource) -> None:
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    await admin.start()
    try:
        await admin.alter_configs([resource])
    finally:
        await admin.close()


async def test_a_broker_that_is_away_is_named(settings: Settings) -> None:
    """The error says where it looked."""
    with pytest.raises(TransientFailure, match=r"127\.0\.0\.1:1"):
        await check_topics(replace(settings, kafka_bootstrap_servers="127.0.0.1:1"))


def test_the_commands_exit_by_what_they_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 when all stands as it must, 1 when something differs, in words and in JSON."""
    runner = CliRunner()
    monkeypatch.setattr(topics_commands, "load_settings", lambda: settings)
    missing = runner.invoke(topics_commands.topics, ["check"])
    assert missing.exit_code == 1
    assert changelog_topic(settings) in missing.output.replace("\n", "")
    assert "recon-stream topics create" in missing.output
    assert runner.invoke(topics_commands.topics, ["create"]).exit_code == 0
    checked = runner.invoke(topics_commands.topics, ["check", "--json"])
    assert checked.exit_code == 0
    assert all(row["partitions"] == settings.partitions for row in json.loads(checked.output))
