"""A receiver on loopback that the tests of `openpns listen` forward to."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Target:
    """What it has received, and what it answers."""

    def __init__(self) -> None:
        self.received: list[tuple[str, list[tuple[str, str]], bytes]] = []
        self.status = 202
        self.headers: dict[str, str] = {}
        self.raw: bytes | None = None
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                target.received.append((self.path, self.headers.items(), body))
                if target.raw is not None:
                    self.wfile.write(target.raw)
                    self.close_connection = True
                    return
                self.send_response(target.status)
                for name, value in ({"Content-Length": "0"} | target.headers).items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhook?a=1"


@pytest.fixture
def target() -> Iterator[Target]:
    """An HTTP server that answers 202."""
    made = Target()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()
