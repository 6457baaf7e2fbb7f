"""Folders, locks and free space, with errors that say what to do."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recon_stream.stack.errors import DiskFull, NotWritable, StackBusy

SPARE = 256 << 20  # bytes that stay free beside what is asked for


def make_folder(path: Path, mode: int = 0o755) -> Path:
    """Create the folder and its parents; raises NotWritable, DiskFull."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise_for_disk(error, path)
        raise
    return path


def raise_for_disk(error: OSError, path: Path) -> None:
    """Turn a full disk, an exceeded quota or a refused write into the error that says so; others pass."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise DiskFull(f"No space left for {path}") from error
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        raise NotWritable(f"{path} cannot be written ({os.strerror(error.errno)})") from error


def ensure_space(path: Path, needed: int) -> None:
    """Raise DiskFull unless `needed` bytes and SPARE more are free where `path` is or will be."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed + SPARE:
        raise DiskFull(f"{place} has {free >> 20} MB free, {(needed + SPARE) >> 20} MB are needed")


def try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock file until it is closed, by the kernel if its holder dies; None: another has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise_for_disk(error, path)
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def exclusive(path: Path, wait: float, stop: threading.Event) -> Iterator[None]:
    """Hold a lock file; raises StackBusy after `wait` seconds, InterruptedError when `stop` is set meanwhile."""
    deadline = time.monotonic() + wait
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise StackBusy(f"{path} is held by another command for more than {wait:.0f} s")
        if stop.wait(0.1):
            raise InterruptedError(f"gave up waiting for {path}")
    try:
        yield
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner alone from the first byte."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        half.unlink(missing_ok=True)
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise_for_disk(error, path)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; a missing or broken file is empty, because all that we write there can be made again."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
