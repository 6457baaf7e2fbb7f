"""One worker process: the product's engine, consumer and store, and around them what Faust does in production."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP

from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.domain.rules import RulesBook
from recon_stream.pipeline.encoding import SchemaIds
from recon_stream.pipeline.engine import Engine
from recon_stream.redis.dedup import DuplicateFilter
from recon_stream.settings import Settings, load_settings
from recon_stream.transport.driver import Consumer
from recon_stream.transport.fetch import Fetched
from tables.transactions import CHANGELOG
from tests.simulation.broker import Broker, Group, Producer
from tests.simulation.disk import Rdict
from tests.simulation.loop import LIFE, Life
from tests.simulation.seams import STORE, store_on
from tests.simulation.valkey import UnreliableValkey

PARTITION = 0
SOURCE_TPS = tuple(TP(topic, PARTITION) for topic in SOURCE_TOPICS)
CHANGELOG_TP = TP(CHANGELOG, PARTITION)
SCHEMA_IDS = SchemaIds(results=2, mismatches=4, dead_letters=3)
COMMIT_SECONDS, LANES_SECONDS, FEEDS_SECONDS = 0.5, 0.5, 1.0
SETTINGS = replace(load_settings({}), partitions=1)

Made = Callable[..., Any]


class Makers(NamedTuple):
    """Which classes a process is made of: the product's, or broken copies."""

    engine: Made = Engine
    filter: Made = DuplicateFilter
    changed: tuple[tuple[Any, str, Any], ...] = ()
    """(module or class, name, what stands there instead)."""


class Thread:
    """In place of the thread that talks to Kafka."""

    def __init__(self, broker: Broker, app: App, batch_records_max: int) -> None:
        self._broker, self._app, self._batch_records_max = broker, app, batch_records_max
        self.positions: dict[TP, int] = {}
        self.member_at = math.inf
        """No heartbeat is late here: what a suspended process may still write is the zombie's business."""

    async def getmany(self, wanted: frozenset[TP], seconds: float) -> Fetched:
        """As a fetch answers: some of what is there, of some of the partitions."""
        broker, app = self._broker, self._app
        loop, generation = asyncio.get_running_loop(), app.consumer_generation_id
        until = loop.time() + seconds
        await asyncio.sleep(broker.way())
        while app.batch_consumer.flow_active and app.consumer_generation_id == generation:
            taken = self._take(sorted(wanted))
            left = until - loop.time()
            if taken or left <= 0:
                return Fetched(taken, {tp: self.positions[tp] for tp in wanted})
            await broker.growth(left)
        return Fetched({}, {})

    def _take(self, wanted: list[TP]) -> dict[TP, Any]:
        taken: dict[TP, Any] = {}
        for tp in wanted:
            log, position = self._broker.log(tp.topic), self.positions[tp]
            if position < len(log) and self._broker.dice.random() < 0.8:
                number = self._broker.dice.randint(1, self._batch_records_max)
                taken[tp] = log[position : position + number]
                self.positions[tp] = position + len(taken[tp])
        return taken

    def highwater(self, tp: TP) -> int:
        """The end that the last fetch has shown."""
        return len(self._broker.log(tp.topic))

    async def end_offsets(self, tps: Any) -> dict[TP, int]:
        """The ends as they are some time after the question was asked."""
        await asyncio.sleep(self._broker.way())
        ends = {tp: len(self._broker.log(tp.topic)) for tp in tps}
        await asyncio.sleep(self._broker.way())
        return ends


class WithoutFaust(faust_driver.Consumer):
    """Faust's consumer as far as ours needs it, without its start."""

    def __init__(self, app: App, thread: Thread) -> None:
        self.app: Any = app
        self._thread: Any = thread
        self.flow_active = False
        self.can_resume_flow: Any = asyncio.Event()
        self._unacked_messages: Any = set()
        self._waiting_for_ack = None

    async def wait(self, *_: Any, **__: Any) -> Any:
        """Until the flow is resumed."""
        await self.can_resume_flow.wait()

    def assignment(self) -> set[TP]:
        """The partitions of this process."""
        return {*SOURCE_TPS, CHANGELOG_TP} if self.flow_active else set()

    def _get_active_partitions(self) -> set[TP]:
        return set(SOURCE_TPS)

    def highwater(self, tp: TP) -> int:
        """The end of a partition."""
        return self._thread.highwater(tp)  # type: ignore[no-any-return]


class BatchConsumer(Consumer, WithoutFaust):
    """The product's consumer: what is in flight, done and applied is its own business."""

    def track(self, message: Any) -> None:
        """A message was handed out."""
        self._unacked_messages.add(message)

    @property
    def unacked(self) -> int:
        """How many batches are handed out and not acknowledged."""
        return len(self._unacked_messages)

    def forget(self) -> None:
        """The partitions are gone, and what was in flight with them."""
        self._unacked_messages.clear()
        self._reset_flight()


class App:
    """What the engine and the consumer ask of the Faust application."""

    def __init__(self, process: Process, settings: Settings) -> None:
        self._process = process
        self.settings = settings
        self.rebalancing = True
        self.consumer_generation_id = 0
        self.should_stop = False
        recovery = SimpleNamespace(read_to=lambda _: None)
        self.tables = SimpleNamespace(actives_ready=False, changelog_topics={CHANGELOG}, recovery=recovery)
        self.batch_consumer: BatchConsumer
        self.batch_producer: Producer

    def pause_watchdog(self, reason: str) -> AbstractContextManager[None]:
        """Nothing: there is no watchdog, the world notices a process that stands still."""
        return nullcontext()

    async def crash(self, error: BaseException) -> None:
        """End the process."""
        self._process.failed(error)


class BatchEvent(NamedTuple):
    """A batch in the stream."""

    consumer: BatchConsumer
    message: Any

    @property
    def value(self) -> Any:
        """The batch."""
        return self.message.value

    def ack(self) -> bool:
        """Hand it back, done or not."""
        return self.consumer.ack(self.message)


class Process:
    """A worker process from start to death. `rows` is its disk, which outlives it."""

    def __init__(
        self,
        name: str,
        disk: Rdict,
        broker: Broker,
        group: Group,
        valkey: UnreliableValkey | None,
        registry: Any,
        book: RulesBook,
        makers: Makers,
        on_end: Callable[[Process], None],
    ) -> None:
        self.name, self.disk, self._broker, self._group, self._on_end = name, disk, broker, group, on_end
        dice = broker.dice
        self.life = Life(name)
        self.life.on_end = self._ended
        self.error: BaseException | None = None
        self.joined = -1
        """The generation of the group in which this process believes to be the owner."""
        self._revoked = -1
        """The highest generation that it knows to be over."""
        self._assigned = -1
        """The highest generation in which it was given the partition: a group tells of its generations in order."""
        self._rebalancing = asyncio.Lock()
        self.store = store_on({})
        self.context = Context()
        self.context.run(LIFE.set, self.life)
        self.context.run(STORE.set, self.store)
        settings = replace(
            SETTINGS,
            batch_records_max=dice.choice((1, 3, 10)),
            in_flight_records_max=dice.choice((3, 1000)),
            unit_records_max=dice.choice((1, 2, 5, 100)),
            cases_held_max=dice.choice((1, 3, 1000)),
        )
        app = self.app = App(self, settings)
        self.thread = Thread(broker, app, settings.batch_records_max)
        self.consumer = app.batch_consumer = BatchConsumer(app, self.thread)
        app.batch_producer = Producer(broker, group, self.life)
        duplicate_filter = None if valkey is None else makers.filter(valkey, name.split("#")[0])
        self.engine: Engine = makers.engine(app, book, registry, duplicate_filter, SCHEMA_IDS)
        self._confirmed: dict[TP, int] = {}
        self.tasks: list[asyncio.Task[Any]] = []

    @property
    def is_alive(self) -> bool:
        """Not dead yet."""
        return not self.life.is_over

    def spawn(self, coro: Any) -> asyncio.Task[Any]:
        """Run something as this process."""
        task = asyncio.get_running_loop().create_task(coro, context=self.context)
        self.tasks.append(task)
        return task

    def start(self) -> None:
        """Begin to live; nothing is assigned yet."""
        for work in (self._consume(), self._ensure_lanes(), self._look_at_feeds(), self._commit_often()):
            self.spawn(work)

    def failed(self, error: BaseException) -> None:
        """The engine cannot go on."""
        self.error = error
        self.life.end()

    def _ended(self) -> None:
        self.app.batch_producer.die()
        self._on_end(self)

    # What Faust does

    async def _consume(self) -> None:
        while True:
            async for _, message in self.consumer.getmany(1.0):
                self.consumer.track(message)
                await asyncio.sleep(self._broker.dice.choice((0.0, 0.0, 0.01)))
                self.engine.submit(BatchEvent(self.consumer, message))  # type: ignore[arg-type]

    async def _ensure_lanes(self) -> None:
        while True:
            await asyncio.sleep(LANES_SECONDS)
            self.engine.ensure_lanes()

    async def _look_at_feeds(self) -> None:
        while True:
            await asyncio.sleep(FEEDS_SECONDS)
            if self.app.tables.actives_ready:
                await self.engine.look_at_feeds()

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self.commit()

    async def commit(self) -> None:
        """Commit what is applied."""
        generation = self.joined
        offsets = {tp: applied for tp in SOURCE_TPS if (applied := self.consumer.applied_offset(tp)) is not None}
        offsets = {tp: offset for tp, offset in offsets.items() if offset > self._confirmed.get(tp, -1)}
        if not offsets:
            return
        await asyncio.sleep(self._broker.way())
        if self._group.commit(generation, offsets):
            self._confirmed.update(offsets)

    async def assigned(self, generation: int) -> None:
        """Own the partition: rebuild the state from the changelog, go to the committed offsets, let the records flow."""
        app, consumer = self.app, self.consumer
        self._assigned = max(generation, self._assigned)
        async with self._rebalancing:
            if generation < self._assigned or self._revoked >= generation:
                return
            if self.joined != -1:
                await self._give_up(0.0)  # it learns only now that it had lost the partition meanwhile
            self.joined = app.batch_producer.generation = generation
            app.consumer_generation_id += 1
            self._confirmed.clear()
            await asyncio.sleep(self._broker.way())
            self.store._dbs[PARTITION] = self.disk  # type: ignore[assignment]
            await self._recover(generation)
            if self._revoked >= generation:
                return
            self.thread.positions = {tp: self._group.committed.get(tp, 0) for tp in SOURCE_TPS}
            app.rebalancing = False
            app.tables.actives_ready = consumer.flow_active = True
            consumer.can_resume_flow.set()
            self._broker.note(f"{self.name}: owns generation {generation} from {[*self.thread.positions.values()]}")

    async def _recover(self, generation: int) -> None:
        persisted = self.store.persisted_offset(CHANGELOG_TP)
        log, start = self._broker.log(CHANGELOG), 0 if persisted is None else persisted + 1
        end = len(log)
        self._broker.note(f"{self.name}: recovers {start}..{end - 1}")
        while start < end and self._revoked < generation:
            stop = min(end, start + self._broker.dice.choice((1, 5, 1000)))
            self.store.apply_rows(CHANGELOG_TP, log[start:stop])
            start = stop
            await asyncio.sleep(self._broker.way())

    async def revoked(self, generation: int, patience: float) -> None:
        """Learn that a generation is over: wait a while for what is under way, commit, forget."""
        self._revoked = max(generation, self._revoked)
        async with self._rebalancing:
            if self.joined == generation:
                await self._give_up(patience)

    async def _give_up(self, patience: float) -> None:
        app, consumer = self.app, self.consumer
        app.rebalancing, app.tables.actives_ready, consumer.flow_active = True, False, False
        consumer.can_resume_flow.clear()
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while consumer.unacked and loop.time() < until:  # noqa: ASYNC110 virtual time costs nothing
            await asyncio.sleep(0.01)
        await self.commit()
        self.joined = -1
        self.store._dbs.clear()
        consumer.forget()
        self._broker.note(f"{self.name}: gave the partition up")
