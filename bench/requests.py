"""Signed requests as raw HTTP, made just before they are sent: a signature holds for 60 s."""

import itertools
import json
import re
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.figures import BenchError
from openpns.protocol import signing

MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
_TS_SPREAD_MS = 1000

Body = dict[str, Any]
Check = Callable[[bytes], None]
"""Raise BenchError if the body of an answer is wrong."""

MakeRequests = Callable[[int], list[bytes]]
"""Return as many signed requests; each time other ones if the work must not repeat itself."""


def secret_of(customer: str) -> str:
    """Return the access secret of a customer of the benchmark; its access key is its name."""
    return f"secret-of-{customer}"


def signed(access_key: str, action: str, body: Body, ts_ms: int) -> bytes:
    """Return a signed request."""
    text = json.dumps(body, separators=(",", ":")).encode()
    sign = signing.sign(access_key, action, "5", str(ts_ms), text, secret_of(access_key))
    head = (
        f"POST /api/pns/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\naccessKey: {access_key}\r\naction: {action}\r\n"
        f"bizType: 5\r\nts: {ts_ms}\r\nsign: {sign}\r\n\r\n"
    )
    return head.encode() + text


def signed_now(requests: Iterable[tuple[str, str, Body]]) -> list[bytes]:
    """Sign requests (customer, action, body), each with a `ts` of its own around now."""
    now = time.time_ns() // 1_000_000
    return [
        signed(*request, now + place % _TS_SPREAD_MS - _TS_SPREAD_MS // 2)
        for place, request in enumerate(requests)
    ]


def asking(customer: str, action: str, body_of: Callable[[int], Body]) -> MakeRequests:
    """Return a maker of requests whose bodies depend on a number that counts on."""
    turn = itertools.count()
    return lambda count: signed_now((customer, action, body_of(next(turn))) for _ in range(count))


def listing(customer: str, limit: int, offset: int = 0) -> MakeRequests:
    """Return a maker of requests for one page."""
    return asking(customer, "listGroup", lambda _: {"limit": limit, "offset": offset})


def write_requests(file: Path, requests: Iterable[bytes]) -> None:
    """Write requests as the Lua script reads them."""
    with file.open("wb") as out:
        for request in requests:
            out.write(b"%08d" % len(request) + request)


class Connection:
    """A kept connection that sends raw requests, one at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._file = self._socket.makefile("rb")

    def send(self, request: bytes) -> tuple[bytes, bytes]:
        """Send a request; return head and body of the answer.

        Raises:
            BenchError: The status is not 200, or the answer has no length.
        """
        self._socket.sendall(request)
        lines = list(iter(self._file.readline, b"\r\n"))
        head = b"".join([*lines, b"\r\n"])
        found = re.search(rb"\r\ncontent-length: *([0-9]+)", head.lower())
        if found is None:
            raise BenchError(f"an answer without a length: {head!r}")
        body = self._file.read(int(found[1]))
        if b" 200 " not in lines[0]:
            raise BenchError(f"a request was answered {lines[0].decode().strip()}: {body[:200]!r}")
        return head, body

    def send_and_drain(self, request: bytes, wait_s: float) -> int:
        """Send a request, wait, then read the answer piece by piece; return its bytes.

        Raises:
            BenchError: The answer ends too soon.
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


def ask(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Send one request on a connection of its own; return head and body of the answer."""
    connection = Connection(port)
    try:
        return connection.send(request)
    finally:
        connection.close()


def create_group(port: int, customer: str, phones: str) -> str:
    """Create a group; return its id.

    Raises:
        BenchError: It is refused.
    """
    (request,) = signed_now([(customer, "createGroup", {"phones": phones})])
    _, body = ask(port, request)
    succeeded(body)
    return str(json.loads(body)["groupId"])


def succeeded(body: bytes) -> None:
    """Raise BenchError unless an answer has code 0."""
    if json.loads(body).get("code") != 0:
        raise BenchError(f"a request failed: {body[:200].decode()}")


def page_of(groups: int) -> Check:
    """Return a check that an answer is a page of so many groups."""

    def check(body: bytes) -> None:
        succeeded(body)
        found = len(json.loads(body)["data"]["groups"])
        if found != groups:
            raise BenchError(f"a page has {found} groups, not {groups}")

    return check
