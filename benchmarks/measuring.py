"""Runs an engine as a process of its own, and measures that process: CPU, wall clock, memory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.backlog import Backlog
from benchmarks.children import RunFailed, spawn, stop
from benchmarks.kafka import Broker, Offsets
from benchmarks.machine import yardstick
from benchmarks.oracle import Claim, Judgement, Read, judge
from recon_stream.settings import Settings
from recon_stream.stack import process as stack_process
from recon_stream.stack.state import Folders

SAMPLE_SECONDS = 0.25
STALLED_SECONDS = 120.0
QUIET_SECONDS = 4.0
START_SECONDS_MIN, START_SECONDS_MAX = 8.0, 120.0
MIDDLE = 0.5
SERVICES = ("kafka", "valkey")
IDLE_CORES = 0.1
"""A started process with nothing to do uses less of a core."""


@dataclass(slots=True)
class Run:
    """One measured run. CPU in microseconds an event, user + system of the process.

    Both up to the instant at which everything is acknowledged: `cpu_us_with_start` from the first import on, `cpu_us`
    without what the same process takes to start on empty topics. `cpu_us_second_half` is that of the later half of the backlog
    alone, when everything is warm. `events_per_second` counts from the last sample without progress, so joining the group
    is not in it and the first unit of work is. `judgement` is of all results, those of deadlines included; `cpu_us` ends
    before the last of these. `services_cpu_us` is what broker and Valkey took meanwhile, in microseconds an event.
    """

    engine: str
    events: int
    cpu_us: float
    cpu_us_with_start: float
    cpu_us_second_half: float
    services_cpu_us: dict[str, float]
    events_per_second: int
    seconds: float
    memory_mb: int
    main_thread_share: float
    yardstick_us: tuple[float, float]
    load: float
    judgement: Judgement
    details: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """For the file of results."""
        return asdict(self)


class Engine(ABC):
    """What is measured: how it starts, how far it is, what it published. A fresh one for every run."""

    name: str
    results_topic: str
    mismatches_topic: str | None = None
    """Where the results are again whose open breaks changed; None where the engine has no such topic."""
    hold_seconds: float
    """Results are waited for so long after the end of the backlog at least."""
    said_in: Read
    claim_of: Claim

    def __init__(self, settings: Settings, broker: Broker, folder: Path, number: int) -> None:
        self.settings, self.broker, self.number = settings, broker, number
        self.folder = folder / f"run-{number}"
        self.log = folder / f"run-{number}.log"

    @abstractmethod
    async def prepare(self) -> tuple[list[str], dict[str, str]]:
        """Create what it needs; its command and environment."""

    @abstractmethod
    async def done(self, backlog: Backlog) -> float:
        """The share of the backlog that is done, 0 to 1."""

    @abstractmethod
    async def details(self, backlog: Backlog) -> dict[str, float]:
        """What else is worth knowing of the run; asked when everything is done."""

    @abstractmethod
    async def clean(self) -> None:
        """Delete what the run left behind."""


async def measure_start(engine: Engine) -> float:
    """CPU seconds until the engine has started on empty topics and waits for work."""
    child = await _start(engine)
    process = psutil.Process(child.pid)
    try:
        begun, spent = time.monotonic(), 0.0
        while time.monotonic() - begun < START_SECONDS_MAX:
            await asyncio.sleep(QUIET_SECONDS)
            before, spent = spent, _cpu(process)
            if time.monotonic() - begun >= START_SECONDS_MIN and spent - before < IDLE_CORES * QUIET_SECONDS:
                return before
    finally:
        await stop(child, engine.log)
        await engine.clean()
    raise RunFailed(f"{engine.name} does not come to rest on empty topics, see {engine.log}")


async def measure(engine: Engine, backlog: Backlog, start_cpu: float) -> Run:
    """Follow the engine to the end of the backlog, wait until its results are quiet, stop it, judge what it published.

    `start_cpu`: see `measure_start`. Raises RunFailed.
    """
    before = yardstick()
    services = _services_cpu(engine.settings)
    child = await _start(engine)
    begun = time.monotonic()
    try:
        since = await _ends(engine)
        flown = await follow(engine.name, engine.log, psutil.Process(child.pid), partial(engine.done, backlog))
        load = os.getloadavg()[0]
        services = {name: cpu - services[name] for name, cpu in _services_cpu(engine.settings).items()}
        await quiet(engine.broker, engine.results_topic, flown.done_at + engine.hold_seconds)
        details = await engine.details(backlog)
    finally:
        await stop(child, engine.log)
    judgement = await _judged(engine, backlog, since)
    await engine.clean()
    return Run(
        engine=engine.name,
        events=backlog.events,
        cpu_us=round((flown.cpu - start_cpu) / backlog.events * 1e6, 1),
        cpu_us_with_start=round(flown.cpu / backlog.events * 1e6, 1),
        cpu_us_second_half=round((flown.cpu - flown.half_cpu) / (backlog.events * (1 - flown.half)) * 1e6, 1),
        services_cpu_us={name: round(cpu / backlog.events * 1e6, 1) for name, cpu in services.items()},
        events_per_second=round(backlog.events / (flown.done_at - flown.idle_until)),
        seconds=round(flown.done_at - begun, 1),
        memory_mb=flown.memory >> 20,
        main_thread_share=round(flown.main_thread_cpu / flown.cpu, 3),
        yardstick_us=(before, yardstick()),
        load=round(load, 1),
        judgement=judgement,
        details=details,
    )


class Followed(NamedTuple):
    """Instants of the monotonic clock, CPU in seconds up to the end of the work, memory in bytes at its highest.

    `idle_until` and `idle_cpu` are of the last sample without progress.

    `half` is the share of the backlog at the last sample before its middle, `half_cpu` the CPU up to it.
    """

    half: float
    half_cpu: float
    idle_until: float
    idle_cpu: float
    done_at: float
    cpu: float
    main_thread_cpu: float
    memory: int


async def follow(name: str, log: Path, process: psutil.Process, share: Callable[[], Awaitable[float]]) -> Followed:
    """Look at a process until its share of the work, 0 to 1, is 1. Raises RunFailed where it ends or stands still."""
    idle_until = moved_at = time.monotonic()
    memory, done, idle_cpu = 0, 0.0, 0.0
    half, half_cpu = 0.0, 0.0
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        if process.status() == psutil.STATUS_ZOMBIE:
            raise RunFailed(f"{name} ended by itself, see {log}")
        seen, cpu, now = await share(), _cpu(process), time.monotonic()
        memory = max(memory, process.memory_info().rss)
        if seen == 0:
            idle_until, idle_cpu = now, cpu
        if seen <= MIDDLE:
            half, half_cpu = seen, cpu
        if seen > done:
            done, moved_at = seen, now
        elif now - moved_at > STALLED_SECONDS:
            raise RunFailed(f"{name} stands still at {done:.0%}, see {log}")
        if done >= 1:
            main = next(each for each in process.threads() if each.id == process.pid)
            return Followed(half, half_cpu, idle_until, idle_cpu, now, cpu, main.user_time + main.system_time, memory)


async def quiet(broker: Broker, topic: str, not_before: float) -> None:
    """Wait until nothing has come to a topic for a while, and the monotonic clock is behind `not_before`."""
    ends, since = await broker.ends(topic), time.monotonic()
    while time.monotonic() < not_before or time.monotonic() - since < QUIET_SECONDS:
        await asyncio.sleep(SAMPLE_SECONDS)
        now = await broker.ends(topic)
        if now != ends:
            ends, since = now, time.monotonic()


async def _ends(engine: Engine) -> dict[str, Offsets]:
    """The ends of the topics that it publishes to, by topic."""
    topics = [topic for topic in (engine.results_topic, engine.mismatches_topic) if topic is not None]
    return {topic: await engine.broker.ends(topic) for topic in topics}


async def _judged(engine: Engine, backlog: Backlog, since: dict[str, Offsets]) -> Judgement:
    """What is said of all that it published since then."""
    until = await _ends(engine)
    results, *mismatches = [engine.broker.values(since[topic], until[topic]) for topic in since]
    return await judge(results, backlog.expected, engine.said_in, engine.claim_of, *mismatches)


async def _start(engine: Engine) -> subprocess.Popen[bytes]:
    command, environ = await engine.prepare()
    engine.folder.mkdir()
    return spawn(command, environ, engine.log)


def _services_cpu(settings: Settings) -> dict[str, float]:
    """CPU seconds so far of the services that work for an engine."""
    folders = Folders.of(settings)
    pids = {service: stack_process.running(folders.record(service)) for service in SERVICES}
    return {service: _cpu(psutil.Process(pid)) for service, pid in pids.items() if pid is not None}


def _cpu(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)
