"""Downloads from a real HTTP server on the loopback: checked, whole or absent, fetched once."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recon_stream.stack import maven
from recon_stream.stack.artifacts import KAFKA, KEYCLOAK, REGISTRY, Artifact, pinned, postgres_archive
from recon_stream.stack.downloads import Cache
from recon_stream.stack.errors import ChecksumMismatch, DiskFull, DownloadRefused, NotWritable, StackBusy
from recon_stream.stack.files import exclusive, try_lock

CONTENT = b"an archive" * 1000
GOOD = Artifact("test", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "org.example:thing:jar:1.0")


class Repository(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, counts what is asked for, and misbehaves as `mode` says."""

    mode = "good"
    asked: list[str] = []  # noqa: RUF012 the handler is made anew for each request

    def do_GET(self) -> None:
        """Answer one request."""
        self.asked.append(self.path)
        if self.mode == "refused":
            self.send_error(403)
            return
        body = {"altered": CONTENT[:-1] + b"!", "longer": CONTENT + b"more"}.get(self.mode, CONTENT)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.mode == "cut" or (self.mode == "cut once" and len(self.asked) == 1):
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


class Counted:
    """Progress that adds up."""

    def __init__(self) -> None:
        self.total = self.bytes = 0

    def downloading(self, total: int) -> None:
        """The size of what is missing."""
        self.total = total

    def received(self, count: int) -> None:
        """What came, less what came in vain."""
        self.bytes += count


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a repository that behaves well."""
    monkeypatch.setattr(maven, "PAUSE", 0.01)
    Repository.mode, Repository.asked = "good", []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repository) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def fetch(cache: Cache, artifact: Artifact = GOOD) -> Counted:
    """Fetch one artifact."""
    counted = Counted()
    cache.fetch([artifact], counted, threading.Event())
    return counted


def files(root: Path) -> list[str]:
    """What lies in the repository of the cache."""
    return sorted(path.name for path in (root / "maven").rglob("*") if path.is_file())


def test_a_file_is_fetched_once_and_not_read_again(remote: str, tmp_path: Path) -> None:
    """The second time neither the network nor the file's content is touched, only its size and time."""
    cache = Cache(tmp_path, remote)
    counted = fetch(cache)
    assert counted.total == counted.bytes == len(CONTENT)
    assert cache.path(GOOD).read_bytes() == CONTENT
    cache.path(GOOD).chmod(0)  # root may read it all the same; others would fail here

    assert fetch(cache).total == 0
    assert Repository.asked == ["/org/example/thing/1.0/thing-1.0.jar"]


@pytest.mark.parametrize("mode", ["altered", "longer"])
def test_a_file_that_is_not_the_pinned_one_is_refused_and_leaves_nothing(
    remote: str, tmp_path: Path, mode: str
) -> None:
    """What a repository or a proxy altered is never used, and never lies where a later start would find it."""
    Repository.mode = mode
    with pytest.raises(ChecksumMismatch, match=r"thing-1\.0\.jar"):
        fetch(Cache(tmp_path, remote))
    assert files(tmp_path) == []


def test_a_file_that_changed_in_the_cache_is_thrown_away_and_fetched_again(remote: str, tmp_path: Path) -> None:
    """The manifest notices a change of size or time; the sum decides."""
    cache = Cache(tmp_path, remote)
    fetch(cache)
    cache.path(GOOD).write_bytes(CONTENT[:-1] + b"?")

    fetch(cache)

    assert cache.path(GOOD).read_bytes() == CONTENT
    assert len(Repository.asked) == 2


def test_a_cut_connection_leaves_no_half_file_and_is_tried_again(remote: str, tmp_path: Path) -> None:
    """One cut is survived; when it goes on, the error says what to do, and nothing half lies in the cache."""
    Repository.mode = "cut once"
    counted = fetch(Cache(tmp_path / "one", remote))
    assert counted.bytes == len(CONTENT), "the bar ends at its end, not beyond"

    Repository.mode = "cut"
    with pytest.raises(DownloadRefused, match="run the command again"):
        fetch(Cache(tmp_path / "two", remote))
    assert files(tmp_path / "two") == []


def test_a_refusal_names_the_address_and_the_status(remote: str, tmp_path: Path) -> None:
    """A proxy that says no is not asked again and again."""
    Repository.mode = "refused"
    with pytest.raises(DownloadRefused, match=r"thing-1\.0\.jar: HTTP status 403.*HTTPS_PROXY"):
        fetch(Cache(tmp_path, remote))
    assert len(Repository.asked) == 1


def test_a_repository_that_is_not_there_is_one_clear_error(tmp_path: Path, remote: str) -> None:
    """No route, no name, no listener: the same kind of error."""
    with pytest.raises(DownloadRefused, match=r"Could not download http://127\.0\.0\.1:9"):
        fetch(Cache(tmp_path, "http://127.0.0.1:9"))


def test_a_disk_without_room_is_said_before_anything_is_fetched(remote: str, tmp_path: Path) -> None:
    """The sizes are pinned, so the space is known to lack beforehand."""
    with pytest.raises(DiskFull, match=r"MB free, .* MB are needed.*RECON_STACK_CACHE_DIR"):
        fetch(Cache(tmp_path, remote), Artifact("test", "0" * 64, 1 << 60, GOOD.coordinates))
    assert Repository.asked == []


def test_a_cache_that_cannot_be_made_is_a_clear_error(tmp_path: Path, remote: str) -> None:
    """A file where the folder should be, as root meets it too."""
    (tmp_path / "cache").write_text("a file")
    with pytest.raises((NotWritable, FileExistsError)):
        fetch(Cache(tmp_path / "cache" / "below", remote))


def test_two_commands_never_download_at_once(tmp_path: Path) -> None:
    """The second waits for the lock, and gives up with an error that says so, or when it is told to stop."""
    held = try_lock(tmp_path / "lock")
    assert held is not None
    with pytest.raises(StackBusy), exclusive(tmp_path / "lock", 0.2, threading.Event()):
        pass
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(InterruptedError), exclusive(tmp_path / "lock", 60, stop):
        pass
    assert time.monotonic() - begun < 5


def test_a_half_unpacked_archive_is_unpacked_again(remote: str, tmp_path: Path) -> None:
    """The folder appears whole or not at all."""
    cache = Cache(tmp_path, remote)
    fetch(cache)

    def broken(_: Path, folder: Path) -> None:
        (folder / "half").write_text("half")
        raise InterruptedError

    def works(archive: Path, folder: Path) -> None:
        (folder / "whole").write_bytes(archive.read_bytes())

    with pytest.raises(InterruptedError):
        cache.unpacked(GOOD, broken)
    folder = cache.unpacked(GOOD, works)
    assert [path.name for path in folder.iterdir()] == ["whole"]
    assert cache.unpacked(GOOD, broken) == folder


def test_what_a_killed_attempt_goes_on_writing_is_never_taken_for_the_folder(remote: str, tmp_path: Path) -> None:
    """A build that outlives its starter writes on where it began; the next attempt begins elsewhere, and clears that away."""
    cache = Cache(tmp_path, remote)
    fetch(cache)
    begun: list[Path] = []

    def killed(_: Path, folder: Path) -> None:
        begun.append(folder)
        raise KeyboardInterrupt

    def works(archive: Path, folder: Path) -> None:
        assert not begun[0].exists()
        begun[0].mkdir()
        (begun[0] / "late").write_text("late")
        (folder / "whole").write_bytes(archive.read_bytes())

    with pytest.raises(KeyboardInterrupt):
        cache.unpacked(GOOD, killed)
    begun[0].mkdir()
    folder = cache.unpacked(GOOD, works)
    assert [path.name for path in folder.iterdir()] == ["whole"]
    assert cache.unpacked(GOOD, lambda *_: None, variant="otherwise built") != folder


def test_every_archive_of_the_stack_is_pinned() -> None:
    """The lock file holds what the versions say: a version that changed without the lock file is found here."""
    names = {artifact.coordinates for service in ("kafka", "registry", "keycloak") for artifact in pinned(service)}
    assert f"org.apache.kafka:kafka_2.13:jar:{KAFKA}" in names
    assert f"org.apache.kafka:kafka-clients:jar:{KAFKA}" in names
    assert f"io.apicurio:apicurio-registry-app:tar.gz:all:{REGISTRY}" in names
    assert f"org.keycloak:keycloak-quarkus-dist:zip:{KEYCLOAK}" in names
    assert any(name.startswith("org.apache.logging.log4j:log4j-slf4j-impl:") for name in names), "Kafka's log needs it"
    assert postgres_archive().size > 10 << 20
    for service in ("kafka", "registry", "postgres", "keycloak"):
        for artifact in pinned(service):
            assert len(artifact.sha256) == 64
            assert artifact.size > 0
