"""Write artifacts.lock anew from the versions in artifacts.py: `python -m recon_stream.stack.lock`.

Every file is checked against the sum that the repository publishes beside it before its SHA-256 is pinned; a
maintainer reads the difference before it is committed.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from jgo.maven import Artifact as MavenArtifact
from jgo.maven import MavenContext, PythonResolver
from jgo.parse import Coordinate
from jgo.util import http

from recon_stream.stack import maven
from recon_stream.stack.artifacts import KAFKA, KEYCLOAK, POSTGRES, REGISTRY, Artifact
from recon_stream.stack.downloads import CENTRAL
from recon_stream.stack.errors import ChecksumMismatch, DownloadRefused

PLATFORMS = ("linux-amd64", "linux-arm64v8", "darwin-amd64", "darwin-arm64v8")
BINDING = "org.apache.logging.log4j:log4j-slf4j-impl"  # Kafka declares the API of its log and no binding to log4j


def kafka_artifacts(context: MavenContext) -> Iterator[MavenArtifact]:
    """The broker with all that it needs at run time, and the binding of its log."""
    broker = context.create_dependency(Coordinate.parse(f"org.apache.kafka:kafka_2.13:{KAFKA}"))
    inputs, transitive = context.resolver.resolve([broker])
    # the binding is added by hand: given as a second root, its bill of materials would change Kafka's own versions
    log4j = next(dep.version for dep in transitive if dep.artifactId == "log4j-core")
    group, name = BINDING.split(":")
    yield from (dependency.artifact for dependency in [*inputs, *transitive])
    yield context.project(group, name).at_version(log4j).artifact()


def pin(service: str, artifact: MavenArtifact) -> Artifact:
    """Download a file, compare it with its published sum and pin it."""
    url = f"{CENTRAL}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
    response, published = (http.get(address, timeout=maven.TIMEOUT) for address in (url, f"{url}.sha1"))
    if response.status_code != 200 or published.status_code != 200:
        raise DownloadRefused(f"{url} or its .sha1: status {response.status_code}, {published.status_code}")
    if hashlib.sha1(response.content, usedforsecurity=False).hexdigest() != published.text.split()[0]:
        raise ChecksumMismatch(f"{url} is not what {url}.sha1 says")
    parts = (artifact.groupId, artifact.artifactId, artifact.packaging, artifact.classifier, artifact.version)
    digest = hashlib.sha256(response.content).hexdigest()
    return Artifact(service, digest, len(response.content), ":".join(part for part in parts if part))


@click.command()
def main() -> None:
    """Resolve and pin every archive of the local stack."""
    with tempfile.TemporaryDirectory() as folder:
        context = maven.context(Path(folder), CENTRAL, PythonResolver())
        registry = context.project("io.apicurio", "apicurio-registry-app").at_version(REGISTRY)
        wanted = [("kafka", artifact) for artifact in kafka_artifacts(context)]
        wanted.append(("registry", registry.artifact("all", "tar.gz")))
        keycloak = context.project("org.keycloak", "keycloak-quarkus-dist").at_version(KEYCLOAK)
        wanted.append(("keycloak", keycloak.artifact(packaging="zip")))
        for platform in PLATFORMS:
            archive = context.project("io.zonky.test.postgres", f"embedded-postgres-binaries-{platform}")
            wanted.append(("postgres", archive.at_version(f"{POSTGRES}.0").artifact()))
        pins = (pin(service, artifact) for service, artifact in wanted)
        lines = [pinned.line() for pinned in sorted(pins, key=lambda pinned: (pinned.service, pinned.coordinates))]
    header = (
        "# service sha256 bytes group:artifact:packaging[:classifier]:version, by `python -m recon_stream.stack.lock`"
    )
    Path(__file__).with_name("artifacts.lock").write_text("\n".join([header, *lines]) + "\n")
    click.echo(f"{len(lines)} artifacts pinned")


if __name__ == "__main__":
    main()
