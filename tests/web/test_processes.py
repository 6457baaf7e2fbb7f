"""Workers and sinks that are at work are seen by the API, and so is what does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recon_stream.process import exits
from recon_stream.registration import register_schemas
from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from recon_stream.topics import create_topics
from tests.redis.impaired import closed_port
from tests.secured.processes import SECONDS, role
from tests.web.serving import Person, Served, serving

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


def until(person: Person, path: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first answer of which that holds."""
    deadline = time.monotonic() + SECONDS
    while not is_so(answer := person.get(path).json()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.3)
    return answer


def test_processes_are_seen(database: Settings, identity: Settings, tmp_path: Path) -> None:
    """A worker and a sink, each a member of its group; the sink's first check stands in /status with nothing left to store."""
    asyncio.run(create_topics(database))
    asyncio.run(register_schemas(database))
    folders = [tmp_path / name for name in ("worker", "sink", "web")]
    for folder in folders:
        folder.mkdir()
    with (
        serving(database, identity, folders[2]) as desk,
        role("worker", desk.settings, folders[0]),
        role("sink", desk.settings, folders[1]),
    ):
        admin = desk.person(Role.ADMIN)
        seen = until(
            admin,
            "/admin/system-health",
            lambda answer: all(len(group["members"]) == 1 for group in answer["groups"]) and answer["groups"] != [],
        )
        assert [group["role"] for group in seen["groups"]] == ["worker", "sink"]
        assert all(group["members"][0]["host"] for group in seen["groups"])
        every = list(range(database.partitions))
        seen = until(
            admin,
            "/admin/system-health",
            lambda answer: all(
                (group["lag"], [member["partitions"] for member in group["members"]]) == (0, [every])
                for group in answer["groups"]
            ),
        )
        status = until(admin, "/status", lambda answer: answer["holds"] is not None)
        assert status["holds"] is True


def test_what_does_not_answer_is_told(filled: Settings, identity: Settings, tmp_path: Path) -> None:
    """Kafka and the registry away: why, for those who may see it, and the rest of the API goes on."""
    away = f"127.0.0.1:{closed_port()}"
    settings = replace(filled, kafka_bootstrap_servers=away, schema_registry_url=f"http://{away}", app_id="web-away")
    with serving(settings, identity, tmp_path) as desk:
        auditor = desk.person(Role.AUDITOR)
        answer = auditor.get("/admin/system-health").json()
        told = {each["name"]: (each["answers"], each["detail"] is None) for each in answer["dependencies"]}
        assert told == {
            "PostgreSQL": (True, True), "Redis": (True, True), "Kafka": (False, False), "Schema registry": (False, False),
            "Keycloak": (True, True),
        }  # fmt: skip
        assert answer["groups"] == []
        assert auditor.get("/mismatches").status_code == 200


def test_a_web_port_that_is_taken_is_named_at_once(rest: Served, tmp_path: Path) -> None:
    """The process ends and says so, also while its connections to PostgreSQL are being made."""
    with role("web", rest.settings, tmp_path) as second:
        assert second.process.wait(SECONDS) == exits.CONFIGURATION
        told = second.log.read_text()
    assert f"web port {rest.settings.web_port} is taken by process {rest.process.process.pid}" in told
    assert "RECON_WEB_PORT" in told
