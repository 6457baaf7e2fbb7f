"""The API behind its own certificate: TLS 1.2 and newer, and no word to whoever comes with less."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recon_stream.settings import Settings
from recon_stream.stack.ports import free_ports
from tests.secured.certificates import Certificates
from tests.secured.processes import SECONDS, role

pytestmark = [pytest.mark.stack, pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")]

TLS = ssl.TLSVersion
OLD_TOO = "ALL:@SECLEVEL=0"
"""Ciphers with which OpenSSL speaks old versions at all."""


@pytest.fixture(scope="module")
def port(stack: Settings, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a web role serves TLS itself."""
    (port,) = free_ports(1)
    served = {
        "RECON_WEB_PORT": str(port),
        "RECON_WEB_CERTFILE": str(certificates.chain("server")),
        "RECON_WEB_KEYFILE": str(certificates.key("server")),
    }
    with role("web", stack, tmp_path_factory.mktemp("web"), **served) as process:
        deadline = time.monotonic() + SECONDS
        while not listens(port):
            assert process.process.poll() is None, process.log.read_text()
            assert time.monotonic() < deadline, process.log.read_text()
            time.sleep(0.1)
        yield port


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def speaking(version: TLS, ca: Path) -> ssl.SSLContext:
    """A client of that version alone, which would take whatever a server of that version has."""
    context = ssl.create_default_context(cafile=str(ca))
    context.minimum_version, context.maximum_version = version, version
    if version < TLS.TLSv1_2:
        context.set_ciphers(OLD_TOO)
    return context


@contextmanager
def connected(port: int, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """After the handshake. Raises SSLError."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as talking,
    ):
        yield talking


@pytest.mark.parametrize(("version", "name"), [(TLS.TLSv1_2, "TLSv1.2"), (TLS.TLSv1_3, "TLSv1.3")])
def test_the_api_is_served_by_tls(port: int, certificates: Certificates, version: TLS, name: str) -> None:
    """By a certificate that the client verifies."""
    context = speaking(version, certificates.ca)
    with connected(port, context) as talking:
        assert talking.version() == name
    client = http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=context)
    client.request("GET", "/health")
    answer = client.getresponse()
    assert (answer.status, answer.headers["Strict-Transport-Security"]) == (200, "max-age=31536000; includeSubDomains")
    client.close()


@pytest.mark.parametrize("version", [TLS.TLSv1, TLS.TLSv1_1])
def test_older_versions_are_refused(port: int, certificates: Certificates, version: TLS) -> None:
    """By the server: the same client is let in by one that takes it."""
    context = speaking(version, certificates.ca)
    with pytest.raises(ssl.SSLError) as refused, connected(port, context):
        pass
    # a loop may close the connection before its alert has left
    assert refused.value.reason in ("TLSV1_ALERT_PROTOCOL_VERSION", "UNEXPECTED_EOF_WHILE_READING")
    with old_server(certificates) as old, connected(old, context) as talking:
        assert talking.version() == {TLS.TLSv1: "TLSv1", TLS.TLSv1_1: "TLSv1.1"}[version]


@contextmanager
def old_server(certificates: Certificates) -> Iterator[int]:
    """Takes one client of any version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = TLS.TLSv1
    context.set_ciphers(OLD_TOO)
    context.load_cert_chain(certificates.chain("server"), certificates.key("server"))

    def serve() -> None:
        connection, _ = listening.accept()
        with context.wrap_socket(connection, server_side=True) as talking:
            talking.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve)
        server.start()
        yield listening.getsockname()[1]
        server.join(SECONDS)


def test_plain_http_is_no_way_in(port: int) -> None:
    """It is not answered, and not led to TLS either: whoever sends a token like that has to notice."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    client.request("GET", "/health")
    with pytest.raises((http.client.HTTPException, OSError)):
        client.getresponse()
    client.close()
