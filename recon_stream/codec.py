"""Avro readers and writers generated from a schema, for the data path.

fastavro builds a dict per record; on the data path that costs twice what the whole decision may. `compile_reader`
and `compile_writer` turn a record schema into typed Python source once and run that per record. They know what our
contracts use (string, bytes, int, long, enum, nullable values, arrays of records); the tests hold them equal to fastavro
on every contract. A compiled build of the product brings the same source as native code (`codec_ready`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from importlib import import_module
from types import ModuleType
from typing import Any, Final, cast

from recon_stream.avro import Schema
from recon_stream.domain.event import Event

Reader = Callable[[bytes, int], Any]
Writer = Callable[..., bytes]

_INT: Final = (-(1 << 31), (1 << 31) - 1)
_LONG: Final = (-(1 << 63), (1 << 63) - 1)

_MORE: Final = tuple([bytes((n & 127 | 128, n >> 7 | 128)) for n in range(1 << 14)])
"""Fourteen bits of a varint that goes on."""
_LAST: Final = tuple([bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(1 << 14)])
"""The last fourteen bits of a varint."""
SHORT: Final = _LAST[::2]
"""The zigzag varints of 0..8191, by number: most lengths, symbols and small numbers."""


def write_long(number: int) -> bytes:
    """The zigzag varint of a 64-bit number."""
    n = (number << 1) ^ (number >> 63)
    if n < 1 << 14:
        return _LAST[n]
    if n < 1 << 28:
        return _MORE[n & 16383] + _LAST[n >> 14]
    encoded = _MORE[n & 16383] + _MORE[n >> 14 & 16383]
    n >>= 28
    while n >= 1 << 14:
        encoded += _MORE[n & 16383]
        n >>= 14
    return encoded + _LAST[n]


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


def compile_reader(schema: Schema, into: type[Event] | None = None) -> Reader:
    """A function (value, position) -> tuple of the record's fields in order of the schema, or `into` made of them.

    Enums come as the index of their symbol. Flat records only. The record must end where the value ends: anything
    else raises ValueError (UnicodeDecodeError among them) or IndexError.
    """
    names = [f"f{number}" for number in range(len(schema["fields"]))]
    fields = list(zip(names, schema["fields"], strict=True))
    # One decoding for all: in Latin-1 a byte is a character, so a slice that is ASCII needs no decoding of its own.
    made = "tuple[Any, ...]" if into is None else into.__name__
    lines = [f"def {_ITSELF}(v: bytes, p: int) -> {made}:", " n: int; b: int; s: int; e: int"]
    lines += [f" {name}: {_python_type(field['type'])}" for name, field in fields]
    lines += [" t = v.decode('latin-1'); z = len(v)"]
    for name, field in fields:
        lines += [f" {line}" for line in _read_lines(field["type"], name)]
    lines += [" if p != z: raise ValueError('the record does not end where the value ends')"]
    lines += [f" return {'' if into is None else made}({', '.join(names)},)"]
    return cast("Reader", _compiled(lines))


def _python_type(kind: Any) -> str:
    if isinstance(kind, list):
        return f"{_python_type(kind[1])} | None"
    plain = kind["type"] if isinstance(kind, dict) else kind
    return {"string": "str", "bytes": "bytes", "array": "list[Any]"}.get(plain, "int")


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
        text = [f"{name} = t[p:e]", f"if not {name}.isascii(): {name} = v[p:e].decode('utf-8')"]
        return [
            "n = v[p]; p += 1",
            "if n < 128: n = (n >> 1) ^ -(n & 1)",
            "else: n, p = read_long(v, p - 1)",
            "e = p + n",
            # a slice beyond the end would be short without a word, one with a negative length would go back
            "if n < 0 or e > z: raise ValueError('a length beyond the value')",
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
            "  while True:",
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
    """A function of the record's fields, in order of the schema, to its bytes.

    Enums are given as the index of their symbol, arrays as sequences of tuples; those of the field `encoded` as a
    sequence of items that a writer of their own has encoded before. `words` names string fields of few values: how
    those are encoded is remembered.
    """
    lines: list[str] = []
    _write_record(schema, _ITSELF, lines, {}, encoded, words)
    return cast("Writer", _compiled(lines))


WORDS_MAX: Final = 4096
WORDS: Final[dict[str, bytes]] = {}
"""Encoded strings by string."""


def write_word(word: str) -> bytes:
    """A string of few values; kept while there is room: that a field has few values is a promise of strangers."""
    known = WORDS.get(word)
    if known is not None:
        return known
    text = word.encode()
    encoded = write_long(len(text)) + text
    if len(WORDS) < WORDS_MAX:
        WORDS[word] = encoded
    return encoded


def _write_record(
    schema: Schema,
    function: str,
    lines: list[str],
    named: dict[str, Any],
    encoded: str = "",
    words: frozenset[str] = frozenset(),
) -> None:
    names = [f"f{number}" for number in range(len(schema["fields"]))]
    before: list[str] = []
    parts: list[str] = []
    parameters = []
    for name, field in zip(names, schema["fields"], strict=True):
        kind = field["type"]
        if field["name"] == encoded:
            parts += [f"write_long(len({name})) if {name} else b''", f"b''.join({name})", "b'\\x00'"]
            parameters.append(f"{name}: list[bytes]")
            continue
        parameters.append(f"{name}: {_python_type(kind)}")
        if field["name"] in words and kind == "string":
            parts.append(f"write_word({name})")
        else:
            inner, made = _write_lines(kind, name, f"{function}_{field['name']}", lines, named)
            before += inner
            parts += made
    lines.append(f"def {function}({', '.join(parameters)}) -> bytes:")
    lines += [f" {line}" for line in before]
    lines += [f" return b''.join(({', '.join(parts)},))"]


def _write_lines(
    kind: Any, name: str, function: str, lines: list[str], named: dict[str, Any]
) -> tuple[list[str], list[str]]:
    """(statements, expressions of bytes) that write a field."""
    if isinstance(kind, list):
        null, other = kind
        assert null == "null", "only [null, something]"
        inner, parts = _write_lines(other, name, function, lines, named)
        present = [*inner, f"u{name} = b''.join((b'\\x02', {', '.join(parts)},))"]
        return [f"if {name} is None: u{name} = b'\\x00'", "else:", *[f" {line}" for line in present]], [f"u{name}"]
    if isinstance(kind, str) and kind in named:
        kind = named[kind]
    if isinstance(kind, dict) and "name" in kind:
        named[kind["name"]] = kind
    plain = kind["type"] if isinstance(kind, dict) else kind
    if plain in ("string", "bytes"):
        text = f"b{name} = {name}.encode()" if plain == "string" else f"b{name} = {name}"
        return [text], [f"SHORT[len(b{name})] if len(b{name}) < 8192 else write_long(len(b{name}))", f"b{name}"]
    if plain in ("long", "int"):
        return [], [f"SHORT[{name}] if 0 <= {name} < 8192 else write_long({name})"]
    if plain == "enum":
        return [], [f"SHORT[{name}]"]
    if plain == "array":
        _write_record(kind["items"], function, lines, named)
        items = f"b''.join([{function}(*item) for item in {name}])"
        return [], [f"write_long(len({name})) if {name} else b''", items, "b'\\x00'"]
    raise TypeError(f"{kind} is not a type of our contracts")


GENERATED: dict[str, str] = {}
"""Source of every function made in this process, by name."""
_ITSELF = "@"
"""Stands for the name of the function in its source: the name is made from the source."""


def _compiled(lines: list[str]) -> Any:
    text = "\n".join(lines) + "\n"
    name = f"function_{sha256(text.encode()).hexdigest()[:16]}"
    text = GENERATED[name] = text.replace(_ITSELF, name)
    ready = getattr(_ready(), name, None)
    if ready is not None:
        return ready
    space = {"Any": Any} | {name: globals()[name] for name in _USED}
    exec(text, space)  # noqa: S102 - our own schema, never data
    return space[name]


_USED = ("SHORT", "Event", "read_long", "write_long", "write_word")


@cache
def _ready() -> ModuleType | None:
    """The module that a compiled build holds beside this one."""
    try:
        return import_module("recon_stream.codec_ready")
    except ModuleNotFoundError:
        return None


def ready_source() -> str:
    """Source of `codec_ready`: every function made in this process, under the name by which it is looked for."""
    head = f"from typing import Any\nfrom recon_stream.codec import {', '.join(_USED)}\n"
    return head + "".join(GENERATED.values())
