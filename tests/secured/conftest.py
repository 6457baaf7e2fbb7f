"""A broker that asks who is there, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recon_stream.settings import Settings
from tests.secured.broker import Broker, secured_broker
from tests.secured.certificates import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, and what it signed."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def broker(stack: Settings, certificates: Certificates) -> Iterator[Broker]:
    """A Kafka with TLS, SASL and ACLs; the registry and the database are the stack's."""
    with secured_broker(certificates) as one:
        yield one
