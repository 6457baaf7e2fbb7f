"""Ports on the loopback: whether one is free, who holds it, and which are free."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from pathlib import Path

import psutil

from recon_stream.stack.errors import PortTaken

HOST = "127.0.0.1"
COMMAND_LENGTH_MAX = 120
FREE_RANGE = range(20000, 32000)  # below the ports that the kernel gives to outgoing connections


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now; closed connections that linger do not matter."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Different free ports, at random, so that two stacks that start together rarely meet."""
    found: list[int] = []
    for port in random.sample(FREE_RANGE, len(FREE_RANGE)):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    if len(found) < count:
        raise PortTaken(f"No {count} ports are free between {FREE_RANGE.start} and {FREE_RANGE.stop}")
    return found


def holder(port: int) -> str:
    """Who listens on the port, as far as this user may know: `process 4711 (redis-server *:6379)`."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                process = psutil.Process(connection.pid)
                return f"process {connection.pid} ({described(process.cmdline()) or process.name()})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass  # the answer below is all that can be said
    return "a process that this user may not see"


def described(command: Sequence[str]) -> str:
    """A command line for people: the program without its folders, its arguments, an ellipsis where it is cut.

    Some servers write a title of several words over their command line; that is left as it is.
    """
    if not command:
        return ""
    program, *arguments = command
    is_title = " " in program and not program.startswith("/")
    words = " ".join([program if is_title else Path(program).name, *arguments]).split()
    # other people's text: nothing in it may act on the terminal
    text = "".join(character if character.isprintable() else "?" for character in " ".join(words))
    return text if len(text) <= COMMAND_LENGTH_MAX else f"{text[: COMMAND_LENGTH_MAX - 1]}…"
