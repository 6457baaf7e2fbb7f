"""A web role on the real services, in front of a database that is filled as the sink fills it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from recon_stream.settings import Settings
from recon_stream.topics import create_topics
from tests.conftest import own_database
from tests.web.filling import fill
from tests.web.serving import Served, serving


@pytest.fixture(scope="package")
def filled(identity: Settings, database_template: str) -> Iterator[Settings]:
    """Settings with a database of its own for the tests of this folder that only read."""
    with own_database(replace(identity, app_id=f"web-{uuid.uuid4().hex[:8]}"), database_template) as settings:
        asyncio.run(create_topics(settings))
        asyncio.run(fill(settings, int(time.time() * 1000)))
        yield settings


@pytest.fixture(scope="package")
def rest(filled: Settings, identity: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The API over it; limits are far away."""
    with serving(filled, identity, tmp_path_factory.mktemp("web")) as desk:
        yield desk
