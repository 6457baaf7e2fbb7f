"""One frozen Settings, read once at start and validated: nothing else looks at the environment.

Precedence of a value, strongest first: environment variable NAME, the file that NAME_FILE names, the file
`.recon/stack.env` that the local stack writes, the default.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from recon_stream.errors import ConfigurationError
from recon_stream.tls import PromptlyClosed, trusting

SECURITY_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Algorithms of signatures that a public key verifies (RFC 7518, RFC 8037)."""
NEVER_EMPTY = ("keycloak_realm", "keycloak_client_id", "dashboard_client_id", "jwt_algorithm", "jwt_audience")
ORIGIN = r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?"


def setting(name: str, default: Any, about: str, *, secret: bool = False, minimum: float | None = None) -> Any:
    """A field that is read from the environment variable `name`."""
    return field(default=default, metadata={"name": name, "about": about, "secret": secret, "minimum": minimum})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of every role. Durations in seconds, sizes in bytes, unless a name says otherwise."""

    state_dir: Path = setting("RECON_STATE_DIR", Path(".recon"), "folder of local state: stack, worker state, logs")
    # Kafka
    kafka_bootstrap_servers: str = setting("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092", "brokers, host:port, by commas")
    kafka_security_protocol: str = setting(
        "RECON_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_ssl_cafile: str = setting(
        "RECON_KAFKA_SSL_CAFILE", "", "authority that signed the brokers' certificates; empty: the system's"
    )
    kafka_ssl_certfile: str = setting("RECON_KAFKA_SSL_CERTFILE", "", "client certificate, for mutual TLS")
    kafka_ssl_keyfile: str = setting("RECON_KAFKA_SSL_KEYFILE", "", "key of the client certificate")
    kafka_sasl_mechanism: str = setting(
        "RECON_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_sasl_username: str = setting("RECON_KAFKA_SASL_USERNAME", "", "SASL user")
    kafka_sasl_password: str = setting("RECON_KAFKA_SASL_PASSWORD", "", "SASL password", secret=True)
    partitions: int = setting(
        "RECON_PARTITIONS", 6, "partitions of every topic; fixed for the life of the topics", minimum=1
    )
    replication_factor: int = setting(
        "RECON_REPLICATION_FACTOR", 1, "replicas of every topic; 3 in production", minimum=1
    )
    retention_hours: int = setting(
        "RECON_RETENTION_HOURS", 168, "retention of source topics and recon_results", minimum=1
    )
    # Schema registry
    schema_registry_url: str = setting(
        "SCHEMA_REGISTRY_URL", "http://127.0.0.1:8081/apis/ccompat/v7", "Confluent-compatible registry"
    )
    schema_registry_username: str = setting(
        "RECON_SCHEMA_REGISTRY_USERNAME", "", "basic authentication user; empty: none"
    )
    schema_registry_password: str = setting(
        "RECON_SCHEMA_REGISTRY_PASSWORD", "", "basic authentication password", secret=True
    )
    schema_registry_cafile: str = setting(
        "RECON_SCHEMA_REGISTRY_CAFILE", "", "authority for https; empty: the system's"
    )
    # PostgreSQL
    database_url: str = setting(
        "DATABASE_URL",
        "postgresql://recon_sink@127.0.0.1:5433/recon",
        "as the sink sees it (role recon_sink)",
        secret=True,
    )
    database_owner_url: str = setting(
        "RECON_DATABASE_OWNER_URL", "", "as the owner of the schema, for migrate; empty: DATABASE_URL", secret=True
    )
    database_reader_url: str = setting(
        "RECON_DATABASE_READER_URL", "", "read only, for verify; empty: DATABASE_URL", secret=True
    )
    database_web_url: str = setting(
        "RECON_DATABASE_WEB_URL", "", "as the web role sees it (role recon_web); empty: DATABASE_URL", secret=True
    )
    postgres_password: str = setting("POSTGRES_PASSWORD", "", "password for URLs that carry none", secret=True)
    database_pool_max: int = setting(
        "RECON_DATABASE_POOL_MAX",
        6,
        "connections a process may hold; web: the audit trail 1, exports 2, replays 2, all else the others",
        minimum=6,
    )
    # Redis or Valkey
    redis_url: str = setting(
        "REDIS_URL", "redis://127.0.0.1:6379/0", "duplicate filter, limiter and cache; rediss:// for TLS", secret=True
    )
    redis_password: str = setting("REDIS_PASSWORD", "", "password, where the URL carries none", secret=True)
    redis_timeout: float = setting(
        "RECON_REDIS_TIMEOUT", 0.5, "after which the duplicate filter fails open", minimum=0.01
    )
    redis_filter: bool = setting("RECON_REDIS_FILTER", True, "whether the duplicate filter is asked at all")
    # Keycloak (used by the web role)
    keycloak_server_url: str = setting(
        "KEYCLOAK_SERVER_URL", "http://127.0.0.1:8080", "Keycloak, as its tokens name it"
    )
    keycloak_realm: str = setting("KEYCLOAK_REALM", "reconciliation", "realm")
    keycloak_client_id: str = setting("KEYCLOAK_CLIENT_ID", "reconciliation-api", "client of the API")
    keycloak_client_secret: str = setting("KEYCLOAK_CLIENT_SECRET", "", "secret of that client", secret=True)
    keycloak_cafile: str = setting("RECON_KEYCLOAK_CAFILE", "", "authority for https; empty: the system's")
    dashboard_client_id: str = setting("RECON_DASHBOARD_CLIENT_ID", "reconciliation-dashboard", "client of browsers")
    jwt_algorithm: str = setting(
        "JWT_ALGORITHM", "RS256", "algorithms that access tokens may be signed with, by commas; asymmetric ones only"
    )
    jwt_audience: str = setting("JWT_AUDIENCE", "reconciliation-api", "audience that an access token must name")
    # Browsers and proxies
    allowed_origins: str = setting(
        "ALLOWED_ORIGINS", "", "origins that a browser may call the API from, by commas; empty: the same origin only"
    )
    allowed_credentials: bool = setting(
        "ALLOWED_CREDENTIALS", False, "whether those origins may send cookies and the like; tokens need it not"
    )
    trusted_proxies: str = setting(
        "RECON_TRUSTED_PROXIES", "", "addresses or networks whose X-Forwarded-* headers count, by commas; empty: none"
    )
    web_certfile: str = setting(
        "RECON_WEB_CERTFILE", "", "certificate chain (PEM), to serve TLS directly; empty: plain HTTP behind a proxy"
    )
    web_keyfile: str = setting("RECON_WEB_KEYFILE", "", "key of that certificate")
    # Limits of the API
    rate_limits: str = setting(
        "RECON_RATE_LIMITS",
        "/transactions=20,/transactions/stats=5,/mismatches=20,/mismatches/stats=3",
        "calls of an endpoint that one address may make in 10 seconds, path=number by commas",
    )
    rate_limit_default: int = setting("RECON_RATE_LIMIT_DEFAULT", 20, "the same for all other endpoints", minimum=1)
    export_rows_max: int = setting("RECON_EXPORT_ROWS_MAX", 100_000, "rows of one export; it is cut there", minimum=1)
    sockets_max: int = setting("RECON_SOCKETS_MAX", 1000, "websockets that may be open at one process", minimum=1)
    sockets_per_user: int = setting("RECON_SOCKETS_PER_USER", 10, "of them those of one person", minimum=1)
    resume_records_max: int = setting(
        "RECON_RESUME_RECORDS_MAX",
        50000,
        "records that a socket may ask for again; of more, its client reloads",
        minimum=1,
    )
    # Roles
    app_id: str = setting("RECON_APP_ID", "recon", "prefix of the consumer groups and of the changelog topic")
    rules_file: str = setting("RECON_RULES_FILE", "", "rules (TOML); empty: the rules of the package")
    web_host: str = setting("RECON_WEB_HOST", "127.0.0.1", "address the web role listens on")
    web_port: int = setting("RECON_WEB_PORT", 8000, "port of the web role", minimum=0)
    operations_port: int = setting(
        "RECON_OPERATIONS_PORT",
        9100,
        "first port of /livez /readyz /metrics; worker +0, sink +20, web +40, plus the index of the process",
        minimum=1,
    )
    log_level: str = setting("RECON_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR")
    log_format: str = setting("RECON_LOG_FORMAT", "text", "text (key=value) or json, one line an entry")
    process_index: int = setting(
        "RECON_PROCESS_INDEX", 0, "number of this process among those of its role on this machine", minimum=0
    )
    process_restarts: int = setting(
        "RECON_PROCESS_RESTARTS", 0, "how often the parent has started this process again", minimum=0
    )
    stop_timeout: float = setting(
        "RECON_STOP_TIMEOUT", 20.0, "how long a stop may finish units of work before the process ends", minimum=1
    )
    # Limits of the data path
    batch_records_max: int = setting(
        "RECON_BATCH_RECORDS_MAX", 1000, "records of one partition in one fetch", minimum=1
    )
    unit_records_max: int = setting("RECON_UNIT_RECORDS_MAX", 4000, "records in one unit of work of a lane", minimum=1)
    in_flight_records_max: int = setting(
        "RECON_IN_FLIGHT_RECORDS_MAX", 24000, "records read and not yet acknowledged, a process", minimum=1
    )
    cases_held_max: int = setting(
        "RECON_CASES_HELD_MAX", 60000, "cases a worker keeps folded in memory, some 4 KiB each", minimum=0
    )
    fetch_wait_ms: int = setting(
        "RECON_FETCH_WAIT_MS",
        25,
        "while records come, the broker collects them for so long: latency against CPU",
        minimum=1,
    )
    fetch_min_bytes: int = setting(
        "RECON_FETCH_MIN_BYTES", 4096, "or until it has so many bytes; more than that is not waited for", minimum=1
    )
    commit_interval: float = setting("RECON_COMMIT_INTERVAL", 0.5, "how often offsets are committed", minimum=0.05)
    session_timeout: float = setting(
        "RECON_SESSION_TIMEOUT", 10.0, "after which the group drops a silent process", minimum=1
    )
    stall_timeout: float = setting(
        "RECON_STALL_TIMEOUT", 60.0, "a process that has work and makes no progress for so long ends itself", minimum=1
    )
    recovery_timeout: float = setting(
        "RECON_RECOVERY_TIMEOUT", 60.0, "a recovery that makes no progress for so long ends the process", minimum=1
    )
    sink_batch_records_max: int = setting(
        "RECON_SINK_BATCH_RECORDS_MAX", 5000, "records in one PostgreSQL transaction of the sink", minimum=1
    )
    # Local stack
    stack_ports: str = setting(
        "RECON_STACK_PORTS", "default", "'default' or 'free': free ports, written to .recon/stack.env"
    )
    stack_cache_dir: str = setting("RECON_STACK_CACHE_DIR", "", "downloads of the stack; empty: ~/.cache/recon-stream")
    stack_kafka_port: int = setting("RECON_STACK_KAFKA_PORT", 9092, "local stack: Kafka", minimum=1)
    stack_kafka_controller_port: int = setting(
        "RECON_STACK_KAFKA_CONTROLLER_PORT", 9093, "local stack: Kafka's own controller", minimum=1
    )
    stack_registry_port: int = setting("RECON_STACK_REGISTRY_PORT", 8081, "local stack: schema registry", minimum=1)
    stack_registry_management_port: int = setting(
        "RECON_STACK_REGISTRY_MANAGEMENT_PORT", 9001, "local stack: health and metrics of the registry", minimum=1
    )
    stack_postgres_port: int = setting("RECON_STACK_POSTGRES_PORT", 5433, "local stack: PostgreSQL", minimum=1)
    stack_redis_port: int = setting("RECON_STACK_REDIS_PORT", 6379, "local stack: Valkey", minimum=1)
    stack_keycloak_port: int = setting("RECON_STACK_KEYCLOAK_PORT", 8080, "local stack: Keycloak", minimum=1)
    stack_keycloak_management_port: int = setting(
        "RECON_STACK_KEYCLOAK_MANAGEMENT_PORT", 9000, "local stack: health and metrics of Keycloak", minimum=1
    )

    def __post_init__(self) -> None:
        for f in fields(self):
            value, minimum = getattr(self, f.name), f.metadata["minimum"]
            if minimum is not None and value < minimum:
                raise ConfigurationError(f"{f.metadata['name']}={value} is below {minimum}")
            if f.metadata["name"].endswith("FILE") and value and not Path(value).is_file():
                raise ConfigurationError(f"{f.metadata['name']}: there is no file {value}")
            if f.name in NEVER_EMPTY and not by_commas(value):
                raise ConfigurationError(f"{f.metadata['name']} is empty: any issuer's token could be meant")
        if self.kafka_security_protocol not in SECURITY_PROTOCOLS:
            raise ConfigurationError(
                f"RECON_KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} is not one of {', '.join(SECURITY_PROTOCOLS)}"
            )
        if self.kafka_sasl_mechanism not in SASL_MECHANISMS:
            raise ConfigurationError(
                f"RECON_KAFKA_SASL_MECHANISM={self.kafka_sasl_mechanism} is not one of {', '.join(SASL_MECHANISMS)}"
            )
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ConfigurationError("SASL needs RECON_KAFKA_SASL_USERNAME and RECON_KAFKA_SASL_PASSWORD")
        if bool(self.kafka_ssl_certfile) != bool(self.kafka_ssl_keyfile):
            raise ConfigurationError("RECON_KAFKA_SSL_CERTFILE and RECON_KAFKA_SSL_KEYFILE go together")
        if bool(self.web_certfile) != bool(self.web_keyfile):
            raise ConfigurationError("RECON_WEB_CERTFILE and RECON_WEB_KEYFILE go together")
        if self.stack_ports not in ("default", "free"):
            raise ConfigurationError(f"RECON_STACK_PORTS={self.stack_ports} is neither 'default' nor 'free'")
        if self.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ConfigurationError(f"RECON_LOG_LEVEL={self.log_level} is not a level")
        if self.log_format not in ("text", "json"):
            raise ConfigurationError(f"RECON_LOG_FORMAT={self.log_format} is neither 'text' nor 'json'")
        self._check_identity()

    def _check_identity(self) -> None:
        if not re.fullmatch(rf"{ORIGIN}(/[\w./-]*)?", self.keycloak_server_url):
            raise ConfigurationError(
                f"KEYCLOAK_SERVER_URL={self.keycloak_server_url} is no http:// or https:// address"
            )
        for algorithm in by_commas(self.jwt_algorithm):
            if algorithm not in ASYMMETRIC:
                raise ConfigurationError(
                    f"JWT_ALGORITHM={algorithm} is not one of {', '.join(ASYMMETRIC)}: the API verifies by public keys"
                )
        for origin in by_commas(self.allowed_origins):
            if not re.fullmatch(ORIGIN, origin):
                raise ConfigurationError(
                    f"ALLOWED_ORIGINS={origin} is no origin; one is scheme, host and port alone: https://recon.bank:8443"
                )
        for network in by_commas(self.trusted_proxies):
            try:
                ip_network(network)
            except ValueError as error:
                raise ConfigurationError(
                    f"RECON_TRUSTED_PROXIES={network} is no address or network: {error}"
                ) from error

    @property
    def issuer(self) -> str:
        """The issuer that an access token must name: the realm's address."""
        return f"{self.keycloak_server_url.rstrip('/')}/realms/{self.keycloak_realm}"

    def web_ssl_context(self) -> ssl.SSLContext | None:
        """For the web role's server, TLS 1.2 or newer; None where it serves plain HTTP. Raises ConfigurationError."""
        if not self.web_certfile:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.web_certfile, self.web_keyfile, password="")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"RECON_WEB_CERTFILE={self.web_certfile} and RECON_WEB_KEYFILE={self.web_keyfile} "
                f"are no certificate and its key, PEM and without a passphrase: {error}"
            ) from error
        return context

    def kafka_ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context for brokers; None where the protocol has no TLS."""
        if not self.kafka_security_protocol.endswith("SSL"):
            return None
        context = trusting(self.kafka_ssl_cafile, "RECON_KAFKA_SSL_CAFILE")
        context.sslobject_class = PromptlyClosed
        if self.kafka_ssl_certfile:
            try:
                # without a password OpenSSL would ask the terminal for one
                context.load_cert_chain(self.kafka_ssl_certfile, self.kafka_ssl_keyfile, password="")
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"RECON_KAFKA_SSL_CERTFILE={self.kafka_ssl_certfile} and RECON_KAFKA_SSL_KEYFILE={self.kafka_ssl_keyfile} "
                    f"are no certificate and its key, PEM and without a passphrase: {error}"
                ) from error
        return context

    def kafka_client(self) -> dict[str, Any]:
        """Connection arguments that every aiokafka client takes."""
        client: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers,
            "security_protocol": self.kafka_security_protocol,
            "ssl_context": self.kafka_ssl_context(),
        }
        if self.kafka_security_protocol.startswith("SASL"):
            client |= {
                "sasl_mechanism": self.kafka_sasl_mechanism,
                "sasl_plain_username": self.kafka_sasl_username,
                "sasl_plain_password": self.kafka_sasl_password,
            }
        return client

    def described(self) -> list[tuple[str, str, str]]:
        """(variable, value with secrets hidden, meaning) of every setting, in order."""
        return [
            (
                f.metadata["name"],
                "***" if f.metadata["secret"] and getattr(self, f.name) else str(getattr(self, f.name)),
                f.metadata["about"],
            )
            for f in fields(self)
        ]


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raises ConfigurationError that names the variable."""
    environ = os.environ if environ is None else environ
    state_dir = Path(environ.get("RECON_STATE_DIR", ".recon"))
    merged = read_env_file(state_dir / "stack.env") | dict(environ)
    values: dict[str, Any] = {}
    for f in fields(Settings):
        name = f.metadata["name"]
        text = (
            _from_file(merged[f"{name}_FILE"], name)
            if f"{name}_FILE" in merged and name not in environ
            else merged.get(name)
        )
        if text is not None:
            assert f.default is not MISSING
            values[f.name] = _parse(name, text, type(f.default))
    return Settings(**values)


def by_commas(text: str) -> tuple[str, ...]:
    """The parts of a list that a setting holds."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def read_env_file(path: Path) -> dict[str, str]:
    """NAME=value lines; a missing file is empty."""
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _from_file(path: str, name: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"{name}_FILE={path} cannot be read: {error.strerror}") from error


def _parse(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ConfigurationError(f"{name}={text} is not true or false")
        return text.lower() in ("true", "1", "yes")
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigurationError(f"{name}={text} is not a {kind.__name__}") from error
