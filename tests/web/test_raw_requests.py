"""What HTTP libraries do not send: requests that cannot be read, bodies that do not come. Each is answered as everything is, and
nothing of what was sent is in the log."""

from __future__ import annotations

import socket
import struct
import time
import urllib.request

import orjson
import pytest

from recon_stream.security.roles import Role
from tests.web.serving import Served, keeps_browsers_safe

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

SECRET = "DE00999888777"
"""Such as an account number, in each of them."""
SECONDS = 30.0
HOST = b"Host: recon.example\r\n"
LONG = b"a" * (16 << 10)
UNREADABLE = {
    "an address that is too long": b"GET /mismatches?account=%s&text=" + LONG + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a header that is too long": b"GET /health HTTP/1.1\r\n" + HOST + b"X-Account: %s" + LONG + b"\r\n\r\n",
    "too many headers": b"GET /%s HTTP/1.1\r\n" + HOST + b"X-More: 1\r\n" * 1000 + b"\r\n",
    "no request": b"%s\r\n\r\n",
    "a greeting of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03%s",
    "another version": b"GET /%s HTTP/3.0\r\n" + HOST + b"\r\n",
    "a method that is none": b"G\x01T /%s HTTP/1.1\r\n" + HOST + b"\r\n",
    "a header that is none": b"GET /health HTTP/1.1\r\n" + HOST + b"X Account: %s\r\n\r\n",
    "no host": b"GET /%s HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\n" + HOST + b"Host: %s\r\n\r\n",
    "an address that is none": b"GET http://[%s HTTP/1.1\r\n" + HOST + b"\r\n",
    "a length that is none": b"POST /%s HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\n",
    "two lengths": b"POST /%s HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": b"POST /%s HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk that is none": b"POST /%s HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}
FORM = b"POST /backchannel-logout HTTP/1.1\r\n" + HOST + b"Content-Type: application/x-www-form-urlencoded\r\n"
UPGRADE = b"GET /ws?ticket=" + b"A" * 43 + b" HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\n"
REFUSED = {
    "an expectation that is not known": (b"GET /health HTTP/1.1\r\n" + HOST + b"Expect: %s\r\n\r\n", 417),
    "the same, nowhere": (b"GET /nowhere HTTP/1.1\r\n" + HOST + b"Expect: %s\r\n\r\n", 417),
    "an expectation in no text": (b"GET /health?%s HTTP/1.1\r\n" + HOST + b"Expect: \xff\r\n\r\n", 417),
    "a host that is none": (b"GET http://xn--/%s HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "another host": (b"GET http://xn--zzzzzzzz.example/%s HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "an upgrade in no text": (UPGRADE + b"Connection: \xff\r\nSec-WebSocket-Version: 13\r\nX: %s\r\n\r\n", 426),
    "a key in no text": (
        UPGRADE + b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \xff%s\r\n\r\n",
        426,
    ),
    "a token as a subprotocol": (
        UPGRADE
        + b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        + b"Sec-WebSocket-Protocol: recon, %s\r\n\r\n",
        401,
    ),
    "a method that the path does not take": (b"TRACE /health?%s HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "a body in another encoding": (FORM[:-2] + b"; charset=utf-16\r\nContent-Length: 13\r\n\r\n%s", 415),
    "a body that is compressed": (FORM + b"Content-Encoding: gzip\r\nContent-Length: 13\r\n\r\n%s", 415),
    "a body that is too large": (FORM + b"Content-Length: 100013\r\n\r\n%s" + b"a" * 100_000, 413),
    "a body that does not come": (FORM + b"Content-Length: 100\r\n\r\n%s", 408),
    "a body that breaks off": (FORM + b"Transfer-Encoding: chunked\r\n\r\n2\r\n%s", 400),
}


def answered(rest: Served, sent: bytes, *, is_all: bool) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, of all that comes before the connection is closed or of what comes first."""
    with socket.create_connection(("127.0.0.1", rest.settings.web_port), timeout=SECONDS) as connection:
        connection.sendall(sent.replace(b"%s", SECRET.encode()))
        received = b""
        while part := connection.recv(1 << 16):
            received += part
            if not is_all and received.endswith(b"}"):
                break
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split(" ")[1]), dict(line.split(": ", 1) for line in lines), body


def is_ours(rest: Served, headers: dict[str, str], body: bytes) -> None:
    """With all that each answer has."""
    assert headers["Content-Type"] == "application/problem+json; charset=utf-8"
    assert headers["X-Request-ID"] == orjson.loads(body)["request_id"] != "-"
    assert headers["Server"] == "recon-stream"
    keeps_browsers_safe(headers, rest.settings)
    assert headers["Cache-Control"] == "no-store"
    assert SECRET.encode() not in body


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_is_answered_and_the_connection_ends(rest: Served, what: str) -> None:
    """It is counted, and a line of the log has the request id, but nothing of the content."""
    before = counted(rest)
    status, headers, body = answered(rest, UNREADABLE[what], is_all=True)
    assert (status, orjson.loads(body)["type"]) == (400, "urn:recon:problem:unreadable"), body
    is_ours(rest, headers, body)
    assert counted(rest) == before + 1
    log = rest.process.log.read_text()
    (line,) = (line for line in log.splitlines() if headers["X-Request-ID"] in line)
    assert "level=INFO" in line
    assert SECRET not in log


@pytest.mark.parametrize("what", REFUSED)
def test_what_can_be_read_and_not_be_done_is_answered_alike(rest: Served, what: str) -> None:
    """Among it what the HTTP library would have answered in its own words; a body is waited for, and not for ever."""
    sent, expected = REFUSED[what]
    status, headers, body = answered(rest, sent, is_all=False)
    assert status == expected, body
    is_ours(rest, headers, body)
    log = rest.process.log.read_text()
    assert SECRET not in log
    assert "Traceback" not in log


def test_a_client_that_goes_away_in_the_middle_is_no_fault_of_ours(rest: Served) -> None:
    """The body breaks off with the connection: a line in the log says that the client went away, and no answer counts as 500."""
    operator = rest.person(Role.OPERATOR)
    head = (
        f"POST /dead-letters/core_txns:0:1/discard HTTP/1.1\r\nHost: x\r\nAuthorization: {operator.authorization}\r\n"
    )
    begun = f'{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"comment":'.encode()
    deadline, attempt = time.monotonic() + SECONDS, 0
    while "its client went away" not in rest.process.log.read_text():
        assert time.monotonic() < deadline
        attempt += 1
        with socket.create_connection(("127.0.0.1", rest.settings.web_port), timeout=SECONDS) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(begun)
            # at another step of ours each time
            time.sleep(attempt % 20 * 0.0002)
    assert "Traceback" not in rest.process.log.read_text()


def test_a_request_behind_another_is_answered_by_itself(rest: Served) -> None:
    """On one connection: the first that can be read, then one that cannot."""
    with socket.create_connection(("127.0.0.1", rest.settings.web_port), timeout=SECONDS) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        connection.sendall(UNREADABLE["an address that is too long"])
        received = b""
        while part := connection.recv(1 << 16):
            received += part
    assert b"urn:recon:problem:unreadable" in received


def counted(rest: Served) -> float:
    """How many could not be read so far."""
    name = 'recon_http_requests_total{method="-",path="-",status="400"}'
    with urllib.request.urlopen(f"http://127.0.0.1:{rest.process.port}/metrics", timeout=SECONDS) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)), 0.0)
