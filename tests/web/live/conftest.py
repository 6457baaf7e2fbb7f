"""A web process on the real services, and tokens of the four roles."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import cache
from typing import Protocol

import pytest

from recon_stream.settings import Settings
from recon_stream.topics import create_topics
from tests.conftest import own_database
from tests.web.live.serving import Web, serving, token_of
from tests.web.live.writing import Writer


@pytest.fixture(scope="package")
def served(identity: Settings, database_template: str) -> Iterator[Settings]:
    """Settings of a web role with a database of its own, for all tests of this folder."""
    with own_database(replace(identity, app_id=f"live-{uuid.uuid4().hex[:8]}"), database_template) as settings:
        asyncio.run(create_topics(settings))
        yield settings


@pytest.fixture(scope="package")
def web(served: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A process that all tests of this folder share; those that stop or restrict one start their own."""
    with serving(served, tmp_path_factory.mktemp("web"), RECON_RESUME_RECORDS_MAX=300) as one:
        yield one


class Tokens(Protocol):
    """A role -> an access token."""

    def __call__(self, role: str) -> str:
        """A token that is good for some minutes."""


@pytest.fixture
def token(served: Settings) -> Tokens:
    """One log-in a role and test."""
    return cache(lambda role: token_of(served, role))


@pytest.fixture
async def writer(served: Settings) -> AsyncIterator[Writer]:
    """Writes to the topics."""
    async with Writer(served) as one:
        yield one
