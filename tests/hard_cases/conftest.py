"""One running system for all hard cases; each test works in partitions or with transactions of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.system import System, own_system
from tests.hard_cases.feeding import Feeder
from tests.hard_cases.listening import Listener

RULES = Path(__file__).parent / "rules.toml"


@pytest.fixture(scope="package")
def system() -> Iterator[System]:
    """Stack, worker and sink, with rules whose times are short."""

    async def until_ready(system: System) -> None:
        await asyncio.gather(system.worker.until_ready(), system.sink.until_ready())

    with own_system(RULES) as system:
        system.worker.start()
        system.sink.start()
        asyncio.run(until_ready(system))
        yield system


@pytest.fixture
async def feeder(system: System) -> AsyncIterator[Feeder]:
    """Sends single records."""
    async with Feeder(system.settings) as one:
        yield one


@pytest.fixture
async def said(system: System) -> AsyncIterator[Listener]:
    """What is published, from the beginning of the topics on."""
    async with Listener(system.settings) as one:
        yield one
