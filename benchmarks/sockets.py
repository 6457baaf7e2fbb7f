"""`make bench-sockets`: how old results are when they arrive at many sockets of one web process."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click
import orjson
import psutil

from benchmarks.children import RunFailed, spawn, stop
from benchmarks.listeners import Heard, Orders
from benchmarks.machine import yardstick
from benchmarks.session import console, measured, tell
from benchmarks.updates import Writer, matched
from recon_stream.security.commands import obtain
from recon_stream.security.realm import demo_users
from recon_stream.settings import Settings, load_settings, read_env_file
from recon_stream.stack import local
from recon_stream.stack.ports import free_ports
from recon_stream.stack.services import SERVICES
from recon_stream.storage.migrate import migrate
from recon_stream.topics import RESULTS, create_topics

HOST = "127.0.0.1"
WARM_SECONDS = 5.0
BAR_MS = 300.0
MOVED_MAX = 1.25
HEADINGS = (
    "sockets", "silent", "too slow", "results/s", "p50", "p95", "p99", "most", "MB/s", "cores", "MB", "closed", "load",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement. Milliseconds from Kafka's timestamp of a record in recon_results to its arrival at a socket.

    `megabytes` a second to all sockets together; `cores` that the web process used; `memory` at its highest, in MB; `closed`: of the
    sockets that read, those that were closed; `too_slow`: of those that never read, those that were.
    """

    sockets: int
    silent: int
    rate: int
    p50: float
    p95: float
    p99: float
    most: float
    megabytes: float
    cores: float
    memory: int
    closed: int
    too_slow: int
    load: float
    yardstick_us: float

    def cells(self) -> tuple[str, ...]:
        """A line of the table, by HEADINGS."""
        return (
            f"{self.sockets:,}", str(self.silent), str(self.too_slow), f"{self.rate:,}", f"{self.p50:.0f}",
            f"{self.p95:.0f}", f"{self.p99:.0f}", f"{self.most:.0f}", f"{self.megabytes:.0f}", f"{self.cores:.2f}",
            f"{self.memory:,}", str(self.closed), f"{self.load:.1f}",
        )  # fmt: skip


async def measure(settings: Settings, folder: Path, sockets: int, silent: int, rate: int, seconds: float) -> Run:
    """One web process, so many sockets of it that read and that never do."""
    port, operations_port = free_ports(2)
    environ = read_env_file(settings.state_dir / "stack.env") | {
        "RECON_STATE_DIR": str(folder / "web"), "RECON_WEB_PORT": str(port),
        "RECON_OPERATIONS_PORT": str(operations_port - 40), "RECON_RATE_LIMIT_DEFAULT": "100000",
        "RECON_SOCKETS_MAX": "10000", "RECON_SOCKETS_PER_USER": "10000",
    }  # fmt: skip
    log = folder / "web.log"
    child = spawn([sys.executable, "-m", "recon_stream", "web"], environ, log)
    process = psutil.Process(child.pid)
    try:
        await _listens(port, log)
        granted = await obtain(settings, demo_users()[:1])
        orders = Orders(HOST, port, granted[0].token, sockets, silent, WARM_SECONDS, seconds)
        listeners = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.listeners", stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=1 << 30
        )
        assert listeners.stdin is not None
        assert listeners.stdout is not None
        assert listeners.stderr is not None
        listeners.stdin.write(orjson.dumps(asdict(orders)))
        listeners.stdin.write_eof()
        if (line := await listeners.stderr.readline()) != b"connected\n":
            raise RunFailed((line + await listeners.stderr.read()).decode())
        async with Writer(settings, rate, matched(), [RESULTS]).writing():
            await asyncio.sleep(WARM_SECONDS)
            before, memory, begun = process.cpu_times(), 0, time.monotonic()
            output = asyncio.create_task(listeners.stdout.read())
            while time.monotonic() - begun < seconds:
                await asyncio.sleep(0.25)
                memory = max(memory, process.memory_info().rss)
            after, took = process.cpu_times(), time.monotonic() - begun
            load = psutil.getloadavg()[0]
            heard = Heard(**orjson.loads(await output))
            await listeners.wait()
            too_slow = await _too_slow(operations_port)
    finally:
        await stop(child, log)
    if len(heard.ages) < 100:
        raise RunFailed(f"too few messages arrived, see {log}")
    cuts = statistics.quantiles(heard.ages, n=100)
    cores = (after.user + after.system - before.user - before.system) / took
    return Run(
        sockets, silent, rate, round(cuts[49], 1), round(cuts[94], 1), round(cuts[98], 1), round(max(heard.ages), 1),
        round(heard.received / seconds / 1e6, 1), round(cores, 2), memory >> 20, heard.closed, too_slow,
        round(load, 1), yardstick(),
    )  # fmt: skip


async def _listens(port: int, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.close()
        return
    raise RunFailed(f"the web process does not listen, see {log}")


async def _too_slow(operations_port: int) -> int:
    reader, writer = await asyncio.open_connection(HOST, operations_port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    found = [line for line in text.splitlines() if line.startswith('recon_live_closed_total{code="4008"}')]
    return int(float(found[0].split(" ")[1])) if found else 0


async def measure_all(settings: Settings, folder: Path, sockets: int, rate: int, seconds: float) -> list[Run]:
    """Without and with clients that never read, a tenth as many as those that do."""
    await local.up(settings, services=SERVICES)
    settings = load_settings({"RECON_STATE_DIR": str(settings.state_dir)})
    await create_topics(settings)
    await migrate(settings.database_owner_url)
    runs = []
    for silent in (0, max(1, sockets // 10)):
        runs.append(await measure(settings, folder, sockets, silent, rate, seconds))
        console.print("  ".join(f"{cell} {heading}" for heading, cell in zip(HEADINGS, runs[-1].cells(), strict=True)))
    return runs


@click.command()
@click.option("--sockets", type=click.IntRange(10), default=500, show_default=True)
@click.option("--rate", type=click.IntRange(10), default=2000, show_default=True, help="Results a second.")
@click.option("--seconds", type=click.FloatRange(5), default=20.0, show_default=True)
@click.option("--publish", "publishing", is_flag=True, help="Put the figures into docs/performance.md.")
def main(sockets: int, rate: int, seconds: float, publishing: bool) -> None:
    """Measure how old results are when they arrive at SOCKETS sockets that are told everything.

    Exit code 1 where a bar is missed.
    """
    runs = measured(partial(measure_all, sockets=sockets, rate=rate, seconds=seconds))
    raise SystemExit(report(runs, seconds, publishing))


def report(runs: Sequence[Run], seconds: float, publishing: bool) -> int:
    """Show the table, write the results; the exit code."""
    alone, beside_silent = runs
    moved = beside_silent.p95 / alone.p95
    held = alone.p95 < BAR_MS and moved <= MOVED_MAX and not any(run.closed for run in runs)
    verdict = (
        f"p95 {alone.p95:.0f} ms (bar: {BAR_MS:.0f}), {moved:.2f} times that beside sockets that never read (bar: {MOVED_MAX}), "
        f"no socket that reads is closed: {'held' if held else 'missed'}; {seconds:.0f} s each; "
        f"yardstick {alone.yardstick_us:.2f}-{beside_silent.yardstick_us:.2f} us"
    )
    tell(
        "sockets",
        "Milliseconds from a record in recon_results to its arrival at a socket",
        HEADINGS,
        [run.cells() for run in runs],
        verdict,
        {"seconds": seconds, "runs": [asdict(run) for run in runs]},
        publishing=publishing,
    )
    return 0 if held else 1


if __name__ == "__main__":
    main()
