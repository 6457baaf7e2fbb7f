"""How the whole is: whether every record is accounted for, how far it has come, and what it stands on."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import Field

from recon_stream import __version__
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.redis.cache import Category
from recon_stream.security.roles import Permission
from recon_stream.storage import reading
from recon_stream.storage.accounting import FLOW
from recon_stream.web.call import Call
from recon_stream.web.endpoints import Answer, Reply, endpoint
from recon_stream.web.probing import Group, dependencies, groups
from recon_stream.web.times import moment

CHECKED_MS_MAX = 300_000
"""The sink checks every minute; of an older check it is not known whether it would hold now."""


class CheckView(Answer):
    """One of the invariants that the sink checks every minute."""

    name: str
    title: str
    holds: bool
    examined: int = Field(description="Rows that the newest check looked at.")
    violations: int = Field(description="Found and not healed since.")
    examples: list[str] = Field(description="The first of them.")
    checked_at: str
    held_at: str | None = Field(description="When it held last; null: never.")


class PartitionView(Answer):
    """How far the sink has stored a partition."""

    partition: int
    offset: str = Field(description="Up to which records are stored.")
    lag: int | None = Field(description="As of the topic.")
    stored_at: str | None


class TopicView(Answer):
    """How far the sink has stored a topic. Rate and lag are those of the newest check."""

    topic: str
    is_source: bool = Field(description="Those of the sources are always there, also where nothing has ever come.")
    offset: str = Field(description="Sum over its partitions, up to which records are stored.")
    per_second: float | None = Field(description="Records stored, between the newest two checks.")
    lag: int | None = Field(description="Records in Kafka that were not stored; null where Kafka did not answer.")
    stored_at: str | None = Field(description="When the last records were; null: nothing has come yet.")
    partitions: list[PartitionView] = Field(description="Those of which something is stored, or waits.")


class LatencyView(Answer):
    """Milliseconds from the record that caused a result, or the instant of its deadline, to the result, as Kafka took them."""

    p50: int
    p95: int


class Accounted(Answer):
    """Whether every record is accounted for, as the sink found it last."""

    holds: bool | None = Field(description="Null: not everything has been checked within five minutes.")
    checked_at: str | None = Field(description="When the check was done that is the oldest.")
    checks: list[CheckView]


class Status(Accounted):
    """Whether every record is accounted for, as the sink found it last, and how far it has come."""

    topics: list[TopicView]
    latency_ms: LatencyView | None = Field(
        description="Of a sample of the results of the last minute; null where none came."
    )


class DependencyView(Answer):
    """A service that is needed."""

    name: str
    answers: bool
    version: str | None = Field(description="Where it tells it.")
    milliseconds: int
    detail: str | None = Field(description="Why it does not answer.")


class MemberView(Answer):
    """A process that works."""

    client: str
    host: str
    partitions: list[int] = Field(description="Numbers of those that it was given, of any topic.")


class GroupView(Answer):
    """Processes of a role, as Kafka knows them."""

    role: str
    state: str
    lag: int | None = Field(description="Records that Kafka has and that the processes have not done; null: not known.")
    members: list[MemberView]


class SystemHealth(Answer):
    """What runs and what it stands on, as this process sees it."""

    version: str
    python: str
    dependencies: list[DependencyView]
    groups: list[GroupView] = Field(description="Empty while Kafka does not answer.")


@endpoint("GET", "/status", needs=Permission.STATS_READ, answers=Status, tag="Service")
async def status(call: Call[Any, None]) -> Reply:
    """Whether every record is accounted for, and how far the sink has come."""

    async def make() -> bytes:
        checks, stored = await reading.accounting(call.services.pool)
        flow: dict[str, Any] = next((row["detail"] for row in checks if row["name"] == FLOW), {})
        return orjson.dumps(
            accounted(checks, int(time.time() * 1000))
            | {
                "topics": [
                    _topic(name, rows, flow.get("topics", {}).get(name, {})) for name, rows in _by_topic(stored)
                ],
                "latency_ms": call.services.live.latency(),
            }
        )

    return Reply(await call.services.cache.get(Category.STATUS, "status", make))


@endpoint(
    "GET", "/admin/system-health", needs=Permission.ADMIN_READ, answers=SystemHealth, records="admin.system-health",
    tag="Administration",
)  # fmt: skip
async def system_health(call: Call[Any, None]) -> Reply:
    """What the product stands on, and which workers and sinks are at work."""
    settings = call.services.settings

    async def make() -> bytes:
        return orjson.dumps(
            {
                "version": __version__,
                "python": platform.python_version(),
                "dependencies": await dependencies(settings, call.services.pool),
                "groups": [_group(group) for group in await groups(settings)],
            }
        )

    return Reply(await call.services.cache.get(Category.STATUS, "system-health", make))


def accounted(checks: Sequence[reading.Row], now_ms: int) -> dict[str, Any]:
    """See Accounted."""
    return {
        "holds": holds(checks, now_ms),
        "checked_at": moment(min((row["checked_at_ms"] for row in checks), default=None)),
        "checks": [_check(row) for row in checks],
    }


def holds(checks: Sequence[reading.Row], now_ms: int) -> bool | None:
    """False where something is wrong; None where that is not known, because a check was not done lately."""
    if any(row["violations"] for row in checks):
        return False
    is_known = bool(checks) and all(now_ms - row["checked_at_ms"] <= CHECKED_MS_MAX for row in checks)
    return True if is_known else None


def _check(row: reading.Row) -> dict[str, Any]:
    kept = ("name", "title", "examined", "violations")
    return {name: row[name] for name in kept} | {
        "holds": row["violations"] == 0,
        "examples": row["detail"].get("examples", []),
        "checked_at": moment(row["checked_at_ms"]),
        "held_at": moment(row["held_at_ms"]),
    }


def _by_topic(stored: Sequence[reading.Row]) -> list[tuple[str, dict[int, reading.Row]]]:
    """Topic -> its partitions; a source that has never said anything is missed most."""
    topics: dict[str, dict[int, reading.Row]] = {topic: {} for topic in SOURCE_TOPICS}
    for row in stored:
        topics.setdefault(row["topic"], {})[row["partition"]] = row
    return sorted(topics.items())


def _topic(topic: str, stored: Mapping[int, reading.Row], flow: dict[str, Any]) -> dict[str, Any]:
    lags = flow.get("lags")
    waits = {int(partition): lag for partition, lag in (lags or {}).items()}
    numbers = sorted(stored.keys() | {number for number, lag in waits.items() if lag})
    return {
        "topic": topic,
        "is_source": topic in SOURCE_TOPICS,
        "offset": str(sum(row["next_offset"] for row in stored.values())),
        "per_second": flow.get("per_second"),
        "lag": None if lags is None else sum(waits.values()),
        "stored_at": moment(max((row["updated_at_ms"] for row in stored.values()), default=None)),
        "partitions": [_partition(number, stored.get(number), waits.get(number)) for number in numbers],
    }


def _partition(number: int, row: reading.Row | None, lag: int | None) -> dict[str, Any]:
    return {
        "partition": number,
        "offset": str(row["next_offset"] if row else 0),
        "lag": lag,
        "stored_at": moment(row["updated_at_ms"] if row else None),
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "role": group.role,
        "state": group.state,
        "lag": group.lag,
        "members": [member._asdict() for member in group.members],
    }
