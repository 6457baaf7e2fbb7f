"""Identities without clock and chance: the same facts give the same ids, for ever and everywhere."""

from __future__ import annotations

from hashlib import sha256


def identity(*parts: str | int) -> str:
    """H: SHA-256 over the UTF-8 parts (numbers in decimal), each preceded by its length as 4 bytes big-endian.

    The first 16 bytes in hex.
    """
    text = [str(part).encode() for part in parts]
    return sha256(b"".join([len(part).to_bytes(4, "big") + part for part in text])).digest()[:16].hex()
