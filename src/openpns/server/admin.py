"""The admin port: health, readiness, metrics.

It runs in a thread of the parent process, so that it responds while the workers are busy.
"""

import asyncio
import math
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from openpns.api.counters import read_total
from openpns.api.metrics import CounterCollector
from openpns.core import logs
from openpns.errors import OpenPNSError
from openpns.server.application import open_checked
from openpns.server.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

_STOP_CHECK_S: Final = 0.05
_TEXT: Final = "text/plain; charset=utf-8"

Response = tuple[int, str, bytes]
"""Status, content type, body."""


class AdminServer(ThreadingHTTPServer):
    """Serve `/healthz`, `/readyz` and `/metrics`, which reads the file of counters.

    Raises:
        OSError: The port is in use or not allowed.
    """

    daemon_threads = True
    allow_reuse_port = False  # fail if another program listens there

    def __init__(self, settings: Settings, counters: int) -> None:
        # All probes share one connection.
        self._settings = msgspec.structs.replace(settings, postgres_connections_max=1)
        self._counters = counters
        self._check_lock = threading.Lock()
        self._checked_s = -math.inf
        self._readiness: Response
        self.routes: dict[str, Callable[[], Response]] = {
            "/healthz": lambda: (200, _TEXT, b"ok\n"),
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }
        address = (settings.admin_host, settings.admin_port or 0)
        self.address_family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind the port without the reverse DNS lookup of `HTTPServer`."""
        TCPServer.server_bind(self)

    def start(self) -> None:
        """Serve in a thread."""
        threading.Thread(
            target=self.serve_forever, args=(_STOP_CHECK_S,), name="admin", daemon=True
        ).start()

    def stop(self) -> None:
        """Stop serving and close the port."""
        self.shutdown()
        self.server_close()

    def _readyz(self) -> Response:
        """Return the result of a check that began after this request; waiting requests share it."""
        arrived_s = time.monotonic()
        with self._check_lock:
            if self._checked_s < arrived_s:
                self._checked_s = time.monotonic()
                self._readiness = self._check_readiness()
            return self._readiness

    def _check_readiness(self) -> Response:
        try:
            asyncio.run(_check_storage(self._settings))
        except OpenPNSError as error:
            return 503, _TEXT, f"not ready: {error}\n".encode()
        except Exception as error:  # noqa: BLE001 - any error means "not ready"
            logs.logger().error("readiness check failed", **logs.describe_error(error))
            return 503, _TEXT, b"not ready: see the server's log\n"
        return 200, _TEXT, b"ready\n"

    def _metrics(self) -> Response:
        try:
            cells = read_total(self._counters)
        except OSError as error:
            reason = f"no metrics: cannot read the counters ({error.strerror}); restart openpns"
            return 503, _TEXT, f"{reason}\n".encode()
        registry = CollectorRegistry()
        registry.register(CounterCollector(cells))
        return 200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "openpns"
    sys_version = ""
    timeout = 10
    server: AdminServer

    def do_HEAD(self) -> None:
        """Respond to a HEAD as to a GET, without the body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Respond to a GET."""
        route = self.server.routes.get(self.path.partition("?")[0])
        paths = ", ".join(self.server.routes)
        status, content_type, body = (
            route() if route else (404, _TEXT, f"not found; there are {paths}\n".encode())
        )
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: probes and scrapes arrive every few seconds."""


async def _check_storage(settings: Settings) -> None:
    store = await open_checked(settings)
    try:
        await store.fetch("master_key_check_find", {})
    finally:
        await store.close()
