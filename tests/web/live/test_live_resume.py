"""Nothing between the last offsets that a client saw and now is left out, or the client is told to reload."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from recon_stream.settings import Settings
from recon_stream.topics import MISMATCHES
from tests.web.live.conftest import Tokens
from tests.web.live.serving import Client, Web, connected, serving
from tests.web.live.writing import Writer, broken, result, txn_id

pytestmark = pytest.mark.stack


async def heard_of(client: Client, channel: str, txns: Sequence[str]) -> list[str]:
    """Transactions in the order in which they are told, until all of these were."""
    heard: list[str] = []
    while not set(txns) <= set(heard):
        told = await client.hear("messages")
        heard += [item["txn_id"] for item in told["items"] if told["channel"] == channel]
    return heard


def batch(number: int) -> list[str]:
    """So many new transactions."""
    return [txn_id() for _ in range(number)]


async def test_a_client_that_comes_back_gets_what_it_missed(web: Web, token: Tokens, writer: Writer) -> None:
    """From memory: everything behind its offsets, in order of each partition, once, and then what is new."""
    before, missed, after = batch(20), batch(50), batch(20)
    async with connected(web, token("viewer")) as other:
        await other.subscribe("results")
        async with connected(web, token("viewer")) as client:
            await client.subscribe("results")
            await writer.results(*map(result, before))
            await heard_of(client, "results", before)
            position = client.positions["results"]
        await writer.results(*map(result, missed))
        # so it is behind what is new
        await heard_of(other, "results", missed)
    async with connected(web, token("viewer")) as client:
        answer = await client.subscribe("results", since=position)
        assert answer["position"] == position
        assert sorted(await heard_of(client, "results", missed)) == sorted(missed)
        await writer.results(*map(result, after))
        assert sorted(await heard_of(client, "results", after)) == sorted(after)
    assert web.metric('recon_live_resumed_total{channel="results",outcome="memory"}') > 0


async def test_resuming_while_results_come_leaves_no_gap(web: Web, token: Tokens, writer: Writer) -> None:
    """A client that reconnects again and again in the midst of a stream has in the end each record once."""
    txns = batch(1500)
    heard: list[str] = []
    async with connected(web, token("viewer")) as client:
        position: dict[str, str] = (await client.subscribe("results"))["position"]
    for start in range(0, len(txns), 150):
        await writer.results(*map(result, txns[start : start + 100]))
        async with connected(web, token("viewer")) as client:
            await client.subscribe("results", since=position)
            await writer.results(*map(result, txns[start + 100 : start + 150]))
            told = await client.hear("messages")
            heard += [item["txn_id"] for item in told["items"]]
            position = client.positions["results"]
    async with connected(web, token("viewer")) as client:
        await client.subscribe("results", since=position)
        heard += await heard_of(client, "results", sorted(set(txns) - set(heard)))
    assert sorted(heard) == sorted(txns)


async def test_a_restart_of_the_process_leaves_no_gap(
    served: Settings, token: Tokens, writer: Writer, tmp_path: Path
) -> None:
    """What was published while no web process lived comes from Kafka; sockets are told that the old one goes."""
    before, missed, after = batch(20), batch(120), batch(20)
    with serving(served, tmp_path) as first:
        async with connected(first, token("operator")) as client:
            await client.subscribe("results", filter={"verdict": ["BROKEN"]})
            await writer.results(*map(broken, before))
            await heard_of(client, "results", before)
            first.process.terminate()
            assert await client.closed() == 1001
            position = client.positions["results"]
        assert first.process.wait(60) == 0, first.log.read_text()
    await writer.results(*map(broken, missed), *map(result, batch(30)))
    with serving(served, tmp_path, first.port) as second:
        async with connected(second, token("operator")) as client:
            await client.subscribe("results", filter={"verdict": ["BROKEN"]}, since=position)
            assert sorted(await heard_of(client, "results", missed)) == sorted(missed)
            await writer.results(*map(broken, after))
            assert sorted(await heard_of(client, "results", after)) == sorted(after)
        assert second.metric('recon_live_resumed_total{channel="results",outcome="kafka"}') == 1
        log = second.log.read_text()
        assert "Traceback" not in log
        assert log.count("the live feed is read") == 1, "a process has one feed"


async def test_too_much_is_answered_by_reload(served: Settings, token: Tokens, writer: Writer, tmp_path: Path) -> None:
    """Beyond RECON_RESUME_RECORDS_MAX; the channel then goes on from the position that is told."""
    with serving(served, tmp_path) as first:
        async with connected(first, token("viewer")) as client:
            position = (await client.subscribe("results"))["position"]
    await writer.results(*map(result, batch(101)))
    with serving(served, tmp_path, RECON_RESUME_RECORDS_MAX=100) as second:
        await reloaded(second, token("viewer"), "results", position, "too_far", writer)


async def test_what_kafka_no_longer_has_is_answered_by_reload(
    web: Web, served: Settings, token: Tokens, writer: Writer, tmp_path: Path
) -> None:
    """Retention took it: nothing is told in place of what is gone."""
    async with connected(web, token("viewer")) as client:
        position = (await client.subscribe("mismatches"))["position"]
    await writer.mismatches(*map(broken, batch(60)))
    await forget(served, MISMATCHES)
    with serving(served, tmp_path) as fresh:
        await reloaded(fresh, token("viewer"), "mismatches", position, "gone", writer)


@pytest.mark.parametrize(
    "position",
    [{}, {"0": "5"}, {str(number): "999999999999" for number in range(6)}, {str(number): "-1" for number in range(7)}],
)
async def test_offsets_that_are_not_of_the_topic_are_answered_by_reload(
    web: Web, token: Tokens, writer: Writer, position: dict[str, str]
) -> None:
    """A partition too few or too many, or offsets behind the end: of a topic that is no more."""
    await reloaded(web, token("viewer"), "results", position, "unknown", writer)


async def reloaded(web: Web, token: str, channel: str, position: Any, reason: str, writer: Writer) -> None:
    """Resuming there is answered by reload for this reason, and the channel goes on."""
    txn = txn_id()
    async with connected(web, token) as client:
        assert (await client.subscribe(channel, since=position))["type"] == "subscribed"
        told = await client.hear("reload", "messages")
        assert (told["type"], told.get("reason")) == ("reload", reason), told
        assert len(told["position"]) == 6
        await (writer.results if channel == "results" else writer.mismatches)(broken(txn))
        assert await heard_of(client, channel, [txn]) == [txn]


async def forget(settings: Settings, topic: str) -> None:
    """Delete all records that are there, as retention does."""
    tps = [TopicPartition(topic, number) for number in range(settings.partitions)]
    async with AIOKafkaConsumer(**settings.kafka_client()) as consumer:
        ends = await consumer.end_offsets(tps)
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    await admin.start()
    try:
        await admin.delete_records({tp: RecordsToDelete(before_offset=end) for tp, end in ends.items()})
    finally:
        await admin.close()
