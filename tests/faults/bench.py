"""One scenario's surroundings: clean topics and database, processes, feeds, and the clock of its recovery."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from redis.asyncio import Redis

from producers.feed import Sent, feed
from producers.plan import DEFAULT_MIX, Fault, Plan
from producers.rules import rules_in_force
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.errors import TransientFailure
from recon_stream.settings import Settings
from recon_stream.topics import DEAD_LETTERS, RESULTS, create_topics
from recon_stream.transport.log import Log
from tests.end_to_end.system import RULES, free_base
from tests.faults.roles import Role
from tests.faults.stack import Stack

EVENTS_MIN = 20_000
"""Fewer than this prove nothing."""
RATE = 150
"""Transactions a second, some three events each."""
SESSION_SECONDS = 6
RECOVERY_SECONDS = 180.0
MIX: Mapping[Fault, int] = dict(DEFAULT_MIX) | {Fault.CLEAN: 350, Fault.UNKNOWN_SCHEMA: 0}
"""Every fault of the data but one, and more of each than in a feed that is to look real. Each life of a process waits ten
seconds for a schema that nobody knows: that is a scenario of its own."""
PROXIED = ("kafka", "postgres", "valkey", "registry")


class Bench:
    """`async with Bench(stack, seed)`; the processes are started by the scenario."""

    def __init__(
        self,
        stack: Stack,
        seed: int,
        *,
        workers: int = 1,
        sinks: int = 1,
        proxied: tuple[str, ...] = (),
        small_tablespace: bool = False,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`proxied` names the services that the processes reach through proxies; feeds and judges never do. `settings`
        are further variables for the processes. `small_tablespace`: the database lies on a small disk; see `fill_disk`."""
        assert set(proxied) <= set(PROXIED)
        self.stack, self.seed, self.say = stack, seed, say
        self._workers, self._sinks, self._proxied, self._more = workers, sinks, proxied, settings or {}
        self._small_tablespace = small_tablespace
        self._cleaning = ExitStack()
        self.fill_disk: Callable[[], AbstractContextManager[None]] = nullcontext
        self.workers: list[Role] = []
        self.sinks: list[Role] = []
        self.keys: list[Path] = []
        self.faults = 0
        """How often something was struck, beside failpoints and crashes."""
        self.recovery_seconds: list[float] = []
        self._feeding: asyncio.Task[Sent] | None = None
        self._stop_feed = asyncio.Event()
        self._fed_before = 0
        self._fed_now = 0

    async def __aenter__(self) -> Self:
        stack = self.stack
        await asyncio.to_thread(stack.calm)
        app_id = f"f{uuid.uuid4().hex[:10]}"
        self.folder = stack.folder / "runs" / app_id
        self.folder.mkdir(parents=True)
        if self._small_tablespace:
            self.fill_disk = self._cleaning.enter_context(stack.small_tablespace())
        tablespace = "small" if self._small_tablespace else "pg_default"
        self.database = await asyncio.to_thread(stack.create_database, tablespace)
        url = stack.state.database_url
        self.settings: Settings = replace(
            stack.settings,
            app_id=app_id,
            rules_file=str(RULES),
            database_url=url("recon_sink", self.database),
            database_owner_url=url("recon_owner", self.database),
            database_reader_url=url("recon_reader", self.database),
        )
        await stack.delete_topics()
        await create_topics(self.settings)
        await self.flush_redis()
        environ, port = self._environ(), free_base()
        environ["RECON_OPERATIONS_PORT"] = str(port)
        self.workers = [Role("worker", index, environ, port, self.folder) for index in range(self._workers)]
        self.sinks = [Role("sink", index, environ, port + 20, self.folder) for index in range(self._sinks)]
        return self

    def _environ(self) -> dict[str, str]:
        s, stack = self.settings, self.stack
        environ = {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "RECON_STATE_DIR": str(self.folder),
            "RECON_APP_ID": s.app_id,
            "RECON_RULES_FILE": str(RULES),
            "KAFKA_BOOTSTRAP_SERVERS": s.kafka_bootstrap_servers,
            "SCHEMA_REGISTRY_URL": s.schema_registry_url,
            "DATABASE_URL": s.database_url,
            "REDIS_URL": s.redis_url,
            "REDIS_PASSWORD": s.redis_password,
            "RECON_SESSION_TIMEOUT": str(SESSION_SECONDS),
        }
        if "kafka" in self._proxied:
            environ["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{stack.kafka.port}"
        ports = stack.state.ports
        for service, variable, target, front in (
            ("registry", "SCHEMA_REGISTRY_URL", ports["registry"], stack.registry.port),
            ("postgres", "DATABASE_URL", ports["postgres"], stack.postgres.port),
            ("valkey", "REDIS_URL", ports["valkey"], stack.valkey.port),
        ):
            if service in self._proxied:
                environ[variable] = environ[variable].replace(f":{target}/", f":{front}/")
                assert f":{front}/" in environ[variable]
        return environ | dict(self._more)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_feed.set()
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)
        await asyncio.gather(*(role.stop() for role in self.roles))
        await asyncio.to_thread(self.stack.calm)
        await asyncio.to_thread(self.stack.drop_database, self.database)
        self._cleaning.close()

    def put_state_on_small_disk(self) -> None:
        """The first worker's state lies on a small disk from now on; see `fill_disk`."""
        self.fill_disk = self._cleaning.enter_context(self.stack.small_disk(self.worker.datadir))

    @property
    def roles(self) -> list[Role]:
        """All processes."""
        return [*self.workers, *self.sinks]

    @property
    def worker(self) -> Role:
        """The first worker."""
        return self.workers[0]

    @property
    def sink(self) -> Role:
        """The first sink."""
        return self.sinks[0]

    async def flush_redis(self) -> None:
        """The filter forgets everything; not by way of the proxy."""
        async with Redis.from_url(self.settings.redis_url, password=self.settings.redis_password) as redis:
            await redis.flushall()

    async def start_all(self) -> None:
        """Start every process, and wait until each is ready."""
        for role in self.roles:
            role.start()
        await self.until_ready()

    async def until_ready(self) -> None:
        """Every process is ready."""
        await asyncio.gather(*(role.until_ready() for role in self.roles))

    def check(self) -> None:
        """Raise what went wrong meanwhile in the background."""
        for role in self.roles:
            role.check()
        if self._feeding is not None and self._feeding.done():
            self._feeding.result()

    # Feeds

    @property
    def fed(self) -> int:
        """Events that the broker has acknowledged to the feeds."""
        return self._fed_before + self._fed_now

    def plan(self, rate: int, mix: Mapping[Fault, int], transactions: int) -> Plan:
        """A plan that begins now."""
        timing, tolerances = rules_in_force(self.settings)
        return Plan(
            seed=self.seed * 100 + len(self.keys),
            base_ms=time.time_ns() // 1_000_000,
            interval_us=1_000_000 // rate,
            transactions=transactions,
            mix=mix,
            timing=timing,
            tolerances=tolerances,
        )

    def start_feed(self, rate: int = RATE, mix: Mapping[Fault, int] = MIX, transactions: int = 1_000_000) -> None:
        """Feed in the background until told to stop."""
        assert self._feeding is None
        path = self.folder / f"key-{len(self.keys)}.jsonl"
        plan = self.plan(rate, mix, transactions)
        self.keys.append(path)
        self._stop_feed.clear()
        self._feeding = asyncio.create_task(feed(self.settings, plan, path, self._note, self._stop_feed))

    def _note(self, sent: Sent) -> None:
        self._fed_now = sum(sent.records.values())

    async def until_fed(self, events: int) -> None:
        """Wait until so many events in all are in Kafka."""
        deadline = time.monotonic() + RECOVERY_SECONDS + events / RATE
        while self.fed < events:
            self.check()
            assert time.monotonic() < deadline, f"the feed is slow: {self.fed} of {events} events"
            await asyncio.sleep(0.1)

    async def stop_feed(self, events: int = EVENTS_MIN) -> None:
        """Feed until there are so many events, then end with whole transactions."""
        await self.until_fed(events)
        assert self._feeding is not None
        self._stop_feed.set()
        sent = await self._feeding
        self._fed_before, self._fed_now, self._feeding = self._fed_before + sum(sent.records.values()), 0, None

    # Progress

    def partitions(self, *topics: str) -> list[tuple[str, int]]:
        """All partitions of these topics."""
        return [(topic, number) for topic in topics for number in range(self.settings.partitions)]

    async def until_recovered(self, what: str = "") -> None:
        """Measure how long it takes until everything is applied and stored that is in the source topics now."""
        began = time.monotonic()
        worker, sink = f"{self.settings.app_id}-worker", f"{self.settings.app_id}-sink"
        async with Log(self.settings) as log:
            ends = await log.ends(self.partitions(*SOURCE_TOPICS))
            await self._until_committed(log, worker, ends, began)
            outputs = await log.ends(self.partitions(RESULTS, DEAD_LETTERS))
            await self._until_committed(log, sink, ends | outputs, began)
        self.recovery_seconds.append(time.monotonic() - began)
        self.say(f"recovered from {what or 'the fault'} in {self.recovery_seconds[-1]:.1f} s")

    async def _until_committed(self, log: Log, group: str, ends: Mapping[tuple[str, int], int], began: float) -> None:
        while True:
            self.check()
            try:
                committed = await log.committed(group)
                behind = sum(max(0, end - committed.get(place, 0)) for place, end in ends.items())
            except TransientFailure:
                behind = -1  # the broker is on its way
            if behind == 0:
                return
            late = time.monotonic() - began > RECOVERY_SECONDS
            assert not late, f"{group} is {behind} behind: {self.roles[0].log_end()} {self.roles[-1].log_end()}"
            await asyncio.sleep(0.1)
