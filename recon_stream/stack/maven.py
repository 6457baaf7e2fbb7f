"""jgo's Maven context with a download that is whole or absent: jgo's own writes in place and only warns of a wrong sum."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from jgo.maven import Artifact as MavenArtifact
from jgo.maven import MavenContext, PythonResolver
from jgo.util import http

from recon_stream.stack.artifacts import Artifact
from recon_stream.stack.downloads import Progress
from recon_stream.stack.errors import ChecksumMismatch, DownloadRefused
from recon_stream.stack.files import make_folder, raise_for_disk

TIMEOUT = 60  # seconds without a byte
ATTEMPTS = 3
PAUSE = 1.0  # seconds before the second attempt; twice that before the third
FINAL_STATUS = (401, 403, 404, 407)  # another attempt would be answered the same
CHUNK = 1 << 18  # bytes


class CheckedResolver(PythonResolver):
    """Downloads pinned artifacts, by file name, until `stop` is set."""

    def __init__(self, pins: Mapping[str, Artifact], progress: Progress, stop: threading.Event) -> None:
        super().__init__()
        self.pins = pins
        self.progress = progress
        self.stop = stop

    def download(self, artifact: MavenArtifact) -> Path:
        """Fetch one file; raises DownloadRefused, ChecksumMismatch, DiskFull, NotWritable, InterruptedError."""
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
        """The SHA-256 of what came; several attempts."""
        reason = ""
        for attempt in range(ATTEMPTS):
            if self.stop.wait(PAUSE * attempt):
                raise InterruptedError(f"{url}: stopped")
            try:
                response = http.get(url, stream=True, timeout=TIMEOUT)
                if response.status_code == 200:
                    return self._stream(response.iter_content(CHUNK), half, url, size)
                response.close()
                reason = f"HTTP status {response.status_code}"
                if response.status_code in FINAL_STATUS:
                    break
            except InterruptedError:
                raise
            except OSError as error:  # the errors of requests are OSErrors too
                raise_for_disk(error, half)
                reason = str(error)
        raise DownloadRefused(f"Could not download {url}: {reason}")

    def _stream(self, chunks: Iterator[bytes], half: Path, url: str, size: int) -> str:
        digest, received = hashlib.sha256(), 0
        try:
            with half.open("wb") as file:
                for chunk in chunks:
                    received += len(chunk)
                    self.progress.received(len(chunk))
                    self._go_on(url, received, size)
                    file.write(chunk)
                    digest.update(chunk)
        except BaseException:
            self.progress.received(-received)
            raise
        return digest.hexdigest()

    def _go_on(self, url: str, received: int, size: int) -> None:
        if self.stop.is_set():
            raise InterruptedError(f"{url}: stopped")
        if received > size:
            raise ChecksumMismatch(f"{url} is larger than the {size} bytes expected")


def context(root: Path, remote: str, resolver: PythonResolver) -> MavenContext:
    """A context that looks nowhere but in `root` and at `remote`."""
    return MavenContext(
        resolver=resolver, repo_cache=root, local_repos=[], remote_repos={"central": remote}, timeout=TIMEOUT
    )


def resolve(maven: MavenContext, artifact: Artifact) -> Path:
    """The artifact's file, downloaded when it is not there."""
    group, name, packaging, classifier, version = artifact.parts
    return maven.project(group, name).at_version(version).artifact(classifier, packaging).resolve()
