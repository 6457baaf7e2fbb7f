"""What the batch transport delivers and commits, on a real broker, with real processes."""

from __future__ import annotations

import asyncio
import json

import pytest

pytestmark = pytest.mark.stack

COUNT = 3000


def assert_in_order_without_gaps(ranges, start=None):
    for tp, batches in ranges.items():
        expected = (start or {}).get(tp, 0)
        for first, last in batches:
            assert first == expected, f"{tp}: {first} came where {expected} was next"
            expected = last + 1


async def test_every_record_is_delivered_once_and_in_order(group, until):
    """One member, no failure: each record once, in the order of its partition; all of it is committed; exit code 0."""
    await group.produce(COUNT)
    member = group.start()
    await until(lambda: member.records() >= 3 * COUNT)
    assert member.stop() == 0, member.log.read_text()
    assert member.records() == 3 * COUNT
    assert_in_order_without_gaps(member.ranges())
    assert await group.committed() == await group.ends()


async def test_only_what_is_done_is_committed(group, until):
    """Batches acknowledged but not done are never committed; a member that was killed is followed from there."""
    await group.produce(COUNT)
    member = group.start("never-done", f"after={COUNT}", RECON_BATCH_RECORDS_MAX=100)
    await until(lambda: member.records() >= COUNT + 100)
    await until(lambda: any(not line["done"] for line in member.lines()))
    done: dict[tuple[str, int], int] = {}
    held = set()
    for line in member.lines():
        tp = line["topic"], line["partition"]
        if not line["done"]:
            held.add(tp)
        elif tp not in held:
            done[tp] = line["last"] + 1

    async def all_done_is_committed():
        committed = await group.committed()
        return all(committed[tp] >= offset for tp, offset in done.items())

    await until(all_done_is_committed)
    committed = {tuple(tp): offset for tp, offset in (await group.committed()).items()}
    assert committed == {tuple(tp): done.get(tuple(tp), 0) for tp in group.partitions}
    member.kill()
    heir = group.start()
    await until(lambda: heir.records() >= 3 * COUNT - sum(done.values()))
    assert heir.stop() == 0
    assert_in_order_without_gaps(heir.ranges(), start=committed)
    assert await group.committed() == await group.ends()


async def test_a_stop_finishes_the_unit_in_flight_and_commits_it(group, until):
    """SIGTERM in the middle of a unit: it is finished, everything done is committed, nothing else; exit code 0."""
    await group.produce(COUNT)
    member = group.start("unit=1.5", RECON_BATCH_RECORDS_MAX=100)
    await until(lambda: member.records() > 0)
    before = len(member.lines())
    assert member.stop() == 0, member.log.read_text()
    assert len(member.lines()) == before + 1
    done = {tp: batches[-1][1] + 1 for tp, batches in member.ranges().items()}
    assert await group.committed() == {tp: done.get(tuple(tp), 0) for tp in group.partitions}


async def test_members_come_and_go_and_nothing_is_lost(group, until):
    """A second member joins and is killed while records flow: every record is delivered, all is committed at the end."""
    await group.produce(COUNT)
    first = group.start("unit=0.05", RECON_BATCH_RECORDS_MAX=50)
    await until(lambda: first.records() > 500)
    second = group.start("unit=0.05", RECON_BATCH_RECORDS_MAX=50)
    await until(lambda: second.records() > 500)
    second.kill()

    async def all_is_committed():
        return await group.committed() == await group.ends()

    await until(all_is_committed)
    assert first.stop() == 0
    delivered = {
        (tp, offset)
        for member in (first, second)
        for tp, batches in member.ranges().items()
        for low, high in batches
        for offset in range(low, high + 1)
    }
    assert len(delivered) == 3 * COUNT
    for line, following in zip(first.lines(), first.lines()[1:], strict=False):
        assert line["generation"] <= following["generation"]


async def test_three_topics_give_a_member_the_same_partitions_of_each(group, until):
    """Co-partitioning: what joins by key meets in one process, and the table's partitions go there as well."""
    await group.produce(200)
    members = [group.start("table"), group.start("table")]
    await until(lambda: all("started" in m.log.read_text() for m in members))

    async def all_is_committed():
        return await group.committed() == await group.ends()

    await until(all_is_committed)
    await group.produce(200)
    await until(all_is_committed)
    generation = max(line["generation"] for member in members for line in member.lines())
    for member in members:
        read = {topic: set() for topic in group.topics}
        for line in member.lines():
            if line["generation"] == generation:
                read[line["topic"]].add(line["partition"])
        assert len({frozenset(numbers) for numbers in read.values()}) == 1, read
        assert len(read[group.topics[0]]) == 2


async def test_a_slow_seek_after_recovery_delivers_nothing_twice(group, until):
    """Source partitions are held back until the seek is over and Faust has cleared its queues."""
    await group.produce(500)
    builder = group.start("table")
    await until(lambda: builder.records() == 1500)
    assert builder.stop() == 0
    await group.produce(COUNT)
    # No commit in between: it would move the place to which the seek goes.
    member = group.start("table", "slow-seek=2", RECON_COMMIT_INTERVAL=60)
    await until(lambda: member.records() >= 3 * COUNT and "message=started" in member.log.read_text())
    await asyncio.sleep(2)
    assert member.stop() == 0
    assert member.records() == 3 * COUNT
    assert_in_order_without_gaps(
        member.ranges(), start={tuple(tp): batches_end(builder, tp) for tp in group.partitions}
    )


def batches_end(member, tp):
    return max((last + 1 for _, last in member.ranges().get(tuple(tp), [])), default=0)


async def test_a_partition_that_ends_in_a_transaction_marker_counts_as_read(group, until):
    """Markers are no records: without the position the last of them would look like work that waits for ever."""
    await group.produce(300, transactional=True)
    member = group.start(RECON_STALL_TIMEOUT=3)
    await until(lambda: member.records() == 900)

    async def all_is_committed():
        return await group.committed() == await group.ends()

    await until(all_is_committed)
    with pytest.raises(AssertionError):
        await until(lambda: member.process.poll() is not None, 4)
    assert member.stop() == 0


async def test_what_is_in_flight_is_bounded(group, until):
    """An agent that does not keep up holds at most the bound and what one poll may bring; no partition starves others."""
    await group.produce(COUNT)
    bound, batch = 1200, 50
    member = group.start("pause", RECON_IN_FLIGHT_RECORDS_MAX=bound, RECON_BATCH_RECORDS_MAX=batch)
    reading = group.folder / "in-flight"
    await until(lambda: reading.exists() and int(reading.read_text() or 0) > bound / 2)
    await asyncio.sleep(2)
    assert int(reading.read_text()) <= bound + batch * len(group.partitions)
    assert member.process.poll() is None


async def test_ends_are_told_of_any_partition(group, until):
    """Also of topics that this process does not read."""
    await group.produce(100)
    changelog = f"{group.id}-worker-seen-changelog"
    member = group.start("ends=" + ",".join([*group.topics, changelog]))
    answer = group.folder / "ends"
    await until(answer.exists)
    told = json.loads(answer.read_text())
    ends = {(topic, partition): end for topic, partition, end in told}
    assert ends == {tuple(tp): end for tp, end in (await group.ends()).items()} | {
        (changelog, partition): 0 for partition in range(4)
    }
    assert member.stop() == 0
