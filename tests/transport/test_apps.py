"""How settings become Faust applications."""

from __future__ import annotations

from dataclasses import replace

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth, server_list

from recon_stream import apps
from recon_stream.settings import Settings


def test_every_bootstrap_server_is_given_to_the_clients():
    """One broker that is away must not keep a process from starting."""
    app = apps.ReconApp("sink", Settings(kafka_bootstrap_servers="one:9092, two:9093"))
    assert server_list(app.conf.broker_consumer, 9092) == ["one:9092", "two:9093"]


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_the_security_protocol_reaches_the_clients(protocol):
    """As it was set, with the mechanism and a TLS context where it has them."""
    settings = Settings(
        kafka_security_protocol=protocol, kafka_sasl_username="recon", kafka_sasl_password="not-in-any-log"
    )
    client = credentials_to_aiokafka_auth(apps.credentials(settings), None)
    assert client["security_protocol"] == protocol
    assert (client.get("ssl_context") is not None) == protocol.endswith("SSL")
    if protocol.startswith("SASL"):
        assert client["sasl_mechanism"] == "SCRAM-SHA-512"
        assert client["sasl_plain_password"] == "not-in-any-log"


def test_faust_reads_no_environment_of_its_own(monkeypatch):
    """Its variables would be settings that nobody validates or shows."""
    monkeypatch.setenv("BROKER_URL", "kafka://elsewhere")
    monkeypatch.setenv("STREAM_WAIT_EMPTY", "0")
    monkeypatch.setenv("APP_DATADIR", "/elsewhere")
    monkeypatch.setenv("CONSUMER_AUTO_OFFSET_RESET", "latest")
    monkeypatch.setenv("PROCESSING_GUARANTEE", "exactly_once")
    conf = apps.ReconApp("worker", Settings()).conf
    assert str(conf.broker[0]) == "recon://127.0.0.1:9092"
    assert conf.consumer_auto_offset_reset == "earliest"
    assert conf.processing_guarantee.value == "at_least_once"
    assert conf.stream_wait_empty
    assert str(conf.datadir) == ".recon/recon-worker-0"


def test_processes_of_a_role_differ_in_what_must_be_their_own():
    """State folder, operations port, and the address by which the assignor knows a member."""
    one, two = (apps.ReconApp("worker", replace(Settings(), process_index=index)) for index in (0, 1))
    assert one.conf.id == two.conf.id == "recon-worker"
    assert one.conf.datadir != two.conf.datadir
    assert one.operations_port != two.operations_port
    assert one.conf.canonical_url != two.conf.canonical_url
