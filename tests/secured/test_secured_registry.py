"""The schema registry behind TLS and a password: reached with the right ones, and a clear word on what is wrong with others."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recon_stream.avro import RegistryAway, SchemaRegistry
from recon_stream.errors import ConfigurationError
from recon_stream.registration import register_schemas
from recon_stream.settings import Settings
from recon_stream.topics import create_topics
from recon_stream.verify.doctor import CHECKS
from recon_stream.verify.doctor_findings import State, examine
from tests.reading.registry_path import RegistryPath, registry_path
from tests.secured.certificates import Certificates
from tests.secured.processes import SECONDS, role

pytestmark = pytest.mark.stack

USER, PASSWORD = "recon", "s3cret:for one test"
REGISTRY = tuple(check for check in CHECKS if check.area == "Schema registry")


@pytest.fixture
async def path(stack: Settings, certificates: Certificates) -> AsyncIterator[RegistryPath]:
    """The way to the registry, by TLS and for one user."""
    user = aiohttp.BasicAuth(USER, PASSWORD)
    async with registry_path(stack.schema_registry_url, user, certificates.server_context()) as one:
        yield one


@pytest.fixture
def known(settings: Settings, certificates: Certificates, path: RegistryPath) -> Settings:
    """Settings of one who is let in."""
    return replace(
        settings,
        schema_registry_url=path.url,
        schema_registry_username=USER,
        schema_registry_password=PASSWORD,
        schema_registry_cafile=str(certificates.ca),
    )


async def test_who_is_known_registers_and_reads(known: Settings) -> None:
    """By https with an authority of one's own and basic authentication."""
    states = await register_schemas(known)
    assert not any(state.problems for state in states)
    findings = await examine(known, REGISTRY)
    assert {finding.state for finding in findings} == {State.OK}


FAULTS: dict[str, tuple[dict[str, Any], int | None, str]] = {
    "wrong password": (
        {"schema_registry_password": "wrong-one"}, None,
        r"refuses user recon \(HTTP 401\); check RECON_SCHEMA_REGISTRY_USERNAME and RECON_SCHEMA_REGISTRY_PASSWORD",
    ),
    "no user": (
        {"schema_registry_username": "", "schema_registry_password": ""}, None,
        r"asks for a user \(HTTP 401\); set RECON_SCHEMA_REGISTRY_USERNAME and RECON_SCHEMA_REGISTRY_PASSWORD",
    ),
    "a user who may not": ({}, 403, r"does not allow \S+ \S+ to user recon \(HTTP 403\); grant it there, or set RECON_SCH"),
    "a bad request": ({}, 400, r"answers HTTP 400 for \S+: not now; see its log, and whether SCHEMA_REGISTRY_URL leads"),
    "another server's 404": ({}, 404, r"HTTP 404 for \S+, and not as a schema registry does; correct SCHEMA_REGISTRY_URL"),
    "untrusted certificate": (
        {"schema_registry_cafile": ""}, None,
        r"the certificate of \S+ \S+ \S+ is not trusted: self-signed .*; set RECON_SCHEMA_REGISTRY_CAFILE",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_who_is_not_let_in_is_told_why_and_what_to_do(known: Settings, path: RegistryPath, fault: str) -> None:
    """By the client and by `doctor`; a refusal is never taken for a schema or a subject that is not there."""
    changed, path.failing, told = FAULTS[fault]
    settings = replace(known, **changed)
    async with SchemaRegistry(settings) as registry:
        for question in (
            registry.schema(1), registry.latest("core_txns-value"), registry.compatibility("core_txns-value"),
            registry.lookup("core_txns-value", "transaction_event"),
        ):  # fmt: skip
            with pytest.raises(RegistryAway, match=told) as refused:
                await question
    (finding,) = await examine(settings, REGISTRY)
    assert finding.state is State.FAIL
    assert finding.advice == refused.value.advice
    assert "wrong-one" not in f"{finding}{refused.value}"


async def test_the_wrong_kind_of_url_is_told(stack: Settings, known: Settings) -> None:
    """http:// against TLS, and https:// against none."""
    for url, told in (
        (known.schema_registry_url.replace("https:", "http:"), "SCHEMA_REGISTRY_URL begins with https://"),
        (stack.schema_registry_url.replace("http:", "https:"), "SCHEMA_REGISTRY_URL begins with http://"),
    ):
        (finding,) = await examine(replace(known, schema_registry_url=url), REGISTRY)
        assert (finding.state, told in finding.advice) == (State.FAIL, True), finding


async def test_a_file_that_is_no_certificate_is_refused(known: Settings, tmp_path: Path) -> None:
    """With the variable that names it."""
    (tmp_path / "empty.pem").write_text("nothing\n")
    with pytest.raises(ConfigurationError, match="RECON_SCHEMA_REGISTRY_CAFILE="):
        SchemaRegistry(replace(known, schema_registry_cafile=str(tmp_path / "empty.pem")))


def asked(port: int, path: str) -> Any:
    """The JSON answer of an operations port; None while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)
    except OSError:
        return None


async def test_a_worker_that_is_denied_says_so_until_it_is_let_in(
    known: Settings, path: RegistryPath, tmp_path: Path
) -> None:
    """An error in the log again and again, the reason at /readyz, no end by the watchdog; afterwards it works."""
    await create_topics(known)
    await register_schemas(known)
    path.failing = 401
    with role("worker", known, tmp_path, RECON_STALL_TIMEOUT="1") as worker:
        said: list[str] = []
        async with asyncio.timeout(SECONDS):
            while len(said) < 4:
                assert worker.process.poll() is None, worker.log.read_text()[-2000:]
                await asyncio.sleep(0.2)
                said = [line for line in worker.log.read_text().splitlines() if "cannot start yet" in line]
        assert all("level=error" in line.lower() and "RECON_SCHEMA_REGISTRY_PASSWORD" in line for line in said), said[0]
        ready = await asyncio.to_thread(asked, worker.port, "/readyz")
        assert "RECON_SCHEMA_REGISTRY_PASSWORD" in ready["reasons"]["paused"]
        path.failing = None
        until = time.monotonic() + SECONDS
        while not (await asyncio.to_thread(asked, worker.port, "/readyz"))["ready"]:
            assert time.monotonic() < until, worker.log.read_text()[-2000:]
            await asyncio.sleep(0.2)
        assert worker.process.poll() is None
