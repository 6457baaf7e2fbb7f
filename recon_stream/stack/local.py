"""Start, look at and stop the local stack: the interface for commands, the demo and the tests.

    settings = load_settings()
    await local.up(settings)            # downloads once, starts what does not run, returns when all is healthy
    settings = load_settings()          # now with the addresses and passwords of .recon/stack.env

A service is a process of its own session, recorded by pid and start under run/: it outlives its starter, and nothing else is
ever stopped.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from recon_stream.settings import Settings
from recon_stream.stack import downloads, process, state
from recon_stream.stack.errors import PortTaken, StackBusy, StartFailed
from recon_stream.stack.files import ensure_space, try_lock
from recon_stream.stack.ports import holder, is_free
from recon_stream.stack.service import Context, Service
from recon_stream.stack.services import SERVICES
from recon_stream.stack.state import PORT_SETTINGS, Folders, State

LOCK_WAIT = 120.0  # seconds that another up, down or reset of the same state folder may take
PROBE_TIMEOUT = 8.0
PROBE_PAUSE = 0.1
DATA_SPACE = 512 << 20  # bytes that must be free to start


class Progress(downloads.Progress, Protocol):
    """What `up` tells while it works; the downloads do so from several threads."""

    def service(self, service: Service, step: str) -> None:
        """A service is at a step: unpacking, preparing, starting, healthy, already up, stopping, stopped."""


class Silent:
    """Progress for those who do not look."""

    def downloading(self, total: int) -> None: ...

    def received(self, count: int) -> None: ...

    def service(self, service: Service, step: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One line of `status`; memory is resident bytes, uptime seconds; state: healthy, unhealthy or stopped."""

    service: str
    title: str
    state: str
    pid: int | None
    port: int | None
    memory: int | None
    uptime: float | None
    version: str
    log: str
    detail: str = ""


async def up(
    settings: Settings, progress: Progress | None = None, services: Sequence[Service] = SERVICES
) -> list[ServiceStatus]:
    """Start what does not run of the services, wait until they are healthy, and return their status.

    Raises PortTaken, DownloadRefused, ChecksumMismatch, DiskFull, StartFailed, StackBusy, UnsupportedPlatform. What
    started before an error goes on running: the next `up` continues there.
    """
    progress = progress or Silent()
    folders = Folders.of(settings)
    folders.make()
    async with _locked(folders) as lock:
        running = {service.name for service in SERVICES if process.running(folders.record(service.name))}
        absent = [service for service in services if service.name not in running]
        known = state.load(folders)
        if absent or known is None or not known.is_current:
            ensure_space(folders.root, DATA_SPACE)
            held = {port for service in SERVICES if service.name in running for port in service.ports}
            known = state.prepare(folders, settings, held)
        context = Context(settings, folders, known, downloads.Cache(folders.cache), lock)
        if absent:
            _check_ports(absent, context)
            await _fetch(absent, context.cache, progress)
        healthy = {service.name: asyncio.Event() for service in services}
        jobs = [asyncio.create_task(_bring_up(service, context, healthy, progress)) for service in services]
        try:
            await asyncio.gather(*jobs)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
    return await status(settings, services)


async def download(
    settings: Settings, progress: Progress | None = None, services: Sequence[Service] = SERVICES
) -> None:
    """Fetch the archives of the services that are not in the cache yet, as `up` does; for those who want to start without a network later.

    Raises DownloadRefused, ChecksumMismatch, DiskFull, NotWritable.
    """
    await _fetch(services, downloads.Cache(Folders.of(settings).cache), progress or Silent())


async def down(settings: Settings, progress: Progress | None = None) -> list[str]:
    """Stop what `up` started, those that need others first; returns the names of what ran. Raises StopFailed."""
    progress = progress or Silent()
    folders = Folders.of(settings)
    if not folders.root.is_dir():
        return []
    async with _locked(folders):
        return await _stop_all(folders, progress)


async def reset(settings: Settings, progress: Progress | None = None) -> None:
    """Stop the stack, delete its data, logs, ports and passwords and the workers' state; downloads stay. Raises StopFailed."""
    folders = Folders.of(settings)
    if not folders.root.is_dir():
        return
    async with _locked(folders):
        await _stop_all(folders, progress or Silent())
        await asyncio.to_thread(folders.remove_data, tuple(service.name for service in SERVICES))
        for role in settings.state_dir.glob("*-worker-[0-9]*"):
            # what a worker remembers points into a changelog that is gone with the broker's data
            await asyncio.to_thread(shutil.rmtree, role)


async def status(settings: Settings, services: Sequence[Service] = SERVICES) -> list[ServiceStatus]:
    """The services as they are now; asks each for its health."""
    folders = Folders.of(settings)
    known = state.load(folders)
    context = Context(settings, folders, known, downloads.Cache(folders.cache)) if known else None
    return list(await asyncio.gather(*(_status(service, folders, context) for service in services)))


async def _status(service: Service, folders: Folders, context: Context | None) -> ServiceStatus:
    pid = process.running(folders.record(service.name))
    log, port = str(folders.log(service.name)), context.state.ports.get(service.ports[0]) if context else None
    if pid is None or context is None:
        return ServiceStatus(service.name, service.title, "stopped", None, port, None, None, service.version, log)
    condition, detail = "healthy", ""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            await service.probe(context)
    except Exception as error:  # whatever a client raises is the answer here
        condition, detail = "unhealthy", " ".join(str(error).split()) or type(error).__name__
    memory, uptime = _measured(pid)
    return ServiceStatus(
        service.name, service.title, condition, pid, port, memory, uptime, service.version, log, detail
    )


def _measured(pid: int) -> tuple[int | None, float | None]:
    """Resident bytes, with those of child processes, and seconds since the start."""
    try:
        top = psutil.Process(pid)
        memory = top.memory_info().rss
        memory += sum(max(0, child.memory_info().rss - child.memory_info().shared) for child in top.children())
        return memory, time.time() - top.create_time()
    except psutil.Error:
        return None, None


def _check_ports(absent: list[Service], context: Context) -> None:
    for service in absent:
        for name in service.ports:
            port = context.port(name)
            if not is_free(port):
                variable = _variable(name)
                raise PortTaken(f"Port {port} of {service.title} ({variable}) is taken by {holder(port)}")


def _variable(name: str) -> str:
    return f"RECON_{PORT_SETTINGS[name].upper()}"


async def _fetch(services: Sequence[Service], cache: downloads.Cache, progress: Progress) -> None:
    """Download in a thread of its own, which ends when this task is cancelled."""
    wanted = [artifact for service in services for artifact in service.artifacts()]
    stop = threading.Event()
    try:
        await asyncio.to_thread(cache.fetch, wanted, progress, stop)
    finally:
        stop.set()


async def _bring_up(service: Service, context: Context, healthy: dict[str, asyncio.Event], progress: Progress) -> None:
    """Start one service when those it needs are healthy, and wait until it is; other services start meanwhile."""
    folders = context.folders
    record, log_file = folders.record(service.name), folders.log(service.name)
    before, already = 0, process.running(record) is not None
    if not already:
        progress.service(service, "unpacking")
        await asyncio.to_thread(service.unpack, context)
        progress.service(service, "preparing")
        command = await asyncio.to_thread(service.prepare, context)
        for name in service.needs:
            await healthy[name].wait()
        progress.service(service, "starting")
        before = process.size(log_file)
        await asyncio.to_thread(process.launch, command, record, log_file, context.lock)
    await _until_healthy(service, context, before)
    await service.configure(context)
    healthy[service.name].set()
    progress.service(service, "already up" if already else "healthy")


async def _until_healthy(service: Service, context: Context, before: int) -> None:
    """Ask until it is healthy; an error shows what its log says since byte `before`."""
    record, log_file = context.folders.record(service.name), context.folders.log(service.name)
    deadline = time.monotonic() + service.start_timeout
    while True:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await service.probe(context)
        except StartFailed:
            raise
        except Exception as error:  # not yet: every client has its own errors for that
            reason = " ".join(str(error).split()) or type(error).__name__
        else:
            return
        if process.running(record) is None:
            raise StartFailed(_ended(service, context, before))
        if time.monotonic() > deadline:
            raise StartFailed(
                f"{service.title} is not healthy after {service.start_timeout:.0f} s ({reason}); log {log_file}\n"
                + "\n".join(process.tail(log_file, since=before))
            )
        await asyncio.sleep(PROBE_PAUSE)


def _ended(service: Service, context: Context, before: int) -> str:
    """Why a service may have ended: another took its port meanwhile, or what its log says."""
    log_file = context.folders.log(service.name)
    for name in service.ports:
        if not is_free(context.port(name)):
            return f"Port {context.port(name)} of {service.title} ({_variable(name)}) was taken by {holder(context.port(name))}"
    return f"{service.title} ended while it started; the end of {log_file}:\n" + "\n".join(
        process.tail(log_file, since=before)
    )


async def _stop_all(folders: Folders, progress: Progress) -> list[str]:
    stopped: list[str] = []

    async def stop(service: Service) -> None:
        if process.running(folders.record(service.name)) is not None:
            progress.service(service, "stopping")
        record = folders.record(service.name)
        if await asyncio.to_thread(process.stop, record, service.stop_signal, service.stop_timeout):
            stopped.append(service.name)
            progress.service(service, "stopped")

    needed = {name for service in SERVICES for name in service.needs}
    await asyncio.gather(*(stop(service) for service in SERVICES if service.name not in needed))
    await asyncio.gather(*(stop(service) for service in SERVICES if service.name in needed))
    return stopped


@asynccontextmanager
async def _locked(folders: Folders) -> AsyncIterator[int]:
    """One up, down or reset of a state folder at a time."""
    deadline = time.monotonic() + LOCK_WAIT
    path = folders.root / "stack.lock"
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise StackBusy(f"{path} is held by another command for more than {LOCK_WAIT:.0f} s")
        await asyncio.sleep(0.1)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def log_file(settings: Settings, service: str) -> Path:
    """Where a service writes its log."""
    return Folders.of(settings).log(service)


def read_state(settings: Settings) -> State | None:
    """Ports and passwords of the stack, the superuser's of PostgreSQL too; for tests."""
    return state.load(Folders.of(settings))
