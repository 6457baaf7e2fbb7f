"""The list of scenarios, and running one of them."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from tests.faults.bench import Bench
from tests.faults.outcome import REST_OF_CONTROLS_SECONDS, REST_SECONDS, Row, outcome
from tests.faults.stack import Stack

SCENARIO_SECONDS = 1200.0
"""None takes so long; one that does says where it hangs, and breaks off."""

Act = Callable[[Bench], Awaitable[None]]
AREAS = ("crashes", "groups", "state", "services", "data", "controls")


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is broken. `act` starts the processes, feeds, breaks, heals, and stops the feed."""

    name: str
    about: str
    act: Act
    quick: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the Bench."""
    must_fail: bool = False
    """A negative control: the harness has to find something wrong."""


SCENARIOS: dict[str, Scenario] = {}


def scenario(about: str, *, quick: bool = False, must_fail: bool = False, **options: Any) -> Callable[[Act], Act]:
    """Register a function as a scenario under its name."""

    def register(act: Act) -> Act:
        name = act.__name__.replace("_", "-")
        assert name not in SCENARIOS
        SCENARIOS[name] = Scenario(name, about, act, quick, options, must_fail)
        return act

    return register


def load() -> dict[str, Scenario]:
    """All scenarios, in their order."""
    for area in AREAS:
        import_module(f"tests.faults.{area}")
    return SCENARIOS


async def run(stack: Stack, which: Scenario, seed: int, say: Callable[[str], None]) -> Row:
    """Run a scenario to its row."""
    began = time.monotonic()
    watch = asyncio.get_running_loop().call_later(SCENARIO_SECONDS, say_where, say)
    try:
        async with asyncio.timeout(SCENARIO_SECONDS + 10):
            return await act_and_judge(stack, which, seed, say, began)
    finally:
        watch.cancel()


def say_where(say: Callable[[str], None]) -> None:
    """Where everything hangs."""
    for task in asyncio.all_tasks():
        text = io.StringIO()
        task.print_stack(file=text)
        say(text.getvalue())


async def act_and_judge(stack: Stack, which: Scenario, seed: int, say: Callable[[str], None], began: float) -> Row:
    """The scenario without a bound."""
    async with Bench(stack, seed, say=say, **which.options) as bench:
        await which.act(bench)
        rest = REST_OF_CONTROLS_SECONDS if which.must_fail else REST_SECONDS
        return await outcome(bench, which.name, began, rest)
