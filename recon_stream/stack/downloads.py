"""The cache of downloads: pinned archives from Maven Central, checked, whole or not there at all, fetched once.

The manifest remembers (size, modification time, SHA-256) of every file that was checked, so that a start reads no
archive again; a file that changed since is hashed again, and thrown away when it is not the pinned one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Protocol

from recon_stream.stack.artifacts import Artifact
from recon_stream.stack.files import ensure_space, exclusive, make_folder, raise_for_disk, read_json, write_private

PARALLEL = 6  # downloads at a time
LOCK_WAIT = 900.0  # seconds another command may take to download what we need too
CENTRAL = "https://repo1.maven.org/maven2"


class Progress(Protocol):
    """What a download tells; called from several threads."""

    def downloading(self, total: int) -> None:
        """So many bytes will be fetched."""

    def received(self, count: int) -> None:
        """So many more bytes are here; negative when an attempt failed and its bytes do not count."""


class Cache:
    """The folder of downloads, shared by all state folders of a user; `remote` is the repository's base URL."""

    def __init__(self, root: Path, remote: str = CENTRAL) -> None:
        self.root = root
        self.remote = remote
        self._repository = root / "maven"
        self._manifest = root / "manifest.json"

    def path(self, artifact: Artifact) -> Path:
        """Where the artifact lies once it is fetched."""
        group, name, _, _, version = artifact.parts
        return self._repository / group.replace(".", "/") / name / version / artifact.filename

    def fetch(self, artifacts: Iterable[Artifact], progress: Progress, stop: threading.Event) -> None:
        """Download what is missing, several files at a time, until `stop` is set.

        Raises DownloadRefused, ChecksumMismatch, DiskFull, NotWritable, StackBusy; InterruptedError when stopped.
        """
        make_folder(self.root)
        with exclusive(self.root / "lock", LOCK_WAIT, stop):
            missing = self.missing(artifacts)
            if missing:
                size = sum(artifact.size for artifact in missing)
                ensure_space(self.root, size)
                progress.downloading(size)
                self._download(missing, progress, stop)

    def missing(self, artifacts: Iterable[Artifact]) -> list[Artifact]:
        """Those that are not there, or are not what was pinned: these are removed."""
        manifest = read_json(self._manifest)
        return [artifact for artifact in artifacts if not self._intact(artifact, manifest)]

    def unpacked(
        self, artifact: Artifact, unpack: Callable[[Path, Path], None], under: Path | None = None, variant: str = ""
    ) -> Path:
        """The folder with the contents of a fetched archive; `unpack(archive, folder)` runs once for each variant.

        `under` is a place other than the cache, for a server whose user may not enter the cache.
        """
        name = f"{artifact.parts[1]}-{artifact.parts[4]}-{artifact.sha256[:12]}{'-' + variant if variant else ''}"
        folder = (under or self.root) / "unpacked" / name
        if folder.is_dir():
            return folder
        ensure_space(folder.parent, artifact.size * 4)
        make_folder(folder.parent)
        # a name of its own: a child of an attempt that was killed may still be writing into the earlier one's
        half = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.part")
        with exclusive(folder.parent / "lock", LOCK_WAIT, threading.Event()):
            if folder.is_dir():
                return folder
            for left in folder.parent.glob(f"{folder.name}.*part"):
                shutil.rmtree(left, ignore_errors=True)
            make_folder(half)
            try:
                unpack(self.path(artifact), half)
                half.rename(folder)
            except OSError as error:
                raise_for_disk(error, folder)
                raise
            finally:
                shutil.rmtree(half, ignore_errors=True)
        return folder

    def _download(self, wanted: list[Artifact], progress: Progress, stop: threading.Event) -> None:
        from recon_stream.stack import maven  # jgo takes half a second to import and is needed once

        resolver = maven.CheckedResolver({artifact.filename: artifact for artifact in wanted}, progress, stop)
        context = maven.context(self._repository, self.remote, resolver)
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="download") as pool:
            jobs = {pool.submit(maven.resolve, context, artifact): artifact for artifact in wanted}
            try:
                for job in as_completed(jobs):
                    job.result()
                    self._remember(jobs[job])
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _intact(self, artifact: Artifact, manifest: dict[str, list[object]]) -> bool:
        path = self.path(artifact)
        if not path.is_file():
            return False
        if manifest.get(artifact.coordinates) == self._seen(path, artifact):
            return True
        with path.open("rb") as file:
            intact = hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256
        if intact:
            self._remember(artifact)
        else:
            path.unlink()
        return intact

    def _remember(self, artifact: Artifact) -> None:
        manifest = read_json(self._manifest)
        manifest[artifact.coordinates] = self._seen(self.path(artifact), artifact)
        write_private(self._manifest, json.dumps(manifest, indent=1, sort_keys=True))

    def _seen(self, path: Path, artifact: Artifact) -> list[object]:
        stat = path.stat()
        return [stat.st_size, stat.st_mtime_ns, artifact.sha256]


def unpack_tar(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz."""
    with tarfile.open(archive) as tar:
        _extract(tar, folder)


def unpack_zip(archive: Path, folder: Path) -> None:
    """Unpack a .zip."""
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(folder)


def unpack_postgres(archive: Path, folder: Path) -> None:
    """Unpack the .txz inside a jar of embedded-postgres-binaries."""
    with zipfile.ZipFile(archive) as jar:
        name = next(name for name in jar.namelist() if name.endswith(".txz"))
        with jar.open(name) as inner, tarfile.open(fileobj=inner, mode="r:xz") as tar:
            _extract(tar, folder)
    # whoever may enter the folder may run the server: it drops to a user of its own where root starts it
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    """What is in the archive is pinned by its sum; the filter, which Python has since 3.11.4, is a second lock."""
    if hasattr(tarfile, "data_filter"):
        tar.extraction_filter = tarfile.data_filter
    tar.extractall(folder)
