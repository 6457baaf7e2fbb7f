"""Values as PostgreSQL can hold them: instants, texts, identifiers. All pure, total over their inputs, exact."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS = -62_135_596_800_000  # 0001-01-01T00:00:00.000Z
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z

# PostgreSQL text cannot hold NUL. It is written as two characters that start with SYMBOL FOR NULL; that symbol itself is
# doubled, so two different strings never become one.
_ESCAPE = "\u2400"
_ESCAPED_NUL = "\u24000"

# A btree entry holds at most 2,704 bytes; a longer identifier would be refused by the index, so it is cut and its hash appended.
IDENTIFIER_BYTES_MAX = 512
_CUT_CHARACTERS = 100


def timestamp(ms: int) -> datetime:
    """The instant of epoch milliseconds, by integer arithmetic; outside of the years 1 to 9999 the nearest of the two ends."""
    return _EPOCH + timedelta(milliseconds=min(max(ms, _FIRST_MS), _LAST_MS))


def day(ms: int) -> date:
    """The day in UTC of epoch milliseconds."""
    return timestamp(ms).date()


def storable(text: str) -> str:
    """The text without NUL; the same for every text without NUL and U+2400."""
    if "\0" in text or _ESCAPE in text:
        return text.replace(_ESCAPE, _ESCAPE * 2).replace("\0", _ESCAPED_NUL)
    return text


def identifier(text: str) -> str:
    """A storable text that an index can hold: over 512 bytes of UTF-8 its first 100 characters, an ellipsis and its SHA-256."""
    if len(text) * 4 > IDENTIFIER_BYTES_MAX and len(text.encode()) > IDENTIFIER_BYTES_MAX:
        return f"{storable(text[:_CUT_CHARACTERS])}…{sha256(text.encode()).hexdigest()}"
    return storable(text)


def storable_tree(node: Any) -> Any:
    """The same nest of dicts, lists and scalars with every text storable."""
    if isinstance(node, str):
        return storable(node)
    if isinstance(node, dict):
        return {key: storable_tree(value) for key, value in node.items()}
    if isinstance(node, list):
        return [storable_tree(item) for item in node]
    return node
