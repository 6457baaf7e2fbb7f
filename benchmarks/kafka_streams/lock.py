"""Write artifacts.lock anew from the versions below: `python -m benchmarks.kafka_streams.lock`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from jgo.maven import Artifact as MavenArtifact
from jgo.maven import MavenContext, PythonResolver
from jgo.parse import Coordinate

from recon_stream.stack import maven
from recon_stream.stack.artifacts import KAFKA
from recon_stream.stack.downloads import CENTRAL
from recon_stream.stack.lock import pin

RUN = (f"org.apache.kafka:kafka-streams:{KAFKA}", "org.apache.avro:avro:1.12.1", "org.slf4j:slf4j-simple:1.7.36")
"""The client library of the broker's own version, and what it is run with."""
COMPILE = ("org.eclipse.jdt:ecj:3.45.0",)


def resolved(context: MavenContext, coordinates: tuple[str, ...]) -> Iterator[MavenArtifact]:
    """The artifacts with all that they need at run time; of two versions of one the first, so Kafka's own choice."""
    seen = set()
    for coordinate in coordinates:
        inputs, transitive = context.resolver.resolve([context.create_dependency(Coordinate.parse(coordinate))])
        for dependency in (*inputs, *transitive):
            name = (dependency.groupId, dependency.artifactId)
            if name not in seen:
                seen.add(name)
                yield dependency.artifact


@click.command()
def main() -> None:
    """Resolve and pin every jar."""
    with tempfile.TemporaryDirectory() as folder:
        context = maven.context(Path(folder), CENTRAL, PythonResolver())
        lines = [
            pin(service, artifact).line()
            for service, coordinates in (("run", RUN), ("compile", COMPILE))
            for artifact in resolved(context, coordinates)
        ]
    header = "# use sha256 bytes group:artifact:packaging:version, by `python -m benchmarks.kafka_streams.lock`"
    Path(__file__).with_name("artifacts.lock").write_text("\n".join([header, *lines]) + "\n")
    click.echo(f"{len(lines)} jars pinned")


if __name__ == "__main__":
    main()
