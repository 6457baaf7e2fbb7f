"""`doctor` finds what is wrong, says what to do, and never hangs."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from click.testing import CliRunner
from rich.console import Console

from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.registration import register_schemas
from recon_stream.settings import Settings
from recon_stream.topics import create_topics, spans, waiting
from recon_stream.verify.doctor import CHECKS, doctor, table_of
from recon_stream.verify.doctor_findings import CHECK_TIMEOUT, Check, Finding, Report, State, examine, worst
from recon_stream.verify.doctor_machine import check_settings
from recon_stream.verify.doctor_services import check_database, check_redis
from recon_stream.verify.doctor_settings import setting_origins, unknown_variables

SERVICES = tuple(check for check in CHECKS if check.area in ("Kafka", "Schema registry", "PostgreSQL", "Redis"))
WITH_KEYCLOAK = (*SERVICES, *(check for check in CHECKS if check.area == "Keycloak"))


WITHIN = 3 * CHECK_TIMEOUT
"""The bound, what its end takes, and room for a busy machine; a client's own patience is 15 s and more."""


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {f"{finding.area}: {finding.name}": finding for finding in findings}


@pytest.fixture
def hole() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        yield listening.getsockname()[1]


def at_port(port: int) -> Settings:
    """Settings with every service at one port of this machine."""
    return Settings(
        kafka_bootstrap_servers=f"127.0.0.1:{port}",
        schema_registry_url=f"http://127.0.0.1:{port}",
        database_url=f"postgresql://recon_sink:geheim-42@127.0.0.1:{port}/recon",
        redis_url=f"redis://:geheim-42@127.0.0.1:{port}/0",
        keycloak_server_url=f"http://127.0.0.1:{port}",
        keycloak_client_secret="geheim-42",
    )


async def test_dead_services_are_found_soon() -> None:
    """Each area FAILs with what to do; no password in any line."""
    begun = time.monotonic()
    findings = await examine(at_port(1), WITH_KEYCLOAK)
    assert time.monotonic() - begun < WITHIN
    failed = {finding.area for finding in findings if finding.state is State.FAIL}
    assert failed == {"Kafka", "Schema registry", "PostgreSQL", "Redis", "Keycloak"}
    assert all(finding.advice for finding in findings if finding.state is not State.OK)
    assert "geheim" not in str(findings)


async def test_services_that_take_connections_and_say_nothing_do_not_hold_it_up(hole: int) -> None:
    """The bound is kept for all of them at once, also while their clients hang."""
    begun = time.monotonic()
    findings = await examine(at_port(hole), WITH_KEYCLOAK)
    assert time.monotonic() - begun < WITHIN
    assert {finding.area for finding in findings if finding.state is State.FAIL} == {
        check.area for check in WITH_KEYCLOAK
    }


async def test_what_was_found_before_a_timeout_is_kept() -> None:
    """A hanging second step does not hide the first, and one broken check does not hide the others."""

    async def hangs(_: Settings, report: Report) -> None:
        report.ok("first", "fine")
        await asyncio.sleep(60)

    async def breaks(_: Settings, report: Report) -> None:
        raise RuntimeError("odd")

    findings = await examine(Settings(), (Check("A", hangs, "wait"), Check("B", breaks, "look")), seconds=0.2)
    assert [(f.area, f.name, str(f.state)) for f in findings] == [
        ("A", "first", "ok"),
        ("A", "answer", "FAIL"),
        ("B", "answer", "FAIL"),
    ]


@pytest.mark.stack
async def test_a_healthy_system_has_no_failure(database: Settings) -> None:
    """On the real services, with topics, schemas and migrations in place, each thing is seen and well."""
    await create_topics(database)
    await register_schemas(database)
    findings = by_name(await examine(database, SERVICES))
    assert [f for f in findings.values() if f.state is State.FAIL] == []
    assert "6 partitions each" in findings["Kafka: topics"].seen
    assert findings["PostgreSQL: sink role"].seen.startswith("role recon_sink on PostgreSQL")
    assert findings["PostgreSQL: reader role"].state is State.OK
    assert findings["PostgreSQL: migrations"].state is State.OK
    assert findings["Redis: scripts"].state is State.OK
    assert "Schema registry: subjects" in findings


@pytest.mark.parametrize(
    ("committed", "expected"),
    [(None, 60), (-1, 60), (10, 60), (40, 60), (70, 30), (100, 0), (130, 0)],
    ids=["never", "no offset", "expired since", "just read", "read on", "all", "topic made anew"],
)
def test_records_that_wait_are_those_that_kafka_still_has(committed: int | None, expected: int) -> None:
    """Offsets 40 to 99 are there; a topic of another group's is left out."""
    place, other = TopicPartition("core_txns", 0), TopicPartition("recon_results", 0)
    done = {} if committed is None else {place: OffsetAndMetadata(committed, "")}
    assert waiting({place: (40, 100), other: (0, 7)}, done, SOURCE_TOPICS) == {place: expected}


@pytest.mark.stack
async def test_what_a_group_never_committed_waits_too(database: Settings) -> None:
    """A worker that reads and never commits has all of it before it; a sum over what it did commit would say that nothing waits."""
    await create_topics(database)
    async with AIOKafkaProducer(**database.kafka_client()) as producer:
        await producer.send_and_wait("gateway_txns", b"any", partition=2)
    everything = await spans(database, SOURCE_TOPICS, CHECK_TIMEOUT)
    done = TopicPartition("core_txns", 0)
    group = f"{database.app_id}-worker"
    async with AIOKafkaConsumer(**database.kafka_client(), group_id=group, enable_auto_commit=False) as consumer:
        consumer.assign([done])
        await consumer.commit({done: everything[done][1]})
    findings = by_name(await examine(database, SERVICES))
    expected = sum(end - first for place, (first, end) in everything.items() if place != done)
    assert expected > 0
    assert findings[f"Kafka: group {group}"].seen == f"{expected:,} records wait"


@pytest.mark.stack
async def test_missing_topics_and_a_wrong_number_of_partitions_fail_with_the_command(settings: Settings) -> None:
    """The changelog of a fresh application is missing; the other topics have another number of partitions."""
    await create_topics(replace(settings, app_id="other"))
    findings = await examine(replace(settings, partitions=3), SERVICES[:1])
    failed = {finding.name: finding for finding in findings if finding.state is State.FAIL}
    assert failed[f"topic {settings.app_id}-worker-transactions-changelog"].advice == "run `recon-stream topics create`"
    assert "RECON_PARTITIONS" in failed["topic core_txns"].seen + failed["topic core_txns"].advice


@pytest.mark.stack
async def test_a_reader_that_may_write_is_a_warning_and_an_unmigrated_database_fails(database: Settings) -> None:
    """Least privilege is looked at, and so is what migrate has not done."""
    report = Report("PostgreSQL")
    await check_database(replace(database, database_reader_url=database.database_url), report)
    assert by_name(report.findings)["PostgreSQL: reader role"].state is State.WARN
    empty = Report("PostgreSQL")
    bare = {name: getattr(database, name).rpartition("/")[0] + "/template1" for name in ("database_owner_url",)}
    await check_database(replace(database, **bare), empty)
    missing = by_name(empty.findings)["PostgreSQL: migrations"]
    assert missing.state is State.FAIL


@pytest.mark.stack
async def test_a_wrong_password_of_redis_is_told_as_such(settings: Settings) -> None:
    """Not as an outage."""
    (finding,) = await examine(
        replace(settings, redis_password="wrong"), (Check("Redis", check_redis, "correct REDIS_PASSWORD"),)
    )
    assert finding.state is State.FAIL
    assert "password" in finding.seen.lower()


def test_a_misspelt_variable_is_found_with_its_nearest_name() -> None:
    """Also the two that end in _FILE by nature or by the file form are known."""
    environ = {"RECON_OPERATION_PORT": "1", "RECON_RULES_FILE": "", "RECON_KAFKA_SASL_PASSWORD_FILE": "/x", "HOME": "/"}
    assert unknown_variables(environ | {"RECON_STATE_DIR": "/nowhere"}) == {
        "RECON_OPERATION_PORT": "RECON_OPERATIONS_PORT"
    }


def test_the_origin_of_each_value_is_told(tmp_path) -> None:
    """Environment before file before stack.env before default."""
    (tmp_path / "stack.env").write_text("REDIS_URL=redis://a\nDATABASE_URL=postgresql://a\n")
    environ = {"RECON_STATE_DIR": str(tmp_path), "REDIS_URL": "redis://b", "REDIS_PASSWORD_FILE": "/secret"}
    origins = setting_origins(environ)
    names = ("REDIS_URL", "REDIS_PASSWORD", "DATABASE_URL", "RECON_PARTITIONS")
    assert [origins[name] for name in names] == ["environment", "file", "stack.env", "default"]


async def test_connections_that_leave_the_machine_unencrypted_are_a_warning() -> None:
    """Loopback is left alone; another machine wants TLS."""
    far = Settings(
        kafka_bootstrap_servers="127.0.0.1:9092,kafka.bank:9092",
        database_url="postgresql://a@db.bank/recon",
        database_owner_url="postgresql://a@db.bank/recon?sslmode=verify-full",
        redis_url="rediss://redis.bank",
        keycloak_server_url="http://login.bank",
    )
    report, here = Report("Settings"), Report("Settings")
    await check_settings(far, report)
    await check_settings(Settings(database_owner_url="postgresql://a@localhost/x"), here)
    told = [finding.seen.split()[0] for finding in report.findings if finding.name == "encryption"]
    assert told == ["KAFKA_BOOTSTRAP_SERVERS", "KEYCLOAK_SERVER_URL", "DATABASE_URL"]
    assert [finding for finding in here.findings if finding.name == "encryption"] == []


def test_the_command_prints_json_and_its_exit_code_tells_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """A wrong setting is a finding like another: 1, not a crash."""
    monkeypatch.setenv("RECON_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("RECON_PARTITIONS", "many")
    done = CliRunner().invoke(doctor, ["--json"])
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert said["state"] == "FAIL"
    assert "RECON_PARTITIONS=many" in said["findings"][0]["seen"]


@pytest.mark.parametrize("width", [80, 160])
def test_findings_are_readable_at_any_width(width: int) -> None:
    """State in words, the advice after an arrow, no line too long, nothing cut off."""
    advice = "start it or correct KAFKA_BOOTSTRAP_SERVERS and RECON_KAFKA_*"
    findings = [Finding("Kafka", "brokers", State.OK, "1"), Finding("Kafka", "answer", State.FAIL, "x" * 200, advice)]
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(table_of(findings))
    lines = captured.get().splitlines()
    assert all(len(line) <= width for line in lines)
    assert "ok" in lines[0]
    assert "FAIL" in captured.get()
    assert " ".join(captured.get().split("→")[1].split()) == advice
    assert captured.get().count("x") == 200
    assert worst(findings) is State.FAIL
