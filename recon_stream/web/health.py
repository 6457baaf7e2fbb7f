"""`GET /health`: public, says that the web role answers and nothing about anybody's data."""

from __future__ import annotations

from faust.web import Request, Response, View

from recon_stream import __version__
from recon_stream.apps import web


@web.page("/health", name="health")
class Health(View):
    """Whether this process serves; what it depends on is told by /readyz on its operations port."""

    async def get(self, request: Request) -> Response:
        """200 and the version."""
        return self.json({"status": "ok", "version": __version__})
