"""Which archives the stack is made of: coordinates, sizes and SHA-256, pinned in artifacts.lock.

A line is `service sha256 bytes group:artifact:packaging[:classifier]:version`, the coordinates as Maven writes them.
Pinning every file makes a resolution of dependencies unnecessary at run time and its result the same everywhere.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from recon_stream.stack.errors import UnsupportedPlatform

KAFKA = "4.1.1"
REGISTRY = "3.3.3"
POSTGRES = "18.1"
KEYCLOAK = "26.5.0"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a Maven repository; `size` in bytes."""

    service: str
    sha256: str
    size: int
    coordinates: str

    @property
    def parts(self) -> tuple[str, str, str, str, str]:
        """(group, artifact, packaging, classifier, version); the classifier may be empty."""
        group, name, packaging, *classifier, version = self.coordinates.split(":")
        return group, name, packaging, classifier[0] if classifier else "", version

    @property
    def filename(self) -> str:
        """The file's name in the repository."""
        _, name, packaging, classifier, version = self.parts
        return f"{name}-{version}{'-' + classifier if classifier else ''}.{packaging}"

    def line(self) -> str:
        """As it stands in artifacts.lock."""
        return f"{self.service} {self.sha256} {self.size} {self.coordinates}"


@cache
def pinned(service: str) -> tuple[Artifact, ...]:
    """The artifacts of a service, in the order of the lock file."""
    text = resources.files(__package__).joinpath("artifacts.lock").read_text("utf-8")
    return tuple(artifact for artifact in listed(text) if artifact.service == service)


def listed(text: str) -> Iterator[Artifact]:
    """The artifacts of a lock file, in its order."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            service, digest, size, coordinates = line.split()
            yield Artifact(service, digest, int(size), coordinates)


def postgres_archive() -> Artifact:
    """The PostgreSQL archive for this operating system and processor; raises UnsupportedPlatform."""
    system = platform.system().lower()
    machine = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64v8", "arm64": "arm64v8"}.get(
        platform.machine().lower()
    )
    for artifact in pinned("postgres"):
        if artifact.parts[1].endswith(f"-{system}-{machine}"):
            return artifact
    raise UnsupportedPlatform(f"There is no PostgreSQL archive for {platform.system()} on {platform.machine()}")
