"""The demo works on its own local stack, whatever the person at the keyboard works with."""

from __future__ import annotations

import socket

import pytest

from recon_stream.errors import ConfigurationError
from recon_stream.settings import Settings
from recon_stream.verify.demo_roles import demo_environment, with_ports


def test_the_demo_never_takes_over_addresses_or_secrets() -> None:
    """Thirty thousand invented transactions must not reach a broker or database that someone set in the environment."""
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": "bank:9092", "DATABASE_URL": "postgresql://bank", "REDIS_URL_FILE": "/run/secret",
        "RECON_DATABASE_OWNER_URL": "postgresql://bank", "RECON_KAFKA_SASL_PASSWORD": "x", "RECON_APP_ID": "production",
    }  # fmt: skip
    kept = {"PATH": "/bin", "RECON_STATE_DIR": "/tmp/x", "RECON_STACK_PORTS": "free", "RECON_WEB_PORT": "8001"}
    found = demo_environment(environ | kept)
    assert {name: found[name] for name in kept} == kept
    assert found.keys().isdisjoint(environ)
    assert found["RECON_RULES_FILE"].endswith("demo.toml")
    assert demo_environment({"RECON_RULES_FILE": "mine.toml"})["RECON_RULES_FILE"] == "mine.toml"


def test_a_taken_port_is_named_with_its_owner_and_what_to_do() -> None:
    """The demo refuses before it starts anything."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} \(web\) is taken by .*RECON_STACK_PORTS=free"):
            with_ports({}, Settings(web_port=port))
    free = with_ports({}, Settings(stack_ports="free"))
    assert {"RECON_WEB_PORT", "RECON_OPERATIONS_PORT"} <= free.keys()
