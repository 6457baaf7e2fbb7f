"""Arbitrary records of our contracts, in the two forms in which they are written down."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from recon_stream.avro import Schema

INT = (-(1 << 31), (1 << 31) - 1)
LONG = (-(1 << 63), (1 << 63) - 1)

# the edges where a varint grows by a byte, besides whatever hypothesis finds
EDGES = [number + step for bits in range(6, 63, 7) for number in (1 << bits, -(1 << bits)) for step in (-1, 0, 1)]

TEXTS = st.one_of(
    st.text(),
    st.sampled_from(["", "\x00", "a\x00b", "ASCII", "é", "\u007f\u0080", "\U0010ffff", "x" * 63, "x" * 64, "é" * 4096]),
)
BYTES = st.one_of(st.binary(), st.sampled_from([b"", b"\x00", b"\xff" * 64, bytes(8192)]))


def longs(low: int, high: int) -> st.SearchStrategy[int]:
    """Numbers of that range, its ends and the edges of varints often."""
    near = [low, high, 0, -1, 1, *(edge for edge in EDGES if low <= edge <= high)]
    return st.one_of(st.sampled_from(near), st.integers(low, high))


def value_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type; an enum's as its symbol, a record's as a dict."""
    if isinstance(kind, list):
        return st.none() | value_of(kind[1])
    plain = kind["type"] if isinstance(kind, dict) else kind
    if plain == "enum":
        return st.sampled_from(kind["symbols"])
    if plain == "array":
        return st.lists(value_of(kind["items"]), max_size=3)
    if plain == "record":
        return record_of(kind)
    ranges = {"int": INT, "long": LONG}
    return longs(*ranges[plain]) if plain in ranges else {"string": TEXTS, "bytes": BYTES}[plain]


def record_of(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Records of the schema as dicts, as fastavro takes them."""
    return st.fixed_dictionaries({field["name"]: value_of(field["type"]) for field in schema["fields"]})


def as_tuple(schema: Schema, record: dict[str, Any]) -> tuple[Any, ...]:
    """The same record as the compiled functions take and give it."""
    return tuple(_plain(field["type"], record[field["name"]]) for field in schema["fields"])


def _plain(kind: Any, value: Any) -> Any:
    if value is None or isinstance(kind, str):
        return value
    if isinstance(kind, list):
        return _plain(kind[1], value)
    if kind["type"] == "enum":
        return kind["symbols"].index(value)
    if kind["type"] == "array":
        return [as_tuple(kind["items"], item) for item in value]
    return value
