"""Bytes that nobody vouches for, as a page may show them: bounded, and nothing in them acts. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from recon_stream.web.endpoints import Answer

_PRINTABLE = range(0x20, 0x7F)


class BytesView(Answer):
    """The beginning of some bytes."""

    size: int = Field(description="Of all of them.")
    hex: str = Field(description="Two digits a byte.")
    text: str = Field(description="ASCII as it is; other bytes as \\xNN, the backslash doubled.")
    is_cut: bool = Field(description="Whether there are more than are shown.")


def bytes_view(head: bytes | None, size: int | None) -> dict[str, Any] | None:
    """See BytesView; None without bytes. `size` counts all of which `head` is the beginning."""
    if head is None or size is None:
        return None
    return {"size": size, "hex": head.hex(), "text": "".join(map(_escaped, head)), "is_cut": len(head) < size}


def _escaped(byte: int) -> str:
    if byte == ord("\\"):
        return "\\\\"
    return chr(byte) if byte in _PRINTABLE else f"\\x{byte:02x}"
