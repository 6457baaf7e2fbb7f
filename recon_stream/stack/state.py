"""What the stack remembers under the state folder: ports, passwords, and stack.env that the settings read."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from recon_stream.settings import Settings
from recon_stream.stack.files import make_folder, read_json, write_private
from recon_stream.stack.ports import HOST, free_ports, is_free

PORT_SETTINGS = {
    "kafka": "stack_kafka_port",
    "kafka-controller": "stack_kafka_controller_port",
    "registry": "stack_registry_port",
    "registry-management": "stack_registry_management_port",
    "postgres": "stack_postgres_port",
    "valkey": "stack_redis_port",
    "keycloak": "stack_keycloak_port",
    "keycloak-management": "stack_keycloak_management_port",
}
SECRETS = (
    "postgres",
    "recon_owner",
    "recon_sink",
    "recon_reader",
    "recon_web",
    "registry",
    "redis",
    "keycloak_admin",
    "keycloak_client",
)


@dataclass(frozen=True, slots=True)
class State:
    """Ports by name and passwords by role, kept from the first start until a reset."""

    ports: dict[str, int]
    passwords: dict[str, str]

    @property
    def is_current(self) -> bool:
        """Whether it has all that this version asks for; that of an older one may lack a port or a password."""
        return set(PORT_SETTINGS) <= self.ports.keys() and set(SECRETS) <= self.passwords.keys()

    def database_url(self, role: str, database: str = "recon") -> str:
        """The URL of a database as a role sees it."""
        return f"postgresql://{role}:{quote(self.passwords[role])}@{HOST}:{self.ports['postgres']}/{database}"

    @property
    def keycloak_url(self) -> str:
        """Keycloak's address, which its tokens name as the issuer's."""
        return f"http://{HOST}:{self.ports['keycloak']}"

    def environment(self) -> dict[str, str]:
        """What stack.env says to every other process of the product."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{self.ports['kafka']}",
            "SCHEMA_REGISTRY_URL": f"http://{HOST}:{self.ports['registry']}/apis/ccompat/v7",
            "DATABASE_URL": self.database_url("recon_sink"),
            "RECON_DATABASE_OWNER_URL": self.database_url("recon_owner"),
            "RECON_DATABASE_READER_URL": self.database_url("recon_reader"),
            "RECON_DATABASE_WEB_URL": self.database_url("recon_web"),
            "REDIS_URL": f"redis://{HOST}:{self.ports['valkey']}/0",
            "REDIS_PASSWORD": self.passwords["redis"],
            "KEYCLOAK_SERVER_URL": self.keycloak_url,
            "KEYCLOAK_CLIENT_SECRET": self.passwords["keycloak_client"],
        }


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things lie. `root` is the state folder; `service_root` is it too, or a place that PostgreSQL may enter."""

    root: Path
    cache: Path
    user: tuple[int, int] | None  # (uid, gid) that PostgreSQL drops to; None: it runs as the caller

    @classmethod
    def of(cls, settings: Settings) -> Folders:
        """The folders that the settings name."""
        cache = Path(settings.stack_cache_dir) if settings.stack_cache_dir else Path.home() / ".cache" / "recon-stream"
        user = None
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            user = (nobody.pw_uid, nobody.pw_gid)
        return cls(settings.state_dir.absolute(), cache.expanduser().absolute(), user)

    @property
    def state_file(self) -> Path:
        """Ports and passwords, for the owner alone."""
        return self.root / "stack.json"

    @property
    def env_file(self) -> Path:
        """Read by recon_stream.settings."""
        return self.root / "stack.env"

    def data(self, service: str) -> Path:
        """The folder of a service's data."""
        return self.root / "data" / service

    @property
    def postgres_data(self) -> Path:
        """The cluster's folder: under the state folder where the server's user may enter that, else under /var/lib."""
        if self.user is None or _may_enter(self.root, self.user[0]):
            return self.data("postgres")
        return Path("/var/lib/recon-stream") / hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16] / "postgres"

    @property
    def postgres_programs(self) -> Path | None:
        """Where the server is unpacked when its user may not enter the cache; None: in the cache."""
        return None if self.user is None or _may_enter(self.cache, self.user[0]) else Path("/var/cache/recon-stream")

    def log(self, service: str) -> Path:
        """The log file of a service."""
        return self.root / "logs" / f"{service}.log"

    def record(self, service: str) -> Path:
        """Which process a service is."""
        return self.root / "run" / f"{service}.json"

    def make(self) -> None:
        """Create what every service needs; others may pass through the folders but not look into them."""
        make_folder(self.root)
        for name, mode in (("data", 0o711), ("logs", 0o700), ("run", 0o700)):
            make_folder(self.root / name, mode)

    def remove_data(self, services: tuple[str, ...]) -> None:
        """Delete all that the stack wrote, and nothing else under the state folder."""
        for service in services:
            if self.data(service).exists():
                shutil.rmtree(self.data(service))
            self.log(service).unlink(missing_ok=True)
            self.log(service).with_name(f"{service}.log.1").unlink(missing_ok=True)
            self.record(service).unlink(missing_ok=True)
        if self.postgres_data.exists():
            shutil.rmtree(self.postgres_data)
        if self.postgres_data != self.data("postgres") and self.postgres_data.parent.exists():
            self.postgres_data.parent.rmdir()
        self.state_file.unlink(missing_ok=True)
        self.env_file.unlink(missing_ok=True)


def _may_enter(folder: Path, uid: int) -> bool:
    """Whether the user may pass through the folder and all above it; what does not exist yet will allow it."""
    for place in (folder, *folder.parents):
        if place.exists():
            stat = place.stat()
            if not stat.st_mode & (0o100 if stat.st_uid == uid else 0o001):
                return False
    return True


def load(folders: Folders) -> State | None:
    """The state of an earlier start; None when there was none. That of an older version lacks the newer services."""
    content = read_json(folders.state_file)
    return State(content["ports"], content["passwords"]) if content else None


def prepare(folders: Folders, settings: Settings, mine: set[str]) -> State:
    """The state for this start, written down; `mine` are the names of ports that running services of ours hold.

    Free ports are chosen once and kept as long as they stay free, so that a client's settings stay true.
    """
    before = read_json(folders.state_file)
    kept: dict[str, int] = before.get("ports", {})
    if settings.stack_ports == "free":
        fresh = (port for port in free_ports(2 * len(PORT_SETTINGS)) if port not in kept.values())
        chosen = {name: next(fresh) for name in PORT_SETTINGS}
        ports = {
            name: kept[name] if name in kept and (name in mine or is_free(kept[name])) else chosen[name]
            for name in PORT_SETTINGS
        }
    else:
        ports = {name: int(getattr(settings, attribute)) for name, attribute in PORT_SETTINGS.items()}
        ports |= {name: kept[name] for name in mine}
    passwords = {name: secrets.token_urlsafe(24) for name in SECRETS} | before.get("passwords", {})
    state = State(ports, passwords)
    write_private(folders.state_file, json.dumps({"ports": ports, "passwords": passwords}, indent=1))
    lines = (f"{name}={value}" for name, value in state.environment().items())
    write_private(
        folders.env_file, "# Written by recon-stream stack up; read by every command.\n" + "\n".join(lines) + "\n"
    )
    return state
