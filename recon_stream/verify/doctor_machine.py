"""Checks of `doctor` that need no dependency: Python, packages, settings, rules, disk, limits, ports, processes."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import resource
import shutil
import sys
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp

import recon_stream
from recon_stream.apps import OPERATIONS_OFFSET
from recon_stream.process.operations import owner_of
from recon_stream.rulebook import load_rules
from recon_stream.settings import Settings
from recon_stream.verify.doctor_findings import Report, short
from recon_stream.verify.doctor_settings import setting_origins, unknown_variables

_PACKAGES = ("agents", "tables", "producers", "schemas")
_GIB = 1 << 30
_DISK_WARN, _DISK_FAIL = 5 * _GIB, 1 * _GIB
_FILES_WARN, _FILES_FAIL = 4096, 512
_PORT_TIMEOUT = 1.5
_PROCESSES_MAX = 20
_HOST = "127.0.0.1"


async def check_python(_: Settings, report: Report) -> None:
    """The interpreter, our packages, their dependencies."""
    report.ok("Python", f"{platform.python_version()} ({sys.executable})")
    home, astray = _astray()
    for package, found in astray.items():
        advice = "install recon-stream into an environment of its own"
        report.fail("packages", f"{package} is found in {found}, not in {home}", advice)
    if not astray:
        report.ok("packages", f"{', '.join(_PACKAGES)} beside recon_stream in {home}")
    wrong = _wrong_requirements()
    for text in wrong:
        report.fail("dependencies", text, "run `make setup`, or `pip install -r requirements.lock`")
    if not wrong:
        report.ok("dependencies", f"recon-stream {recon_stream.__version__}, all requirements installed")


def _astray() -> tuple[Path, dict[str, Path | None]]:
    """Our home, and the packages that are found elsewhere or not at all."""
    home = Path(recon_stream.__file__).resolve().parent.parent
    astray = {}
    for package in _PACKAGES:
        spec = find_spec(package)
        found = Path(spec.origin).resolve().parent.parent if spec is not None and spec.origin else None
        if found != home:
            astray[package] = found
    return home, astray


def _wrong_requirements() -> list[str]:
    wrong = []
    for line in importlib.metadata.requires("recon-stream") or ():
        if "extra ==" in line:
            continue
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:==\s*([0-9]+(?:\.[0-9]+)*)(\.\*)?)?", line)
        assert match is not None, line
        name, pinned, is_prefix = match[1], match[2], match[3]
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} is not installed")
            continue
        if pinned and installed != pinned and not (is_prefix and installed.startswith(f"{pinned}.")):
            wrong.append(f"{name} {installed} is installed, {pinned}{is_prefix or ''} is wanted")
    return wrong


async def check_settings(settings: Settings, report: Report) -> None:
    """Where values are from, variables that nobody reads, connections without encryption."""
    origins = setting_origins()
    by_origin: dict[str, int] = {}
    for origin in origins.values():
        by_origin[origin] = by_origin.get(origin, 0) + 1
    seen = ", ".join(f"{number} from {origin}" for origin, number in sorted(by_origin.items()) if origin != "default")
    report.ok(
        "values", f"valid; {seen or 'none set'}, {by_origin.get('default', 0)} by default (--settings lists them)"
    )
    for name, similar in unknown_variables().items():
        advice = f"did you mean {similar}?" if similar else "remove it, or see .env.example for the names"
        report.warn("variable", f"{name} is not a setting and is not read", advice)
    for name, advice in _in_the_clear(settings):
        report.warn("encryption", f"{name} leaves this machine unencrypted", advice)
    if not settings.database_owner_url:
        advice = "set RECON_DATABASE_OWNER_URL for `recon-stream migrate`: the sink's role need not own the schema"
        report.warn("roles", "migrations would run as the role of DATABASE_URL", advice)


def _in_the_clear(settings: Settings) -> list[tuple[str, str]]:
    """(variable, what to do) of every connection to another machine without TLS."""
    found = []
    brokers = settings.kafka_bootstrap_servers.split(",")
    if not settings.kafka_security_protocol.endswith("SSL") and not all(
        _is_here(broker.strip().rpartition(":")[0]) for broker in brokers
    ):
        found.append(("KAFKA_BOOTSTRAP_SERVERS", "set RECON_KAFKA_SECURITY_PROTOCOL to SASL_SSL or SSL"))
    for name, url, scheme in (
        ("SCHEMA_REGISTRY_URL", settings.schema_registry_url, "https"),
        ("REDIS_URL", settings.redis_url, "rediss"),
        ("KEYCLOAK_SERVER_URL", settings.keycloak_server_url, "https"),
    ):
        parts = urlsplit(url)
        if parts.scheme != scheme and not _is_here(parts.hostname):
            found.append((name, f"use {scheme}://"))
    for name, url in (
        ("DATABASE_URL", settings.database_url),
        ("RECON_DATABASE_OWNER_URL", settings.database_owner_url),
        ("RECON_DATABASE_READER_URL", settings.database_reader_url),
    ):
        parts = urlsplit(url)
        mode = parse_qs(parts.query).get("sslmode", [""])[0]
        if url and mode not in ("require", "verify-ca", "verify-full") and not _is_here(parts.hostname):
            found.append((name, "add ?sslmode=verify-full"))
    return found


def _is_here(host: str | None) -> bool:
    if not host or host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def check_rules(settings: Settings, report: Report) -> None:
    """Whether the rules are valid, and which version is in force."""
    book = load_rules(settings)
    rules, where = book.current, settings.rules_file or "of the package"
    grace = "/".join(f"{ms / 1000:g}" for ms in rules.missing_grace_ms)
    report.ok("rules", f"{rules.version} ({where}); grace {grace} s, window {rules.window_ms / 1000:g} s")
    earlier = len(book.by_digest) - 1
    report.ok("earlier versions", f"{earlier} beside it")


async def check_machine(settings: Settings, report: Report) -> None:
    """Disk under the state folder, open files."""
    place = settings.state_dir.absolute()
    while not place.exists():
        place = place.parent
    usage = shutil.disk_usage(place)
    seen = f"{usage.free / _GIB:.1f} GiB free of {usage.total / _GIB:.0f} GiB at {settings.state_dir.absolute()}"
    advice = "free space, or set RECON_STATE_DIR to a larger disk: the workers keep their state there"
    if usage.free < _DISK_FAIL:
        report.fail("disk", seen, advice)
    elif usage.free < _DISK_WARN:
        report.warn("disk", seen, advice)
    else:
        report.ok("disk", seen)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen = f"{_limit(soft)} open files (hard limit {_limit(hard)})"
    advice = f"raise it before a role starts: ulimit -n {_limit(hard)}"
    if soft != resource.RLIM_INFINITY and soft < _FILES_FAIL:
        report.fail("open files", seen, advice)
    elif soft != resource.RLIM_INFINITY and soft < _FILES_WARN:
        report.warn("open files", seen, advice)
    else:
        report.ok("open files", seen)


def _limit(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else str(number)


async def check_processes(settings: Settings, report: Report) -> None:
    """The operations ports: who answers, who is ready, whose ports are taken by others."""
    timeout = aiohttp.ClientTimeout(total=_PORT_TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for role, offset in OPERATIONS_OFFSET.items():
            first = settings.operations_port + offset
            running = 0
            for number in range(_PROCESSES_MAX):
                answer = await _ask(session, role, first + number)
                if answer is None:
                    if number:
                        break  # processes are numbered without gaps
                    continue
                running += answer == "ready"
                _tell(report, f"{role} {number}", first + number, answer)
            if not running and not any(finding.name.startswith(role) for finding in report.findings):
                _tell_none(report, role, first)


def _tell(report: Report, name: str, port: int, answer: str) -> None:
    if answer == "ready":
        report.ok(name, f"ready, operations port {port}")
    elif answer == "foreign":
        advice = "stop it, or set RECON_OPERATIONS_PORT to a range of 60 free ports"
        report.fail(name, f"operations port {port} is taken by {owner_of(port)}", advice)
    else:
        report.warn(name, f"runs, is not ready: {answer}", "wait where it recovers; else read its log")


def _tell_none(report: Report, role: str, port: int) -> None:
    if role == "web":
        report.ok(role, f"does not run, operations port {port} is free")
    else:
        report.warn(role, f"does not run, operations port {port} is free", f"run `recon-stream {role} --processes 1`")


async def _ask(session: aiohttp.ClientSession, role: str, port: int) -> str | None:
    """None: nobody listens; "ready", "foreign", or why the process of ours is not ready."""
    try:
        async with session.get(f"http://{_HOST}:{port}/metrics") as answer:
            if f'role="{role}"' not in await answer.text():
                return "foreign"
        async with session.get(f"http://{_HOST}:{port}/readyz") as answer:
            reasons = (await answer.json(content_type=None)).get("reasons", {})
    except aiohttp.ClientConnectorError:
        return None
    except TimeoutError:
        return "does not answer"
    except (aiohttp.ClientError, OSError, ValueError, AttributeError) as error:
        return "foreign" if isinstance(error, aiohttp.ClientResponseError) else short(error)
    return "; ".join(f"{name}: {why}" for name, why in reasons.items()) or "ready"
