"""The three roles as Faust applications. Agents import theirs from here; a process starts one of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import faust
from aiokafka import AIOKafkaProducer
from faust.app.base import BootStrategy
from faust.types.auth import CredentialsT
from faust.web.drivers.aiohttp import Web

from recon_stream.settings import Settings, load_settings
from recon_stream.transport.driver import Consumer, Producer
from recon_stream.transport.recovery import Recovery, TableManager

ROLES = ("worker", "sink", "web")
OPERATIONS_OFFSET = {"worker": 0, "sink": 20, "web": 40}
SERVER = "server"  # the check that the web role listens, whose driver knows
BODY_BYTES_MAX = 64 << 10  # of a request to the web role
PRODUCER_BATCH_BYTES = 900_000  # below the brokers' default max.message.bytes of 1 MiB


class ReconApp(faust.App):
    """A role: Faust's application with our settings, the batch transport, and what operations ask of a process."""

    mundane_level = "debug"

    def __init__(self, role: str, settings: Settings, **options: Any) -> None:
        self.role = role
        self.settings = settings
        # Name of a check -> why the process is not ready, or None; asked by /readyz, so it must answer at once.
        self.readiness: dict[str, Callable[[], str | None]] = {}
        self._pauses: list[str] = []
        super().__init__(f"{settings.app_id}-{role}", **(_options(role, settings) | options))

    @property
    def operations_port(self) -> int:
        """Loopback port of /livez, /readyz and /metrics of this process."""
        return self.settings.operations_port + OPERATIONS_OFFSET[self.role] + self.settings.process_index

    @property
    def batch_consumer(self) -> Consumer:
        """The consumer with what it knows of batches in flight."""
        return cast("Consumer", self.consumer)

    @property
    def batch_producer(self) -> AIOKafkaProducer:
        """The producer for `pack` and `publish`; raises NotReady before the application has started."""
        return cast("Producer", self.producer).client

    @property
    def recovery(self) -> Recovery:
        """The recovery of the tables' state."""
        return cast("TableManager", self.tables).recovery

    @contextmanager
    def pause_watchdog(self, reason: str) -> Iterator[None]:
        """While a dependency is away and the work waits for it on purpose, no progress is no stall."""
        self._pauses.append(reason)
        try:
            yield
        finally:
            self._pauses.remove(reason)

    @property
    def pauses(self) -> tuple[str, ...]:
        """Why the work waits on purpose, if it does."""
        return tuple(self._pauses)


class WithoutKafka(BootStrategy):
    """Starts the web server alone: it must answer also while Kafka is away, and reads without a consumer group."""

    enable_kafka = False


class WebApp(ReconApp):
    """The web role."""

    BootStrategy = WithoutKafka
    producer_only = True  # Faust would otherwise build a consumer of a group

    def __init__(self, *args: Any, **options: Any) -> None:
        self.mounts: list[Callable[[Web], None]] = []
        """What adds routes to the server; called before it listens."""
        super().__init__(*args, **options)
        self.readiness[SERVER] = lambda: "it does not listen yet"

    def on_webserver_init(self, web: Web) -> None:  # type: ignore[override]
        """Faust has made its server, and has not started it; it says so twice."""
        mounts, self.mounts = self.mounts, []
        for mount in mounts:
            mount(web)


def _options(role: str, settings: Settings) -> dict[str, Any]:
    port = settings.operations_port + OPERATIONS_OFFSET[role] + settings.process_index
    return {
        "env": {},  # Faust's own environment variables would be settings that nobody validates
        "broker": ";".join(f"recon://{server.strip()}" for server in settings.kafka_bootstrap_servers.split(",")),
        "broker_credentials": credentials(settings),
        "TableManager": TableManager,
        "datadir": settings.state_dir / f"{settings.app_id}-{role}-{settings.process_index}",
        # Set, because Faust would otherwise take the console script for the module of the application.
        "origin": "recon_stream.apps",
        # Faust's assignor knows a member by this address: it must be another one for each process.
        "canonical_url": f"http://{socket.gethostname()}:{port}",
        "topic_partitions": settings.partitions,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "table_standby_replicas": 0,
        "stream_recovery_delay": 0.0,
        "stream_buffer_maxsize": 4096,
        "stream_wait_empty": True,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 1 << 20,
        "broker_commit_interval": settings.commit_interval,
        "broker_commit_every": 1_000_000,  # messages are batches; the interval decides
        "broker_session_timeout": settings.session_timeout,
        "broker_heartbeat_interval": settings.session_timeout / 5,
        "broker_request_timeout": max(20.0, settings.session_timeout + 1),
        "producer_max_batch_size": PRODUCER_BATCH_BYTES,
        "producer_max_request_size": 8 << 20,
        "producer_request_timeout": 60.0,
        "broker_rebalance_timeout": 30.0,
        # An agent that raised would be started anew and go on behind the batch that it lost.
        "agent_supervisor": "mode.supervisors:CrashingSupervisor",
        "web_enabled": False,
        "web_tables_enabled": False,
        "web_router_enabled": False,
        "worker_redirect_stdouts": False,
    }


def credentials(settings: Settings) -> CredentialsT | None:
    """How Faust's clients prove who they are; None for PLAINTEXT."""
    context = settings.kafka_ssl_context()
    if settings.kafka_security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password,
            ssl_context=context,
            mechanism=settings.kafka_sasl_mechanism,
        )
    return faust.SSLCredentials(context=context) if context is not None else None


settings = load_settings()

worker = ReconApp("worker", settings, store="recon://", autodiscover=("tables.transactions", "agents.reconcile"))
sink = ReconApp(
    "sink", settings, autodiscover=("agents.account", "agents.archive", "agents.persist", "agents.quarantine")
)
web = WebApp(
    "web",
    settings,
    autodiscover=("recon_stream.web.server",),
    web_enabled=True,
    web="recon://",
    web_host=settings.web_host,
    web_bind=settings.web_host,
    web_port=settings.web_port + settings.process_index if settings.web_port else 0,
    web_ssl_context=settings.web_ssl_context(),
    web_application_options={"client_max_size": BODY_BYTES_MAX},
)
