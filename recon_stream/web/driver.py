"""recon:// - Faust's aiohttp server with our limits and none of Faust's own pages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from aiohttp.web import Application, AppRunner, Request, Server, StreamResponse
from faust.web.drivers import aiohttp as faust_driver

from recon_stream.apps import SERVER, ReconApp
from recon_stream.security.headers import security_headers
from recon_stream.web.answering import QUOTA, REQUEST_ID, AnsweringServer, dress

KEEP_ALIVE_SECONDS = 30.0
LINGERING_SECONDS = 1.0
"""For so long the rest of a body that nobody wants is read, so that the client has time to read why."""
HEAD_BYTES_MAX = 16 << 10
"""Of the request line, and of each header: a token has up to 8 KiB."""

# it writes down what clients offer as subprotocols, and some put a token there
logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


class _Runner(AppRunner):
    __slots__ = ("_headers",)

    def __init__(self, application: Application, headers: Mapping[str, str], **options: Any) -> None:
        super().__init__(application, **options)
        self._headers = headers
        application.on_response_prepare.append(self._dress)

    async def _dress(self, request: Request, response: StreamResponse) -> None:
        dress(response, {**self._headers, **request.get(QUOTA, {})}, request[REQUEST_ID])

    async def _make_server(self) -> Server:
        return AnsweringServer(await super()._make_server(), self._headers)


class Web(faust_driver.Web):
    """What `web="recon://"` names."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._runner = _Runner(
            self.web_app,
            security_headers(app.settings),
            access_log=None,
            # whoever goes away needs no answer, and the database no longer works for it
            handler_cancellation=True,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=LINGERING_SECONDS,
            # no body that is taken here is large enough to be compressed, and a bomb is never unpacked
            auto_decompress=False,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
        )

    async def start_server(self) -> None:
        """Listen; from here on the process may be called ready."""
        await super().start_server()
        cast("ReconApp", self.app).readiness[SERVER] = lambda: None

    def _enabled_blueprints(self) -> list[Any]:
        return []
