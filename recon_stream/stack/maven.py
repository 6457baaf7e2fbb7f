"""jgo's Maven context with a download that is whole or absent: jgo's own writes in place and only warns of a wrong sum."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from jgo.maven import Artifact as MavenArtifact
from jgo.maven import MavenContext, PythonResolver
from jgo.util import http

from recon_stream.stack.artifacts import Artifact
from recon_stream.stack.errors import ChecksumMismatch, DownloadRefused
from recon_stream.stack.files import make_folder, raise_for_disk

CENTRAL = "https://repo1.maven.org/maven2"
TIMEOUT = 60  # seconds without a byte
ATTEMPTS = 3
PAUSE = 1.0  # seconds before the second attempt, doubled for the third
CHUNK = 1 << 18  # bytes


class CheckedResolver(PythonResolver):
    """Downloads pinned artifacts; `received(bytes)` is told of every chunk."""

    def __init__(self, pins: Mapping[str, Artifact], received: Callable[[int], None]) -> None:
        super().__init__()
        self.pins = pins
        self.received = received

    def download(self, artifact: MavenArtifact) -> Path:
        """Fetch one file; raises DownloadRefused, ChecksumMismatch, DiskFull, NotWritable."""
        target = artifact.cached_path
        assert target is not None
        pin = self.pins[artifact.filename]
        base = next(iter(artifact.context.remote_repos.values()))
        url = f"{base}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
        make_folder(target.parent)
        half = target.with_name(target.name + ".part")
        try:
            digest = self._received_into(half, url, pin.size)
            if digest != pin.sha256:
                raise ChecksumMismatch(f"{url} has SHA-256 {digest}, expected {pin.sha256}")
            half.rename(target)
        finally:
            half.unlink(missing_ok=True)
        return target

    def _received_into(self, half: Path, url: str, size: int) -> str:
        for attempt in range(1, ATTEMPTS + 1):
            got = 0
            try:
                response = http.get(url, stream=True, timeout=TIMEOUT)
                if response.status_code == 200:
                    digest = hashlib.sha256()
                    with half.open("wb") as file:
                        for chunk in response.iter_content(CHUNK):
                            got += len(chunk)
                            if got > size:
                                raise ChecksumMismatch(f"{url} is larger than the {size} bytes expected")
                            file.write(chunk)
                            digest.update(chunk)
                            self.received(len(chunk))
                    return digest.hexdigest()
                reason = f"HTTP status {response.status_code}"
                response.close()
                if response.status_code in (401, 403, 404, 407):
                    break
            except OSError as error:  # requests' errors are OSErrors too
                raise_for_disk(error, half)
                reason = str(error)
            self.received(-got)
            if attempt < ATTEMPTS:
                time.sleep(PAUSE * 2 ** (attempt - 1))
        raise DownloadRefused(f"Could not download {url}: {reason}")


def context(root: Path, remote: str, resolver: PythonResolver) -> MavenContext:
    """A context that looks nowhere but in `root` and at `remote`."""
    return MavenContext(
        resolver=resolver, repo_cache=root, local_repos=[], remote_repos={"central": remote}, timeout=TIMEOUT
    )


def resolve(maven: MavenContext, artifact: Artifact) -> Path:
    """The artifact's file, downloaded when it is not there."""
    group, name, packaging, classifier, version = artifact.parts
    return maven.project(group, name).at_version(version).artifact(classifier, packaging).resolve()
