"""Public: that the web role answers, and nothing about anybody's data."""

from __future__ import annotations

from typing import Any

from recon_stream import __version__
from recon_stream.web.call import Call
from recon_stream.web.endpoints import Answer, Reply, endpoint


class Health(Answer):
    """The process serves; what it depends on is told by /readyz on its operations port."""

    status: str
    version: str


@endpoint("GET", "/health", needs=None, answers=Health, tag="Service")
async def health(_: Call[Any, None]) -> Reply:
    """Whether this process answers."""
    return Reply({"status": "ok", "version": __version__})
