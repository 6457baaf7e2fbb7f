"""Exact money: exponents of ISO 4217, major units and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon_stream.domain.money import EXPONENTS, exponent, format_major, is_currency, parse_major

AMOUNTS = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
CURRENCIES = st.sampled_from(sorted(EXPONENTS))


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1234, "EUR", "12.34"),
        (1234, "JPY", "1234"),
        (1234, "KWD", "1.234"),
        (1234, "CLF", "0.1234"),
        (5, "USD", "0.05"),
        (-5, "KWD", "-0.005"),
        (0, "JPY", "0"),
        (0, "EUR", "0.00"),
    ],
)
def test_an_amount_is_written_with_the_digits_of_its_currency(amount: int, currency: str, text: str) -> None:
    """The exponent of ISO 4217 decides where the point stands: JPY 0, EUR 2, KWD 3, CLF 4."""
    assert format_major(amount, currency) == text
    assert parse_major(text, currency) == amount


@given(AMOUNTS, CURRENCIES)
def test_major_units_read_back_to_the_same_minor_units(amount: int, currency: str) -> None:
    """Formatting loses nothing for any 64-bit amount in any currency."""
    assert parse_major(format_major(amount, currency), currency) == amount


@given(AMOUNTS, AMOUNTS, CURRENCIES)
def test_different_amounts_are_never_written_alike(one: int, other: int, currency: str) -> None:
    """Two amounts have one text only when they are one amount."""
    assert (format_major(one, currency) == format_major(other, currency)) == (one == other)


def test_the_table_is_list_one_of_iso_4217() -> None:
    """165 active codes with a minor unit: 17 without digits, 139 with two, seven with three, two with four."""
    counts = {digits: sum(1 for known in EXPONENTS.values() if known == digits) for digits in (0, 2, 3, 4)}
    assert counts == {0: 17, 2: 139, 3: 7, 4: 2}
    assert len(EXPONENTS) == 165
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in EXPONENTS)


@pytest.mark.parametrize("code", ["XXX", "XAU", "BGN", "HRK", "ZZZ", "eur", "", "EURO"])
def test_codes_that_are_withdrawn_unknown_or_without_minor_unit_are_refused(code: str) -> None:
    """No amount can be given in them."""
    assert not is_currency(code)
    with pytest.raises(ValueError, match="ISO 4217"):
        exponent(code)


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("1.5", "JPY"),
        ("1.234", "EUR"),
        ("", "EUR"),
        ("1,50", "EUR"),
        ("1e3", "EUR"),
        (".5", "EUR"),
        ("+1", "EUR"),
        ("١", "EUR"),
    ],
)
def test_text_that_is_no_exact_amount_is_refused(text: str, currency: str) -> None:
    """Nothing is rounded, guessed or read by locale."""
    with pytest.raises(ValueError, match=r"is not an amount|digits after the point"):
        parse_major(text, currency)


def test_missing_digits_are_zeros() -> None:
    """12 and 12.5 euro are exact too."""
    assert parse_major("12", "EUR") == 1200
    assert parse_major("12.5", "EUR") == 1250
