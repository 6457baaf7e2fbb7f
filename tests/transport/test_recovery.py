"""What a recovery leaves on disk, on a real broker, with real processes: the rows, the deadlines and the offset of the changelog."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from dataclasses import replace
from typing import NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete
from faust.types import TP

from recon_stream.apps import ReconApp
from recon_stream.settings import Settings
from recon_stream.stack import local
from tables.claims import IN_FORCE, void_key
from tables.rows import case_key
from tests.transport.changelog import (
    Changelog,
    asked,
    case,
    folder_of,
    history,
    is_ready,
    progress_of,
    read_state,
    recoveries,
)
from tests.transport.conftest import PARTITIONS, Group, Member

pytestmark = pytest.mark.stack


class Record(NamedTuple):
    """A record as it is read."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes | None


@pytest.fixture
def changelog(group: Group) -> Changelog:
    return Changelog(group)


async def recovered(group: Group, until, *options: str, **settings: object) -> Member:
    """A member that has recovered and was stopped."""
    member = group.start("table", *options, **settings)
    await until(lambda: is_ready(member), 40)
    assert member.stop() == 0, member.log.read_text()
    return member


async def test_a_state_is_made_again_from_its_changelog(group, changelog, until):
    """Rows, tombstones and many versions of a row, over several fetches: rows, deadlines and offset are those of the end."""
    for number in range(PARTITIONS):
        await changelog.append(history(number, 3000), number)
    member = await recovered(group, until)
    assert changelog.check(member) == [end - 1 for end in await changelog.ends()]
    assert recoveries(member) == [{"actives": [0, 1, 2, 3], "standbys": [], "remaining": 0}]


async def test_an_empty_changelog_is_nothing_to_recover(group, changelog, until):
    """Ready at once, whether all partitions are empty or one has rows and the others have not."""
    member = await recovered(group, until)
    assert [read_state(folder_of(member), number) for number in range(PARTITIONS)] == [{}] * PARTITIONS
    await changelog.append(history(1, 100), 2)
    member = await recovered(group, until)
    assert changelog.check(member, [2]) == [(await changelog.ends())[2] - 1]


async def test_transaction_markers_at_the_end_and_in_between_are_no_rows_to_wait_for(group, changelog, until):
    """The last offset holds no record: the recovery ends, and the next start has nothing left to recover."""
    await changelog.append_in_transactions(history(1, 100), size=30)
    ends = await changelog.ends()
    assert (await changelog.offsets(0))[-1] < ends[0] - 1, "the broker left no gap at the end"
    member = await recovered(group, until)
    assert changelog.check(member) == [end - 1 for end in ends]
    again = group.start("table", RECON_PROCESS_INDEX=0, RECON_OPERATIONS_PORT=member.port)
    again.port = member.port
    await until(lambda: is_ready(again), 40)
    assert again.stop() == 0
    assert "nothing to recover" in again.log.read_text()


async def test_a_changelog_whose_beginning_is_gone_is_read_from_where_it_begins(group, changelog, until):
    """Retention or an administrator deleted the first records, of one partition all of them."""
    await changelog.append(history(5, 200))
    ends = await changelog.ends()
    changelog.rows = [{} for _ in range(PARTITIONS)]
    async with changelog.admin() as admin:
        await admin.delete_records(
            {TopicPartition(changelog.topic, number): RecordsToDelete(ends[number]) for number in range(PARTITIONS)}
        )
    for number in (0, 1, 2):
        await changelog.append(history(number, 100), number)
    member = await recovered(group, until)
    assert changelog.check(member, [0, 1, 2]) == [end - 1 for end in (await changelog.ends())[:3]]
    assert read_state(folder_of(member), 3) == {}


async def test_a_compacted_changelog_gives_the_same_state(group, changelog, until):
    """The broker's own compaction leaves holes everywhere; what is left of each row is enough."""
    config = {
        "cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001",
        "delete.retention.ms": "0", "max.compaction.lag.ms": "100",
    }  # fmt: skip
    await changelog.create_anew(config)
    await changelog.append_in_transactions(history(7, 400), size=200)
    await asyncio.sleep(0.3)
    await changelog.append_in_transactions(
        [case(1, 9_000)], size=1
    )  # rolls the segment; compaction leaves the last one
    written = sum(await changelog.ends())

    async def is_compacted() -> bool:
        return sum([len(await changelog.offsets(number)) for number in range(PARTITIONS)]) < written * 0.7

    await until(is_compacted, 90)
    member = await recovered(group, until)
    assert changelog.check(member) == [end - 1 for end in await changelog.ends()]


async def test_rows_behind_the_claim_of_another_worker_are_left_out(group, changelog, until):
    """As a fetch brings them: the new owner's rows stand, and the keys that are to be written again are remembered."""
    old, new = b"\0\0\0\1abcd", b"\0\0\0\2efgh"
    await changelog.append([(IN_FORCE, old), case(1, 1), case(2, 1)], claim=old)
    await changelog.append([(IN_FORCE, new), case(1, 2), case(3, 2)], claim=new)
    await changelog.append([case(1, 3), (case_key("T2"), None), (case_key("T3"), None)], 0, claim=old)
    await changelog.append([case(3, 4)], 0, claim=new)
    state = {IN_FORCE: new, **dict([case(1, 2), case(2, 1), case(3, 2)])}
    changelog.rows = [dict(state) for _ in range(PARTITIONS)]
    changelog.rows[0] |= {**dict([case(3, 4)]), void_key(case_key("T1")): b"", void_key(case_key("T2")): b""}
    member = await recovered(group, until)
    assert changelog.check(member) == [end - 1 for end in await changelog.ends()]
    assert re.search(r"-0: 3 records up to offset \d are of a worker that had lost", member.log.read_text())


async def test_a_second_recovery_goes_on_where_the_first_was_cut_off(group, changelog, until):
    """SIGKILL in the middle: what was applied is not read again, and the rest replaces old rows and their deadlines."""
    for number in range(PARTITIONS):
        await changelog.append(history(number, 2000), number)
    first = group.start("table", "slow-recovery=0.1", RECON_BATCH_RECORDS_MAX=100)
    await until(lambda: progress_of(first) and progress_of(first)["rows_done"] > 1000)
    first.kill()
    total = sum(await changelog.ends())
    second = group.start("table", RECON_PROCESS_INDEX=0, RECON_OPERATIONS_PORT=first.port)
    second.port = first.port
    await until(lambda: is_ready(second), 40)
    assert second.stop() == 0
    begun = int(
        re.search(r"recovering: 0 rows done, at most ([\d,]+) to do", second.log.read_text())[1].replace(",", "")
    )
    assert 0 < begun < total - 1000
    assert f"recovered {begun:,} rows" in second.log.read_text()
    assert "read again" not in second.log.read_text()
    assert changelog.check(first) == [end - 1 for end in await changelog.ends()]


async def test_progress_is_told_while_it_goes_on(group, changelog, until):
    """/readyz with 503, the metric and the log say how many rows are done, how many are left, and how long it takes."""
    await changelog.append(history(1, 1500))
    total = sum(await changelog.ends())
    member = group.start("table", "slow-recovery=0.15", RECON_BATCH_RECORDS_MAX=100)
    seen, remaining = [], []

    def look() -> bool:
        progress = progress_of(member)
        if progress is not None:
            seen.append(progress)
            metrics = asked(member, "/metrics")[1]
            remaining.append(sum(map(float, re.findall(r"recon_recovery_rows_remaining\{.*\} (\S+)", metrics))))
        return is_ready(member)

    await until(look, 60)
    done = [progress["rows_done"] for progress in seen]
    assert done == sorted(done)
    assert len(set(done)) > 3
    for progress in seen:
        assert progress["rows_done"] + progress["rows_to_do"] == total
        assert sum(progress["partitions"].values()) == progress["rows_to_do"]
    assert seen[-1]["seconds_left"] < seen[-1]["seconds"]
    assert remaining == sorted(remaining, reverse=True)
    assert any(0 < left < total for left in remaining)  # asked a moment later, the last one may tell of the end
    metrics = asked(member, "/metrics")[1]
    assert set(re.findall(r"recon_recovery_rows_remaining\{.*\} (\S+)", metrics)) == {"0.0"}
    assert float(re.search(r"^recon_recovery_seconds (\S+)", metrics, re.MULTILINE)[1]) > 1
    assert member.stop() == 0
    told = re.findall(
        r"recovering: ([\d,]+) rows done, at most ([\d,]+) to do .* rows/s, time left about", member.log.read_text()
    )
    assert len(told) >= 2
    assert f"recovered {total:,} rows of 4 partitions" in member.log.read_text()


async def test_a_rebalance_in_the_middle_of_a_recovery(group, changelog, until):
    """A second member joins: both go on from what they have, nobody is called back before all its rows are there."""
    for number in range(PARTITIONS):
        await changelog.append(history(number, 3000), number)
    first = group.start("table", "slow-recovery=0.3", RECON_BATCH_RECORDS_MAX=100)
    await until(lambda: progress_of(first) and progress_of(first)["rows_done"] > 1000)
    second = group.start("table", "slow-recovery=0.3", RECON_BATCH_RECORDS_MAX=100)
    await until(lambda: progress_of(second) and progress_of(second)["rows_done"] > 300)
    (group.folder / "go").touch()
    await until(lambda: is_ready(first) and is_ready(second), 60)
    await asyncio.sleep(1)
    await until(lambda: is_ready(first) and is_ready(second), 60)
    assert [first.stop(), second.stop()] == [0, 0]
    called = [recoveries(first), recoveries(second)]
    for calls in called:
        assert calls, "nobody was called back"
        assert {call["remaining"] for call in calls} == {0}
    assert sorted(called[0][0]["actives"] + called[1][0]["actives"]) == [0, 1, 2, 3]
    assert len(called[0][0]["actives"]) == 2
    ends = await changelog.ends()
    for member, (call, *_) in zip((first, second), called, strict=True):
        assert changelog.check(member, call["actives"]) == [ends[number] - 1 for number in call["actives"]]


@pytest.mark.parametrize("rows", [0, 1, 3])
async def test_a_changelog_shorter_than_the_state_is_refused(group, changelog, until, rows):
    """The topic was created anew: exit code 2, the offsets, the folder and what to do; the state stays as it is."""
    await changelog.append(history(1, 50))
    first = await recovered(group, until)
    before = [read_state(folder_of(first), number) for number in range(PARTITIONS)]
    await changelog.create_anew()
    if rows:
        await changelog.append([case(number, 1) for number in range(rows)])
    second = group.start("table", RECON_PROCESS_INDEX=0, RECON_OPERATIONS_PORT=first.port)
    await until(lambda: second.process.poll() is not None, 30)
    log = second.log.read_text()
    assert second.process.returncode == 2, log
    assert f"{changelog.topic}-0 ends at offset {rows - 1}, the state in" in log
    assert "the topic was deleted and created anew" in log
    assert "delete their state folders" in log
    assert [read_state(folder_of(first), number) for number in range(PARTITIONS)] == before


async def test_a_changelog_that_holds_something_else_ends_the_process(group, changelog, until):
    """A record that is no row of ours: the process ends with 1 and names it; stock Faust logs a warning and loses the batch."""
    await changelog.append(history(1, 50))
    await changelog.append([(case_key("T1"), b"\x02 of another program")], 1)
    member = group.start("table")
    await until(lambda: member.process.poll() is not None, 30)
    assert member.process.returncode == 1, member.log.read_text()
    assert f"{changelog.topic}-1: the row of b'tT1' cannot be read" in member.log.read_text()


async def test_ends_that_never_come_are_told(group, changelog, until):
    """Stock Faust takes the timeout for a stop of its service and waits in silence: here the process ends with 1."""
    await changelog.append(history(1, 50))
    member = group.start("table", "no-ends")
    await until(lambda: member.process.poll() is not None, 40)
    assert member.process.returncode == 1, member.log.read_text()
    assert "Kafka did not answer within 7 s during a recovery" in member.log.read_text()


async def test_what_comes_when_no_recovery_goes_on_is_not_applied(tmp_path):
    """A poll under way at the end of a recovery may bring what our own lanes append: they write it themselves, in their order."""
    app = ReconApp("worker", replace(Settings(), state_dir=tmp_path), store="recon://", autodiscover=())
    table = app.Table("seen", partitions=1, key_type=bytes, value_type=bytes)
    tp = TP(table.changelog_topic_name, 0)
    table.data._db_for_partition(0)
    recovery = app.recovery
    recovery.add_active(table, tp)
    recovery.apply(tp, [Record(7, 0, *case(1, 1))])
    recovery.read_to({tp: 9})
    assert dict(table.data._dbs[0].items()) == {}
    assert recovery.active_offsets[tp] is None
    table.data._dbs[0].close()


async def test_a_recovery_that_hangs_ends_the_process(group, changelog, until, stack):
    """The broker stands still in the middle: /livez tells first, then exit code 71 with the rows that remain."""
    # a fetch brings some 500 rows of a partition, so little is at hand when the broker stands still
    await changelog.append([(case_key(f"T{number}"), b"\0" + b"x" * 2000) for number in range(3000)])
    (broker,) = [row.pid for row in await local.status(stack) if row.service == "kafka"]
    member = group.start("table", "slow-recovery=0.1", RECON_BATCH_RECORDS_MAX=100, RECON_RECOVERY_TIMEOUT=6)
    reasons = []

    def ended() -> bool:
        status, body = asked(member, "/livez")
        if status == 503:
            reasons.append(json.loads(body)["reason"])
        return member.process.poll() is not None

    await until(lambda: progress_of(member) and progress_of(member)["rows_done"] > 1000)
    os.kill(broker, signal.SIGSTOP)
    try:
        await until(ended, 40)
    finally:
        os.kill(broker, signal.SIGCONT)
        await until(changelog.has_controller, 60)
    assert member.process.returncode == 71, member.log.read_text()[-3000:]
    assert re.search(
        r"recovery makes no progress, ending the process: recovering: [\d,]+ rows done", member.log.read_text()
    )
    assert re.search(r"at most [\d,]+ to do .*; no progress for \d+ s", reasons[0])


async def test_standbys_follow_the_changelog_of_others(group, changelog, until):
    """A copy for a fast take-over: rows that are appended while it stands by are in its state as well."""
    await changelog.append(history(1, 500))
    members = [group.start("table", "standby") for _ in range(2)]
    await until(lambda: all(map(is_ready, members)), 40)
    await until(lambda: all(recoveries(member) and recoveries(member)[-1]["standbys"] for member in members), 40)
    calls = [recoveries(member)[-1] for member in members]
    for call in calls:
        assert sorted(call["actives"] + call["standbys"]) == [0, 1, 2, 3]
    await changelog.append(history(2, 500))
    ends = await changelog.ends()

    def standing() -> bool:
        for member in members:
            metrics = asked(member, "/metrics")[1]
            if float(re.search(r"^recon_recovered_records_total (\S+)", metrics, re.MULTILINE)[1]) < sum(ends) / 2:
                return False
        return True

    await until(standing, 20)
    await asyncio.sleep(2)
    assert [member.stop() for member in members] == [0, 0]
    for member, call in zip(members, calls, strict=True):
        assert changelog.check(member, call["standbys"]) == [ends[number] - 1 for number in call["standbys"]]
