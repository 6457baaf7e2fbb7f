"""Instants, texts and identifiers as PostgreSQL can hold them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon_stream.storage.queries import QUERIES, parse_queries
from recon_stream.storage.values import IDENTIFIER_BYTES_MAX, identifier, storable, storable_tree, timestamp

# few letters, so that texts with NUL, its symbol and what it is written as meet
TEXTS = st.text(st.sampled_from("a0\0\u2400é"), max_size=12)


@given(st.integers(0, 253_402_300_799_999))
def test_an_instant_keeps_its_millisecond(ms: int) -> None:
    """No rounding anywhere between 1970 and 9999."""
    assert (timestamp(ms) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == ms
    assert timestamp(ms).microsecond == ms % 1000 * 1000


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_timestamp_of_kafka_has_an_instant(ms: int) -> None:
    """Any 64-bit number: the nearest instant that can be held."""
    assert datetime(1, 1, 1, tzinfo=UTC) <= timestamp(ms) <= datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)


@given(TEXTS, TEXTS)
def test_two_texts_never_become_one(one: str, other: str) -> None:
    """NUL is gone, and nothing else has become the same."""
    assert "\0" not in storable(one)
    assert (storable(one) == storable(other)) == (one == other)
    assert (storable(storable(one)) == storable(one)) == (storable(one) == one), (
        "what one is written as is a text of its own"
    )


@given(st.text(min_size=1), st.integers(1, 3000), st.text(max_size=3))
def test_an_identifier_fits_an_index_and_stays_its_own(part: str, times: int, end: str) -> None:
    """Never more bytes than an index entry may have; a change behind the cut still makes another identifier."""
    text = part * times
    assert len(identifier(text).encode()) <= max(IDENTIFIER_BYTES_MAX * 3, 1000)
    assert "\0" not in identifier(text)
    assert (identifier(text + end) == identifier(text)) == (end == "")


def test_an_ordinary_identifier_is_left_as_it_is() -> None:
    """No escape where there is nothing to escape."""
    assert identifier("TXN-0001\\é") == "TXN-0001\\é"
    assert storable_tree({"a": ["x\0", 1, None]}) == {"a": ["x\u24000", 1, None]}


def test_queries_are_parsed_by_name() -> None:
    """Comments under a name are left out; a name given twice, and an empty block, are refused."""
    assert parse_queries("-- head\n\n-- a --\n-- says\nSELECT 1\n\n-- b --\nSELECT\n  2\n") == {
        "a": "SELECT 1",
        "b": "SELECT\n  2",
    }
    for wrong in ("-- a --\nSELECT 1\n-- a --\nSELECT 2", "-- a --\n-- only words\n"):
        with pytest.raises(ValueError, match="a is there twice or is empty"):
            parse_queries(wrong)
    assert all(
        "%(" in text or text.split()[0] in ("SELECT", "WITH", "CREATE", "COPY", "DELETE") for text in QUERIES.values()
    )
