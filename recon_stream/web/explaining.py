"""What is wrong with a transaction, in a sentence for each open break. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recon_stream.domain.money import format_major, is_currency
from recon_stream.web.times import moment

_WORDS = {
    "amount_minor": "the amount", "currency": "the currency", "direction": "the direction", "account": "the account",
    "status": "the status", "reference": "the reference", "occurred_at": "the time",
}  # fmt: skip
_OF_ONE_SOURCE = {
    "INVALID_RECORD": "{source} sent a record that is not valid, and no valid one since.",
    "IDENTITY_CONFLICT": "{source} sent one event id with two contents, and no correction since.",
    "DUPLICATE_ENTRY": "{source} entered the transaction twice.",
    "MISSING_ENTRY": "{source} did not report the transaction before its deadline.",
}
_SUBTYPES = {
    "TERMINAL_CONFLICT": "One side says that it failed, another that it went through.",
    "LAGGING": "{source} still says pending, while others have finished.",
    "ONE_SIDED_REVERSAL": "One side has reversed the transaction, another has not.",
    "STUCK": "All three have said pending for too long.",
}


def sentences(body: Mapping[str, Any]) -> list[str]:
    """One for each open break of a result, in order of precedence."""
    return [_sentence(each, body["legs"]) for each in body["breaks"] if each["state"] == "OPEN"]


def _sentence(each: Mapping[str, Any], legs: Sequence[Mapping[str, Any]]) -> str:
    source = each["subject"].capitalize()
    if each["class"] in _OF_ONE_SOURCE:
        return _OF_ONE_SOURCE[each["class"]].format(source=source)
    says = "; ".join(f"{leg['source'].capitalize()} says {_value(each['field'], leg)}" for leg in legs)
    if each["subtype"] in _SUBTYPES:
        return f"{_SUBTYPES[each['subtype']].format(source='One side' if source == 'All' else source)} {says}."
    what = _WORDS.get(each["field"], each["field"])
    if source == "All":
        return f"The sources do not agree on {what}: {says}."
    return f"{source} differs from the others in {what}: {says}."


def _value(field: str, leg: Mapping[str, Any]) -> str:
    value = leg.get(field)
    if value is None or value == "":
        return "nothing"
    if field == "amount_minor":
        code = leg["currency"]
        return f"{format_major(value, code)} {code}" if is_currency(code) else f"{value} {code}"
    if field == "occurred_at":
        return str(moment(value))
    return str(value)
