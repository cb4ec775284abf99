"""Signed calls as raw HTTP, made just before they are sent: a signature holds for 60 s."""

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
    """Return a signed call.

    Args:
        customer: Who calls.
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


def signed_now(calls: Iterable[tuple[str, str, Body]]) -> list[bytes]:
    """Sign calls, each with a time of its own around now.

    Args:
        calls: Customer, action and body of each.
    """
    now = time.time_ns() // 1_000_000
    return [
        signed(*call, now + place % TS_SPREAD_MS - TS_SPREAD_MS // 2)
        for place, call in enumerate(calls)
    ]


def write_calls(file: Path, calls: Iterable[bytes]) -> None:
    """Write calls as the Lua script reads them.

    Args:
        file: Where to.
        calls: The calls.
    """
    with file.open("wb") as out:
        for call in calls:
            out.write(b"%08d" % len(call) + call)


class Connection:
    """A kept connection that sends raw calls, one after the other."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._file = self._socket.makefile("rb")

    def send(self, call: bytes) -> tuple[bytes, int]:
        """Send a call; return the answer's body, and its bytes in all where it has a length.

        Raises:
            BenchError: The status is not 200.
        """
        self._socket.sendall(call)
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
            raise BenchError(f"a call was answered {status.decode().strip()}: {body[:200]!r}")
        return body, len(text) + 2 + len(body)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._file.readline(), 16):
            yield self._file.read(size)
            self._file.readline()
        self._file.readline()

    def send_and_drain(self, call: bytes, wait_s: float) -> int:
        """Send a call, wait, then read the answer piece by piece; return its bytes.

        Raises:
            BenchError: It ends too soon.
        """
        self._socket.sendall(call.replace(b" HTTP/1.1", b" HTTP/1.0", 1))
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


def ask(port: int, call: bytes, check: Check) -> int:
    """Send one call on a connection of its own, check its answer, return the answer's bytes.

    Args:
        port: The server's.
        call: The call.
        check: Raises BenchError where the body is not what it must be.
    """
    connection = Connection(port)
    try:
        body, size = connection.send(call)
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
        raise BenchError(f"a call failed: {body[:200].decode()}")


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
