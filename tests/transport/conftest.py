"""A listener in a thread of this process, with a responder that does what the path says."""

import asyncio
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import uvloop
from tests.certificates import write_certificate

from openpns.errors import InternalError, ParameterError, WireError
from openpns.transport.listener import Bounds, Listener
from openpns.transport.messages import Reply, Request
from openpns.transport.sockets import listen

_RESPONSE = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [^\r]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
_LENGTH = re.compile(rb"content-length: ([0-9]+)\r\n")
_TIMEOUT_S = 20


class Paths:
    """Responds by path; `waiting` counts the requests that wait until `may_go_on` is set."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.waiting = 0
        self.sent_chunks = 0
        self.may_go_on = asyncio.Event()

    async def respond(self, request: Request) -> Reply | None:
        self.seen.append(request)
        if request.fault is not None:
            return _reply(413, request.fault.msg.encode())
        name, _, argument = request.path.strip("/").partition("/")
        if name == "wait":
            await self._wait()
        elif name == "drop":
            return None
        elif name == "fail":
            raise RuntimeError
        elif name == "bytes":
            return _reply(200, b"x" * int(argument), request.headers.get(b"owner", b"").decode())
        elif name == "chunks":
            return Reply(200, b"", self._chunks(int(argument)), "", lambda: None)
        return _reply(200, request.method + b" " + request.target + b" " + request.body)

    async def admit(self, request: Request) -> WireError | None:
        await asyncio.sleep(0)
        return ParameterError("not admitted") if b"refuse" in request.headers else None

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            await self.may_go_on.wait()
        finally:
            self.waiting -= 1

    async def _chunks(self, count: int) -> AsyncGenerator[bytes, None]:
        for _ in range(abs(count)):
            self.sent_chunks += 1
            yield b"y" * 50_000
        if count < 0:
            raise InternalError("broken off")


def _reply(status: int, body: bytes, owner: str = "") -> Reply:
    return Reply(status, b"x-length: %d\r\n" % len(body), (body,), owner)


class Served:
    """A listener that serves in a thread, and sockets to it."""

    def __init__(
        self, loop_factory: Callable[[], asyncio.AbstractEventLoop], tls: ssl.SSLContext | None
    ) -> None:
        self._loop_factory = loop_factory
        self._tls = tls
        self._sockets: list[socket.socket] = []

    def start(self, **bounds: Any) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(bounds, started))
        self._thread.start()
        assert started.wait(_TIMEOUT_S)
        return self

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the loop of the listener."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT_S)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        for _ in range(int(_TIMEOUT_S / 0.005)):
            if holds():
                return
            threading.Event().wait(0.005)
        raise AssertionError("it never holds")

    def go_on(self) -> None:
        """Let the requests that wait go on."""
        self._loop.call_soon_threadsafe(self.paths.may_go_on.set)

    def connect(
        self, receive_buffer: int | None = None, source: str | None = None
    ) -> socket.socket:
        connection = socket.socket()
        if source is not None:
            connection.bind((source, 0))
        connection.settimeout(_TIMEOUT_S)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._sockets.append(connection)
        connection.connect(("127.0.0.1", self.port))
        if self._tls is not None:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = context.wrap_socket(connection)
            self._sockets.append(connection)
        return connection

    def talk(self, *pieces: bytes, half_close: bool = False) -> bytes:
        """Send on a connection; return everything until the server closes it."""
        connection = self.connect()
        for piece in pieces:
            connection.sendall(piece)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return read_all(connection)

    def stop(self) -> None:
        for connection in self._sockets:
            connection.close()
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_TIMEOUT_S)
        assert not self._thread.is_alive()

    def _run(self, bounds: dict[str, Any], started: threading.Event) -> None:
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(self._serve(bounds, started))

    async def _serve(self, bounds: dict[str, Any], started: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self.paths = Paths()
        self.listener = Listener(self.paths, Bounds(**bounds))
        with listen("port", "127.0.0.1", 0) as listening:
            self.port = listening.getsockname()[1]
            self.listener.start(listening, self._tls)
            started.set()
            await self._stopping.wait()
            await self.listener.stop(0)


def read_all(connection: socket.socket) -> bytes:
    """Return everything until the server closes a connection."""
    received = []
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            received.append(piece)
    return b"".join(received)


def is_closed(connection: socket.socket) -> bool:
    """Wait until the server closes a connection without a byte."""
    with contextlib.suppress(ConnectionError):
        return connection.recv(1) == b""
    return True


def read_one(connection: socket.socket) -> tuple[int, bytes, bytes]:
    """Return status, headers and body of the next response."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _read_some(connection, 1)
    match = _RESPONSE.fullmatch(received)
    assert match, received
    length, body = _LENGTH.search(match[2]), b""
    while length and len(body) < int(length[1]):
        body += _read_some(connection, int(length[1]) - len(body))
    return int(match[1]), match[2], body


def _read_some(connection: socket.socket, count: int) -> bytes:
    received = connection.recv(count)
    if not received:
        raise ConnectionError("the server closed the connection")
    return received


def statuses(received: bytes) -> list[int]:
    """Return the statuses of all responses in what a server sent."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)]


def get(path: str, *headers: str, version: str = "1.1") -> bytes:
    """Return a request without a body."""
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: x", *headers, "", ""]).encode()


def post(body: bytes, *headers: str, path: str = "/", length: int | None = None) -> bytes:
    """Return a request with a body."""
    size = f"Content-Length: {len(body) if length is None else length}"
    lines = [f"POST {path} HTTP/1.1", "Host: x", size, *headers, "", ""]
    return "\r\n".join(lines).encode() + body


Serve = Callable[..., Served]


@pytest.fixture(params=["asyncio", "uvloop"])
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Starts listeners with bounds, once for each event loop."""
    factory = asyncio.SelectorEventLoop if request.param == "asyncio" else uvloop.new_event_loop
    running: list[Served] = []

    def start(tls: ssl.SSLContext | None = None, **bounds: Any) -> Served:
        running.append(Served(factory, tls).start(**bounds))
        return running[-1]

    yield start
    for served in running:
        served.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key, in files."""
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context
