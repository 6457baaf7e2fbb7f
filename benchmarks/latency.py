"""`make bench-latency`: from a record in Kafka to its verdict in recon_results, and CPU an event, at steady rates."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import click
import orjson
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks.children import RunFailed, spawn, stop
from benchmarks.engines import build_product, native_folder
from benchmarks.machine import description, yardstick
from recon_stream.avro import decode
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.errors import ReconError
from recon_stream.registration import register_schemas
from recon_stream.settings import Settings, load_settings, read_env_file
from recon_stream.stack import local
from recon_stream.stack.ports import free_ports
from recon_stream.topics import RESULTS, create_topics

RESULTS_FOLDER = Path(__file__).parent / "results"
WARM_SECONDS = 8.0
"""After its first records a feed and a worker are left alone for so long before anything counts."""
TOLD_EACH = 7
"""Every so manieth result is decoded: the observer must not need the core that it observes."""
READY_SECONDS = 60.0
HEADINGS = ("events/s", "seen/s", "p50 ms", "p95 ms", "p99 ms", "most ms", "CPU us", "units/s", "load")

console = Console()


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


class Worker:
    """A worker from the native build, and what it tells of itself."""

    def __init__(self, settings: Settings, folder: Path, number: int) -> None:
        self.port = free_ports(1)[0]
        state = folder / f"latency-{number}"
        environ = read_env_file(settings.state_dir / "stack.env") | {
            "RECON_STATE_DIR": str(state),
            "RECON_APP_ID": f"latency-{number}",
            "RECON_OPERATIONS_PORT": str(self.port),
            "PYTHONPATH": str(native_folder(folder)),
            "PYTHONSAFEPATH": "1",
        }
        self.log = folder / f"latency-{number}.log"
        self.child = spawn([sys.executable, "-m", "recon_stream", "worker"], environ, self.log)

    async def told(self) -> dict[str, float]:
        """Sums of its counters; empty before it listens."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                text = await answer.text()
        except aiohttp.ClientConnectionError:
            return {}
        sums: dict[str, float] = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                sums[name] = sums.get(name, 0.0) + float(value)
        return sums

    def cpu(self) -> float:
        """User and system seconds so far."""
        times = psutil.Process(self.child.pid).cpu_times()
        return times.user + times.system


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
    worker = Worker(settings, folder, number)
    feed: subprocess.Popen[bytes] | None = None
    feed_log = folder / f"feed-{number}.log"
    latencies: list[float] = []
    counting = asyncio.Event()
    observer = asyncio.create_task(observe(settings, latencies, counting))
    try:
        await until_ready(worker)
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
        await stop(worker.child, worker.log)
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


async def until_ready(worker: Worker) -> None:
    """Until the worker has its partitions; raises RunFailed where it ends or takes too long."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and worker.child.poll() is None:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"http://127.0.0.1:{worker.port}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass  # it does not listen yet
        await asyncio.sleep(0.2)
    raise RunFailed(f"the worker is not ready, see {worker.log}")


async def until_caught_up(settings: Settings, worker: Worker) -> None:
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
    await local.up(settings)
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
def main(rates: tuple[int, ...], seconds: float) -> None:
    """Measure latency and CPU of one worker at steady RATEs of events a second."""
    folder = Path(tempfile.mkdtemp(prefix="recon-latency-"))
    folder.chmod(0o711)  # PostgreSQL passes through it as a user of its own where root measures
    settings = load_settings({"RECON_STATE_DIR": str(folder / "stack"), "RECON_STACK_PORTS": "free"})
    try:
        runs = asyncio.run(measure_all(settings, folder, rates, seconds))
    except (ReconError, RunFailed) as error:
        console.print(f"[red]{error}[/]")
        raise SystemExit(2) from error
    finally:
        asyncio.run(local.down(load_settings({"RECON_STATE_DIR": str(settings.state_dir)})))
    table = Table(title="Milliseconds from the causing record to its result; CPU of the worker an event")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(*run.cells())
    console.print(table)
    now = datetime.now(UTC)
    content = {
        "measured_at": now.isoformat(timespec="seconds"), "machine": description(), "seconds": seconds,
        "runs": [asdict(run) for run in runs],
    }  # fmt: skip
    path = RESULTS_FOLDER / f"latency-{now:%Y%m%dT%H%M%SZ}.json"
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    console.print(f"Written to {path}", soft_wrap=True)


if __name__ == "__main__":
    main()
