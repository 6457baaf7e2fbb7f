"""Topics of a test's own, and the small application of program.py as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from recon_stream.stack.ports import free_ports

PARTITIONS = 4
PROGRAM = Path(__file__).with_name("program.py")
Ranges = dict[tuple[str, int], list[tuple[int, int]]]


def free_port() -> int:
    return free_ports(1)[0]


@dataclass
class Member:
    """One process of the application, and what it wrote down."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int
    log: Path

    def ranges(self) -> Ranges:
        """(topic, partition) -> (first, last) of each batch, in the order in which they came."""
        ranges: Ranges = defaultdict(list)
        for line in self.lines():
            ranges[line["topic"], line["partition"]].append((line["first"], line["last"]))
        return ranges

    def lines(self) -> list[dict[str, object]]:
        path = self.folder / f"{self.process.pid}.jsonl"
        text = path.read_text() if path.exists() else ""
        # A killed process may leave half a line.
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def records(self) -> int:
        return sum(line["last"] - line["first"] + 1 for line in self.lines())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@dataclass
class Group:
    """A consumer group of its own, with topics of its own."""

    bootstrap: str
    folder: Path
    id: str = field(default_factory=lambda: f"test-{uuid4().hex[:8]}")
    members: list[Member] = field(default_factory=list)

    @property
    def topics(self) -> list[str]:
        return [f"{self.id}-{name}" for name in ("core", "gateway", "mobile")]

    @property
    def partitions(self) -> list[TopicPartition]:
        return [TopicPartition(topic, p) for topic in self.topics for p in range(PARTITIONS)]

    async def create_topics(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            names = [*self.topics, f"{self.id}-worker-seen-changelog"]
            await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
        finally:
            await admin.close()

    async def produce(self, count: int, *, transactional: bool = False) -> None:
        """`count` records to each of the three topics."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            linger_ms=20,
            transactional_id=f"{self.id}-tx" if transactional else None,
        )
        await producer.start()
        try:
            if transactional:
                await producer.begin_transaction()
            sends = [
                await producer.send(topic, key=b"%d" % i, value=b"value %d" % i)
                for i in range(count)
                for topic in self.topics
            ]
            await asyncio.gather(*sends)
            if transactional:
                await producer.commit_transaction()
        finally:
            await producer.stop()

    def start(self, *options: str, **settings: object) -> Member:
        index, port = len(self.members), free_port()
        environ = {
            "PATH": os.environ["PATH"],
            "RECON_STATE_DIR": str(self.folder / "state"),
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "RECON_APP_ID": self.id,
            "RECON_PARTITIONS": str(PARTITIONS),
            "RECON_OPERATIONS_PORT": str(port - index),
            "RECON_PROCESS_INDEX": str(index),
            "RECON_COMMIT_INTERVAL": "0.2",
            "RECON_SESSION_TIMEOUT": "6",
            **{name: str(value) for name, value in settings.items()},
        }
        log = self.folder / f"member-{index}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, str(PROGRAM), str(self.folder), ",".join(self.topics), *options],
                env=environ,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        member = Member(process, self.folder, port, log)
        self.members.append(member)
        return member

    async def committed(self) -> dict[TopicPartition, int]:
        async with self._reader() as reader:
            return {tp: await reader.committed(tp) or 0 for tp in self.partitions}

    async def ends(self) -> dict[TopicPartition, int]:
        async with self._reader() as reader:
            return dict(await reader.end_offsets(self.partitions))

    def _reader(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=f"{self.id}-worker", enable_auto_commit=False
        )


@pytest.fixture
async def group(stack, tmp_path: Path) -> AsyncIterator[Group]:
    group = Group(stack.kafka_bootstrap_servers, tmp_path)
    await group.create_topics()
    yield group
    for member in group.members:
        if member.process.poll() is None:
            member.kill()


@pytest.fixture
def until() -> Iterator[Callable[..., Awaitable[None]]]:
    async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return
            assert time.monotonic() < deadline, "not within the time"
            await asyncio.sleep(0.1)

    return until
