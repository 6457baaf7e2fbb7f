"""How grave a break is, by its class and the money at stake."""

from __future__ import annotations

from recon_stream.domain.breaks import BreakClass, Finding
from recon_stream.domain.rules import Rules

LEVELS = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
_LOW, _MEDIUM, _HIGH, _CRITICAL = range(4)

_BASE = {
    BreakClass.INVALID_RECORD: _HIGH,
    BreakClass.IDENTITY_CONFLICT: _CRITICAL,
    BreakClass.DUPLICATE_ENTRY: _HIGH,
    BreakClass.CURRENCY_MISMATCH: _CRITICAL,
    BreakClass.DIRECTION_MISMATCH: _CRITICAL,
    BreakClass.ACCOUNT_MISMATCH: _CRITICAL,
    BreakClass.AMOUNT_MISMATCH: _HIGH,
    BreakClass.STATUS_MISMATCH: _MEDIUM,
    BreakClass.MISSING_ENTRY: _MEDIUM,
    BreakClass.REFERENCE_MISMATCH: _MEDIUM,
    BreakClass.TIMESTAMP_MISMATCH: _LOW,
}
_BASE_OF_SUBTYPE = {"TERMINAL_CONFLICT": _CRITICAL, "ONE_SIDED_REVERSAL": _HIGH}
_CAP = {BreakClass.MISSING_ENTRY: _HIGH, BreakClass.TIMESTAMP_MISMATCH: _MEDIUM}


def severity(finding: Finding, amount_minor: int | None, currency: str | None, rules: Rules) -> str:
    """The base of the class, one or two levels up from an exposure on.

    The exposure is the difference of an amount break, else the amount of the transaction (minor units).
    """
    level = _BASE_OF_SUBTYPE.get(finding.subtype, _BASE[finding.break_class])
    if amount_minor is not None and currency is not None:
        exposure = abs(finding.delta_minor) if finding.delta_minor is not None else amount_minor
        one, two = rules.severity_thresholds(currency)
        level += (exposure >= one) + (exposure >= two)
    return LEVELS[min(level, _CAP.get(finding.break_class, _CRITICAL))]
