"""`recon-stream setup` on the local stack: what it leaves is there, and it says so."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from recon_stream.errors import ConfigurationError
from recon_stream.security.commands import obtain
from recon_stream.security.realm import demo_users
from recon_stream.settings import Settings
from recon_stream.topics import create_topics
from recon_stream.verify.doctor_findings import Finding, State
from recon_stream.verify.preparing import is_well, prepare

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


def test_it_ends_with_a_checked_system(identity: Settings) -> None:
    """Exit code 0, a line for each role and service, no password of a service; and once more on what is there."""
    environ = {"PATH": os.environ["PATH"], "RECON_STATE_DIR": str(identity.state_dir)}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "recon_stream", "setup"],
            env=environ | {"RECON_STACK_PORTS": identity.stack_ports, "COLUMNS": "140"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for user in demo_users():
            line = next(line for line in done.stdout.splitlines() if line.split()[:1] == [user.username])
            assert user.password in line
            assert "✓" in line
        for service in (identity.kafka_bootstrap_servers, identity.schema_registry_url, identity.keycloak_server_url):
            assert service in done.stdout
        assert identity.redis_password not in done.stdout or not identity.redis_password
        assert identity.keycloak_client_secret not in done.stdout


def test_what_is_not_well_is_not_called_well(identity: Settings) -> None:
    """A token that permits what its role may not, or a finding that FAILs, is the end of it; a warning is not."""
    granted = asyncio.run(obtain(identity, demo_users()))
    ok, warn, fail = (Finding("Kafka", "topics", state, "seen") for state in (State.OK, State.WARN, State.FAIL))
    assert is_well(granted, [ok, warn])
    assert not is_well(granted, [ok, fail])
    assert not is_well([*granted[1:], replace(granted[0], problem="may audit:read, which the role may not")], [ok])


async def test_topics_of_another_shape_are_refused(settings: Settings) -> None:
    """Nobody is told to go on with a number of partitions that the state does not fit."""
    await create_topics(settings)
    with pytest.raises(ConfigurationError, match="stack reset"):
        await prepare(replace(settings, partitions=settings.partitions + 1))
