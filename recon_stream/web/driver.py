"""recon:// - Faust's aiohttp server with our limits and none of Faust's own pages."""

from __future__ import annotations

from typing import Any, cast

from aiohttp.web import AppRunner
from faust.web.drivers import aiohttp as faust_driver

from recon_stream.apps import SERVER, ReconApp

KEEP_ALIVE_SECONDS = 30.0
HEAD_BYTES_MAX = 16 << 10
"""Of the request line, and of each header: a token has up to 8 KiB."""


class Web(faust_driver.Web):
    """What `web="recon://"` names."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._runner = AppRunner(
            self.web_app,
            access_log=None,
            # whoever goes away needs no answer, and the database no longer works for it
            handler_cancellation=True,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
        )

    async def start_server(self) -> None:
        """Listen; from here on the process may be called ready."""
        await super().start_server()
        cast("ReconApp", self.app).readiness[SERVER] = lambda: None

    def _enabled_blueprints(self) -> list[Any]:
        return []
