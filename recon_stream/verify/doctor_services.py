"""Checks of `doctor` on the services: Kafka, schema registry, PostgreSQL, Redis. They change nothing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Final, LiteralString
from urllib.parse import urlsplit

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from psycopg.rows import TupleRow
from redis.asyncio import Redis

from recon_stream.avro import RegistryAway
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.redis.client import NO_ANSWER, connect
from recon_stream.registration import check_schemas
from recon_stream.settings import Settings
from recon_stream.storage.migrate import pending_migrations
from recon_stream.storage.pool import connection_string
from recon_stream.topics import GROUPS, check_topics, spans_seen_by, waiting
from recon_stream.transport.placement import WHAT_TO_DO, partition_of
from recon_stream.transport.reach import ensure_group, why_away
from recon_stream.verify.doctor_advice import database_advice, redis_advice
from recon_stream.verify.doctor_findings import Report, short

_TIMEOUT_MS = 2500
CLOCK_WARN = 1.0
"""Seconds by which two clocks may differ: deadlines are counted in tens of them."""
_LAG_WARN = 100_000
_MEMORY_WARN = 0.8
_LOOPBACK = ("127.", "localhost", "[::1]")
_PLACEMENT_RECORDS = 20
"""Of each partition of a source; one producer that partitions otherwise shows in nearly all of its records."""
_PLACEMENT_SECONDS = 1.0

# What each role must be able to do, and what it must not: (table, privilege).
_WRITES: Final = (("raw_events", "INSERT"), ("reconciliation_results", "UPDATE"), ("breaks", "SELECT"))
_OWNS: Final = (("raw_events", "TRUNCATE"), ("breaks", "DELETE"))
_READS: Final = (("reconciliation_results", "SELECT"), ("breaks", "SELECT"), ("raw_events", "SELECT"))
_PRIVILEGE: LiteralString = (
    "SELECT to_regclass(%(table)s) IS NOT NULL AND has_table_privilege(to_regclass(%(table)s)::oid, %(privilege)s)"
)
_WHO: LiteralString = (
    "SELECT current_user::text, rolsuper, current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8"
    " FROM pg_roles WHERE rolname = current_user"
)


async def check_kafka(settings: Settings, report: Report) -> None:
    """Brokers, topics, consumer groups and their lag."""
    admin = AIOKafkaAdminClient(**settings.kafka_client(), request_timeout_ms=_TIMEOUT_MS)
    begun = time.monotonic()
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        millis = (time.monotonic() - begun) * 1000
        report.ok(
            "brokers",
            f"{len(cluster['brokers'])} at {settings.kafka_bootstrap_servers}, "
            f"{settings.kafka_security_protocol}, {millis:.0f} ms",
        )
        report.ok("clock", "not checked: brokers do not tell their time; keep all machines on NTP")
        await _topics(settings, report)
        await _groups(settings, admin, report)
        await _placement(settings, report)
    except (KafkaError, OSError) as error:
        seen, advice = await why_away(settings, error)
        report.fail("answer", f"Kafka at {settings.kafka_bootstrap_servers}: {seen}", f"{advice}{_local(settings)}")
    finally:
        await admin.close()


def _local(settings: Settings) -> str:
    here = all(server.strip().startswith(_LOOPBACK) for server in settings.kafka_bootstrap_servers.split(","))
    return "; for a local one run `recon-stream stack up`" if here and not settings.kafka_ssl_context() else ""


async def _topics(settings: Settings, report: Report) -> None:
    states = await check_topics(settings)
    problems = [(state.name, problem) for state in states for problem in state.problems]
    for name, problem in problems:
        what, _, advice = problem.partition(": ")
        report.fail(f"topic {name}", what, advice)
    if not problems:
        report.ok("topics", f"{len(states)} as they must be, {settings.partitions} partitions each")


async def _groups(settings: Settings, admin: AIOKafkaAdminClient, report: Report) -> None:
    known = {name for name, *_ in await admin.list_consumer_groups()}
    # no group and no subscription: this client asks for offsets and reads nothing
    consumer = AIOKafkaConsumer(**settings.kafka_client(), request_timeout_ms=_TIMEOUT_MS)
    try:
        await consumer.start()
        existing = await consumer.topics()
        for role, topics in GROUPS.items():
            group = f"{settings.app_id}-{role}"
            if group not in known:
                try:
                    await ensure_group(settings, group)
                except TransientFailure as error:
                    report.fail(f"group {group}", *error.detail.rsplit("; ", 1))
                    continue
                report.ok(f"group {group}", f"not there yet: no {role} has run")
                continue
            tps = [TopicPartition(t, n) for t in topics if t in existing for n in range(settings.partitions)]
            spans = await spans_seen_by(consumer, tps)
            committed = await admin.list_consumer_group_offsets(group, partitions=tps)
            lag = sum(waiting(spans, committed, topics).values())
            if lag >= _LAG_WARN:
                report.warn(f"group {group}", f"{lag:,} records wait", f"see that a {role} runs; add processes if so")
            else:
                report.ok(f"group {group}", f"{lag:,} records wait")
    finally:
        await consumer.stop()


async def _placement(settings: Settings, report: Report) -> None:
    """Whether the newest records of the sources lie in the partitions of their keys."""
    consumer = AIOKafkaConsumer(
        **settings.kafka_client(), group_id=None, enable_auto_commit=False, request_timeout_ms=_TIMEOUT_MS,
        fetch_max_wait_ms=100,
    )  # fmt: skip
    try:
        await consumer.start()
        existing = await consumer.topics()
        tps = [TopicPartition(t, n) for t in SOURCE_TOPICS if t in existing for n in range(settings.partitions)]
        begins, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        left = {tp: min(_PLACEMENT_RECORDS, ends[tp] - begins[tp]) for tp in tps if ends[tp] > begins[tp]}
        consumer.assign(list(left))
        for tp, count in left.items():
            consumer.seek(tp, ends[tp] - count)
        looked_at: Counter[str] = Counter()
        wrong: Counter[str] = Counter()
        until = time.monotonic() + _PLACEMENT_SECONDS
        while left and time.monotonic() < until:
            for tp, records in (await consumer.getmany(*left, timeout_ms=200)).items():
                looked_at[tp.topic] += len(records)
                wrong[tp.topic] += sum(
                    bool(r.key) and partition_of(r.key, settings.partitions) != tp.partition for r in records
                )
                if records and records[-1].offset + 1 >= ends[tp]:
                    del left[tp]
    finally:
        await consumer.stop()
    for topic, number in wrong.items():
        if number:
            seen = f"{number} of {looked_at[topic]} records lie in another partition than that of their key"
            report.fail(f"partitioner of {topic}", seen, WHAT_TO_DO)
    if not wrong.total():
        report.ok("partitioners", f"the newest {looked_at.total()} records lie where their keys say")


async def check_registry(settings: Settings, report: Report) -> None:
    """Whether it answers, and whether our subjects are there as they must be."""
    begun = time.monotonic()
    try:
        states = await check_schemas(settings)
    except RegistryAway as error:
        report.fail("answer", error.seen, error.advice)
        return
    millis = (time.monotonic() - begun) * 1000
    report.ok("registry", f"{settings.schema_registry_url}, {millis:.0f} ms")
    problems = [(state.subject, problem) for state in states for problem in state.problems]
    for subject, problem in problems:
        what, _, advice = problem.partition(": ")
        report.fail(f"subject {subject}", what, advice)
    if not problems:
        report.ok("subjects", f"{len(states)} registered, BACKWARD, equal to schemas/")


async def check_database(settings: Settings, report: Report) -> None:
    """The three URLs, their roles and privileges, the migrations."""
    sink = "DATABASE_URL", settings.database_url
    owner = ("RECON_DATABASE_OWNER_URL", settings.database_owner_url) if settings.database_owner_url else sink
    reader = ("RECON_DATABASE_READER_URL", settings.database_reader_url) if settings.database_reader_url else sink
    parts = [Report(report.area) for _ in range(4)]
    try:
        await asyncio.gather(
            _role(settings, parts[0], "sink role", sink, _WRITES, None),
            _role(settings, parts[1], "owner role", owner, _OWNS, None),
            _role(settings, parts[2], "reader role", reader, _READS, ("raw_events", "INSERT")),
            _migrations(settings, parts[3], owner),
        )
    finally:
        # also what was found before a timeout, and always in the same order
        report.findings += [finding for part in parts for finding in part.findings]


async def _role(
    settings: Settings,
    report: Report,
    name: str,
    address: tuple[str, str],
    wanted: tuple[tuple[str, str], ...],
    unwanted: tuple[str, str] | None,
) -> None:
    variable, url = address
    try:
        connecting = psycopg.AsyncConnection.connect(
            connection_string(url, settings, "doctor"), autocommit=True, connect_timeout=2
        )
        async with await connecting as connection:
            role, is_superuser, version, clock = await _row(connection, _WHO, {})
            difference = abs(clock - time.time())
            missing = [pair for pair in wanted if not (await _may(connection, pair))]
            is_too_much = unwanted is not None and await _may(connection, unwanted)
    except (psycopg.Error, OSError) as error:
        report.fail(name, short(error), database_advice(str(error), variable, url))
        return
    seen = f"role {role} on PostgreSQL {str(version).split()[0]}"
    if missing:
        text = ", ".join(f"{privilege} on {table}" for table, privilege in missing)
        report.fail(name, f"{seen} lacks {text}", "run `recon-stream migrate`; it grants what each role needs")
    elif is_superuser:
        report.warn(name, f"{seen}, a superuser", "use the role that the migrations grant only what it needs")
    elif is_too_much:
        report.warn(name, f"{seen}, may write", "use the role recon_reader: what only reads must not be able to write")
    else:
        report.ok(name, seen)
    if difference > CLOCK_WARN:
        report.warn("clock", f"{difference:.1f} s away from this machine's", "keep all machines on NTP")


async def _may(connection: psycopg.AsyncConnection[TupleRow], pair: tuple[str, str]) -> bool:
    (allowed,) = await _row(connection, _PRIVILEGE, {"table": pair[0], "privilege": pair[1]})
    return bool(allowed)


async def _row(connection: psycopg.AsyncConnection[TupleRow], query: LiteralString, values: dict[str, str]) -> TupleRow:
    row = await (await connection.execute(query, values)).fetchone()
    assert row is not None, "the query gives one row"
    return row


async def _migrations(settings: Settings, report: Report, address: tuple[str, str]) -> None:
    variable, url = address
    try:
        pending = await pending_migrations(connection_string(url, settings, "doctor"))
    except TransientFailure as error:
        report.fail("migrations", error.detail, database_advice(error.detail, variable, url))
        return
    except ConfigurationError as error:
        advice = "install the version that migrated this database; a development stack: `recon-stream stack reset`"
        report.fail("migrations", error.detail, advice)
        return
    except psycopg.errors.InsufficientPrivilege as error:
        report.fail("migrations", short(error), "set RECON_DATABASE_OWNER_URL to the owner of the schema")
        return
    if pending:
        report.fail("migrations", f"{len(pending)} missing: {', '.join(pending)}", "run `recon-stream migrate`")
    else:
        report.ok("migrations", "the schema is that of this version")


async def check_redis(settings: Settings, report: Report) -> None:
    """Answer, version, memory, scripts."""
    if not settings.redis_filter:
        report.ok("duplicate filter", "off (RECON_REDIS_FILTER): the state decides alone")
        return
    try:
        redis = connect(settings, connections_max=1)
    except ConfigurationError as error:
        report.fail("answer", error.detail, "correct REDIS_URL")
        return
    try:
        await _ping(redis, report)
        await _memory(redis, report)
        answer = await redis.eval("return cmsgpack.unpack(ARGV[1])", 0, "\x07")  # the number 7
        if answer == 7:
            report.ok("scripts", "Lua with cmsgpack works")
        else:
            report.fail("scripts", f"cmsgpack answers {answer!r}", "use Redis 6 or Valkey 7, or newer")
    except NO_ANSWER as error:
        where = urlsplit(settings.redis_url).hostname
        report.fail("answer", f"{where}: {short(error)}", redis_advice(settings, error))
    finally:
        await redis.aclose()


async def _ping(redis: Redis, report: Report) -> None:
    begun = time.monotonic()
    seconds, micros = await redis.time()
    millis = (time.monotonic() - begun) * 1000
    server = await redis.info("server")
    version = f"Valkey {server['valkey_version']}" if "valkey_version" in server else f"Redis {server['redis_version']}"
    report.ok("server", f"{version}, {millis:.1f} ms")
    difference = abs(seconds + micros / 1_000_000 - time.time())
    if difference > CLOCK_WARN:
        report.warn("clock", f"{difference:.1f} s away from this machine's", "keep all machines on NTP")


async def _memory(redis: Redis, report: Report) -> None:
    memory = await redis.info("memory")
    limit, used, policy = memory["maxmemory"], memory["used_memory"], memory["maxmemory_policy"]
    seen = f"{used / 2**20:.0f} MiB used of {f'{limit / 2**20:.0f} MiB' if limit else 'no limit'}, {policy}"
    if limit and policy == "noeviction" and used > limit * _MEMORY_WARN:
        advice = "raise maxmemory or set maxmemory-policy volatile-ttl: when it is full the filter fails open"
        report.warn("memory", seen, advice)
    else:
        report.ok("memory", seen)
