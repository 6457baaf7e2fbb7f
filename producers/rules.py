"""What a plan must know of the rules in force: when a leg is late, and which amounts are tolerated."""

from __future__ import annotations

from producers.draft import CURRENCIES
from producers.plan import Timing, Tolerance
from recon_stream.rulebook import load_rules
from recon_stream.settings import Settings

_SKEW_MS = 1_500


def rules_in_force(settings: Settings) -> tuple[Timing, dict[str, Tolerance]]:
    """(times, tolerances by currency) of the rules of RECON_RULES_FILE. Raises ConfigurationError where they are wrong."""
    rules = load_rules(settings).current
    timing = Timing(
        grace_ms=max(rules.missing_grace_ms),
        status_grace_ms=rules.status_grace_ms,
        window_ms=rules.window_ms,
        skew_ms=max(1, min(_SKEW_MS, min(rules.missing_grace_ms) // 2)),
    )
    named = {currency for currency in rules.tolerances if currency != "default"}
    limits = {currency: rules.tolerance(currency) for currency in named.union(CURRENCIES)}
    tolerances = {
        currency: Tolerance(limit.absolute_minor, limit.relative_ppm)
        for currency, limit in limits.items()
        if limit.absolute_minor or limit.relative_ppm
    }
    return timing, tolerances
