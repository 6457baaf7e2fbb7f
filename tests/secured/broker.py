"""A Kafka of a test's own that asks who is there: TLS with SCRAM or PLAIN, TLS with client certificates, and ACLs.

It is made of the same archives as the local stack's, and ended by the same reaper when the run is killed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.protocol.admin import CreateAclsRequest

from recon_stream.settings import Settings
from recon_stream.stack import process
from recon_stream.stack.downloads import Cache
from recon_stream.stack.ports import HOST, free_ports
from recon_stream.stack.process import Command
from recon_stream.stack.service import JAVA_ENV, SELDOM_ASKED, Context, java
from recon_stream.stack.services.kafka import LOGGING, Kafka
from recon_stream.stack.state import PORT_SETTINGS, Folders, State
from tests.secured.certificates import Certificates

REAPER = Path(__file__).parents[1] / "stack" / "reaper.py"
STARTED_WITHIN = 60.0
LITERAL, ALLOW = 3, 3
USER, PASSWORD = "recon", "s3cret=for-one-test"
STRANGER = "stranger"
"""A user who is known and may do nothing."""
ROLES = ("worker", "sink", "web", "subscriber")
POORER = ("no-group", "no-topic")
"""Users who may do what docs/security.md says, once `grant` has given it to them."""

PROPERTIES = f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{{host}}:{{controller}}
listeners=INTERNAL://{{host}}:{{internal}},SECURED://{{host}}:{{secured}},MUTUAL://{{host}}:{{mutual}},CONTROLLER://{{host}}:{{controller}}
advertised.listeners=INTERNAL://{{host}}:{{internal}},SECURED://{{host}}:{{secured}},MUTUAL://{{host}}:{{mutual}}
listener.security.protocol.map=INTERNAL:PLAINTEXT,SECURED:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
log.dirs={{logs}}
ssl.keystore.type=PEM
ssl.keystore.location={{keystore}}
ssl.truststore.type=PEM
ssl.truststore.location={{ca}}
listener.name.mutual.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{USER};User:CN=client
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=5
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=33554432
"""


@dataclass(frozen=True)
class Broker:
    """Where it listens, and what it takes to be let in."""

    ports: dict[str, int]
    certificates: Certificates

    def at(self, listener: str) -> str:
        """Host and port of a listener: internal (no security), secured, mutual."""
        return f"{HOST}:{self.ports[listener]}"

    def settings(self, base: Settings, **changed: object) -> Settings:
        """Settings with which a client is let in by TLS and SCRAM."""
        wanted: dict[str, Any] = {
            "kafka_bootstrap_servers": self.at("secured"),
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ssl_cafile": str(self.certificates.ca),
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_sasl_username": USER,
            "kafka_sasl_password": PASSWORD,
        }
        return replace(base, **wanted | changed)


@contextmanager
def secured_broker(certificates: Certificates) -> Iterator[Broker]:
    """Started and answering; ended and deleted on leaving."""
    state_dir = Path(tempfile.mkdtemp(prefix="recon-secured-"))
    reaper = subprocess.Popen(
        [sys.executable, str(REAPER), str(state_dir)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        ports = dict(zip(("internal", "secured", "mutual", "controller"), free_ports(4), strict=True))
        _start(Folders.of(Settings(state_dir=state_dir)), ports, certificates)
        yield Broker(ports, certificates)
    finally:
        reaper.communicate(timeout=60)


async def grant(broker: Broker, user: str, rights: Iterable[tuple[int, str, int]]) -> None:
    """Let a user do (resource type, name, operation), in the numbers of Kafka's protocol."""
    connection = await create_conn(HOST, broker.ports["internal"])
    try:
        for kind, name, operation in rights:
            asked = CreateAclsRequest(kind, name, LITERAL, f"User:{user}", "*", operation, ALLOW)
            answer = await connection.send(asked)
            assert [code for code, *_ in answer.creation_responses] == [0], answer
    finally:
        connection.close()


def _start(folders: Folders, ports: dict[str, int], certificates: Certificates) -> None:
    folders.make()
    context = Context(Settings(), folders, State(dict.fromkeys(PORT_SETTINGS, 0), {}), Cache(folders.cache))
    folder, log = folders.data("kafka"), folders.log("kafka")
    folder.mkdir(mode=0o700)
    keystore = folder / "keystore.pem"
    keystore.write_text(certificates.key("server").read_text() + certificates.chain("server").read_text())
    properties = folder / "server.properties"
    properties.write_text(
        PROPERTIES.format(host=HOST, logs=folder / "logs", keystore=keystore, ca=certificates.ca, **ports)
    )
    (folder / "log4j2.properties").write_text(LOGGING)
    base = [
        *java(context, "kafka", 384, *SELDOM_ASKED), f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
        "-cp", ":".join(str(context.cache.path(artifact)) for artifact in Kafka().artifacts()),
    ]  # fmt: skip
    users = [
        word
        for user in (USER, STRANGER, *ROLES, *POORER)
        for word in ("--add-scram", f'SCRAM-SHA-512=[name={user},password="{PASSWORD}"]')
    ]
    arguments = ["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", str(properties), *users]
    process.run_once(Command(argv=[*base, *arguments], env=JAVA_ENV, folder=folder), log, "format", STARTED_WITHIN)
    command = Command(argv=[*base, "kafka.Kafka", str(properties)], env=JAVA_ENV, folder=folder)
    process.launch(command, folders.record("kafka"), log)
    deadline = time.monotonic() + STARTED_WITHIN
    while "Kafka Server started" not in log.read_text():
        assert process.running(folders.record("kafka")), log.read_text()[-4000:]
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.1)
