"""An issuer of the test's own, and a verifier that trusts it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from recon_stream.security.keys import Keys
from recon_stream.security.tokens import TokenVerifier
from tests.security.issuer import Issuer, serving


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    """It listens on the loopback and is well."""
    async with serving() as one:
        yield one


@pytest.fixture
def verifier(issuer: Issuer) -> TokenVerifier:
    """With the settings of that issuer."""
    return TokenVerifier(issuer.settings, Keys(issuer.settings))
