"""The beginning of a connection: its transport, with TLS if the listener has a certificate."""

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from openpns.transport.first_step import resumed

if TYPE_CHECKING:
    from openpns.transport.connection import Connection

_SHUTDOWN_S: Final = 2.0
_UNREAD_BYTES_MAX: Final = 16 * 1024
"""What TLS may receive while the connection reads nothing; it is in no count."""


async def accept(
    connection: "Connection",
    accepted: socket.socket,
    tls: ssl.SSLContext | None,
    handshake_timeout_s: float,
) -> None:
    """Make a connection of a socket.

    Raises:
        OSError: The client is gone, or its handshake failed or took too long.
    """
    loop = asyncio.get_running_loop()
    if tls is None:
        await loop.connect_accepted_socket(lambda: connection, accepted)
        return
    wire, handshake = await loop.connect_accepted_socket(
        lambda: _Handshake(tls, handshake_timeout_s), accepted
    )
    try:
        made = await handshake.rest
        if made.is_closing():
            raise ConnectionResetError("the client went away after its handshake")
    except BaseException:
        wire.abort()
        raise
    # TLS keeps what it has encrypted, and counts it, while anything before it is unsent.
    wire.set_write_buffer_limits(high=0)
    made.set_read_buffer_limits(high=_UNREAD_BYTES_MAX)
    made.set_protocol(connection)
    connection.sender.wire = wire
    connection.connection_made(made)
    if handshake.received:
        connection.data_received(handshake.received)


class _Handshake(asyncio.Protocol):
    """Begins TLS on a transport before anything is read from it.

    The event loop could do that by itself, but would not show this transport. Only it knows what
    is encrypted and not sent yet.

    Attributes:
        rest: Returns the transport that encrypts.
        received: Bytes of a request that came with the end of the handshake.
    """

    rest: Coroutine[Any, Any, Any]

    def __init__(self, tls: ssl.SSLContext, timeout_s: float) -> None:
        self.received = b""
        self._tls = tls
        self._timeout_s = timeout_s

    def connection_made(self, transport: Any) -> None:
        """Take the first step, after which TLS is the protocol of the transport."""
        starting = asyncio.get_running_loop().start_tls(
            transport,
            self,
            self._tls,
            server_side=True,
            ssl_handshake_timeout=self._timeout_s,
            ssl_shutdown_timeout=_SHUTDOWN_S,
        )
        waits_for = starting.send(None)
        self.rest = resumed(starting, waits_for)

    def data_received(self, data: bytes) -> None:
        """Keep bytes, already decrypted."""
        self.received += data
