"""Avro readers and writers compiled from a schema, for the data path.

fastavro builds a dict per record; on the data path that costs twice what the whole decision may. `compile_reader`
and `compile_writer` turn a record schema into Python source once and run that per record. They know what our
contracts use (string, bytes, int, long, enum, nullable values, arrays of records); the tests hold them equal to fastavro
on every contract.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from recon_stream.avro import Schema

Reader = Callable[[bytes, int], tuple[Any, ...]]
Writer = Callable[[tuple[Any, ...], bytearray], None]

_INT = (-(1 << 31), (1 << 31) - 1)
_LONG = (-(1 << 63), (1 << 63) - 1)

_MORE = tuple(bytes((n & 127 | 128, n >> 7 | 128)) for n in range(1 << 14))
"""Fourteen bits of a varint that goes on."""
_SHORT = tuple(bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(0, 1 << 14, 2))
"""The zigzag varints of 0..8191, by number: most lengths, symbols and small numbers."""
_SHORT_END = len(_SHORT)


def write_long(out: bytearray, number: int) -> None:
    """Append the zigzag varint of a 64-bit number."""
    if 0 <= number < _SHORT_END:
        out += _SHORT[number]
        return
    n = (number << 1) ^ (number >> 63)
    while n >= 1 << 14:
        out += _MORE[n & 16383]
        n >>= 14
    if n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)


def read_long(value: bytes, position: int, low: int = _LONG[0], high: int = _LONG[1]) -> tuple[int, int]:
    """(number, position behind it); ValueError outside of low..high, IndexError at the end of the value."""
    shift = n = 0
    while True:
        byte = value[position]
        position += 1
        n |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
    number = (n >> 1) ^ -(n & 1)
    if not low <= number <= high:
        raise ValueError("a number out of range")
    return number, position


def compile_reader(schema: Schema) -> Reader:
    """A function (value, position) -> tuple of the record's fields in order of the schema.

    Enums come as the index of their symbol. Flat records only. The record must end where the value ends: anything
    else raises ValueError (UnicodeDecodeError among them) or IndexError.
    """
    # One decoding for all: in Latin-1 a byte is a character, so a slice that is ASCII needs no decoding of its own.
    lines = ["def read(v, p):", " t = v.decode('latin-1')"]
    names = []
    for number, field in enumerate(schema["fields"]):
        name = f"f{number}"
        names.append(name)
        lines += [f" {line}" for line in _read_lines(field["type"], name)]
    lines += [" if p != len(v): raise ValueError('the record does not end where the value ends')"]
    lines += [f" return ({', '.join(names)},)"]
    return cast("Reader", _compiled(lines, "read"))


def _read_lines(kind: Any, name: str) -> list[str]:
    if isinstance(kind, list):
        null, other = kind
        assert null == "null", "only [null, something]"
        return [
            "n = v[p]; p += 1",
            f"if n == 0: {name} = None",
            "elif n == 2:",
            *[f" {line}" for line in _read_lines(other, name)],
            "else: raise ValueError('no such branch of a union')",
        ]
    plain = kind["type"] if isinstance(kind, dict) else kind
    if plain in ("string", "bytes"):
        text = [f"{name} = t[p:e]", f"if not {name}.isascii(): {name} = str(v[p:e], 'utf-8')"]
        return [
            "n = v[p]; p += 1",
            "if n < 128: n = (n >> 1) ^ -(n & 1)",
            "else: n, p = read_long(v, p - 1)",
            "e = p + n",
            # a slice beyond the end would be short without a word, one with a negative length would go back
            "if n < 0 or e > size(v): raise ValueError('a length beyond the value')",
            *(text if plain == "string" else [f"{name} = v[p:e]"]),
            "p = e",
        ]
    if plain in ("long", "int"):
        high = _LONG[1] if plain == "long" else _INT[1]
        return [
            "n = v[p]; p += 1",
            "if n > 127:",
            " b = v[p]; p += 1",
            " n += (b << 7) - 128",
            " if b > 127:",
            "  s = 14; n -= 16384",
            "  while 1:",
            "   b = v[p]; p += 1",
            "   if b < 128: break",
            "   n += (b & 127) << s; s += 7",
            "   if s > 63: raise ValueError('a number of more than ten bytes')",
            "  n += b << s",
            f"{name} = (n >> 1) ^ -(n & 1)",
            f"if n > {2 * high + 1}: raise ValueError('a number out of range')",
        ]
    if plain == "enum":
        return [
            f"{name}, p = read_long(v, p)",
            f"if not 0 <= {name} < {len(kind['symbols'])}: raise ValueError('no such symbol')",
        ]
    raise TypeError(f"{kind} is not a type of our contracts")


def compile_writer(schema: Schema, encoded: str = "", words: frozenset[str] = frozenset()) -> Writer:
    """A function (record, out) that appends the record, a tuple in order of the schema, to `out`.

    Enums are given as the index of their symbol, arrays as sequences of tuples; those of the field `encoded` as a
    sequence of items that a writer of their own has encoded before. `words` names string fields of few values: how
    those are encoded is remembered.
    """
    source: list[str] = []
    _write_record(schema, "write", source, {}, encoded, words)
    return cast("Writer", _compiled(source, "write"))


class Words(dict[str, bytes]):
    """Encoded strings by string."""

    def remember(self, word: str) -> bytes:
        """Encode a string, and keep it while there is room: that a field has few values is a promise of strangers."""
        out = bytearray()
        text = word.encode()
        write_long(out, len(text))
        encoded = bytes(out + text)
        if len(self) < WORDS_MAX:
            self[word] = encoded
        return encoded


WORDS_MAX = 4096


def _write_record(
    schema: Schema,
    function: str,
    source: list[str],
    named: dict[str, Any],
    encoded: str = "",
    words: frozenset[str] = frozenset(),
) -> None:
    body = [f"def {function}(r, out):"]
    names = [f"f{number}" for number in range(len(schema["fields"]))]
    body.append(f" ({', '.join(names)},) = r")
    for name, field in zip(names, schema["fields"], strict=True):
        if field["name"] == encoded:
            lines = [
                f"if {name}:",
                f" write_long(out, size({name}))",
                f" for item in {name}: out += item",
                "out.append(0)",
            ]
        elif field["name"] in words and field["type"] == "string":
            lines = [f"out += words.get({name}) or remember({name})"]
        else:
            lines = _write_lines(field["type"], name, f"{function}_{field['name']}", source, named)
        body += [f" {line}" for line in lines]
    source += body


def _write_lines(kind: Any, name: str, function: str, source: list[str], named: dict[str, Any]) -> list[str]:
    if isinstance(kind, list):
        null, other = kind
        assert null == "null", "only [null, something]"
        inner = _write_lines(other, name, function, source, named)
        return [f"if {name} is None: out.append(0)", "else:", " out.append(2)", *[f" {line}" for line in inner]]
    if isinstance(kind, str) and kind in named:
        kind = named[kind]
    if isinstance(kind, dict) and "name" in kind:
        named[kind["name"]] = kind
    plain = kind["type"] if isinstance(kind, dict) else kind
    if plain in ("string", "bytes"):
        encoded = [f"b = {name}.encode()"] if plain == "string" else [f"b = {name}"]
        return [*encoded, "n = size(b)", "if n < short_end: out += short[n]", "else: write_long(out, n)", "out += b"]
    if plain in ("long", "int"):
        return [f"write_long(out, {name})"]
    if plain == "enum":
        return [f"out += short[{name}]"]
    if plain == "array":
        _write_record(kind["items"], function, source, named)
        return [
            f"if {name}:",
            f" write_long(out, size({name}))",
            f" for item in {name}: {function}(item, out)",
            "out.append(0)",
        ]
    raise TypeError(f"{kind} is not a type of our contracts")


def _compiled(lines: list[str], name: str) -> Any:
    space: dict[str, Any] = {"read_long": read_long, "write_long": write_long, "size": len}
    words = Words()
    space |= {"short": _SHORT, "short_end": _SHORT_END, "words": words, "remember": words.remember}
    exec("\n".join(lines), space)  # noqa: S102 - our own schema, never data
    return space[name]
