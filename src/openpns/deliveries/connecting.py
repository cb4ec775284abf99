"""Connections of the HTTP client: to an address that was judged, and to no other.

The host of a URL is resolved here, each address is judged, and the connection is opened to the
address itself: what the name means a moment later does not matter. TLS checks the host's name as
ever. The client keeps a connection by scheme, host and port, so one that is used again was judged.
"""

import asyncio
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import httpcore2
import httpx2

from openpns.deliveries.addresses import refusal
from openpns.errors import ConfigError
from openpns.kit.in_flight import settle
from openpns.kit.networks import Networks

_ADDRESSES_TRIED_MAX: Final = 4
_ADDRESSES_JUDGED_MAX: Final = 32
"""Of a name that has more, the others are ignored: judging takes time of the event loop."""
_CONNECT_S_MIN: Final = 1.0
_RECEIVED_BYTES_MAX: Final = 32 * 1024
"""What is read of a response in all, interim responses and headers included."""
_READ_BYTES: Final = 4096
"""What is read of it at once: parsing this takes some milliseconds at most."""


class AddressRefused(httpcore2.ConnectError):
    """No address of a host may be connected to; the text says why, for an operator."""


class TooMuchReceived(httpcore2.ReadError):
    """A response is longer than what is read of it."""


class _Stream(httpcore2.AsyncNetworkStream):
    """A connection that sends head and body together, when the response is waited for.

    It also knows its socket. The client asks for both so often that this takes a quarter less CPU.

    It bounds what is read of a response. The client bounds the headers of each response, but not
    how many interim ones (status 1xx) come before the last: parsing them would delay all others.
    """

    def __init__(
        self, stream: httpcore2.AsyncNetworkStream, raw: "socket.socket | None" = None
    ) -> None:
        self._stream = stream
        self._socket = raw or stream.get_extra_info("socket")
        self._unsent: list[bytes] = []
        self._received = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if self._unsent:
            unsent, self._unsent = b"".join(self._unsent), []
            # A receiver may answer and close before it has read everything.
            with suppress(httpcore2.WriteError):
                await self._stream.write(unsent, timeout)
        elif self._received:
            await asyncio.sleep(0)  # TLS may have more already, and returns it without a pause
        data = await self._stream.read(min(max_bytes, _READ_BYTES), timeout)
        self._received += len(data)
        if self._received > _RECEIVED_BYTES_MAX:
            raise TooMuchReceived
        return data

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109, ARG002
    ) -> None:
        self._received = 0
        self._unsent.append(bytes(buffer))

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(stream, self._socket)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return _is_readable(self._socket)
        return self._stream.get_extra_info(info)


def _is_readable(raw: socket.socket | None) -> bool:
    """Return whether a connection has received something, or has ended."""
    descriptor = -1 if raw is None else raw.fileno()
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to allowed addresses.

    Args:
        allowed: Networks that are allowed besides public addresses.
        lookups_max: How many names may be looked up at once. A look-up cannot be ended, and one
            that hangs holds a thread; attempts for the same name share it.
    """

    def __init__(self, allowed: Networks, lookups_max: int) -> None:
        self._allowed = allowed
        self._tcp = httpcore2.AnyIOBackend()
        self._lookups = asyncio.Semaphore(lookups_max)
        self._running: dict[str, asyncio.Future[Sequence[str]]] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the client's interface
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a host, trying a few of its addresses.

        Raises:
            AddressRefused: None of its addresses is allowed.
            httpcore2.ConnectError: It has no address, or none can be connected to.
        """
        addresses = await self._find_allowed(host, port)
        each_s = None if timeout is None else max(timeout / len(addresses), _CONNECT_S_MIN)
        for address in addresses[:-1]:
            try:
                return await self._connect(address, port, each_s)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._connect(addresses[-1], port, each_s)

    async def _connect(
        self, address: str, port: int, timeout_s: float | None
    ) -> httpcore2.AsyncNetworkStream:
        return _Stream(await self._tcp.connect_tcp(address, port, timeout=timeout_s))

    async def _find_allowed(self, host: str, port: int) -> Sequence[str]:
        found = await self._resolve(host, port)
        found = found[:_ADDRESSES_JUDGED_MAX]
        reasons = {address: refusal(address, self._allowed) for address in found}
        allowed = [address for address in found if reasons[address] is None]
        if not allowed:
            what = ", ".join(dict.fromkeys(filter(None, reasons.values())))
            raise AddressRefused(f"address not allowed: {what}")
        return allowed[:_ADDRESSES_TRIED_MAX]

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        running = self._running.get(host)
        if running is None:
            await self._lookups.acquire()
            running = self._running.get(host)
            if running is None:
                running = self._begin_lookup(host, port)
            else:  # another attempt has begun it meanwhile
                self._lookups.release()
        found = await asyncio.shield(running)
        if not found:
            raise httpcore2.ConnectError("the name of the host has no address")
        return found

    def _begin_lookup(self, host: str, port: int) -> "asyncio.Future[Sequence[str]]":
        """Look a name up; the result has no addresses if it has none."""
        loop = asyncio.get_running_loop()
        addresses: asyncio.Future[Sequence[str]] = loop.create_future()
        self._running[host] = addresses

        def end(found: Sequence[str]) -> None:
            self._lookups.release()
            self._running.pop(host, None)
            settle(addresses, found)

        def look_up() -> None:
            found = _look_up(host, port)
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(end, found)

        try:
            # A daemon, unlike the threads of an executor: the process does not wait for it to end.
            threading.Thread(target=look_up, name="openpns-lookup", daemon=True).start()
        except RuntimeError:  # the system allows no more threads
            end(())
        return addresses

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def _look_up(host: str, port: int) -> Sequence[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        return ()
    return [*dict.fromkeys(str(address[0]) for *_, address in found)]


def make_tls_context() -> ssl.SSLContext:
    """Return what verifies receivers: the system's authorities, or those of SSL_CERT_FILE.

    Raises:
        ConfigError: They cannot be read.
    """
    try:
        return httpx2.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"webhooks: cannot read the certificates of authorities ({type(error).__name__}); "
            "allowed is a file in PEM, which SSL_CERT_FILE names"
        ) from None
