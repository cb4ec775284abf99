"""The HTTP side: the standard library's server, with bounds. It is for one machine, not a network.

The server's own transport would need the packages of the extra `server`.
"""

import contextlib
import re
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any, Final

from openpns.cli.listen.answers import Answers
from openpns.cli.listen.forwarding import Answer
from openpns.cli.listen.screen import Screen
from openpns.webhooks import WebhookTooLarge

_CONNECTIONS_MAX: Final = 64
_TIMEOUT_S: Final = 30
_DRAINED_BYTES_MAX: Final = 64 << 20
_DRAIN_S: Final = 5.0
_LENGTH: Final = re.compile(r"0*([0-9]+)", re.ASCII)
_LENGTH_DIGITS_MAX: Final = 15
"""Of a length that is read as a number; a longer one is too large in any case."""
_WITHOUT_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class _Server(ThreadingHTTPServer):
    """Accepts connections; one above the bound is closed at once."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, answers: Answers, screen: Screen) -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.answers = answers
        self._screen = screen
        self._places = threading.BoundedSemaphore(_CONNECTIONS_MAX)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread of its own."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """End the command after a bug; a lost connection, or the end of the command, is none."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError | CancelledError):
            self._screen.fail(error)


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "openpns-listen"
    sys_version = ""
    timeout = _TIMEOUT_S

    def do_POST(self) -> None:
        """Answer a delivery, whatever its path."""
        length = self._length()
        if length is None:
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        self._send(self.server.answers.answer(body, self.headers.items()))

    def _length(self) -> int | None:
        """Return the length of the body; None if the request was refused for it."""
        found = self.headers.get_all("content-length", [])
        match = _LENGTH.fullmatch(found[0]) if len(found) == 1 else None
        if "transfer-encoding" in self.headers or match is None:
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return None
        is_number = len(match[1]) <= _LENGTH_DIGITS_MAX
        length = int(match[1]) if is_number else 10**_LENGTH_DIGITS_MAX
        if length > self.server.answers.body_bytes_max:
            self._refuse_large(length)
            return None
        return length

    def _refuse_large(self, length: int) -> None:
        bound = self.server.answers.body_bytes_max
        error = WebhookTooLarge(f"the body is larger than {bound} bytes")
        self.close_connection = True
        self._send(self.server.answers.refuse(error))
        self._drain(min(length, _DRAINED_BYTES_MAX))

    def _drain(self, left: int) -> None:
        """Read so much of a body: a client that still sends it may get a reset, not the answer."""
        end_s = monotonic() + _DRAIN_S
        with contextlib.suppress(OSError):  # also if the time is over
            self.connection.shutdown(socket.SHUT_WR)
            while left > 0 and (wait_s := end_s - monotonic()) > 0:
                self.connection.settimeout(wait_s)
                received = self.rfile.read1(min(left, 65536))
                if not received:
                    return
                left -= len(received)

    def send_error(self, code: int, *_: Any) -> None:
        """Refuse a request, with a text that has no part of it."""
        if code == HTTPStatus.NOT_IMPLEMENTED:  # what http.server answers to another method
            code = HTTPStatus.METHOD_NOT_ALLOWED
        self.close_connection = True
        self._send(Answer(code, HTTPStatus(code).phrase))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Print nothing: a request may hold anything."""

    def _send(self, answer: Answer) -> None:
        content = b"" if answer.status in _WITHOUT_BODY else f"{answer.text}\n".encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        if answer.status not in _WITHOUT_BODY:
            self.send_header("Content-Length", str(len(content)))
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "POST")
        if answer.retry_after is not None:
            self.send_header("Retry-After", answer.retry_after)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(listening: socket.socket, answers: Answers, screen: Screen) -> Iterator[None]:
    """Answer the requests of a socket in threads, and close it at the end.

    Deliveries that are not answered then get no answer: the sender tries again.
    """
    with _Server(listening, answers, screen) as server:
        thread = threading.Thread(target=server.serve_forever, name="openpns-listen", daemon=True)
        thread.start()
        try:
            yield
        finally:
            screen.close()
            server.shutdown()
            thread.join()
