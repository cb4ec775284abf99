"""The listening side of HTTP: places for connections, clocks for all of them, the stop.

One timer checks all connections. A connection notes when something began; nothing else is done
for it while it does what it should.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import partial
from ipaddress import IPv6Address
from typing import Any, Final

import msgspec

from openpns import limits
from openpns.clock import Clock, now_ms
from openpns.kit.networks import Networks, parse_address
from openpns.transport.answering import Answering, for_each
from openpns.transport.arrival import SMALL_BODY_BYTES
from openpns.transport.connection import Connection
from openpns.transport.messages import Responder
from openpns.transport.tls import accept
from openpns.transport.tls_session import TlsBuffers

_CHECK_S_MAX: Final = 1.0
_CHECK_S_MIN: Final = 0.05
_CHECKS_PER_TIMEOUT: Final = 4
_STOP_CHECK_S: Final = 0.01
_PATIENCE_S: Final = 0.1
"""How long a new connection has its place for certain: its request may be on the way."""
_EVICTED_SHARE: Final = 64
_FREED_SHARE: Final = 16
_NEW_SHARE: Final = 4
_NETWORK_GROUPS: Final = 4
"""Of the eight groups of an IPv6 address, those of its network."""
_CLOSING_SHARE: Final = 16
_ACCEPTED_AT_ONCE: Final = 64
_ACCEPT_S: Final = 0.0005


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What connections may take; the settings of docs/operating/configuration.md.

    Attributes:
        trusted_proxies: Each has as many connections as it needs: they are those of many clients.
    """

    connections_max: int = limits.CONNECTIONS_MAX
    connections_per_address_max: int = limits.CONNECTIONS_PER_ADDRESS_MAX
    trusted_proxies: Networks = Networks()
    header_timeout_s: float = limits.HEADER_TIMEOUT_MS / 1000
    body_timeout_s: float = limits.BODY_TIMEOUT_MS / 1000
    idle_timeout_s: float = limits.IDLE_TIMEOUT_MS / 1000
    send_timeout_s: float = limits.SEND_TIMEOUT_MS / 1000
    response_timeout_s: float = limits.RESPONSE_TIMEOUT_MS / 1000
    body_bytes_max: int = limits.BODY_BYTES_MAX
    received_bytes_max: int = limits.RECEIVE_BUFFER_BYTES_MAX
    unsent_bytes_max: int = limits.SEND_BUFFER_BYTES_MAX


class Listener:
    """Accepts connections and minds them.

    Args:
        clock: What the header Date says.
        on_check: Called at each check, about once a second.
    """

    def __init__(
        self,
        responder: Responder,
        bounds: Bounds,
        clock: Clock = now_ms,
        on_check: Callable[["Listener"], None] = lambda _: None,
    ) -> None:
        self.responder = responder
        self.bounds = bounds
        self.small_body_bytes = min(SMALL_BODY_BYTES, bounds.body_bytes_max)
        self.received_bytes = 0
        """Bytes that have arrived and wait, and those of TLS handshakes."""
        self.unsent_bytes = 0
        """Bytes of responses that clients have not taken."""
        self.date = b""
        """The header Date, a whole line."""
        self.idle_deadline_s = 0.0
        """When a connection that is idle from now on is closed."""
        self.tls: ssl.SSLContext | None = None
        """For connections that are accepted from now on; None for plain HTTP."""
        self.tls_buffers = TlsBuffers()
        self.answer_soon: Final = Answering().add
        """Let a connection answer in its turn; see `answering`."""
        self._clock = clock
        self._on_check = on_check
        self._connections: dict[Connection, None] = {}
        self._slow: dict[Connection, None] = {}
        self._places: Counter[str] = Counter()
        self._full_until_s: dict[str, float] = {}
        """Until when no place of an address can become free by eviction."""
        self._ended = 0
        self._is_accepting = False
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[Any]] = set()
        self._is_stopping = False
        timeouts = (
            bounds.header_timeout_s, bounds.body_timeout_s, bounds.idle_timeout_s,
            bounds.send_timeout_s, bounds.response_timeout_s,
        )  # fmt: skip
        check_s = min(timeouts) / _CHECKS_PER_TIMEOUT
        self._check_s = min(max(check_s, _CHECK_S_MIN), _CHECK_S_MAX)

    def start(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections of a socket, which `stop` closes; other processes may share it.

        Needs a running event loop.
        """
        self.loop = asyncio.get_running_loop()
        self._listening = listening
        self.tls = tls
        listening.setblocking(False)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Connections inherit it. What a closed one has left to send is the system's to drop.
            timeout_ms = round(2 * self.bounds.send_timeout_s * 1000)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
        self._check()
        self._accept_on()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def take_ended(self) -> int:
        """Return how many connections have ended since the last time."""
        ended, self._ended = self._ended, 0
        return ended

    async def stop(self, grace_s: float) -> None:
        """Accept no more, answer the requests in hand, and close all connections.

        What is not answered and sent after `grace_s` is dropped.
        """
        self._is_stopping = True
        self._pause()
        self._listening.close()
        for connection in [*self._connections]:
            connection.shut_down()
        end_s = self.loop.time() + grace_s
        while self._connections and self.loop.time() < end_s:  # noqa: ASYNC110 - no event
            await asyncio.sleep(_STOP_CHECK_S)
        for connection in [*self._connections]:
            connection.drop()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()

    def drop_requests(self) -> None:
        """Drop the connections of all requests in hand, without a response."""
        for connection in [*self._connections]:
            if connection.is_in_hand:
                connection.drop()

    def set_date(self) -> None:
        """Set the header Date to the clock's time."""
        self.date = f"date: {formatdate(self._clock() / 1000, usegmt=True)}\r\n".encode()

    # -- what connections call ------------------------------------------------------------------

    def remove(self, connection: Connection) -> None:
        """Free the place of a closed connection."""
        if self._connections.pop(connection, 0) == 0:
            return
        self._ended += 1
        self._places[connection.place] -= 1
        if not self._places[connection.place]:
            del self._places[connection.place]
        self._accept_on()

    def hold(self, connection: Connection) -> None:
        """Count the bytes that a client does not take.

        Above the bound, the oldest connection of the owner who has the most is closed.
        """
        self._slow[connection] = None
        self._count(connection)
        while self.unsent_bytes > self.bounds.unsent_bytes_max:
            self._shed()

    def release(self, connection: Connection) -> None:
        """Count the bytes of a connection no longer: they were taken, or dropped."""
        if self._slow.pop(connection, 0) is None:
            self.unsent_bytes -= connection.sender.unsent_bytes
            connection.sender.unsent_bytes = 0

    def has_room(self, place: str, *, is_new: bool = False) -> bool:
        """Return whether there is memory for what a place has sent.

        If not, the place that holds the most gives way, unless it is this one: its oldest requests
        are dropped. New bytes may take a quarter more: once parsed, they can be refused properly.
        """
        bound = self.bounds.received_bytes_max
        if is_new:
            bound += bound // _NEW_SHARE
        if self.received_bytes <= bound:
            return True
        held: Counter[str] = Counter()
        for connection in self._connections:
            held[connection.place] += connection.held_bytes
        worst = held.most_common(1)[0][0]
        if worst == place:
            return False
        for connection in [*self._connections]:
            if connection.place == worst and connection.held_bytes and not connection.is_in_hand:
                connection.give_way()
                if self.received_bytes <= bound - bound // _FREED_SHARE:
                    break
        return self.received_bytes <= bound

    # -- inside ---------------------------------------------------------------------------------

    def _check(self) -> None:
        now_s = self.loop.time()
        self.idle_deadline_s = now_s + self.bounds.idle_timeout_s
        self.set_date()
        for connection in self._slow:
            self._count(connection)
        for_each([*self._connections], lambda connection: connection.check(now_s))
        self._full_until_s.clear()
        self._accept_on()
        self._on_check(self)
        self._timer = self.loop.call_later(self._check_s, self._check)

    def _count(self, connection: Connection) -> None:
        self.unsent_bytes -= connection.sender.unsent_bytes
        connection.sender.unsent_bytes = connection.sender.measure()
        self.unsent_bytes += connection.sender.unsent_bytes

    def _shed(self) -> None:
        owners: Counter[str] = Counter()
        for connection in self._slow:
            owners[connection.sender.owner] += connection.sender.unsent_bytes
        owner = owners.most_common(1)[0][0]
        oldest = next(connection for connection in self._slow if connection.sender.owner == owner)
        self.release(oldest)
        oldest.abort()

    def _victims(self, place: str | None = None) -> list[Connection]:
        """Return who may give way.

        Some that have sent nothing whole, else the longest idle one, of strangers first, else the
        stranger who has taken the longest for a request.
        """
        here = [one for one in self._connections if place in (None, one.place)]
        silent = [one for one in here if one.is_silent]
        if silent:
            # A new one is spared: its request may be on the way. Several go at once, so that a
            # flood of them costs no search for each.
            old_s = self.loop.time() + self.bounds.header_timeout_s - _PATIENCE_S
            old = [one for one in silent if one.deadline_s < old_s]
            return old[: 1 + self.bounds.connections_max // _EVICTED_SHARE]
        idle = [one for one in here if one.is_idle]
        if idle:
            return [min(idle, key=lambda one: (one.is_known, one.deadline_s))]
        partial = [one for one in here if one.partial_since_s is not None]
        return [min(partial, key=lambda one: one.partial_since_s or 0.0)] if partial else []

    def _evict(self, victims: Sequence[Connection]) -> None:
        for connection in victims:
            if connection.is_silent or connection.partial_since_s is not None:
                connection.give_way()
                self.remove(connection)
            else:
                connection.shut_down()  # its client may still have to read a response

    def _accept_on(self) -> None:
        if not (self._is_accepting or self._is_stopping):
            self._is_accepting = True
            self.loop.add_reader(self._listening, self._accept)

    def _pause(self) -> None:
        """Accept no more; the system keeps some in its queue, for any process of the socket."""
        if self._is_accepting:
            self._is_accepting = False
            self.loop.remove_reader(self._listening)

    def _accept(self) -> None:
        """Accept some connections; not all, so that other processes of the socket get a share.

        If they come quicker than they are accepted, they wait in the system's queue, and others
        behind them.
        """
        until_s = self.loop.time() + _ACCEPT_S
        for count in range(_ACCEPTED_AT_ONCE):
            if count and self.loop.time() > until_s:
                return
            over = len(self._connections) - self.bounds.connections_max
            victims = self._victims() if over >= 0 else []
            # One that gives way may take a moment to close: some may be open above the bound.
            if over >= 0 and (not victims or over > self.bounds.connections_max // _CLOSING_SHARE):
                self._pause()  # until one closes, or may give way
                self.loop.call_later(_PATIENCE_S, self._accept_on)
                return
            try:
                accepted, peer = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:  # no descriptors or no memory
                logging.getLogger(__name__).error("cannot accept connections: %s", error.strerror)
                self._pause()
                return
            self._evict(victims)
            self._add(accepted, str(peer[0]))

    def _add(self, accepted: socket.socket, address: str) -> None:
        """Give a new connection a place, if its address has one left."""
        place = _place_of(address)
        is_over = self._places[place] >= self.bounds.connections_per_address_max
        if is_over and address not in self.bounds.trusted_proxies:
            now_s = self.loop.time()
            victims = [] if now_s < self._full_until_s.get(place, 0) else self._victims(place)
            if not victims:
                self._full_until_s[place] = now_s + _PATIENCE_S
                accepted.close()
                return
            self._evict(victims)
        connection = Connection(self, address, place)
        connection.deadline_s = self.loop.time() + self.bounds.header_timeout_s
        self._connections[connection] = None
        self._places[place] += 1
        task = self.loop.create_task(accept(connection, accepted, self.tls, self))
        connection.connecting = task
        self._connecting.add(task)
        task.add_done_callback(partial(self._connected, connection, accepted))

    def _connected(
        self, connection: Connection, accepted: socket.socket, task: asyncio.Task[Any]
    ) -> None:
        connection.connecting = None
        self._connecting.discard(task)
        # A client that went away, or a place taken back.
        if task.cancelled() or task.exception() is not None:
            self.remove(connection)
            accepted.close()


def _place_of(address: str) -> str:
    """Return what the connections of an address are counted under: of IPv6 its network."""
    found = parse_address(address)
    if not isinstance(found, IPv6Address):
        return address
    return ":".join(found.exploded.split(":")[:_NETWORK_GROUPS])
