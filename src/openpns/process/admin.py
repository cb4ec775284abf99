"""The admin port: health, readiness, metrics.

In `openpns serve` the parent process serves it, so that it responds while the workers are busy.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final
from urllib.parse import urlsplit

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from openpns import __version__
from openpns.errors import ConfigError, MethodNotAllowed, WireError
from openpns.process.settings import ProcessSettings
from openpns.transport.listener import Bounds, Listener
from openpns.transport.messages import Reply, Request
from openpns.transport.sockets import listen

_TEXT: Final = "text/plain; charset=utf-8"
_BODY_BYTES_MAX: Final = 1024
"""No request needs a body."""
_TIMEOUT_S: Final = 5.0
"""Time for a whole request to arrive, and for a client to take its response."""
_METRICS_SHARED_S: Final = 0.1
"""How long rendered metrics are used: to render them takes the event loop some ms."""
_LOCAL_NAME: Final = "localhost"


class State(msgspec.Struct, frozen=True):
    """Whether a process is ready.

    Attributes:
        fault: Why it is not, in one line; None if it is.
        note: What an operator should know although it is ready, in one line; empty for nothing.
    """

    fault: str | None = None
    note: str = ""


class AdminPort:
    """Serve `/healthz`, `/readyz` and `/metrics`. A Responder of the transport.

    Args:
        find_state: Returns whether the process is ready.
        collectors: Returns the metrics, besides those of this port; raises OSError if they cannot
            be read.
    """

    def __init__(
        self,
        settings: ProcessSettings,
        find_state: Callable[[], Awaitable[State]],
        collectors: Callable[[], Iterable[Collector]],
    ) -> None:
        self._find_state = find_state
        self._collectors = collectors
        self._names = {name.strip().lower() for name in (settings.admin_hosts or "").split(",")}
        self._names |= {settings.admin_host.lower(), _LOCAL_NAME}
        self._metrics: Reply | None = None
        self._rendered_s = 0.0
        self._routes: dict[str, Callable[[], Awaitable[Reply]]] = {
            "/healthz": self._answer_healthz,
            "/readyz": self._answer_readyz,
            "/metrics": self._answer_metrics,
        }
        bounds = Bounds(
            connections_max=settings.admin_connections_max,
            connections_per_address_max=max(settings.admin_connections_max // 2, 1),
            header_timeout_s=_TIMEOUT_S,
            body_timeout_s=_TIMEOUT_S,
            idle_timeout_s=settings.idle_timeout_ms / 1000,
            send_timeout_s=_TIMEOUT_S,
            body_bytes_max=_BODY_BYTES_MAX,
        )
        self._listener = Listener(self, bounds)

    def start(self, listening: socket.socket) -> None:
        """Serve a socket. Needs a running event loop."""
        self._listener.start(listening)

    async def stop(self) -> None:
        """Close the port and all connections."""
        await self._listener.stop(0)

    async def respond(self, request: Request) -> Reply:
        """Return the response to a request."""
        if not self._is_allowed_host(request):
            return _text(421, "the header Host has none of the names in admin_hosts")
        try:
            _check(request)
        except MethodNotAllowed:
            return _text(405, "the method must be GET or HEAD", b"allow: GET, HEAD\r\n")
        except WireError as error:
            return _text(error.http_status, error.detail or error.text)
        route = self._routes.get(request.path)
        if route is None:
            return _text(404, f"not found; there are {', '.join(self._routes)}")
        return await route()

    async def admit(self, request: Request) -> WireError | None:
        """Return why the body of a request must not be sent."""
        try:
            _check(request)
        except WireError as error:
            return error
        return None

    async def _answer_healthz(self) -> Reply:
        return _text(200, "ok")

    async def _answer_readyz(self) -> Reply:
        state = await self._find_state()
        if state.fault is not None:
            return _text(503, f"not ready: {state.fault}")
        return _text(200, f"ready\n{state.note}".strip())

    async def _answer_metrics(self) -> Reply:
        now_s = asyncio.get_running_loop().time()
        if self._metrics is None or now_s - self._rendered_s >= _METRICS_SHARED_S:
            self._metrics, self._rendered_s = self._render_metrics(), now_s
        return self._metrics

    def _render_metrics(self) -> Reply:
        registry = CollectorRegistry()
        try:
            for collector in self._collectors():
                registry.register(collector)
        except OSError as error:
            reason = f"no metrics: cannot read the counters ({error.strerror}); restart openpns"
            return _text(503, reason)
        registry.register(_OwnMetrics(self._listener.connections))
        return _reply(200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry))

    def _is_allowed_host(self, request: Request) -> bool:
        """Return whether the request cannot come from a web page whose name leads here.

        Such a request has the name of the page in its Host. Without a Host it is not a browser's.
        """
        if b"host" in request.repeated:
            return False
        sent = request.headers.get(b"host", b"").decode("ascii", "replace")
        try:
            host = urlsplit(f"//{sent}").hostname
        except ValueError:
            return False
        if not sent or host in self._names:
            return True
        try:
            ipaddress.ip_address(host or "")
        except ValueError:
            return False
        return True


class _OwnMetrics(Collector):
    """What the admin port itself knows."""

    def __init__(self, connections: int) -> None:
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        yield GaugeMetricFamily(
            "openpns_admin_connections",
            "Open connections of the admin port.",
            value=self._connections,
        )
        yield InfoMetricFamily("openpns_build", "The program.", value={"version": __version__})


def listen_for_admin(settings: ProcessSettings, api_port: int | None = None) -> socket.socket:
    """Return the socket of the admin port, after that of the API listens, if there is one.

    Raises:
        ConfigError: It cannot listen there; the text says why.
    """
    port = settings.admin_port or 0
    try:
        return listen("admin_port", settings.admin_host, port)
    except ConfigError:
        if not port or port != api_port:
            raise
    # Two hosts may be names of one address, or one of them every address; the system knows.
    raise ConfigError(f"admin_port: must differ from port, which is {port}, too")


def _check(request: Request) -> None:
    if request.fault is not None:
        raise request.fault
    if request.method not in (b"GET", b"HEAD"):
        raise MethodNotAllowed


def _text(status: int, line: str, headers: bytes = b"") -> Reply:
    return _reply(status, _TEXT, f"{line}\n".encode(), headers)


def _reply(status: int, content_type: str, body: bytes, headers: bytes = b"") -> Reply:
    return Reply(status, f"content-type: {content_type}\r\n".encode() + headers, (body,))
