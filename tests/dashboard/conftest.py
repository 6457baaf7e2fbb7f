"""The whole system with its dashboard: worker, sink and web as processes, Keycloak, and people in front of a browser."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from recon_stream.registration import register_schemas
from recon_stream.settings import Settings
from recon_stream.stack.ports import free_ports
from recon_stream.topics import create_topics
from tests.conftest import own_database
from tests.dashboard.chromium import browser
from tests.dashboard.office import MILLISECONDS, Office
from tests.secured.processes import role
from tests.security.logins import dashboard_client
from tests.web.serving import serving

RULES = Path(__file__).parent.parent.parent / "recon_stream" / "rules" / "demo.toml"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser. Its driver keeps an event loop in this thread, so it must end with the file: others start loops of their own."""
    expect.set_options(timeout=MILLISECONDS)
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def system(identity: Settings, database_template: str) -> Iterator[Settings]:
    """Settings with a database and an application of their own; topics and schemas are there."""
    ours = replace(identity, app_id=f"board-{uuid.uuid4().hex[:8]}", rules_file=str(RULES))
    with own_database(ours, database_template) as settings:
        asyncio.run(create_topics(settings))
        asyncio.run(register_schemas(settings))
        yield settings


@pytest.fixture(scope="module")
def office(
    system: Settings, identity: Settings, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    """Everything runs, and the dashboard's client may return to where it is served."""
    folders = [tmp_path_factory.mktemp(name) for name in ("worker", "sink", "web")]
    (port,) = free_ports(1)
    with ExitStack() as stack:
        office = stack.enter_context(
            Office.open(lambda: serving(system, identity, folders[2], web_port=port), chromium)
        )
        stack.enter_context(role("worker", office.desk.settings, folders[0]))
        stack.enter_context(role("sink", office.desk.settings, folders[1]))
        page = f"{office.desk.base}/dashboard/"
        stack.enter_context(
            dashboard_client(
                identity,
                redirectUris=[page],
                webOrigins=[office.desk.base],
                attributes={"post.logout.redirect.uris": page},
            )
        )
        yield office
