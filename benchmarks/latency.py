"""`make bench-latency`: from a record in Kafka to its verdict in recon_results, and CPU an event, at steady rates."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import inf
from pathlib import Path

import click
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.children import RunFailed, spawn, stop
from benchmarks.engines import build_product
from benchmarks.machine import yardstick
from benchmarks.roles import Role
from benchmarks.session import console, measured, tell
from recon_stream.avro import decode
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.registration import register_schemas
from recon_stream.settings import Settings, load_settings, read_env_file
from recon_stream.stack import local
from recon_stream.stack.services import DATA_PATH
from recon_stream.topics import RESULTS, create_topics

WARM_SECONDS = 8.0
"""After its first records a feed and a worker are left alone for so long before anything counts."""
TOLD_EACH = 7
"""Every so manieth result is decoded: the observer must not need the core that it observes."""
READY_SECONDS = 60.0
LATENCY_MS_MAX = {1_000: 50, 5_000: 80}
"""By the rate, of 95 in 100 results."""
CPU_US_MAX = {1_000: 200}
HEADINGS = ("events/s", "seen/s", "p50 ms", "p95 ms", "p99 ms", "most ms", "CPU us", "units/s", "load")


@dataclass(frozen=True, slots=True)
class Run:
    """One steady rate. Milliseconds from the Kafka timestamp of the causing record to the arrival of its result here.

    `cpu_us`: user + system of the worker an event, in microseconds. `units`: units of work of all lanes a second.
    """

    rate: int
    seen: int
    p50: float
    p95: float
    p99: float
    most: float
    cpu_us: float
    units: float
    load: float
    yardstick_us: float

    def cells(self) -> tuple[str, ...]:
        """A line of the table, by HEADINGS."""
        return (
            f"{self.rate:,}", f"{self.seen:,}", f"{self.p50:.0f}", f"{self.p95:.0f}", f"{self.p99:.0f}",
            f"{self.most:.0f}", f"{self.cpu_us:.0f}", f"{self.units:.0f}", f"{self.load:.1f}",
        )  # fmt: skip


async def observe(settings: Settings, latencies: list[float], counting: asyncio.Event) -> None:
    """Note how old results are when they arrive, while `counting`; until cancelled."""
    consumer = AIOKafkaConsumer(**settings.kafka_client(), group_id=None, fetch_max_wait_ms=20)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(RESULTS, number) for number in range(settings.partitions)])
        await consumer.seek_to_end()
        while True:
            answer = await consumer.getmany(timeout_ms=200)
            now = time.time() * 1000
            if counting.is_set():
                latencies += [
                    now - decode("reconciliation_result", record.value)["decided_at"]
                    for records in answer.values()
                    for record in records
                    if record.offset % TOLD_EACH == 0
                ]
    finally:
        await consumer.stop()


async def measure(settings: Settings, folder: Path, number: int, rate: int, seconds: float) -> Run:
    """One rate: start a worker and a feed, warm up, measure for so many seconds."""
    own = replace(settings, app_id=f"latency-{number}")
    await create_topics(own)
    worker = Role("worker", own, folder)
    feed: subprocess.Popen[bytes] | None = None
    feed_log = folder / f"feed-{number}.log"
    latencies: list[float] = []
    counting = asyncio.Event()
    observer = asyncio.create_task(observe(settings, latencies, counting))
    try:
        await worker.until_ready(READY_SECONDS)
        await until_caught_up(settings, worker)
        feed = start_feed(settings, rate, 1000 + number, feed_log)
        await asyncio.sleep(WARM_SECONDS)
        before, cpu, begun = await worker.told(), worker.cpu(), time.monotonic()
        counting.set()
        await asyncio.sleep(seconds)
        after, cpu, took = await worker.told(), worker.cpu() - cpu, time.monotonic() - begun
        counting.clear()
        load = psutil.getloadavg()[0]
    finally:
        observer.cancel()
        if feed is not None:
            await stop(feed, feed_log)
        await worker.stop()
    events = after["recon_events_total"] - before["recon_events_total"]
    units = after["recon_batch_records_count"] - before["recon_batch_records_count"]
    if len(latencies) < 100 or not events:
        raise RunFailed(f"too few results at {rate} events/s, see {worker.log}")
    cuts = statistics.quantiles(latencies, n=100)
    return Run(
        rate, round(events / took), round(cuts[49], 1), round(cuts[94], 1), round(cuts[98], 1),
        round(max(latencies), 1), round(cpu / events * 1e6, 1), round(units / took, 1), round(load, 1), yardstick(),
    )  # fmt: skip


def start_feed(settings: Settings, rate: int, seed: int, log: Path) -> subprocess.Popen[bytes]:
    """Endless transactions without faults, three events each, at that many events a second."""
    command = [sys.executable, "-m", "recon_stream", "produce", "--clean", "--forever", "--json"]
    command += ["--rate", str(rate / 3), "--seed", str(seed)]
    return spawn(command, read_env_file(settings.state_dir / "stack.env"), log)


async def until_caught_up(settings: Settings, worker: Role) -> None:
    """Until the worker has read what the feeds of the rates before have left."""
    async with AIOKafkaConsumer(**settings.kafka_client(), group_id=None) as consumer:
        sources = [TopicPartition(topic, number) for topic in SOURCE_TOPICS for number in range(settings.partitions)]
        left = sum((await consumer.end_offsets(sources)).values())
    while (await worker.told()).get("recon_events_total", 0.0) < left:
        if worker.child.poll() is not None:
            raise RunFailed(f"the worker ended, see {worker.log}")
        await asyncio.sleep(0.2)


async def measure_all(settings: Settings, folder: Path, rates: Sequence[int], seconds: float) -> list[Run]:
    """All rates on one stack, a fresh worker each."""
    build_product(folder)
    await local.up(settings, services=DATA_PATH)
    settings = load_settings({"RECON_STATE_DIR": str(settings.state_dir)})
    await create_topics(settings)
    await register_schemas(settings)
    runs = []
    for number, rate in enumerate(rates):
        runs.append(await measure(settings, folder, number, rate, seconds))
        console.print("  ".join(f"{cell} {heading}" for heading, cell in zip(HEADINGS, runs[-1].cells(), strict=True)))
    return runs


@click.command()
@click.option("--rate", "rates", type=click.IntRange(30), multiple=True, default=(1_000, 5_000, 10_000))
@click.option("--seconds", type=click.FloatRange(5), default=20.0, show_default=True)
@click.option("--publish", "publishing", is_flag=True, help="Put the figures into docs/performance.md.")
def main(rates: tuple[int, ...], seconds: float, publishing: bool) -> None:
    """Measure latency and CPU of one worker at steady RATEs of events a second.

    Exit code 1 where a bar is missed.
    """
    runs = measured(partial(measure_all, rates=rates, seconds=seconds))
    raise SystemExit(report(runs, seconds, publishing))


def report(runs: Sequence[Run], seconds: float, publishing: bool) -> int:
    """Show the table, write the results; the exit code."""
    held = all(
        run.p95 < LATENCY_MS_MAX.get(run.rate, inf) and run.cpu_us < CPU_US_MAX.get(run.rate, inf) for run in runs
    )
    bars = ", ".join(f"{most} ms at {rate:,}" for rate, most in LATENCY_MS_MAX.items())
    bars += "".join(f", {most} us at {rate:,}" for rate, most in CPU_US_MAX.items())
    noise = [run.yardstick_us for run in runs]
    verdict = (
        f"p95 and CPU an event: bars ({bars}) {'held' if held else 'missed'}; {seconds:.0f} s at each rate; "
        f"yardstick {min(noise):.2f}-{max(noise):.2f} us"
    )
    tell(
        "latency",
        "Milliseconds from the causing record to its result; CPU of the worker an event",
        HEADINGS,
        [run.cells() for run in runs],
        verdict,
        {"seconds": seconds, "runs": [asdict(run) for run in runs]},
        publishing=publishing,
    )
    return 0 if held else 1


if __name__ == "__main__":
    main()
