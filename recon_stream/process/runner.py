"""Runs one role in this process: logging, lock, operations port, watchdog, Faust, and an end with a bound."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import faulthandler
import gc
import logging
import os
import platform
import shutil
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import mode.loop
from aiokafka.errors import KafkaError

from recon_stream import __version__
from recon_stream.apps import ReconApp
from recon_stream.errors import ConfigurationError, ReconError, TransientFailure
from recon_stream.metrics.catalogue import BUILD, RESTARTS
from recon_stream.process import exits
from recon_stream.process.logs import set_up_logging
from recon_stream.process.operations import Operations, owner_of
from recon_stream.process.state import lock_folder
from recon_stream.process.watchdog import Watchdog
from recon_stream.settings import Settings
from recon_stream.transport.reach import kafka_away

logger = logging.getLogger(__name__)

Check = Callable[[Settings], Awaitable[None]]

CRASH_STOP_TIMEOUT = 5.0
GC_THRESHOLDS = (500_000, 20, 50)


def run(app: ReconApp, *, supervised: bool = False, check: Check | None = None) -> int:
    """Run the application until SIGTERM, SIGINT or a crash; returns the exit code of the process.

    `supervised`: standard input is a pipe from the parent, and its end means that the parent is gone.
    `check` is awaited before the application starts and raises where it must not.
    Raises ConfigurationError where the process must not start.
    """
    mode.loop.use("uvloop")
    faulthandler.enable()
    set_up_logging(app.settings, app.role)
    lock = lock_folder(app.settings.state_dir / f"{app.role}-{app.settings.process_index}")
    BUILD.labels(__version__, app.role, platform.python_version()).set(1)
    RESTARTS.labels(app.role).inc(app.settings.process_restarts)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_live(app, supervised, check))
    finally:
        _cancel_all(loop)
        loop.close()
        lock.close()


async def _live(app: ReconApp, supervised: bool, check: Check | None) -> int:
    stop = asyncio.Event()
    _listen_for_the_end(stop, supervised)
    app.in_worker = True
    app.finalize()
    app.worker_init()
    app.discover()
    if app.conf.web_enabled:
        app.worker_init_post_autodiscover()
    watchdog = Watchdog(app)
    operations = Operations(app, watchdog.stalled)
    await operations.start()
    try:
        if check is not None:
            await check(app.settings)
        watchdog.start()
        code = await _until_the_end(app, stop)
        await watchdog.stop()
        return await _stopped(app, code)
    except TransientFailure as error:
        logger.critical("%s", error)
        return exits.CRASHED
    finally:
        await watchdog.stop()
        await operations.stop()


def _listen_for_the_end(stop: asyncio.Event, supervised: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if supervised:

        def parent_is_gone() -> None:
            if not os.read(sys.stdin.fileno(), 1):
                loop.remove_reader(sys.stdin.fileno())
                logger.warning("the parent process is gone")
                stop.set()

        loop.add_reader(sys.stdin.fileno(), parent_is_gone)


async def _until_the_end(app: ReconApp, stop: asyncio.Event) -> int:
    """Start, work, and come back when asked to stop (0) or crashed (not 0)."""
    logger.info("starting pid=%d operations=127.0.0.1:%d", os.getpid(), app.operations_port)
    starting = asyncio.ensure_future(app.start())
    asked = asyncio.ensure_future(stop.wait())
    ended = asyncio.ensure_future(_ended(app))
    try:
        await asyncio.wait({starting, asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and not asked.done() and not ended.done():
            starting.result()
            # What lives now lives for ever: scanning it again and again made pure code four times dearer.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            logger.info("started")
            await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            logger.critical("cannot start: %s", error)
            return exits.CRASHED
        port = app.conf.web_port
        raise ConfigurationError(f"web port {port} is taken by {owner_of(port)}; set RECON_WEB_PORT") from error
    except KafkaError as error:
        logger.critical("%s", await kafka_away(app.settings, error))
        return exits.CRASHED
    finally:
        for task in (starting, asked, ended):
            task.cancel()
        await asyncio.wait({starting, asked, ended})
        if starting.done() and not starting.cancelled():
            starting.exception()  # told above, or below as the reason of the crash
    if app.crash_reason is not None:
        if is_damage(app.crash_reason):
            set_aside(Path(app.conf.tabledir))
        is_kafka = isinstance(app.crash_reason, KafkaError)
        return _told(await kafka_away(app.settings, app.crash_reason) if is_kafka else app.crash_reason)
    return exits.CLEAN if stop.is_set() else exits.CRASHED


async def _ended(app: ReconApp) -> None:
    # Polled, because a thread of Faust that crashes sets the flag without waking this loop.
    while not app.should_stop:  # noqa: ASYNC110
        await asyncio.sleep(0.2)


def is_damage(reason: BaseException) -> bool:
    """Whether RocksDB found the state on this disk damaged: a checksum does not hold, or a file of its own is gone."""
    text = str(reason)
    return "Corruption: " in text or ("IO error: " in text and "No such file or directory" in text)


def set_aside(tables: Path) -> None:
    """Move damaged state out of the way: the next start makes it again from the changelog, which is the authority.

    The files stay for whoever wants to know, until the next damage replaces them.
    """
    if not tables.exists():
        return  # somebody has deleted it already
    aside = tables.with_name(f"{tables.name}-damaged")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        tables.rename(aside)
    except OSError as error:
        logger.critical("the state in %s is damaged and cannot be moved (%s): delete it", tables, error)
        return
    logger.error("the state is damaged: moved to %s, the next start makes it again from the changelog", aside)


def _told(reason: BaseException) -> int:
    if isinstance(reason, ReconError):
        logger.critical("%s", reason)
    else:
        logger.critical("crashed: %r", reason, exc_info=reason)
    return exits.CONFIGURATION if isinstance(reason, ConfigurationError) else exits.CRASHED


async def _stopped(app: ReconApp, code: int) -> int:
    """Stop reading, finish the units in flight, commit, close; after the bound the process ends as it is."""
    bound = app.settings.stop_timeout if code == exits.CLEAN else CRASH_STOP_TIMEOUT
    # Joining Faust's consumer thread blocks the loop, so the bound is kept by a thread.
    timer = threading.Timer(bound, _give_up, (bound, code or exits.STOP_TIMED_OUT))
    timer.daemon = True
    timer.start()
    logger.info("stopping: units in flight are finished within %.0f s", bound)
    with contextlib.suppress(asyncio.CancelledError):
        await app.stop()
    timer.cancel()
    logger.info("stopped")
    return code


def _give_up(bound: float, code: int) -> NoReturn:
    logger.critical("not stopped within %.0f s, ending; what was not committed is read again", bound)
    logging.shutdown()
    os._exit(code)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    deadline = time.monotonic() + CRASH_STOP_TIMEOUT
    # again and again: a pool that connects to PostgreSQL passes over the first time, and would be waited for without end
    while (tasks := asyncio.all_tasks(loop)) and time.monotonic() < deadline:
        for task in tasks:
            task.cancel()
        ended, _ = loop.run_until_complete(asyncio.wait(tasks, timeout=0.1))
        for task in ended:
            if not task.cancelled():
                task.exception()  # who waited for it was told; unread, it would be told again
    loop.run_until_complete(loop.shutdown_asyncgens())
