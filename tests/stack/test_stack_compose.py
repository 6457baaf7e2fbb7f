"""docker-compose.yml and the local stack are the same services."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recon_stream.security.realm import DEMO_USERS_FILE, REALM_FILE
from recon_stream.settings import Settings
from recon_stream.stack.services import SERVICES
from recon_stream.stack.services.kafka import PROPERTIES
from recon_stream.stack.services.keycloak import BUILD_OPTIONS, HEAP_MB
from recon_stream.stack.services.postgres import LOCALE, SETTINGS
from recon_stream.stack.services.valkey import CONFIGURATION
from recon_stream.stack.state import PORT_SETTINGS

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
SECTIONS = dict(
    re.findall(r"^  (\w+):\n((?:    .*\n|\n)+)", COMPOSE.split("\nservices:\n")[1].split("\nconfigs:\n")[0], re.M)
)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_version_name_and_port_are_those_of_the_local_stack(service) -> None:  # type: ignore[no-untyped-def]
    """The image's tag is the local version, the published port is chosen by the same setting with the same default."""
    section = SECTIONS[service.name]
    setting = PORT_SETTINGS[service.ports[0]]
    default = Settings.__dataclass_fields__[setting].default

    assert re.search(r"image: (\S+)", section)[1].rpartition(":")[2] == service.version  # type: ignore[index]
    assert re.findall(r'- "(.*):\d+"', section) == [f"127.0.0.1:${{RECON_{setting.upper()}:-{default}}}"]
    for needed in ("healthcheck:", "mem_limit:", "<<: *service"):
        assert needed in section


def test_the_compose_file_has_no_other_services_and_no_floating_versions() -> None:
    """What runs is what was tested."""
    assert set(SECTIONS) == {service.name for service in SERVICES}
    assert "latest" not in COMPOSE


def test_kafka_is_configured_alike() -> None:
    """Every property of the local broker that is not an address stands in the compose file with the same value."""
    local = dict(line.split("=", 1) for line in PROPERTIES.splitlines() if line and not line.startswith("#"))
    theirs = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): value.strip('"')
        for name, value in re.findall(r"^      (KAFKA_\w+): (.*)$", SECTIONS["kafka"], re.M)
    }
    addresses = {
        "controller.quorum.voters",
        "listeners",
        "advertised.listeners",
        "log.dirs",
        "inter.broker.listener.name",
    }
    sized_by_the_machine = {
        "log.cleaner.dedupe.buffer.size",
        "num.network.threads",
        "num.io.threads",
        "message.max.bytes",
    }
    for name in set(local) - addresses - sized_by_the_machine:
        assert theirs.get(name) == local[name], name


def test_postgres_and_valkey_are_configured_alike() -> None:
    """Settings that change behaviour or memory are the same in both."""
    for name in (
        "shared_buffers",
        "work_mem",
        "maintenance_work_mem",
        "max_wal_size",
        "max_connections",
        "jit",
        "timezone",
    ):
        assert f"- {name}={SETTINGS[name]}\n" in SECTIONS["postgres"]
    assert " ".join(LOCALE) in SECTIONS["postgres"]
    for line in CONFIGURATION.splitlines():
        if line.startswith(("append", "save", "maxmemory", "maxclients")):
            assert f"      {line}\n" in COMPOSE
    for name in ("roles.sql", "database.sql"):
        assert f"./recon_stream/stack/{name}:/recon/{name}:ro" in COMPOSE
        assert (ROOT / "recon_stream" / "stack" / name).is_file()


def test_keycloak_is_configured_alike() -> None:
    """Built with the same options, bounded alike, with the same realm and users under the names that Keycloak imports."""
    section = SECTIONS["keycloak"]
    theirs = dict(re.findall(r"^      (\w+): (.*)$", section, re.M))
    for option in BUILD_OPTIONS:
        name, _, value = option.removeprefix("--").partition("=")
        assert theirs[f"KC_{name.replace('-', '_').upper()}"].strip('"') == value
    assert theirs["JAVA_OPTS_KC_HEAP"].endswith(f"-Xmx{HEAP_MB}m")
    assert theirs["KC_CACHE"] == "local"
    for file, imported in (
        ("reconciliation-realm.json", "reconciliation-realm.json"),
        ("demo-users.json", "reconciliation-users-0.json"),
    ):
        assert f"./deploy/keycloak/{file}:/opt/keycloak/data/import/{imported}:ro" in section
    realm = REALM_FILE.read_text() + DEMO_USERS_FILE.read_text()
    assert set(re.findall(r"\$\{(\w+)[:}]", realm)) <= theirs.keys(), "a variable that is not given stays as it stands"
