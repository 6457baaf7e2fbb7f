"""The compiled readers and writers are Avro: byte for byte what fastavro writes, value for value what it reads."""

from __future__ import annotations

import contextlib
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_stream.avro import Schema, parsed_schema
from recon_stream.codec import WORDS, WORDS_MAX, compile_reader, compile_writer, read_long, write_long, write_word
from tests.codec.strategies import LONG, TEXTS, as_tuple, longs, record_of

EVENT, RESULT, LETTER = (parsed_schema(name) for name in ("transaction_event", "reconciliation_result", "dead_letter"))
CONTRACTS = pytest.mark.parametrize("schema", [EVENT, RESULT, LETTER], ids=lambda schema: schema["name"])
FLAT = pytest.mark.parametrize("schema", [EVENT, LETTER], ids=lambda schema: schema["name"])
MANY = settings(max_examples=150, deadline=None)

WRITERS = {schema["name"]: compile_writer(schema) for schema in (EVENT, RESULT, LETTER)}
READERS = {schema["name"]: compile_reader(schema) for schema in (EVENT, LETTER)}
REFUSALS = (ValueError, IndexError)


def by_fastavro(schema: Schema, record: dict[str, Any]) -> bytes:
    """The record as the reference writes it."""
    out = BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()


def by_us(schema: Schema, record: dict[str, Any]) -> bytes:
    """The record as the compiled writer writes it."""
    return WRITERS[schema["name"]](*as_tuple(schema, record))


@CONTRACTS
@MANY
@given(data=st.data())
def test_a_written_record_has_the_bytes_that_fastavro_gives_it(schema: Schema, data: st.DataObject) -> None:
    """All three contracts: any text, the ends of 64 bits, nulls, empty and filled arrays."""
    record = data.draw(record_of(schema))
    assert by_us(schema, record) == by_fastavro(schema, record)


@FLAT
@MANY
@given(data=st.data())
def test_a_record_of_fastavro_is_read_as_it_was_written(schema: Schema, data: st.DataObject) -> None:
    """The contracts that are read by compiled readers: event and dead letter."""
    record = data.draw(record_of(schema))
    assert READERS[schema["name"]](by_fastavro(schema, record), 0) == as_tuple(schema, record)


@MANY
@given(record=record_of(EVENT), head=st.binary(max_size=9))
def test_a_reader_begins_where_it_is_told(record: dict[str, Any], head: bytes) -> None:
    """What stands before the record is none of its business, not even where it is no text."""
    assert READERS["recon.TransactionEvent"](head + by_fastavro(EVENT, record), len(head)) == as_tuple(EVENT, record)


@MANY
@given(record=record_of(RESULT))
def test_items_encoded_before_make_the_same_record(record: dict[str, Any]) -> None:
    """The legs of a result are written once and put into every revision as bytes."""
    leg = next(field["type"]["items"] for field in RESULT["fields"] if field["name"] == "legs")
    write_leg, write = compile_writer(leg), compile_writer(RESULT, encoded="legs")
    evidence = [write_leg(*as_tuple(leg, one)) for one in record["legs"]]
    place = [field["name"] for field in RESULT["fields"]].index("legs")
    fields = list(as_tuple(RESULT, record))
    fields[place] = evidence
    assert write(*fields) == by_fastavro(RESULT, record)


@MANY
@given(records=st.lists(record_of(EVENT), min_size=1, max_size=4))
def test_remembered_words_change_no_byte(records: list[dict[str, Any]]) -> None:
    """A word that was met before is written as when it was met first, the empty one too."""
    write = compile_writer(EVENT, words=frozenset({"currency", "status", "account"}))
    for record in records + records:
        assert write(*as_tuple(EVENT, record)) == by_fastavro(EVENT, record)


def test_words_are_remembered_within_a_bound() -> None:
    """A field that was promised to have few values and has many fills no memory, and is still written right."""
    before = dict(WORDS)
    try:
        for number in range(WORDS_MAX + 10):
            assert write_word(f"word-{number}")[1:] == f"word-{number}".encode()
        assert len(WORDS) == WORDS_MAX
    finally:
        WORDS.clear()
        WORDS.update(before)


@FLAT
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_truncation_is_refused(schema: Schema, data: st.DataObject) -> None:
    """A record that ends anywhere before its end is no record: nothing short passes for whole."""
    value = by_fastavro(schema, data.draw(record_of(schema)))
    for end in {*range(min(len(value), 200)), *range(max(0, len(value) - 20), len(value))}:
        with pytest.raises(REFUSALS):
            READERS[schema["name"]](value[:end], 0)


@FLAT
@MANY
@given(data=st.data(), more=st.binary(min_size=1, max_size=12))
def test_bytes_behind_a_record_are_refused(schema: Schema, data: st.DataObject, more: bytes) -> None:
    """One byte too many means that writer and reader do not mean the same schema."""
    value = by_fastavro(schema, data.draw(record_of(schema)))
    with pytest.raises(REFUSALS):
        READERS[schema["name"]](value + more, 0)


@FLAT
@settings(max_examples=300, deadline=None)
@given(value=st.binary(max_size=300))
def test_foreign_bytes_raise_only_what_is_promised(schema: Schema, value: bytes) -> None:
    """ValueError, UnicodeDecodeError among them, or IndexError; else what is read is what the bytes say."""
    with contextlib.suppress(*REFUSALS):
        record = READERS[schema["name"]](value, 0)
        body = BytesIO(value)
        assert as_tuple(schema, _read_by_fastavro(body, schema)) == record
        assert body.tell() == len(value)


@FLAT
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_raises_only_what_is_promised(schema: Schema, data: st.DataObject) -> None:
    """Almost a record is the likeliest poison: the same promise as for foreign bytes."""
    value = bytearray(by_fastavro(schema, data.draw(record_of(schema))))
    place = data.draw(st.integers(0, len(value) - 1))
    value[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(*REFUSALS):
        record = READERS[schema["name"]](bytes(value), 0)
        assert len(record) == len(schema["fields"])


def _read_by_fastavro(body: BytesIO, schema: Schema) -> dict[str, Any]:
    record = fastavro.schemaless_reader(body, schema, None)
    assert isinstance(record, dict)
    return record


def long(number: int) -> bytes:
    """A varint, made here by the book: zigzag, seven bits a byte, lowest first."""
    n = number * 2 if number >= 0 else -number * 2 - 1
    out = []
    while n > 127:
        out.append(n % 128 + 128)
        n //= 128
    return bytes([*out, n])


LETTER_TAIL = long(3) + long(4) + long(5) + b"\x00\x00" + long(1) + b"R" + long(1) + b"D" + b"\x00" + long(6)
"""A dead letter behind its topic: partition, offset, timestamp, key, value, reason, detail, schema id, failed at."""


def test_the_book_writes_a_dead_letter_that_is_read() -> None:
    """The pieces that the next tests spoil are sound before they are spoilt."""
    record = READERS["recon.DeadLetter"](long(1) + b"T" + LETTER_TAIL, 0)
    assert record == ("T", 3, 4, 5, None, None, "R", "D", None, 6)


@pytest.mark.parametrize("length", [100, 5000, 1 << 40, LONG[1], -1, -2, -64, -65, -5000, LONG[0]])
def test_a_length_that_is_negative_or_beyond_the_value_is_refused(length: int) -> None:
    """A negative length must not lead back, a long one must not be cut to what is there."""
    with pytest.raises(ValueError, match="a length beyond the value"):
        READERS["recon.DeadLetter"](long(length) + b"T" + LETTER_TAIL, 0)


@pytest.mark.parametrize("more", [9, 10, 11, 63, 5000])
@pytest.mark.parametrize("end", [b"\x02", b"\x7f", b"\x00"])
def test_a_varint_of_more_than_64_bits_is_refused(more: int, end: bytes) -> None:
    """Neither as length nor as number, and in bounded work however many bytes say that they go on."""
    endless = b"\x80" * more + end
    if more == 9 and end == b"\x00":
        assert read_long(endless, 0) == (0, 10)  # ten bytes are within the format, though the last says nothing
        return
    with pytest.raises(ValueError, match=r"more than ten bytes|out of range"):
        read_long(endless, 0)
    for place in (b"", long(1) + b"T", long(1) + b"T" + long(3)):
        with pytest.raises(ValueError, match=r"more than ten bytes|out of range"):
            READERS["recon.DeadLetter"](place + endless + LETTER_TAIL, 0)


@pytest.mark.parametrize(
    ("number", "fits"), [(2**31 - 1, True), (2**31, False), (-(2**31), True), (-(2**31) - 1, False)]
)
def test_an_int_holds_32_bits(number: int, fits: bool) -> None:
    """An int of the schema that carries more is refused: PostgreSQL and other readers could not hold it."""
    value = long(1) + b"T" + long(number) + LETTER_TAIL[1:]
    if fits:
        assert READERS["recon.DeadLetter"](value, 0)[1] == number
    else:
        with pytest.raises(ValueError, match="out of range"):
            READERS["recon.DeadLetter"](value, 0)


@pytest.mark.parametrize("branch", [b"\x01", b"\x03", b"\x04", b"\x7f", b"\x80", b"\xff"])
def test_a_branch_of_a_union_that_is_not_there_is_refused(branch: bytes) -> None:
    """There are null and the type, nothing else."""
    with pytest.raises(ValueError, match="no such branch"):
        READERS["recon.DeadLetter"](long(1) + b"T" + long(3) + long(4) + long(5) + branch + LETTER_TAIL[4:], 0)


@pytest.mark.parametrize("symbol", [3, -1, 64, 8192, LONG[0]])
def test_a_symbol_of_an_enum_that_is_not_there_is_refused(symbol: int) -> None:
    """A negative index must not take a symbol from the end."""
    with pytest.raises(ValueError, match="no such symbol"):
        READERS["recon.TransactionEvent"](long(1) + b"E" + long(1) + b"T" + long(symbol) + bytes(40), 0)


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
def test_text_that_is_no_utf8_is_refused(text: bytes) -> None:
    """A stray byte, a cut character, a surrogate, an overlong NUL, a character beyond Unicode."""
    with pytest.raises(UnicodeDecodeError):
        READERS["recon.DeadLetter"](long(len(text)) + text + LETTER_TAIL, 0)


@MANY
@given(number=longs(*LONG))
def test_numbers_are_written_and_read_by_the_book(number: int) -> None:
    """Zigzag varints of all 64 bits, each in its shortest form."""
    assert write_long(number) == long(number)
    assert read_long(write_long(number), 0) == (number, len(write_long(number)))


@MANY
@given(text=TEXTS)
def test_lone_surrogates_are_refused_and_other_text_is_kept(text: str) -> None:
    """What no UTF-8 can hold is refused when it is written, not when it is read."""
    letter = (text, 3, 4, 5, None, None, "R", "D", None, 6)
    assert READERS["recon.DeadLetter"](WRITERS["recon.DeadLetter"](*letter), 0) == letter
    with pytest.raises(UnicodeEncodeError):
        WRITERS["recon.DeadLetter"](text + "\ud800", *letter[1:])


def test_a_schema_with_other_types_is_refused_at_once() -> None:
    """A contract that grows a type which nobody compiled stops the start, not a record."""
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": "double"}]}
    with pytest.raises(TypeError, match="not a type of our contracts"):
        compile_reader(schema)
    with pytest.raises(TypeError, match="not a type of our contracts"):
        compile_writer(schema)
