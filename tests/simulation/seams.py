"""Puts the fakes where the product reads the clock, throws dice and opens RocksDB; nothing else of it is replaced.

Several processes live in one: each has a context of its own, and the store of the running one is found through it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import rocksdict

from recon_stream import codec
from tables import transactions
from tables.store import Store
from tests.simulation import disk

T0 = 1_790_000_000.0
"""The epoch seconds at which virtual time begins: that of the judge's own streams."""

STORE: ContextVar[Store] = ContextVar("store")
"""The RocksDB store of the running process."""

_PACKAGES = ("recon_stream.pipeline", "recon_stream.redis", "recon_stream.transport", "tables")
WAITS = {"UNKNOWN_PAUSE_SECONDS": 0.1, "AWAY_SECONDS": 0.3, "TICK_SECONDS": 0.5, "POLL_SECONDS": 1.0}
"""Waiting times of the product that are other ones here, because virtual time costs real time too."""


def store_on(rows: dict[int, disk.Rdict]) -> Store:
    """The product's store over databases that are open already."""
    store: Any = Store.__new__(Store)
    store._dbs = rows
    return store  # type: ignore[no-any-return]


_compiled = codec._compiled
_functions: dict[tuple[Any, ...], Any] = {}


def _compiled_once(lines: list[str], *more: Any) -> Any:
    """Every lane compiles its own codecs, from the same source; five thousand seeds need not."""
    key = (*lines, *more)
    if key not in _functions:
        _functions[key] = _compiled(lines, *more)
    return _functions[key]


class _Table:
    @property
    def data(self) -> Store:
        return STORE.get()


@contextmanager
def simulated(
    now: Callable[[], float],
    machine_is_ahead: float,
    random_bytes: Callable[[int], bytes],
    changed: tuple[tuple[Any, str, Any], ...] = (),
) -> Iterator[None]:
    """The product with a virtual clock (`now`: seconds since the beginning), dice and disks, until the end of the block.

    The machine's own clock is `machine_is_ahead` seconds from the one by which brokers and banks go.

    `changed`: (module or class, name, what stands there instead), for broken copies.
    """
    clock = SimpleNamespace(
        time=lambda: T0 + machine_is_ahead + now(),
        time_ns=lambda: int((T0 + machine_is_ahead + now()) * 1_000_000_000),
        monotonic=now,
        perf_counter=time.perf_counter,  # only ever told to metrics
    )
    dice = SimpleNamespace(urandom=random_bytes)
    fakes: dict[int, object] = {id(time): clock, id(os): dice, id(rocksdict): disk.ROCKSDICT}
    undo: list[tuple[Any, str, object]] = []

    def put(module: Any, name: str, value: object) -> None:
        undo.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    modules = [module for name, module in sys.modules.items() if name.startswith(_PACKAGES)]
    try:
        for module in modules:
            for name, value in list(vars(module).items()):
                if id(value) in fakes:
                    put(module, name, fakes[id(value)])
                elif name in WAITS:
                    put(module, name, WAITS[name])
        put(transactions, "table", _Table())
        put(codec, "_compiled", _compiled_once)
        for where, name, value in changed:
            put(where, name, value)
        yield
    finally:
        for module, name, value in reversed(undo):
            setattr(module, name, value)
