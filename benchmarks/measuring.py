"""Runs an engine as a process of its own, and measures that process: CPU, wall clock, memory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.backlog import Backlog
from benchmarks.children import RunFailed, spawn, stop
from benchmarks.kafka import Broker, Offsets
from benchmarks.machine import yardstick
from benchmarks.oracle import Claim, Judgement, Read, judge
from recon_stream.settings import Settings

SAMPLE_SECONDS = 0.25
STALLED_SECONDS = 120.0
QUIET_SECONDS = 4.0
START_SECONDS_MIN, START_SECONDS_MAX = 8.0, 120.0
IDLE_CORES = 0.1
"""A started process with nothing to do uses less of a core."""


@dataclass(slots=True)
class Run:
    """One measured run. CPU in microseconds an event, user + system of the process.

    Both up to the instant at which everything is acknowledged: `cpu_us_with_start` from the first import on, `cpu_us`
    without what the same process takes to start on empty topics. `events_per_second` counts from the last sample
    without progress, so joining the group is not in it and the first unit of work is. `judgement` is of all results,
    those of deadlines included; `cpu_us` ends before the last of these.
    """

    engine: str
    events: int
    cpu_us: float
    cpu_us_with_start: float
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
    hold_seconds: float
    """Results are waited for so long after the start at least."""
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
    child = await _start(engine)
    begun = time.monotonic()
    try:
        since = await engine.broker.ends(engine.results_topic)
        flown = await _follow(engine, backlog, psutil.Process(child.pid))
        load = os.getloadavg()[0]
        until = await _quiet(engine, begun + engine.hold_seconds)
        details = await engine.details(backlog)
    finally:
        await stop(child, engine.log)
    values = engine.broker.values(since, until)
    judgement = await judge(values, backlog.expected, engine.said_in, engine.claim_of)
    await engine.clean()
    return Run(
        engine=engine.name,
        events=backlog.events,
        cpu_us=round((flown.cpu - start_cpu) / backlog.events * 1e6, 1),
        cpu_us_with_start=round(flown.cpu / backlog.events * 1e6, 1),
        events_per_second=round(backlog.events / (flown.done_at - flown.idle_until)),
        seconds=round(flown.done_at - begun, 1),
        memory_mb=flown.memory >> 20,
        main_thread_share=round(flown.main_thread_cpu / flown.cpu, 3),
        yardstick_us=(before, yardstick()),
        load=round(load, 1),
        judgement=judgement,
        details=details,
    )


class _Followed(NamedTuple):
    """Instants of the monotonic clock, CPU in seconds up to the end of the backlog, memory in bytes at its highest."""

    idle_until: float
    done_at: float
    cpu: float
    main_thread_cpu: float
    memory: int


async def _follow(engine: Engine, backlog: Backlog, process: psutil.Process) -> _Followed:
    idle_until = moved_at = time.monotonic()
    memory, done = 0, 0.0
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        if process.status() == psutil.STATUS_ZOMBIE:
            raise RunFailed(f"{engine.name} ended by itself, see {engine.log}")
        share, cpu, now = await engine.done(backlog), _cpu(process), time.monotonic()
        memory = max(memory, process.memory_info().rss)
        if share == 0:
            idle_until = now
        if share > done:
            done, moved_at = share, now
        elif now - moved_at > STALLED_SECONDS:
            raise RunFailed(f"{engine.name} stands still at {done:.0%}, see {engine.log}")
        if done >= 1:
            main = next(each for each in process.threads() if each.id == process.pid)
            return _Followed(idle_until, now, cpu, main.user_time + main.system_time, memory)


async def _quiet(engine: Engine, not_before: float) -> Offsets:
    ends, since = await engine.broker.ends(engine.results_topic), time.monotonic()
    while time.monotonic() < not_before or time.monotonic() - since < QUIET_SECONDS:
        await asyncio.sleep(SAMPLE_SECONDS)
        now = await engine.broker.ends(engine.results_topic)
        if now != ends:
            ends, since = now, time.monotonic()
    return ends


async def _start(engine: Engine) -> subprocess.Popen[bytes]:
    command, environ = await engine.prepare()
    engine.folder.mkdir()
    return spawn(command, environ, engine.log)


def _cpu(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)
