"""The changelog topic of a test's group, what a state made from it must be, and what a member tells of itself."""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.error import HTTPError

import rocksdict
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from recon_stream.domain.facts import Deadline, DeadlineKind
from recon_stream.transport.publish import pack, publish
from tables.claims import HEADER
from tables.rows import CASE, INDEX, META, Meta, case_key, deadlines_of, encode_deadlines, index_key, outbox_key
from tests.transport.conftest import PARTITIONS, Group, Member

OFFSET_KEY = b"__faust\0offset__"
Rows = list[tuple[bytes, bytes | None]]


def case(number: int, instant: int) -> tuple[bytes, bytes]:
    """A row that waits for two deadlines."""
    deadlines = [Deadline(gate, DeadlineKind.MISSING, instant + gate) for gate in (1, 2)]
    return case_key(f"T{number}"), encode_deadlines(deadlines) + b"facts of %d at %d" % (number, instant)


def history(seed: int, count: int) -> Rows:
    """A changelog as lanes write it: cases that change, cases that expire, and the rows of the partition itself."""
    dice, rows = random.Random(seed), Rows()
    for place in range(count):
        number = dice.randrange(count // 2)
        rows.append(case(number, place) if dice.random() < 0.8 else (case_key(f"T{number}"), None))
        if place % 10 == 9:
            rows.append((outbox_key(0), b"%d" % place))
            rows.append((META, Meta(b"epoch--1", (place, place, place), 1).encode()))
    return rows


class Changelog:
    """The changelog topic of a group, and what a state made from it must be."""

    def __init__(self, group: Group) -> None:
        self.group, self.topic = group, f"{group.id}-worker-seen-changelog"
        self.rows: list[dict[bytes, bytes]] = [{} for _ in range(PARTITIONS)]

    async def append(
        self, rows: Sequence[tuple[bytes, bytes | None]], partition: int | None = None, claim: bytes | None = None
    ) -> None:
        """To one partition, or to each of them; under a claim, if any."""
        headers = [] if claim is None else [(HEADER, claim)]
        partitions = range(PARTITIONS) if partition is None else [partition]
        producer = AIOKafkaProducer(bootstrap_servers=self.group.bootstrap, max_batch_size=900_000)
        await producer.start()
        try:
            for number in partitions:
                await publish(producer, self.topic, number, pack(producer, rows, int(time.time() * 1000), headers))
        finally:
            await producer.stop()
        self._count(rows, partitions)

    async def append_in_transactions(self, rows: Rows, *, size: int) -> None:
        """To each partition, `size` rows a transaction: between and behind them the broker keeps its own markers."""
        wanted = [end + len(rows) + math.ceil(len(rows) / size) for end in await self.ends()]
        producer = AIOKafkaProducer(bootstrap_servers=self.group.bootstrap, transactional_id=f"{self.topic}-tx")
        await producer.start()
        try:
            for start in range(0, len(rows), size):
                async with producer.transaction():
                    for number in range(PARTITIONS):
                        for key, row in rows[start : start + size]:
                            await producer.send(self.topic, row, key, number)
        finally:
            await producer.stop()
        while await self.ends() != wanted:  # noqa: ASYNC110 the broker is asked
            await asyncio.sleep(0.1)  # the broker writes the last markers after it has answered
        self._count(rows, range(PARTITIONS))

    def _count(self, rows: Sequence[tuple[bytes, bytes | None]], partitions: Sequence[int]) -> None:
        for number in partitions:
            for key, row in rows:
                if row is None:
                    self.rows[number].pop(key, None)
                else:
                    self.rows[number][key] = row

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.group.bootstrap)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def has_controller(self) -> bool:
        """Whether the broker is itself again."""
        try:
            async with self.admin() as admin:
                return bool((await admin.describe_cluster())["controller_id"] >= 0)
        except (KafkaError, TimeoutError):
            return False

    async def create_anew(self, config: dict[str, str] | None = None) -> None:
        """Delete the topic and make an empty one of that name."""
        async with self.admin() as admin:
            await admin.delete_topics([self.topic])
            while self.topic in await admin.list_topics():  # noqa: ASYNC110 the broker is asked
                await asyncio.sleep(0.1)
            await admin.create_topics([NewTopic(self.topic, PARTITIONS, 1, topic_configs=config)])
        self.rows = [{} for _ in range(PARTITIONS)]
        await asyncio.sleep(0.5)

    async def ends(self) -> list[int]:
        async with self.reader() as reader:
            tps = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
            ends = await reader.end_offsets(tps)
            return [ends[tp] for tp in tps]

    async def offsets(self, partition: int) -> list[int]:
        """The offsets at which the partition has records."""
        found: list[int] = []
        async with self.reader() as reader:
            tp = TopicPartition(self.topic, partition)
            reader.assign([tp])
            await reader.seek_to_beginning(tp)
            while records := (await reader.getmany(tp, timeout_ms=500)).get(tp):
                found += [record.offset for record in records]
        return found

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[AIOKafkaConsumer]:
        reader = AIOKafkaConsumer(bootstrap_servers=self.group.bootstrap, enable_auto_commit=False)
        await reader.start()
        try:
            yield reader
        finally:
            await reader.stop()

    def check(self, member: Member, partitions: Sequence[int] = range(PARTITIONS)) -> list[int]:
        """The state that the member left is that of the changelog; the offsets at which it stands."""
        return [self._check(folder_of(member), number) for number in partitions]

    def _check(self, folder: Path, number: int) -> int:
        stored = read_state(folder, number)
        offset = int(stored.pop(OFFSET_KEY))
        index = {key for key in stored if key[:1] == INDEX}
        rows = {key: row for key, row in stored.items() if key[:1] != INDEX}
        assert rows == self.rows[number]
        cases = {key: row for key, row in rows.items() if key[:1] == CASE}
        assert index == {index_key(deadline, key) for key, row in cases.items() for deadline in deadlines_of(row)}
        return offset


def folder_of(member: Member) -> Path:
    """Where its tables are."""
    group_index = int(member.log.stem.split("-")[1])
    (found,) = member.folder.glob(f"state/*-worker-{group_index}/**/tables")
    return found


def read_state(folder: Path, number: int) -> dict[bytes, bytes]:
    """All of a partition's RocksDB."""
    options = rocksdict.Options(raw_mode=True)
    db = rocksdict.Rdict(str(folder / f"seen-{number}.db"), options, access_type=rocksdict.AccessType.read_only())
    try:
        return {bytes(key): bytes(value) for key, value in db.items()}
    finally:
        db.close()


def asked(member: Member, path: str) -> tuple[int, str]:
    """(status, body) of the operations port; (0, "") while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{member.port}{path}", timeout=2) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def is_ready(member: Member) -> bool:
    assert member.process.poll() is None, member.log.read_text()
    return asked(member, "/readyz")[0] == 200


def recoveries(member: Member) -> list[dict[str, object]]:
    """Whenever Faust called back."""
    path = member.folder / f"{member.process.pid}.recovered"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def progress_of(member: Member) -> dict[str, object] | None:
    """What /readyz says of a recovery, which is not ready then."""
    status, body = asked(member, "/readyz")
    answer = json.loads(body) if body else {}
    if "recovery" not in answer:
        return None
    assert status == 503
    assert answer["reasons"]["process"] == "recovering"
    return answer["recovery"]
