"""Topics as append-only logs, a producer whose sends are slow, lost or refused, and the offsets of a consumer group."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError, KafkaTimeoutError, NotLeaderForPartitionError

from tests.simulation.loop import Life
from tests.simulation.seams import T0


class Entry(NamedTuple):
    """One record of a log; `writer` is the life that sent it, `at` the virtual second of the append."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    writer: Life | None
    at: float
    appended: bool
    """Whether the timestamp is the broker's."""
    late: bool = False
    """Whether it landed after its sender had lost the partition: nothing fences that."""
    headers: Sequence[tuple[str, bytes]] = ()


class Broker:
    """All logs, of one partition number."""

    def __init__(self, dice: Random, now: Callable[[], float], note: Callable[[str], None]) -> None:
        self.dice, self.now, self.note = dice, now, note
        self.logs: dict[str, list[Entry]] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self.trouble = 0.0
        """The chance that a batch is not acknowledged."""
        self.slowness = 0.05
        """The longest usual way to the broker or back; seconds."""

    def log(self, topic: str) -> list[Entry]:
        """The records of a topic."""
        return self.logs.setdefault(topic, [])

    def append(
        self,
        topic: str,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        writer: Life | None = None,
        *,
        appended: bool = False,
        late: bool = False,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Entry:
        """One record more."""
        log = self.log(topic)
        entry = Entry(len(log), timestamp, key, value, writer, self.now(), appended, late, headers)
        log.append(entry)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            _wake(one)
        return entry

    async def growth(self, seconds: float) -> None:
        """Wait until some log grows, or so long."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_later(seconds, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()

    def way(self) -> float:
        """How long something is under way; mostly short."""
        return self.dice.choice((0.0, 0.001, 0.01, 1.0)) * self.slowness


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Batch:
    """What aiokafka's BatchBuilder is to `pack` and `publish`."""

    def __init__(self, records_max: int) -> None:
        self._records_max = records_max
        self._builder, self._relative_offset = self, 0
        self.records: list[tuple[int, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]] = []

    def append(
        self, _: int, timestamp: int, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> bool | None:
        """Add a record, as the builder within a batch does; None when it is full."""
        if len(self.records) >= self._records_max:
            return None
        self.records.append((timestamp, key, value, headers))
        return True

    def size(self) -> int:
        """Bytes; bounds of sizes are tested elsewhere."""
        return 0

    def record_count(self) -> int:
        """How many records."""
        return self._relative_offset

    def close(self) -> None:
        """No more records."""


class Sent(NamedTuple):
    """A batch on its way."""

    batch: Batch
    acknowledged: asyncio.Future[SimpleNamespace]
    generation: int
    """Of the group, in which its sender believed to be the owner."""


class Producer:
    """The producer of one life. Batches of a topic are written in order; when one fails, those behind it fail too."""

    _message_accumulator = SimpleNamespace(_batch_size=1)

    def __init__(self, broker: Broker, group: Group, life: Life) -> None:
        self._broker, self._group, self._life = broker, group, life
        self.generation = -1
        self.passes = asyncio.Event()
        """Clear while its process is suspended with bytes that are not on the wire yet."""
        self.passes.set()
        self._batch_records_max = broker.dice.choice((1, 2, 5, 1000))
        self._pending: dict[str, deque[Sent]] = {}
        self._senders: dict[str, asyncio.Task[None]] = {}

    def create_batch(self) -> Batch:
        """An empty one."""
        return Batch(self._batch_records_max)

    async def send_batch(self, batch: Batch, topic: str, partition: int) -> asyncio.Future[SimpleNamespace]:
        """Queue a batch; the future is its acknowledgement."""
        sent = Sent(batch, asyncio.get_running_loop().create_future(), self.generation)
        self._pending.setdefault(topic, deque()).append(sent)
        if topic not in self._senders or self._senders[topic].done():
            self._senders[topic] = asyncio.get_running_loop().create_task(self._send(topic), context=Context())
        return sent.acknowledged

    def is_sending(self, topic: str) -> bool:
        """Whether something for the topic is under way."""
        return bool(self._pending.get(topic))

    async def _send(self, topic: str) -> None:
        broker, pending = self._broker, self._pending[topic]
        while pending:
            await asyncio.sleep(broker.way())
            await self.passes.wait()
            if self._life.is_over:
                return  # `die` has decided about what was pending
            fate = broker.dice.random()
            if fate < broker.trouble * 0.5:
                broker.note(f"{self._life.name}: {topic} refused")
                self._fail(topic, NotLeaderForPartitionError())
                return
            sent = pending.popleft()
            last = self._write(topic, sent)
            await asyncio.sleep(broker.way())
            if self._life.is_over:
                return
            if fate < broker.trouble:
                broker.note(f"{self._life.name}: {topic} written, its acknowledgement lost")
                sent.acknowledged.set_exception(KafkaTimeoutError())
                self._fail(topic, KafkaTimeoutError())
                return
            first = last - len(sent.batch.records) + 1
            at_ms = broker.log(topic)[last].timestamp
            sent.acknowledged.set_result(SimpleNamespace(offset=first, timestamp=at_ms, timestamp_type=1))

    def _fail(self, topic: str, error: KafkaError) -> None:
        pending = self._pending[topic]
        for sent in pending:
            sent.acknowledged.set_exception(error)
        pending.clear()

    def _write(self, topic: str, sent: Sent) -> int:
        last, broker = -1, self._broker
        is_late = sent.generation != self._group.generation
        at_ms = int((T0 + broker.now()) * 1000)
        for _, key, value, headers in sent.batch.records:
            last = broker.append(topic, at_ms, key, value, self._life, late=is_late, headers=headers).offset
        broker.note(f"{self._life.name}: {topic} +{len(sent.batch.records)} up to {last}{', late' if is_late else ''}")
        return last

    def die(self) -> None:
        """The process is gone: of what is on its way, as much arrives as the dice say, in order in each topic."""
        for topic, pending in self._pending.items():
            written = self._broker.dice.randint(0, len(pending))
            for sent in list(pending)[:written]:
                self._write(topic, sent)
            pending.clear()


class Group:
    """The consumer group: who owns the partition, in which generation, and what was committed."""

    def __init__(self) -> None:
        self.generation = 0
        self.committed: dict[Any, int] = {}
        self.on_commit: Callable[[dict[Any, int]], None] = lambda _: None

    def commit(self, generation: int, offsets: dict[Any, int]) -> bool:
        """Take offsets from a member of the generation in force; refuse those of others."""
        if generation != self.generation:
            return False
        self.committed.update(offsets)
        self.on_commit(offsets)
        return True
