"""The rules file as the judge reads it, and the currencies of ISO 4217."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = ("CORE", "GATEWAY", "MOBILE")
TOPIC_OF = {"CORE": "core_txns", "GATEWAY": "gateway_txns", "MOBILE": "mobile_txns"}
SOURCE_OF = {topic: source for source, topic in TOPIC_OF.items()}

_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_TWO_DECIMALS = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU
CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR
NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
"""
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DECIMALS = "CLF UYW"

EXPONENT = {
    **dict.fromkeys(_TWO_DECIMALS.split(), 2),
    **dict.fromkeys(_NO_DECIMALS.split(), 0),
    **dict.fromkeys(_THREE_DECIMALS.split(), 3),
    **dict.fromkeys(_FOUR_DECIMALS.split(), 4),
}

# Codes about which one may argue: without minor units, or withdrawn in these years. A case that uses one is not judged.
ARGUABLE = frozenset(
    "XAD XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX ANG BGN CUC HRK SLL ZWL".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A limit that is None is not set."""

    absolute_minor: int | None
    relative_ppm: int | None

    def allowed(self, smallest_minor: int) -> int:
        """Of the two limits the stricter, in minor units; an unset one does not count; none set: nothing is tolerated."""
        limits = []
        if self.absolute_minor is not None:
            limits.append(self.absolute_minor)
        if self.relative_ppm is not None:
            limits.append(smallest_minor * self.relative_ppm // 1_000_000)
        return min(limits) if limits else 0


@dataclass(frozen=True, slots=True)
class Rules:
    """Durations in milliseconds."""

    version: str
    window_ms: int
    missing_grace_ms: dict[str, int]
    status_grace_ms: int
    pending_limit_ms: int
    retention_ms: int
    stall_after_ms: int
    tolerances: dict[str, Tolerance]
    raise_one_major: int
    raise_two_major: int
    status_map: dict[str, dict[str, str]]

    def tolerance(self, currency: str) -> Tolerance:
        """The entry of the currency replaces the default one as a whole."""
        return self.tolerances.get(currency, self.tolerances["default"])


def duration_ms(text: str) -> int:
    """`30s`, `24h`, `7d`, `500ms` in milliseconds."""
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text)
    if not found:
        raise ValueError(f"not a duration: {text!r}")
    return int(found[1]) * _UNIT_MS[found[2]]


def rules_from(document: dict[str, Any]) -> Rules:
    """The rules in a parsed TOML document."""
    grace = document["missing_grace"]
    tolerances = {
        name: Tolerance(entry.get("absolute_minor"), entry.get("relative_ppm"))
        for name, entry in document.get("tolerance", {}).items()
    }
    tolerances.setdefault("default", Tolerance(None, None))
    severity = document.get("severity", {})
    return Rules(
        version=document["version"],
        window_ms=duration_ms(document["window"]),
        missing_grace_ms={s: duration_ms(grace.get(s.lower(), grace["default"])) for s in SOURCES},
        status_grace_ms=duration_ms(document["status"]["grace"]),
        pending_limit_ms=duration_ms(document["status"]["pending_limit"]),
        retention_ms=duration_ms(document["retention"]["closed"]),
        stall_after_ms=duration_ms(document.get("stall", {}).get("after", "20s")),
        tolerances=tolerances,
        raise_one_major=severity.get("raise_one_major", 10_000),
        raise_two_major=severity.get("raise_two_major", 100_000),
        status_map={s: dict(document["status_map"][s.lower()]) for s in SOURCES},
    )


def load_rules(path: str | Path) -> Rules:
    """The rules in a file."""
    return rules_from(tomllib.loads(Path(path).read_text(encoding="utf-8")))
