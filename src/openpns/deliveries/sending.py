"""One attempt to deliver: a POST, of which the status counts.

There are no redirects, cookies, proxies or passwords: this uses the part of httpx2 that sends one
request on a connection, not the client above it. That client also logs URLs, which may hold a
secret.
"""

import asyncio
import contextlib
import logging
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final

import httpcore2
import httpx2
import msgspec

from openpns.clock import Clock, now_ms
from openpns.deliveries.connecting import (
    AddressRefused,
    CheckedBackend,
    TooMuchReceived,
    make_tls_context,
)
from openpns.deliveries.schedule import parse_retry_after
from openpns.deliveries.settings import SendingSettings
from openpns.kit.networks import Networks

_BODY_BYTES_MAX: Final = 16 * 1024
"""Of the body of a response this much is read, so that its connection can be used again."""
_BODY_S_MAX: Final = 1.0
_LOOKUPS_MAX: Final = 128
_KEEP_ALIVE_S: Final = 3.0
"""How long a connection is kept that is not used: less than common servers do, whose close would
else meet the next request."""
_POOLS_KEPT_MAX: Final = 256
"""Receivers whose idle connections are kept."""
_ERRORS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (TooMuchReceived, "the response is too long"),
    (httpcore2.ConnectTimeout, "cannot connect in time"),
    (httpcore2.ConnectError, "cannot connect"),
    (httpcore2.TimeoutException, "no response in time"),
    (httpcore2.ProtocolError, "the response is not HTTP"),
    (httpcore2.NetworkError, "the connection was closed"),
)

Headers = Sequence[tuple[bytes, bytes]]


class Outcome(msgspec.Struct, frozen=True):
    """The result of an attempt.

    Attributes:
        status: The status of the response; 0 if there was none.
        error: Why it failed, in a few words, without anything of the receiver's; empty if it did
            not.
        retry_after_s: How long the receiver asks to wait; None if it does not.
    """

    status: int
    error: str = ""
    retry_after_s: int | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has taken the delivery."""
        return 200 <= self.status < 300  # noqa: PLR2004


class Sender:
    """Makes attempts on the running event loop; keeps connections.

    Args:
        clock: For a `Retry-After` that is a date.
    """

    def __init__(self, settings: SendingSettings, clock: Clock = now_ms) -> None:
        self._timeout_s = settings.timeout_ms / 1000
        self._clock = clock
        self._idle_max = settings.idle_per_receiver_max
        self._backend = CheckedBackend(Networks(settings.networks_allowed), _LOOKUPS_MAX)
        self._tls = make_tls_context()
        # A pool looks at all of its connections for each request, so no two customers share one.
        self._pools: OrderedDict[tuple[str, bytes], _Pool] = OrderedDict()
        self._prune_later: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def send(
        self, url: httpx2.URL, headers: Headers, body: bytes, owner: str = ""
    ) -> Outcome:
        """Make an attempt; failures are results, too.

        Args:
            headers: Without Host and Content-Length.
            owner: Whose attempt it is: a connection is used again for the same owner only.
        """
        pool = self._take_pool(url, owner)
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await pool.post(url, headers, body, self._timeout_s)
            return await self._read(response)
        except TimeoutError:
            return Outcome(0, "no response in time")
        except AddressRefused as error:
            return Outcome(0, str(error))
        except Exception as error:  # noqa: BLE001 - whatever a receiver provokes
            return Outcome(0, _describe(error))
        finally:
            pool.in_use -= 1
            pool.used_s = monotonic()

    async def _read(self, response: httpcore2.Response) -> Outcome:
        """Return what a response says; its body does not matter."""
        try:
            with contextlib.suppress(Exception):  # it has answered; only the connection is lost
                async with asyncio.timeout(_BODY_S_MAX):
                    await _read_body(response)
        finally:
            await _close_quietly(response.aclose)
        outcome = Outcome(response.status)
        if outcome.is_taken:
            return outcome
        sent = {name.lower(): value for name, value in response.headers}
        retry_after_s = None
        if b"retry-after" in sent:
            retry_after_s = parse_retry_after(sent[b"retry-after"].decode("latin-1"), self._clock())
        return Outcome(response.status, f"status {response.status}", retry_after_s)

    async def close(self) -> None:
        """Close all connections."""
        if self._prune_later is not None:
            self._prune_later.cancel()
            self._prune_later = None
        pools, self._pools = self._pools, OrderedDict()
        for pool in pools.values():
            await pool.close()
        if self._closing:
            await asyncio.wait(self._closing)

    def _take_pool(self, url: httpx2.URL, owner: str) -> "_Pool":
        key = (owner, b"%s://%s" % (url.raw_scheme, url.netloc))
        pool = self._pools.pop(key, None)
        if pool is None:
            pool = _Pool(self._tls, self._backend, self._idle_max)
        pool.in_use += 1
        self._pools[key] = pool  # the last one: used last
        if len(self._pools) > _POOLS_KEPT_MAX:
            self._prune()
        elif self._prune_later is None:
            self._prune_later = asyncio.get_running_loop().call_later(_KEEP_ALIVE_S, self._prune)
        return pool

    def _prune(self) -> None:
        """Close the connections of receivers that were not used for a while, or of the oldest."""
        if self._prune_later is not None:
            self._prune_later.cancel()
        old_s = monotonic() - _KEEP_ALIVE_S
        too_many = len(self._pools) - _POOLS_KEPT_MAX
        for place, (key, pool) in enumerate(list(self._pools.items())):
            if not pool.in_use and (pool.used_s < old_s or place < too_many):
                del self._pools[key]
                task = asyncio.create_task(pool.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        loop = asyncio.get_running_loop()
        self._prune_later = loop.call_later(_KEEP_ALIVE_S, self._prune) if self._pools else None


class _Pool:
    """The connections to one receiver."""

    def __init__(self, tls: ssl.SSLContext, backend: CheckedBackend, idle_max: int) -> None:
        self.in_use = 0
        self.used_s = monotonic()
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=idle_max,
            keepalive_expiry=_KEEP_ALIVE_S,
            network_backend=backend,
        )

    async def post(
        self, url: httpx2.URL, headers: Headers, body: bytes, timeout_s: float
    ) -> httpcore2.Response:
        """Send a request; return the response without its body."""
        target = httpcore2.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        request = httpcore2.Request(
            b"POST",
            target,
            headers=[
                (b"host", url.netloc),
                *headers,
                (b"content-length", str(len(body)).encode()),
            ],
            content=body,
            extensions={"timeout": {"connect": timeout_s}},
        )
        return await self._pool.handle_async_request(request)

    async def close(self) -> None:
        """Close the connections."""
        await _close_quietly(self._pool.aclose)


def _describe(error: Exception) -> str:
    """Return why there was no response, without a text of the receiver's."""
    if error.args and isinstance(error.args[0], ssl.SSLError):
        return "TLS failed, or the certificate is not accepted"
    known = (what for kind, what in _ERRORS if isinstance(error, kind))
    return next(known, f"cannot be sent ({type(error).__name__})")


async def _read_body(response: httpcore2.Response) -> None:
    left = _BODY_BYTES_MAX
    async for chunk in response.aiter_stream():
        left -= len(chunk)
        if left < 0:
            return


async def _close_quietly(close: Callable[[], Awaitable[object]]) -> None:
    with contextlib.suppress(Exception):  # it is closed then
        await close()


def silence_library() -> None:
    """Keep URLs and headers, which hold secrets, out of the log, at any level.

    For processes that only deliver: the logs of a program with an emulator are its own.
    """
    logging.getLogger("httpcore2").setLevel(logging.WARNING)
