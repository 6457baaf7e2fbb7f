"""Apache Kafka: one broker that is its own controller (KRaft)."""

from __future__ import annotations

import asyncio
import base64
import secrets
from typing import ClassVar

from aiokafka.client import AIOKafkaClient

from recon_stream.stack import process
from recon_stream.stack.artifacts import KAFKA, Artifact, pinned
from recon_stream.stack.files import make_folder
from recon_stream.stack.ports import HOST
from recon_stream.stack.process import Command
from recon_stream.stack.service import JAVA_ENV, SELDOM_ASKED, Context, Service, java

HEAP_MB = 512
JAVA_OPTIONS: tuple[str, ...] = ("-XX:+UseG1GC",)
FORMAT_TIMEOUT = 60.0

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={logs}
# one broker: what is replicated in production is not here
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=5
transaction.state.log.num.partitions=5
share.coordinator.state.topic.num.partitions=5
# a group of workers need not wait for company
group.initial.rebalance.delay.ms=0
# topics are made by `recon-stream topics create` alone
auto.create.topics.enable=false
# topics set their own retention; a topic of another's making is bounded all the same
log.retention.hours=168
log.segment.bytes=268435456
log.cleaner.dedupe.buffer.size=33554432
message.max.bytes=1048588
num.network.threads=2
num.io.threads=4
"""

LOGGING = """\
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %-5p %c{1} - %m%n
rootLogger.level=INFO
rootLogger.appenderRef.console.ref=console
logger.config.name=org.apache.kafka.common.config.AbstractConfig
logger.config.level=WARN
logger.coordinator.name=org.apache.kafka.coordinator.group
logger.coordinator.level=WARN
logger.loader.name=kafka.log.LogLoader
logger.loader.level=WARN
"""


class Kafka(Service):
    """The broker; its data lies in data/kafka/logs and survives `down`."""

    name: ClassVar = "kafka"
    title: ClassVar = "Apache Kafka"
    version: ClassVar = KAFKA
    ports: ClassVar = ("kafka", "kafka-controller")
    stop_timeout: ClassVar = 30.0

    def artifacts(self) -> tuple[Artifact, ...]:
        """The broker's jars."""
        return pinned("kafka")

    def prepare(self, context: Context) -> Command:
        """Write the properties and format the storage at the first start."""
        folder = make_folder(context.folders.data(self.name), 0o700)
        logs, properties = folder / "logs", folder / "server.properties"
        properties.write_text(
            PROPERTIES.format(
                host=HOST, port=context.port("kafka"), controller=context.port("kafka-controller"), logs=logs
            )
        )
        logging = folder / "log4j2.properties"
        logging.write_text(LOGGING)
        jars = ":".join(str(context.cache.path(artifact)) for artifact in self.artifacts())
        classes = [f"-Dlog4j2.configurationFile={logging}", "-cp", jars]
        if not (logs / "meta.properties").is_file():
            argv = [*java(context, self.name, HEAP_MB, *SELDOM_ASKED), *classes, "kafka.tools.StorageTool"]
            argv += ["format", "-t", _cluster_id(), "-c", str(properties)]
            command = Command(argv=argv, env=JAVA_ENV, folder=folder)
            log_file = context.folders.log(self.name)
            process.run_once(command, log_file, "Kafka's storage could not be formatted", FORMAT_TIMEOUT, context.lock)
        argv = [*java(context, self.name, HEAP_MB, *JAVA_OPTIONS), *classes, "kafka.Kafka", str(properties)]
        return Command(argv=argv, env=JAVA_ENV, folder=folder)

    async def probe(self, context: Context) -> None:
        """The broker answers with metadata that lists itself."""
        port = context.port("kafka")
        _, writer = await asyncio.open_connection(HOST, port)  # a refusal is quieter here than in the client
        writer.close()
        client = AIOKafkaClient(bootstrap_servers=f"{HOST}:{port}", client_id="recon-stack", request_timeout_ms=5000)
        try:
            await client.bootstrap()
            if not client.cluster.brokers():
                raise ConnectionError("the broker is not yet part of its cluster")
        finally:
            await client.close()


def _cluster_id() -> str:
    """16 random bytes, URL-safe; the tool would take one that begins with a dash for an option."""
    while True:
        cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not cluster.startswith("-"):
            return cluster
