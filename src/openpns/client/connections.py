"""Which connections a client uses: those of this process, and of the running event loop.

A connection cannot be shared with a forked child, nor with another event loop. So each process,
and for an `AsyncClient` each event loop, opens its own.
"""

import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx2

from openpns.client.route import http_options
from openpns.errors import ClientClosed, ConfigError
from openpns.kit.forks import renew_after_fork

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
        self._lock = threading.Lock()
        options = http_options(url if self.is_own else None)
        self._http: httpx2.Client | None = httpx2.Client(transport=transport, **options)
        renew_after_fork(self)

    def get(self) -> httpx2.Client:
        """Return the client of httpx2 that holds this process's connections.

        Raises:
            ClientClosed: It was closed.
        """
        if self._is_closed:
            raise ClientClosed
        http = self._http
        return self._reopen() if http is None else http

    def after_fork(self) -> None:
        """Forget the parent's connections and locks; see `kit.forks`."""
        self._lock = threading.Lock()
        if self.is_own:
            self._http = None

    def close(self) -> None:
        """Close all connections of this process."""
        self._is_closed = True
        if self._http is not None:
            self._http.close()

    def _reopen(self) -> httpx2.Client:
        with self._lock:
            if self._http is None:
                self._http = httpx2.Client(**http_options(self._url))
            return self._http


class _Kept(NamedTuple):
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
        self._kept: dict[AbstractEventLoop, _Kept] = {}
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
        if self._is_closed:
            raise ClientClosed
        loop = _running_loop()
        if self._given is not None:
            self._check_bound(loop)
            return self._given
        kept = self._kept.get(loop)
        if kept is None or kept.http.is_closed:
            kept = await self._open(loop)
        return kept.http

    def after_fork(self) -> None:
        """Forget the parent's event loops and their connections; see `kit.forks`."""
        _inherited.append(self._kept)
        self._kept = {}
        self._options = None

    async def close(self) -> None:
        """Close the connections of the running event loop, and let other loops close theirs."""
        self._is_closed = True
        own = self._kept.pop(_running_loop(), None)
        # asyncio ends a generator that is not used any longer, in its loop.
        self._kept.clear()
        if own is not None:
            await own.end.aclose()
        if self._given is not None:
            await self._given.aclose()

    async def _open(self, loop: "AbstractEventLoop") -> _Kept:
        for other in list(self._kept):
            if other.is_closed():
                self._kept.pop(other, None)
        if self._options is None:
            self._options = http_options(self._url)
        http = httpx2.AsyncClient(**self._options)
        self._kept[loop] = kept = _Kept(http, _close_at_end(http))
        await anext(kept.end)
        return kept

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
