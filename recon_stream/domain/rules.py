"""The versioned rules: tolerances, windows, graces, status words. Read from TOML, validated, integers only.

Durations are integer milliseconds, written as "500ms", "30s", "15m", "24h" or "7d".
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recon_stream.domain.event import SOURCES, Status
from recon_stream.domain.money import exponent, is_currency
from recon_stream.errors import ConfigurationError

STATUS_WORDS = (
    ("PENDING", "POSTED", "REJECTED", "REVERSED"),
    ("AUTHORIZED", "CAPTURED", "DECLINED", "REFUNDED"),
    ("PROCESSING", "SUCCESS", "FAILED", "REVERSED"),
)

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
STALL_AFTER_MIN_MS = 1500
_SECTIONS = {
    "version",
    "window",
    "missing_grace",
    "status",
    "stall",
    "retention",
    "tolerance",
    "severity",
    "status_map",
}


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far amounts may differ; a part that is None does not count, of two the stricter holds."""

    absolute_minor: int | None = None
    relative_ppm: int | None = None

    def minor(self, smallest: int) -> int:
        """The tolerance in minor units, where `smallest` is the smallest amount of all legs."""
        parts = []
        if self.absolute_minor is not None:
            parts.append(self.absolute_minor)
        if self.relative_ppm is not None:
            parts.append(smallest * self.relative_ppm // 1_000_000)
        return min(parts, default=0)


@dataclass(frozen=True, slots=True)
class Stall:
    """When a feed counts as stalled, and for how long its deadlines are then held. Milliseconds and records."""

    after_ms: int
    records: int
    limit_ms: int
    quiet_minutes: tuple[tuple[tuple[int, int], ...], ...]
    """Per source, (from, to) in minutes of the UTC day: silence is expected there."""

    def is_quiet(self, source: int, now_ms: int) -> bool:
        """Whether silence of the source is expected at that instant."""
        minute = now_ms // 60_000 % 1440
        return any(
            begin <= minute < end if begin <= end else (minute >= begin or minute < end)
            for begin, end in self.quiet_minutes[source]
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """One version of the rules. Equal digests are equal rules."""

    version: str
    digest: int
    """First four bytes of the SHA-256 of the text: how the state names the rules of a fact."""
    window_ms: int
    missing_grace_ms: tuple[int, int, int]
    status_grace_ms: int
    pending_limit_ms: int
    retention_ms: int
    stall: Stall
    tolerances: Mapping[str, Tolerance]
    raise_one_major: int
    raise_two_major: int
    status_map: tuple[Mapping[str, Status], Mapping[str, Status], Mapping[str, Status]]
    _thresholds: dict[str, tuple[int, int]] = field(default_factory=dict, compare=False, repr=False)

    def tolerance(self, currency: str) -> Tolerance:
        """The tolerance of a currency, else the default one."""
        return self.tolerances.get(currency) or self.tolerances["default"]

    def severity_thresholds(self, currency: str) -> tuple[int, int]:
        """Exposure in minor units from which severity is raised by one and by two levels."""
        known = self._thresholds.get(currency)
        if known is None:
            scale = 10 ** exponent(currency)
            known = self._thresholds[currency] = (self.raise_one_major * scale, self.raise_two_major * scale)
        return known


@dataclass(frozen=True, slots=True)
class RulesBook:
    """The rules in force and every earlier version that facts in the state may name."""

    current: Rules
    by_digest: Mapping[int, Rules]

    @classmethod
    def of(cls, current: str, earlier: tuple[str, ...] = ()) -> RulesBook:
        """From TOML texts; raises ConfigurationError where one is wrong."""
        rules = [parse_rules(text) for text in (*earlier, current)]
        versions = [one.version for one in rules]
        for version in versions:
            if versions.count(version) > 1:
                raise ConfigurationError(f"rules: two files say that they are version {version}")
        return cls(rules[-1], {one.digest: one for one in rules})


def parse_rules(text: str) -> Rules:
    """Rules from a TOML text; raises ConfigurationError that names the entry."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"rules: not TOML: {error}") from error
    unknown = raw.keys() - _SECTIONS
    if unknown:
        raise ConfigurationError(f"rules: unknown entry {', '.join(sorted(unknown))}")
    digest = hashlib.sha256(text.encode()).digest()
    version = raw.get("version")
    if not isinstance(version, str) or not version:
        raise ConfigurationError("rules: version is missing; give each change of the rules a new one")
    severity = _table(raw, "severity")
    return Rules(
        version=version,
        digest=int.from_bytes(digest[:4], "big"),
        window_ms=_strictest(raw, "window", "30s"),
        missing_grace_ms=_per_source(_table(raw, "missing_grace"), "missing_grace", "30s"),
        status_grace_ms=_strictest(_table(raw, "status"), "grace", "60s"),
        pending_limit_ms=_strictest(_table(raw, "status"), "pending_limit", "24h"),
        retention_ms=_duration(_table(raw, "retention").get("closed", "7d"), "retention.closed"),
        stall=_stall(_table(raw, "stall")),
        tolerances=_tolerances(_table(raw, "tolerance")),
        raise_one_major=_whole(severity.get("raise_one_major", 10_000), "severity.raise_one_major"),
        raise_two_major=_whole(severity.get("raise_two_major", 100_000), "severity.raise_two_major"),
        status_map=_status_map(_table(raw, "status_map")),
    )


def _table(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"rules: {name} is a table")
    return table


def _duration(text: Any, name: str) -> int:
    match = re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", text) if isinstance(text, str) else None
    if match is None:
        raise ConfigurationError(f'rules: {name}={text!r} is not a duration like "500ms", "30s", "15m", "24h", "7d"')
    return int(match[1]) * _UNITS_MS[match[2]]


def _whole(number: Any, name: str) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ConfigurationError(f"rules: {name}={number!r} is not a whole number of zero or more")
    return number


def _strictest(table: Mapping[str, Any], name: str, default: str) -> int:
    """One duration, or a table of durations by source of which the shortest holds for all."""
    entry = table.get(name, default)
    if isinstance(entry, dict):
        return min(_per_source(entry, name, default))
    return _duration(entry, name)


def _per_source(table: Mapping[str, Any], name: str, default: str) -> tuple[int, int, int]:
    unknown = table.keys() - {"default", *(source.name.lower() for source in SOURCES)}
    if unknown:
        raise ConfigurationError(
            f"rules: {name} knows default, core, gateway and mobile, not {', '.join(sorted(unknown))}"
        )
    common = table.get("default", default)
    core, gateway, mobile = (
        _duration(table.get(source.name.lower(), common), f"{name}.{source.name.lower()}") for source in SOURCES
    )
    return core, gateway, mobile


def _stall(table: Mapping[str, Any]) -> Stall:
    unknown = table.keys() - {"after", "records", "limit", "quiet_hours"}
    if unknown:
        raise ConfigurationError(f"rules: stall: unknown entry {', '.join(sorted(unknown))}")
    quiet = _table(table, "quiet_hours")
    unknown = quiet.keys() - {source.name.lower() for source in SOURCES}
    if unknown:
        raise ConfigurationError(
            f"rules: stall.quiet_hours knows core, gateway and mobile, not {', '.join(sorted(unknown))}"
        )
    core, gateway, mobile = (_spans(quiet.get(source.name.lower(), [])) for source in SOURCES)
    after_ms = _duration(table.get("after", "20s"), "stall.after")
    if after_ms < STALL_AFTER_MIN_MS:
        raise ConfigurationError("rules: stall.after is shorter than 1500ms; feeds are looked at once a second")
    return Stall(
        after_ms=after_ms,
        records=_whole(table.get("records", 50), "stall.records"),
        limit_ms=_duration(table.get("limit", "15m"), "stall.limit"),
        quiet_minutes=(core, gateway, mobile),
    )


def _spans(entry: Any) -> tuple[tuple[int, int], ...]:
    """Spans of the UTC day in minutes."""
    if not isinstance(entry, list) or not all(isinstance(span, list) and len(span) == 2 for span in entry):
        raise ConfigurationError(f'rules: quiet hours {entry!r} are not spans like [["22:00", "06:00"]] (UTC)')
    spans = tuple((_minute(begin), _minute(end)) for begin, end in entry)
    if any(begin == end for begin, end in spans):
        raise ConfigurationError(f"rules: quiet hours {entry!r}: a span ends when it begins")
    return spans


def _minute(text: Any) -> int:
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text) if isinstance(text, str) else None
    if match is None:
        raise ConfigurationError(f'rules: quiet hours {text!r} is not a time of day like "22:00" (UTC)')
    return int(match[1]) * 60 + int(match[2])


def _tolerances(table: Mapping[str, Any]) -> dict[str, Tolerance]:
    tolerances = {"default": Tolerance()}
    for currency, entry in table.items():
        if currency != "default" and not is_currency(currency):
            raise ConfigurationError(f"rules: tolerance.{currency}: no such currency in ISO 4217")
        if not isinstance(entry, dict) or entry.keys() - {"absolute_minor", "relative_ppm"}:
            raise ConfigurationError(f"rules: tolerance.{currency} has absolute_minor and relative_ppm only")
        tolerances[currency] = Tolerance(
            *(
                None if entry.get(part) is None else _whole(entry[part], f"tolerance.{currency}.{part}")
                for part in ("absolute_minor", "relative_ppm")
            )
        )
    return tolerances


def _status_map(table: Mapping[str, Any]) -> tuple[Mapping[str, Status], Mapping[str, Status], Mapping[str, Status]]:
    maps = []
    for source in SOURCES:
        entries = table.get(source.name.lower())
        if entries is None:
            entries = dict(zip(STATUS_WORDS[source], (status.name for status in Status), strict=True))
        try:
            maps.append({str(word): Status[canonical] for word, canonical in entries.items()})
        except (KeyError, AttributeError) as error:
            raise ConfigurationError(
                f"rules: status_map.{source.name.lower()}: {error} is not a canonical status"
            ) from error
    core, gateway, mobile = maps
    return core, gateway, mobile
