"""PostgreSQL with sslmode=verify-full and Valkey behind TLS: used with the right credentials, explained with others."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from recon_stream.errors import ConfigurationError
from recon_stream.redis.client import connect
from recon_stream.redis.dedup import DuplicateFilter, Seen
from recon_stream.settings import Settings
from recon_stream.stack.state import State
from recon_stream.storage.migrate import migrate
from recon_stream.storage.pool import connection_pool, connection_string
from recon_stream.verify.doctor import CHECKS
from recon_stream.verify.doctor_findings import State as Condition
from recon_stream.verify.doctor_findings import examine
from tests.redis.impaired import Forwarder, forwarder
from tests.secured.certificates import Certificates
from tests.secured.database import secured_database

pytestmark = pytest.mark.stack

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
POSTGRES = tuple(check for check in CHECKS if check.area == "PostgreSQL")
REDIS = tuple(check for check in CHECKS if check.area == "Redis")


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[State]:
    """A server that refuses connections without TLS, migrated."""
    with secured_database(certificates) as state:
        url = f"{state.database_url('recon_owner')}?sslmode=verify-full&sslrootcert={certificates.ca}"
        asyncio.run(migrate(connection_string(url, Settings(), "migrate")))
        yield state


@pytest.fixture
def secured(stack: Settings, server: State, certificates: Certificates) -> Settings:
    """Settings whose three URLs verify the server."""
    verified = f"?sslmode=verify-full&sslrootcert={certificates.ca}"
    return replace(
        stack,
        database_url=server.database_url("recon_sink") + verified,
        database_owner_url=server.database_url("recon_owner") + verified,
        database_reader_url=server.database_url("recon_reader") + verified,
    )


async def test_postgresql_is_used_by_verified_tls(secured: Settings) -> None:
    """Migrations, the pools of the sink and doctor: each session is encrypted, and each knows its server."""
    async with connection_pool(secured.database_url, secured, "test") as pool, pool.connection() as connection:
        asked = await connection.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert await asked.fetchone() == (True, "TLSv1.3")
    findings = await examine(secured, POSTGRES)
    assert {finding.state for finding in findings} == {Condition.OK}, findings


DATABASE_FAULTS: dict[str, tuple[str, str, str, str]] = {
    "wrong password": ("recon_sink:", "recon_sink:wrong-one", "password authentication failed", "POSTGRES_PASSWORD"),
    "untrusted certificate": ("authority.pem", "alone.pem", "certificate verify failed", "sslrootcert="),
    "no authority": ("authority.pem", "none.pem", "does not exist", "sslrootcert="),
    "certificate of another name": ("@127.0.0.1", "@localhost", "does not match host name", "use a name"),
    "no TLS": ("verify-full", "disable", "no encryption", "sslmode=verify-full"),
}  # fmt: skip


@pytest.mark.parametrize("fault", DATABASE_FAULTS)
async def test_what_is_wrong_with_a_database_url_is_told(
    secured: Settings, certificates: Certificates, fault: str
) -> None:
    """For the URL that is wrong, with the variable to correct; the others are well."""
    leaf = certificates.chain("client").read_text().partition("-----END CERTIFICATE-----\n")
    certificates.ca.with_name("alone.pem").write_text(leaf[0] + leaf[1])
    old, new, seen, advice = DATABASE_FAULTS[fault]
    assert old in secured.database_url
    findings = await examine(replace(secured, database_url=secured.database_url.replace(old, new)), POSTGRES)
    failed = [finding for finding in findings if finding.state is Condition.FAIL]
    assert [finding.name for finding in failed] == ["sink role"]
    assert seen in failed[0].seen
    assert "DATABASE_URL" in failed[0].advice
    assert advice in failed[0].advice
    assert "wrong-one" not in str(failed)


async def test_a_server_without_tls_is_told_as_such(stack: Settings) -> None:
    """Where verify-full is asked of it."""
    findings = await examine(replace(stack, database_url=f"{stack.database_url}?sslmode=verify-full"), POSTGRES)
    (failed,) = [finding for finding in findings if finding.name == "sink role"]
    assert failed.state is Condition.FAIL
    assert "switch TLS on at the server" in failed.advice


@pytest.fixture
async def front(stack: Settings, certificates: Certificates) -> AsyncIterator[Forwarder]:
    """TLS in front of Valkey: the wheel's server has none itself."""
    url = urlsplit(stack.redis_url)
    assert url.hostname
    assert url.port
    async with forwarder(url.hostname, url.port, certificates.server_context()) as one:
        yield one


@pytest.fixture
def safe(stack: Settings, front: Forwarder, certificates: Certificates) -> Settings:
    """Settings of one who is let in."""
    url = f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs={certificates.ca}"
    return replace(stack, redis_url=url, redis_timeout=5.0)


async def test_the_duplicate_filter_works_by_tls(safe: Settings) -> None:
    """With an authority of one's own and a password; doctor finds all well."""
    client = connect(safe, connections_max=2)
    try:
        assert await DuplicateFilter(client, "one").claim([Seen("T-secured", "CORE", "E1:0", "mark")]) == [None]
    finally:
        await client.aclose()
    findings = await examine(safe, REDIS)
    assert {finding.state for finding in findings} == {Condition.OK}, findings


REDIS_FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "wrong password": ({"redis_password": "wrong-one"}, "password", "REDIS_PASSWORD"),
    "untrusted certificate": (
        {"redis_url": ("ssl_ca_certs=", "client_name=")},
        "certificate verify failed",
        "ssl_ca_certs=",
    ),
    "certificate of another name": ({"redis_url": ("127.0.0.1", "localhost")}, "not valid for", "use a name"),
    "no TLS": ({"redis_url": ("rediss:", "redis:")}, "REDIS_URL: ", "correct REDIS_URL"),
}


@pytest.mark.parametrize("fault", REDIS_FAULTS)
async def test_what_is_wrong_with_redis_is_told(safe: Settings, fault: str) -> None:
    """With the variable to correct."""
    changed, seen, advice = REDIS_FAULTS[fault]
    values = {name: getattr(safe, name).replace(*to) if isinstance(to, tuple) else to for name, to in changed.items()}
    (finding,) = await examine(replace(safe, **values), REDIS)
    assert finding.state is Condition.FAIL
    assert seen in finding.seen
    assert advice in finding.advice, finding
    assert "wrong-one" not in str(finding)


async def test_redis_without_tls_is_told_as_such(stack: Settings) -> None:
    """Where rediss:// is asked of it."""
    (finding,) = await examine(replace(stack, redis_url=stack.redis_url.replace("redis:", "rediss:")), REDIS)
    assert finding.state is Condition.FAIL
    assert "redis://" in finding.advice


async def test_plaintext_against_tls_is_told_as_such(safe: Settings) -> None:
    """Where redis:// is asked of a server with TLS."""
    plain = safe.redis_url.replace("rediss:", "redis:").partition("?")[0]
    (finding,) = await examine(replace(safe, redis_url=plain, redis_timeout=1.0), REDIS)
    assert finding.state is Condition.FAIL
    assert "rediss://" in finding.advice, finding


def test_a_database_url_that_is_none_is_refused_without_its_password() -> None:
    """libpq quotes what it does not understand, and that may be the password."""
    with pytest.raises(ConfigurationError, match="percent-encoded") as refused:
        connection_string("postgresql://recon:s3cret%zz@127.0.0.1/recon", Settings(), "test")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://127.0.0.1/0?ssl_ca_certs=x", "redis://127.0.0.1/0?ttl=1", "http://127.0.0.1"])
def test_a_url_with_options_that_do_not_belong_there_refuses_the_start(url: str) -> None:
    """Instead of a TypeError in the middle of the work."""
    with pytest.raises(ConfigurationError, match="REDIS_URL: "):
        connect(Settings(redis_url=url), connections_max=1)


async def test_a_user_with_the_rights_of_the_document_is_enough(stack: Settings, safe: Settings) -> None:
    """The commands and keys that docs/security.md names, and nothing else, for the filter and for doctor."""
    (line,) = [line for line in DOCUMENT.read_text().splitlines() if "ACL SETUSER recon " in line]
    name, admin = f"recon-{uuid.uuid4().hex[:8]}", connect(stack, connections_max=1)
    words = [word.replace("recon", name) for word in line.split()[2:]]
    await admin.execute_command("ACL", "SETUSER", *[">s3cret" if word.startswith(">") else word for word in words])
    settings = replace(safe, redis_url=safe.redis_url.replace("//", f"//{name}@"), redis_password="s3cret")
    client = connect(settings, connections_max=2)
    try:
        one, txn = DuplicateFilter(client, "one"), f"T-{name}"
        assert await one.claim([Seen(txn, "CORE", "E1:0", "mark")]) == [None]
        await one.settle([(Seen(txn, "CORE", "E1:0", "mark"), True)])
        assert await one.claim([Seen(txn, "CORE", "E1:0", "mark")]) == [b"mark"]
        findings = await examine(settings, REDIS)
        assert {finding.state for finding in findings} == {Condition.OK}, findings
    finally:
        await client.aclose()
        await admin.execute_command("ACL", "DELUSER", name)
        await admin.aclose()
