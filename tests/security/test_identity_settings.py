"""A setting that would weaken identity refuses the start and names itself."""

from __future__ import annotations

import pytest

from recon_stream.errors import ConfigurationError
from recon_stream.settings import by_commas, load_settings

NOWHERE = {"RECON_STATE_DIR": "/nowhere"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_ALGORITHM", "HS256"),
        ("JWT_ALGORITHM", "none"),
        ("JWT_ALGORITHM", "RS256,HS512"),
        ("JWT_ALGORITHM", "rs256"),
        ("JWT_ALGORITHM", ""),
        ("JWT_ALGORITHM", " , "),
        ("JWT_AUDIENCE", ""),
        ("KEYCLOAK_REALM", ""),
        ("KEYCLOAK_CLIENT_ID", ""),
        ("RECON_DASHBOARD_CLIENT_ID", " "),
        ("KEYCLOAK_SERVER_URL", ""),
        ("KEYCLOAK_SERVER_URL", "login.bank"),
        ("KEYCLOAK_SERVER_URL", "ftp://login.bank"),
        ("KEYCLOAK_SERVER_URL", "https://"),
        ("KEYCLOAK_SERVER_URL", "https://login.bank?realm=x"),
        ("KEYCLOAK_SERVER_URL", "https://user:password@login.bank"),
        ("RECON_KEYCLOAK_CAFILE", "/nowhere/ca.pem"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "null"),
        ("ALLOWED_ORIGINS", "https://recon.bank/"),
        ("ALLOWED_ORIGINS", "https://recon.bank,recon.bank"),
        ("ALLOWED_ORIGINS", "https://*.bank"),
        ("ALLOWED_CREDENTIALS", "perhaps"),
        ("RECON_TRUSTED_PROXIES", "proxy.bank"),
        ("RECON_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("RECON_STACK_KEYCLOAK_PORT", "0"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(name: str, value: str) -> None:
    """Symmetric algorithms, a realm without a name, an origin that anybody has."""
    with pytest.raises(ConfigurationError, match=name):
        load_settings(NOWHERE | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_ALGORITHM", "RS256, ES256,EdDSA"),
        ("KEYCLOAK_SERVER_URL", "https://login.bank:8443/auth"),
        ("KEYCLOAK_SERVER_URL", "http://[::1]:8080/"),
        ("ALLOWED_ORIGINS", "https://recon.bank, http://127.0.0.1:5173,http://[::1]:80"),
        ("RECON_TRUSTED_PROXIES", "10.0.0.0/8, 192.168.1.7,::1"),
    ],
)
def test_a_value_that_can_be_meant_is_taken(name: str, value: str) -> None:
    """Lists with and without spaces, addresses of both kinds, a Keycloak below a path."""
    assert load_settings(NOWHERE | {name: value})


def test_the_issuer_follows_from_address_and_realm() -> None:
    """A slash at the end of the address makes no other issuer."""
    for address in ("https://login.bank", "https://login.bank/"):
        settings = load_settings(NOWHERE | {"KEYCLOAK_SERVER_URL": address, "KEYCLOAK_REALM": "mine"})
        assert settings.issuer == "https://login.bank/realms/mine"


def test_the_secret_of_the_client_is_never_shown() -> None:
    """Not by doctor, which lists all settings."""
    settings = load_settings(NOWHERE | {"KEYCLOAK_CLIENT_SECRET": "geheim-42"})
    assert "geheim" not in str(settings.described())


def test_a_list_has_no_empty_parts() -> None:
    """However it is written."""
    assert by_commas(" a,b , ,c,") == ("a", "b", "c")
