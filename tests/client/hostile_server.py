"""A server that answers with any bytes, on a raw socket."""

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial

PARTS_MAX = 100_000
"""After this many parts even an endless response ends, so that a test of it fails."""


class HostileServer:
    """Answers each request on a connection with the same parts; counts what it could send.

    Args:
        context: Of TLS, if it speaks that.
    """

    def __init__(
        self, answer: Callable[[], Iterable[bytes]], context: ssl.SSLContext | None = None
    ) -> None:
        self.requests: list[bytes] = []
        self.connections: list[int] = []
        """How many requests each of the connections carried."""
        self.ended: list[int] = []
        """The connections that have ended, by their place."""
        self._context = context
        self.sent_bytes = 0
        self._answer = answer
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = f"https://localhost:{port}" if context else f"http://127.0.0.1:{port}"
        self._is_closed = False
        self._start(self._accept)

    def close(self) -> None:
        """Stop, and wait for every thread."""
        self._is_closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            place = len(self.connections)
            self.connections.append(0)
            self._start(partial(self._serve, connection, place))

    def _serve(self, connection: socket.socket, place: int) -> None:
        connection.settimeout(10)
        with suppress(OSError), connection:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                self._answer_requests(connection, place)
        self.ended.append(place)

    def _answer_requests(self, connection: socket.socket, place: int) -> None:
        while request := _read_request(connection):
            self.requests.append(request)
            self.connections[place] += 1
            for part in self._answer():
                if self._is_closed:
                    return
                connection.sendall(part)
                self.sent_bytes += len(part)
            if b"connection: close" in request.lower():
                return


@contextmanager
def hostile(
    answer: Callable[[], Iterable[bytes]] | bytes, context: ssl.SSLContext | None = None
) -> Iterator[HostileServer]:
    """A server that sends these parts, or this response, for each request."""
    answers = (lambda: [answer]) if isinstance(answer, bytes) else answer
    server = HostileServer(answers, context)
    try:
        yield server
    finally:
        server.close()


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A response with a right Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def head(*headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode()


def drip(text: bytes, pause_s: float = 0.01) -> Iterator[bytes]:
    """Bytes one by one, each well within a timeout."""
    for byte in text:
        yield bytes([byte])
        time.sleep(pause_s)


def endless_chunks() -> Iterator[bytes]:
    yield head("Transfer-Encoding: chunked")
    for _ in range(PARTS_MAX):
        yield b"10000\r\n" + b" " * 0x10000 + b"\r\n"


def bomb(layers: int, size: int = 64 * 1024 * 1024) -> bytes:
    """A compressed response: a few kilobytes or less that become `size` bytes of spaces."""
    body = b" " * size
    for _ in range(layers):
        body = gzip.compress(body, 9)
    return response(body, f"Content-Encoding: {', '.join(['gzip'] * layers)}")


def date_of(moment: datetime) -> str:
    return f"Date: {moment:%a, %d %b %Y %H:%M:%S} GMT"


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        if not (part := connection.recv(65536)):
            return b""
        received += part
    header, _, body = received.partition(b"\r\n\r\n")
    length = int(header.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
    while len(body) < length:
        if not (part := connection.recv(65536)):
            return b""
        body += part
    return header + b"\r\n\r\n" + body
