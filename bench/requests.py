"""Signed requests as raw HTTP, made just before they are sent: a signature holds for 60 s."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.figures import BenchError
from openpns.protocol import signing

TS_SPREAD_MS = 1000
MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

Body = dict[str, Any]
Check = Callable[[bytes], None]


def secret_of(customer: str) -> str:
    """Return the access secret of a customer of the benchmark; its access key is its name."""
    return f"secret-of-{customer}"


def signed(customer: str, action: str, body: Body, ts_ms: int) -> bytes:
    """Return a signed request.

    Args:
        customer: Who signs.
        action: What.
        body: The body's fields.
        ts_ms: The time that is signed.
    """
    text = json.dumps(body, separators=(",", ":")).encode()
    sign = signing.sign(customer, action, "5", str(ts_ms), text, secret_of(customer))
    head = (
        f"POST /api/pns/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\naccessKey: {customer}\r\naction: {action}\r\n"
        f"bizType: 5\r\nts: {ts_ms}\r\nsign: {sign}\r\n\r\n"
    )
    return head.encode() + text


def signed_now(requests: Iterable[tuple[str, str, Body]]) -> list[bytes]:
    """Sign requests, each with a time of its own around now.

    Args:
        requests: Customer, action and body of each.
    """
    now = time.time_ns() // 1_000_000
    return [
        signed(*request, now + place % TS_SPREAD_MS - TS_SPREAD_MS // 2)
        for place, request in enumerate(requests)
    ]


def write_requests(file: Path, requests: Iterable[bytes]) -> None:
    """Write requests as the Lua script reads them.

    Args:
        file: Where to.
        requests: The requests.
    """
    with file.open("wb") as out:
        for request in requests:
            out.write(b"%08d" % len(request) + request)


class Connection:
    """A kept connection that sends raw requests, one after the other."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._file = self._socket.makefile("rb")

    def send(self, request: bytes) -> tuple[bytes, int]:
        """Send a request; return the answer's body, and its bytes in all where it has a length.

        Raises:
            BenchError: The status is not 200.
        """
        self._socket.sendall(request)
        status = self._file.readline()
        head = [status]
        while (line := self._file.readline()) not in (b"\r\n", b""):
            head.append(line)
        text = b"".join(head).lower()
        found = re.search(rb"content-length: *([0-9]+)", text)
        if found is None and b"chunked" not in text:
            raise BenchError(f"an answer without a length: {text!r}")
        body = self._file.read(int(found[1])) if found else b"".join(self._chunks())
        if b" 200 " not in status:
            raise BenchError(f"a request was answered {status.decode().strip()}: {body[:200]!r}")
        return body, len(text) + 2 + len(body)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._file.readline(), 16):
            yield self._file.read(size)
            self._file.readline()
        self._file.readline()

    def send_and_drain(self, request: bytes, wait_s: float) -> int:
        """Send a request, wait, then read the answer piece by piece; return its bytes.

        Raises:
            BenchError: It ends too soon.
        """
        self._socket.sendall(request.replace(b" HTTP/1.1", b" HTTP/1.0", 1))
        time.sleep(wait_s)
        size, end = 0, b""
        while piece := self._socket.recv(1 << 18):
            size += len(piece)
            end = (end + piece)[-8:]
        if not end.endswith(b"}}"):
            raise BenchError("the answer was broken off")
        return size

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()


def ask(port: int, request: bytes, check: Check) -> int:
    """Send one request on a connection of its own, check its answer, return the answer's bytes.

    Args:
        port: The server's.
        request: The request.
        check: Raises BenchError where the body is not what it must be.
    """
    connection = Connection(port)
    try:
        body, size = connection.send(request)
    finally:
        connection.close()
    check(body)
    return size


def succeeded(body: bytes) -> None:
    """Make sure that an answer has code 0.

    Raises:
        BenchError: It has another.
    """
    if json.loads(body).get("code") != 0:
        raise BenchError(f"a request failed: {body[:200].decode()}")


def page_of(groups: int) -> Check:
    """Return a check that an answer is a page of so many groups.

    Args:
        groups: How many.
    """

    def check(body: bytes) -> None:
        succeeded(body)
        found = len(json.loads(body)["data"]["groups"])
        if found != groups:
            raise BenchError(f"a page has {found} groups, not {groups}")

    return check
