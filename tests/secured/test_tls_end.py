"""How a TLS connection of ours ends when the broker says no word of it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import uvloop

from recon_stream.settings import Settings
from tests.secured.certificates import Certificates

SECONDS = 10.0
"""The loops' own bound for a TLS connection's end is 30 seconds."""


@pytest.fixture
def silent(certificates: Certificates) -> Iterator[int]:
    """The port of a TLS server that answers the first word with half an answer, and then never reads nor closes."""
    over = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with certificates.server_context().wrap_socket(connection, server_side=True) as talking:
            talking.recv(100)
            talking.sendall(b"half an answer")
            over.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve)
        server.start()
        yield listening.getsockname()[1]
        over.set()
        server.join(60)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_closes_without_the_brokers_word(
    silent: int, certificates: Certificates, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """A role with an answer under way stops in time: on either loop, the end is ours alone."""
    settings = replace(Settings(), kafka_security_protocol="SSL", kafka_ssl_cafile=str(certificates.ca))

    async def come_and_go() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", silent, ssl=settings.kafka_ssl_context())
        writer.write(b"a question")
        await reader.readexactly(4)
        writer.close()
        async with asyncio.timeout(SECONDS):
            await writer.wait_closed()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(come_and_go())
