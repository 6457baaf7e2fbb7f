"""Keys come from the right issuer over TLS, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recon_stream.errors import ConfigurationError
from recon_stream.security.keys import Keys, KeysAway
from recon_stream.settings import Settings
from tests.secured.certificates import Certificates
from tests.security.issuer import KID, serving


def trusting(settings: Settings, certificates: Certificates) -> Settings:
    """The settings with the authority of the test."""
    return replace(settings, keycloak_cafile=str(certificates.ca))


async def test_keys_come_over_tls_by_an_authority_of_ones_own(certificates: Certificates) -> None:
    """And not where that authority is not named: whoever answers in Keycloak's place brings no keys in."""
    async with serving(certificates.server_context()) as issuer:
        assert await Keys(trusting(issuer.settings, certificates)).get(KID)
        with pytest.raises(KeysAway):
            await Keys(issuer.settings).get(KID)
        assert issuer.asked == 1


async def test_a_certificate_of_another_name_is_refused(certificates: Certificates) -> None:
    """Signed by the right authority, for somebody else."""
    async with serving(certificates.server_context("elsewhere")) as issuer:
        with pytest.raises(KeysAway):
            await Keys(trusting(issuer.settings, certificates)).get(KID)
        assert issuer.asked == 0


async def test_a_keycloak_without_tls_is_refused_where_https_is_set(certificates: Certificates) -> None:
    """Nothing falls back to plain text."""
    async with serving() as issuer:
        address = issuer.settings.keycloak_server_url.replace("http:", "https:")
        with pytest.raises(KeysAway):
            await Keys(trusting(replace(issuer.settings, keycloak_server_url=address), certificates)).get(KID)
        assert issuer.asked == 0


def test_a_file_that_holds_no_authority_is_named(certificates: Certificates) -> None:
    """At the start, by its variable."""
    settings = Settings(keycloak_cafile=str(certificates.key("server")))
    with pytest.raises(ConfigurationError, match="RECON_KEYCLOAK_CAFILE"):
        Keys(settings)
