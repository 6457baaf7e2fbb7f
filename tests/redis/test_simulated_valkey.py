"""The Valkey of the simulation does what the real one does: the same calls give the same answers and leave the same keys."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from recon_stream.redis.client import connect
from recon_stream.redis.dedup import IN_FLIGHT_SECONDS, REMEMBERED_SECONDS, DuplicateFilter
from recon_stream.redis.seen import Seen, mark
from recon_stream.settings import Settings
from tests.simulation.valkey import Valkey

EPOCHS = ("00000000000000e1", "00000000000000e2")
STEPS = 60


@pytest.fixture
async def redis(stack: Settings) -> AsyncIterator[Redis]:
    """A client of the running Valkey."""
    client = connect(stack, 4)
    yield client
    await client.aclose()


async def walk(seed: int, server: Any, prefix: str) -> list[Any]:
    """What three workers hear that claim and settle the same few events."""
    dice, answers = Random(seed), []
    workers = [DuplicateFilter(server, f"worker-{number}") for number in range(3)]
    for step in range(STEPS):
        worker = dice.choice(workers)
        events = [
            Seen(
                f"{prefix}{dice.choice(('A', 'ключ'))}",
                dice.choice(("CORE", "MOBILE")),
                f"E{dice.randrange(2)}:{dice.randrange(2)}",
                mark(dice.choice(EPOCHS), b"content", f"core_txns:0:{step}"),
            )
            for _ in range(dice.randint(1, 4))
        ]
        if dice.random() < 0.5:
            answers.append(await worker.claim(events))
        else:
            await worker.settle([(event, dice.random() < 0.6) for event in events])
    return answers


async def keys_of(redis: Redis, prefix: str) -> dict[str, Any]:
    """All keys of the walk with what they hold."""
    found: dict[str, Any] = {}
    for key in await redis.keys(f"*{prefix}*"):
        if key.startswith(b"dedupe:"):
            fields: Any = await redis.hgetall(key)  # type: ignore[misc]
            found[key.decode()] = {field.decode(): value.decode() for field, value in fields.items()}
        else:
            found[key.decode()] = (await redis.get(key) or b"").decode()
    return found


@pytest.mark.parametrize("seed", range(5))
async def test_the_valkey_of_the_simulation_answers_as_the_real_one(redis: Redis, seed: int) -> None:
    """Claims, settlings, names of other workers, refused events; afterwards the same keys are there."""
    prefix = f"T-{uuid.uuid4().hex}-"
    fake = Valkey(now=lambda: 0.0)
    assert await walk(seed, fake, prefix) == await walk(seed, redis, prefix)
    assert fake.dump() == await keys_of(redis, prefix)


async def test_what_it_remembers_ends_by_itself() -> None:
    """Names in flight after a minute, events after an hour: the ends that the product asks for."""
    now = 0.0
    fake = Valkey(now=lambda: now)
    one, event = DuplicateFilter(fake, "one"), Seen("T", "CORE", "E:0", mark(EPOCHS[0], b"", "core_txns:0:1"))  # type: ignore[arg-type]
    await one.settle([(event, True)])
    await one.claim([event])
    assert set(fake.dump()) == {"dedupe:T:CORE", "inflight:T:CORE"}
    now = float(IN_FLIGHT_SECONDS)
    assert set(fake.dump()) == {"dedupe:T:CORE"}
    now = float(REMEMBERED_SECONDS)
    assert fake.dump() == {}
