"""Instants as answers show them. Pure."""

from __future__ import annotations

from typing import overload

from recon_stream.storage.values import timestamp


@overload
def moment(ms: int) -> str: ...
@overload
def moment(ms: None) -> None: ...
def moment(ms: int | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, of epoch milliseconds."""
    if ms is None:
        return None
    # not strftime, which writes the first thousand years with fewer than four digits
    return f"{timestamp(ms).isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"
