"""Money in integer minor units, with the exponents of ISO 4217.

The table is List One (active currency and fund codes) of the maintenance agency SIX, published 2026-01-01:
https://www.six-group.com/en/products-services/financial-information/data-standards.html
The thirteen codes without a minor unit (precious metals, units of account, XTS, XXX) are left out: an amount in minor
units has no meaning in them.
"""

from __future__ import annotations

import re
from typing import Final

_CODES_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY
        COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS
        INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR
        MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP
        STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
        """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

EXPONENTS: Final = {code: digits for digits, codes in _CODES_BY_EXPONENT.items() for code in codes.split()}
"""Digits of the minor unit by alphabetic code: 2 for EUR, 0 for JPY, 3 for KWD, 4 for CLF."""

is_currency = EXPONENTS.__contains__
"""Whether a string is an active ISO 4217 code with a minor unit. Case counts: codes are upper case."""

_MAJOR = re.compile(r"(-?)(\d{1,19})(?:\.(\d{1,4}))?", re.ASCII)


def exponent(code: str) -> int:
    """Digits of the currency's minor unit; ValueError for a code that is not in the table."""
    digits = EXPONENTS.get(code)
    if digits is None:
        raise ValueError(f"{code!r} is not an active ISO 4217 currency with a minor unit")
    return digits


def format_major(amount_minor: int, currency: str) -> str:
    """The amount in major units with all digits of the exponent: 1234, "EUR" is "12.34", "JPY" "1234", "KWD" "1.234".

    ValueError for an unknown currency.
    """
    digits = exponent(currency)
    sign = "-" if amount_minor < 0 else ""
    if digits == 0:
        return f"{sign}{abs(amount_minor)}"
    major, minor = divmod(abs(amount_minor), 10**digits)
    return f"{sign}{major}.{minor:0{digits}d}"


def parse_major(text: str, currency: str) -> int:
    """Minor units of an amount written in major units, with a point and at most the digits of the exponent.

    ValueError for an unknown currency, more digits than the currency has, or anything that is not such a number.
    """
    digits = exponent(currency)
    match = _MAJOR.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an amount like 12.34")
    sign, major, minor = match[1], match[2], match[3] or ""
    if len(minor) > digits:
        raise ValueError(f"{text!r} has {len(minor)} digits after the point, {currency} has {digits}")
    amount = int(major + minor.ljust(digits, "0"))
    return -amount if sign else amount
