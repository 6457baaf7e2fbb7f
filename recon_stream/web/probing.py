"""Whether what the product stands on answers: each is asked at the same moment, within a bound, and changes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import aiohttp
import psycopg
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError
from psycopg_pool import PoolTimeout, TooManyRequests

from recon_stream.avro import SchemaRegistry
from recon_stream.errors import ReconError
from recon_stream.redis.client import NO_ANSWER, connect
from recon_stream.registration import subject_of
from recon_stream.security.keys import Keys
from recon_stream.settings import Settings
from recon_stream.storage import reading
from recon_stream.storage.pool import Pool
from recon_stream.topics import GROUPS, RESULTS, administration, spans, waiting

SECONDS = 3.0
"""Bound of one question."""
DETAIL_CHARACTERS_MAX = 300

_AWAY = (*NO_ANSWER, KafkaError, psycopg.Error, PoolTimeout, TooManyRequests, aiohttp.ClientError, ReconError)


class Member(NamedTuple):
    """A process that is in the consumer group of its role, with the numbers of the partitions that it was given, of any topic."""

    client: str
    host: str
    partitions: list[int]


class Group(NamedTuple):
    """The consumer group of a role, as Kafka knows it. `lag`: records that Kafka has and that the group has not done."""

    role: str
    state: str
    lag: int | None
    members: list[Member]


async def dependencies(settings: Settings, pool: Pool) -> list[dict[str, Any]]:
    """One row for each: name, answers, version, milliseconds, detail (why it does not answer)."""

    async def postgres() -> str | None:
        return await reading.server_version(pool)

    async def redis() -> str | None:
        client = connect(settings, 1)
        try:
            server = await client.info("server")
        finally:
            await client.aclose(close_connection_pool=True)
        return str(server.get("valkey_version") or server["redis_version"])

    async def kafka() -> str | None:
        async with administration(settings) as admin:
            await admin.describe_cluster()
        return None

    async def registry() -> str | None:
        async with SchemaRegistry(settings) as asked:
            await asked.latest(subject_of(RESULTS))
        return None  # it does not tell its version, nor do brokers and Keycloak

    async def keycloak() -> str | None:
        await Keys(settings).get("")
        return None

    questions = {
        "PostgreSQL": postgres,
        "Redis": redis,
        "Kafka": kafka,
        "Schema registry": registry,
        "Keycloak": keycloak,
    }
    return await asyncio.gather(*(_asked(name, question) for name, question in questions.items()))


async def groups(settings: Settings) -> list[Group]:
    """The consumer groups of worker and sink with their processes; empty while Kafka does not answer."""
    found = []
    try:
        async with asyncio.timeout(SECONDS), administration(settings) as admin:
            known = {name for name, *_ in await admin.list_consumer_groups()}
            ends = await spans(
                settings, dict.fromkeys(topic for topics in GROUPS.values() for topic in topics), SECONDS
            )
            for role, topics in GROUPS.items():
                group = f"{settings.app_id}-{role}"
                if group not in known:
                    # Kafka's word for one that has no process and no memory
                    found.append(Group(role, "Dead", None, []))
                    continue
                # one at a time: of an answer about several the client reads only the first one right
                (answer,) = await admin.describe_consumer_groups([group])
                ((_, _, state, _, _, members),) = answer.groups
                processes = [
                    Member(client, host.lstrip("/"), _partitions(assigned)) for _, client, host, _, assigned in members
                ]
                done = await admin.list_consumer_group_offsets(group)
                lag = sum(waiting(ends, done, topics).values())
                found.append(Group(role, state, lag, sorted(processes)))
    except (*_AWAY, ValueError):
        return []
    return found


def _partitions(assigned: bytes) -> list[int]:
    if not assigned:
        return []  # the group is being formed
    return sorted({place.partition for place in ConsumerProtocolMemberAssignment.decode(assigned).partitions()})


async def _asked(name: str, question: Callable[[], Awaitable[str | None]]) -> dict[str, Any]:
    begun = time.monotonic()
    version, detail = None, None
    try:
        async with asyncio.timeout(SECONDS):
            version = await question()
    except _AWAY as error:
        said = f"no answer within {SECONDS:.0f} s" if isinstance(error, TimeoutError) else str(error)
        detail = " ".join((said or type(error).__name__).split())[:DETAIL_CHARACTERS_MAX]
    milliseconds = round((time.monotonic() - begun) * 1000)
    return {"name": name, "answers": detail is None, "version": version, "milliseconds": milliseconds, "detail": detail}
