"""Which connections a client uses: those of this process, and of the running event loop.

A connection cannot be shared with a forked child, nor with another event loop. So each process,
and for an `AsyncClient` each event loop, opens its own.
"""

# The socket module imports it with the first connection. A child that is forked while a thread does
# that would wait for the import for ever.
import encodings.idna  # noqa: F401
import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx2

from openpns.client.route import http_options
from openpns.errors import ClientClosed, ConfigError
from openpns.kit.forks import renew_after_fork, renew_if_forked

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Connections:
    """The connections of a `Client`.

    Args:
        url: Where requests go.
        transport: The user's own; then all processes use it, and it must know what to do.

    Raises:
        ConfigError: The environment names a proxy or certificates that cannot be used.
    """

    def __init__(self, url: httpx2.URL, transport: httpx2.BaseTransport | None = None) -> None:
        self.is_own = transport is None
        self._url = url
        self._is_closed = False
        self._lock = threading.RLock()
        options = http_options(url if self.is_own else None)
        self._http: httpx2.Client | None = httpx2.Client(transport=transport, **options)
        renew_after_fork(self)

    def get(self) -> httpx2.Client:
        """Return the client of httpx2 that holds this process's connections.

        Raises:
            ClientClosed: It was closed.
        """
        renew_if_forked()
        if self._is_closed:
            raise ClientClosed
        http = self._http
        return self._reopen() if http is None else http

    def after_fork(self) -> None:
        """Forget the parent's connections and locks; see `kit.forks`."""
        self._lock = threading.RLock()
        if self.is_own:
            self._http = None

    def close(self) -> None:
        """Close all connections of this process."""
        renew_if_forked()
        self._is_closed = True
        if self._http is not None:
            self._http.close()

    def _reopen(self) -> httpx2.Client:
        with self._lock:
            if self._http is None:
                http = httpx2.Client(**http_options(self._url))
                # A signal handler that interrupts this thread has the lock, too.
                if self._http is None:
                    self._http = http
            return self._http


class _OfLoop(NamedTuple):
    """The connections of an event loop, and the generator whose end closes them."""

    http: httpx2.AsyncClient
    end: AsyncGenerator[None, None]


_inherited: Final[list[Any]] = []
"""What a forked child must not use and not delete: a parent's event loop would be asked to close
it."""


class AsyncConnections:
    """The connections of an `AsyncClient`; see `Connections`.

    Args:
        url: Where requests go.
        transport: The user's own; one of httpx2 is used by one event loop only.

    Raises:
        ConfigError: The environment names a proxy or certificates that cannot be used.
    """

    def __init__(self, url: httpx2.URL, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.is_own = transport is None
        self._url = url
        self._is_closed = False
        options = http_options(url if self.is_own else None)
        self._options: dict[str, Any] | None = options
        self._of_loops: dict[AbstractEventLoop, _OfLoop] = {}
        self._given = (
            None if transport is None else httpx2.AsyncClient(transport=transport, **options)
        )
        self._is_bound = isinstance(transport, httpx2.AsyncHTTPTransport)
        self._bound_to: AbstractEventLoop | None = None
        renew_after_fork(self)

    async def get(self) -> httpx2.AsyncClient:
        """Return the client of httpx2 that holds the running event loop's connections.

        Raises:
            ClientClosed: It was closed.
            ConfigError: There is no event loop of asyncio, or the user's transport belongs to
                another one.
        """
        renew_if_forked()
        if self._is_closed:
            raise ClientClosed
        loop = _running_loop()
        if self._given is not None:
            self._check_bound(loop)
            return self._given
        own = self._of_loops.get(loop)
        if own is None or own.http.is_closed:
            own = await self._open(loop)
        return own.http

    def after_fork(self) -> None:
        """Forget the parent's event loops and their connections; see `kit.forks`."""
        _inherited.append(self._of_loops)
        self._of_loops = {}
        self._options = None

    async def close(self) -> None:
        """Close the connections of the running event loop, and let other loops close theirs."""
        renew_if_forked()
        self._is_closed = True
        own = self._of_loops.pop(_running_loop(), None)
        # asyncio ends a generator that is not used any longer, in its loop.
        self._of_loops.clear()
        if own is not None:
            await own.end.aclose()
        is_gone = self._bound_to is not None and self._bound_to.is_closed()
        if self._given is not None and not (self._is_bound and is_gone):
            await self._given.aclose()

    async def _open(self, loop: "AbstractEventLoop") -> _OfLoop:
        for other in list(self._of_loops):
            if other.is_closed():
                self._of_loops.pop(other, None)
        if self._options is None:
            self._options = http_options(self._url)
        http = httpx2.AsyncClient(**self._options)
        self._of_loops[loop] = own = _OfLoop(http, _close_at_end(http))
        await anext(own.end)
        return own

    def _check_bound(self, loop: "AbstractEventLoop") -> None:
        if self._is_bound and (self._bound_to or loop) is not loop:
            raise ConfigError(
                "transport: an AsyncHTTPTransport can be used in one event loop only; make an "
                "AsyncClient, with a transport of its own, in each event loop"
            )
        self._bound_to = loop


async def _close_at_end(http: httpx2.AsyncClient) -> AsyncGenerator[None, None]:
    """Close connections when their event loop ends: asyncio closes open generators then."""
    try:
        yield
    finally:
        await http.aclose()


def _running_loop() -> "AbstractEventLoop":
    import asyncio  # noqa: PLC0415 - a sync program need not load it

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigError("an AsyncClient works in an event loop of asyncio only") from None
