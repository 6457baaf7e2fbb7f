"""Every client of ours on a Kafka that asks who is there: let in with the right credentials, told why not with others."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from producers.feed import feed
from producers.plan import Plan
from producers.rules import rules_in_force
from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.registration import register_schemas
from recon_stream.settings import Settings
from recon_stream.topics import RESULTS, create_topics
from recon_stream.transport.log import Log
from recon_stream.verify.doctor import CHECKS
from recon_stream.verify.doctor_findings import Finding, State, examine
from recon_stream.verify.watch_model import Model
from recon_stream.verify.watch_sources import Feed
from tests.secured.broker import PASSWORD, STRANGER, USER, Broker
from tests.secured.processes import SECONDS, command, role

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

TRANSACTIONS = 50
KAFKA = tuple(check for check in CHECKS if check.area == "Kafka")


def mutual(broker: Broker) -> dict[str, Any]:
    """TLS with a client's certificate instead of a password."""
    return {
        "kafka_bootstrap_servers": broker.at("mutual"),
        "kafka_security_protocol": "SSL",
        "kafka_ssl_certfile": str(broker.certificates.chain("client")),
        "kafka_ssl_keyfile": str(broker.certificates.key("client")),
        "kafka_sasl_username": "",
        "kafka_sasl_password": "",
    }


LET_IN = {
    "scram": lambda _: {},
    "plain": lambda _: {"kafka_sasl_mechanism": "PLAIN"},
    "client certificate": mutual,
}


@pytest.mark.parametrize("way", LET_IN)
async def test_the_whole_path_runs_for_those_who_are_let_in(
    database: Settings, broker: Broker, way: str, tmp_path: Path
) -> None:
    """Topics, feed, worker and sink (Faust's clients), verify's reader, the watcher, a subscriber: none needs plaintext."""
    settings = broker.settings(database, **LET_IN[way](broker))
    await create_topics(settings)
    await register_schemas(settings)
    timing, tolerances = rules_in_force(settings)
    now = time.time_ns() // 1_000_000
    plan = Plan(
        seed=1,
        base_ms=now,
        interval_us=1000,
        transactions=TRANSACTIONS,
        paced=False,
        timing=timing,
        tolerances=tolerances,
    )
    sent = await feed(settings, plan, tmp_path / "key.jsonl")
    results = [(RESULTS, number) for number in range(settings.partitions)]
    with (
        role("worker", settings, tmp_path) as worker,
        role("sink", settings, tmp_path) as sink,
    ):
        async with Log(settings) as log, asyncio.timeout(SECONDS):
            first = await log.ends(results)
            while sum((await log.ends(results)).values()) == sum(first.values()):
                assert worker.process.poll() is None, worker.log.read_text()[-4000:]
                await asyncio.sleep(0.2)
            while stored(settings) < sum(sent.records.values()):
                assert sink.process.poll() is None, sink.log.read_text()[-4000:]
                await asyncio.sleep(0.2)
        async with Feed(settings, model := Model(started_at=0.0)) as watching:
            await watching.settled(SECONDS)
        assert {"Kafka", "recon_results"}.isdisjoint(model.away), model.away
        for one in (worker, sink):
            one.process.send_signal(signal.SIGTERM)
            assert one.process.wait(SECONDS) == 0, one.log.read_text()[-4000:]
    tailed = command(settings, tmp_path, "mismatches", "tail", "--from", "beginning", "--no-follow")
    assert (tailed.returncode, tailed.stderr) == (0, "")
    assert "OPENED" in tailed.stdout
    assert PASSWORD not in worker.log.read_text() + sink.log.read_text()


def stored(settings: Settings) -> int:
    """Records that the sink has written."""
    with psycopg.connect(settings.database_reader_url) as connection:
        found = connection.execute("SELECT count(*) FROM raw_events").fetchone()
    assert found is not None
    return int(found[0])


NOT_LET_IN = {
    "wrong password": (
        lambda _: {"kafka_sasl_password": "wrong-one"},
        rf"refuses user {USER} \(SCRAM-SHA-512\): .*check RECON_KAFKA_SASL_USERNAME and RECON_KAFKA_SASL_PASSWORD",
    ),
    "wrong password in plain": (
        lambda _: {"kafka_sasl_password": "wrong-one", "kafka_sasl_mechanism": "PLAIN"},
        rf"refuses user {USER} \(PLAIN\): .*check RECON_KAFKA_SASL_USERNAME and RECON_KAFKA_SASL_PASSWORD",
    ),
    "mechanism that it does not have": (
        lambda _: {"kafka_sasl_mechanism": "SCRAM-SHA-256"},
        r"does not offer SCRAM-SHA-256; set RECON_KAFKA_SASL_MECHANISM",
    ),
    "untrusted certificate": (
        lambda _: {"kafka_ssl_cafile": ""},
        r"the certificate of \S+ is not trusted: self-signed .*; set RECON_KAFKA_SSL_CAFILE",
    ),
    "certificate of another name": (
        lambda broker: {"kafka_bootstrap_servers": f"localhost:{broker.ports['secured']}"},
        r"not valid for 'localhost'; use a name in KAFKA_BOOTSTRAP_SERVERS that stands in the broker's certificate",
    ),
    "plaintext against TLS": (
        lambda _: {"kafka_security_protocol": "PLAINTEXT"},
        r"speaks TLS, and RECON_KAFKA_SECURITY_PROTOCOL is PLAINTEXT; set RECON_KAFKA_SECURITY_PROTOCOL to SASL_SSL or SSL",
    ),
    "password without TLS against TLS": (
        lambda _: {"kafka_security_protocol": "SASL_PLAINTEXT"},
        r"speaks TLS, and RECON_KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT; set .* to SASL_SSL or SSL",
    ),
    "TLS against plaintext": (
        lambda broker: {"kafka_bootstrap_servers": broker.at("internal")},
        r"has no TLS, and RECON_KAFKA_SECURITY_PROTOCOL is SASL_SSL; set .* to SASL_PLAINTEXT or PLAINTEXT",
    ),
    "no SASL where it is asked for": (
        lambda _: {"kafka_security_protocol": "SSL"},
        r"a client without SASL, and RECON_KAFKA_SECURITY_PROTOCOL is SSL; set .* to SASL_SSL",
    ),
    "SASL where it is not asked for": (
        lambda broker: {"kafka_bootstrap_servers": broker.at("internal"), "kafka_security_protocol": "SASL_PLAINTEXT"},
        r"asks for no password, and RECON_KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT; set .* to PLAINTEXT",
    ),
    "no client certificate": (
        lambda broker: mutual(broker) | {"kafka_ssl_certfile": "", "kafka_ssl_keyfile": ""},
        r"asks for a client's certificate; set RECON_KAFKA_SSL_CERTFILE and RECON_KAFKA_SSL_KEYFILE",
    ),
    "nobody there": (
        lambda _: {"kafka_bootstrap_servers": "127.0.0.1:1"},
        r"nobody listens at 127\.0\.0\.1:1; start it, or correct KAFKA_BOOTSTRAP_SERVERS",
    ),
}


@pytest.mark.parametrize("fault", NOT_LET_IN)
async def test_who_is_not_let_in_is_told_why_and_what_to_do(
    stack: Settings, broker: Broker, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By every command, and by `doctor`: the client itself says no more than that it could not bootstrap."""
    caplog.set_level(logging.CRITICAL, "aiokafka")
    change, told = NOT_LET_IN[fault]
    settings = broker.settings(stack, **change(broker))
    with pytest.raises(TransientFailure, match=told) as refused:
        await create_topics(settings)
    with pytest.raises(TransientFailure, match=told):
        async with Log(settings):
            pass
    (finding,) = await examine(settings, KAFKA)
    assert finding.state is State.FAIL
    assert finding.seen in f"{refused.value}".replace(" does not answer", "")
    assert finding.advice.split("; for a local one")[0] in str(refused.value)
    assert "wrong-one" not in str(refused.value) + str(finding)


def test_a_worker_that_is_not_let_in_ends_for_its_supervisor_and_says_why(
    settings: Settings, broker: Broker, tmp_path: Path
) -> None:
    """Not with 2: a password may be changed at the broker, a certificate renewed, and then the next start succeeds."""
    with role("worker", broker.settings(settings, kafka_sasl_password="wrong-one"), tmp_path) as worker:
        assert worker.process.wait(SECONDS) == 1
    last = worker.log.read_text().splitlines()[-1]
    assert "check RECON_KAFKA_SASL_USERNAME and RECON_KAFKA_SASL_PASSWORD" in last
    assert "wrong-one" not in worker.log.read_text()


def test_a_subscriber_that_is_not_let_in_is_told_in_one_line(
    settings: Settings, broker: Broker, tmp_path: Path
) -> None:
    """No traceback, no half of a client's log."""
    done = command(broker.settings(settings, kafka_ssl_cafile=""), tmp_path, "mismatches", "tail")
    assert (done.returncode, done.stdout) == (2, "")
    assert "set RECON_KAFKA_SSL_CAFILE" in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_who_is_known_and_may_do_nothing_is_told_so(stack: Settings, broker: Broker) -> None:
    """Topics that a user may not see are not said to be missing."""
    settings = broker.settings(stack, kafka_sasl_username=STRANGER)
    await create_topics(broker.settings(stack))
    findings: dict[str, Finding] = {finding.name: finding for finding in await examine(settings, KAFKA)}
    assert f"or {STRANGER} may not see it" in findings["topic core_txns"].seen
    assert "grant the access of docs/security.md" in findings["topic core_txns"].advice
    group = findings[f"group {settings.app_id}-worker"]
    assert group.state is State.FAIL
    assert f"{STRANGER} is not authorized: group {settings.app_id}-worker" in group.seen
    with pytest.raises(ConfigurationError, match=r"topic \S+: Authorization failed\. "):
        await create_topics(settings)


@pytest.mark.parametrize("name", ["kafka_ssl_cafile", "kafka_ssl_certfile"])
def test_files_that_are_no_certificates_refuse_the_start(broker: Broker, tmp_path: Path, name: str) -> None:
    """With the variable that names them, instead of OpenSSL's word for it."""
    (tmp_path / "empty.pem").write_text("not a certificate\n")
    wrong = mutual(broker) | {name: str(tmp_path / "empty.pem")}
    with pytest.raises(ConfigurationError, match=f"RECON_{name.upper()}="):
        broker.settings(Settings(), **wrong).kafka_client()
