"""TLS between the transport of a socket and a connection; what waits is bounded and counted.

The event loop's own TLS holds up to 300 KiB for a connection, which it neither shows nor frees.
Here all connections share the buffer that is read into, and only what the socket takes is
encrypted: what waits is counted, encrypted bytes as received, plain ones as unsent.

Source: docs/decisions/0047-tls-of-its-own.md.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from openpns.transport.records import BadRecord, record_size
from openpns.transport.tls_session import PIECE_BYTES, RECEIVE_BYTES, TlsSession

if TYPE_CHECKING:
    from openpns.transport.connection import Connection
    from openpns.transport.listener import Listener

_SMALL_BYTES: Final = 4 * 1024
"""A record of this size is decrypted when it arrives; a larger one, or several, in a turn."""
_JOINED_BYTES: Final = 64 * 1024
"""Encrypted before the socket is tried: at most this much is encrypted and unsent."""
_WRITTEN_BYTES: Final = 256 * 1024
"""Encrypted of one connection in a turn of the event loop."""
_RECORDS_PER_TURN: Final = 32
_FREE_BYTES: Final = 4 * 1024
"""What waits to be decrypted is counted if it is more than this."""
_HANDSHAKE_BYTES: Final = 40 * 1024
"""About what OpenSSL holds during a handshake; it counts as received."""


async def accept(
    connection: "Connection",
    accepted: socket.socket,
    tls: ssl.SSLContext | None,
    listener: "Listener",
) -> None:
    """Make a connection of a socket, with TLS if there is a certificate.

    Raises:
        OSError: The client is gone.
    """
    protocol: Any = connection if tls is None else TlsTransport(connection, tls, listener)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, accepted)


class TlsTransport(asyncio.BufferedProtocol):
    """The protocol of a socket's transport (the wire), and itself the transport of a connection.

    The connection is paused whenever something is unsent. Its deadline bounds the handshake.
    """

    def __init__(
        self, connection: "Connection", context: ssl.SSLContext, listener: "Listener"
    ) -> None:
        self._connection: Connection | None = connection
        self._context = context
        self._listener = listener
        self._wire: Any = None
        # Made for the first whole record: silent connections take no memory for it.
        self._session: TlsSession | None = None
        # What arrives.
        self._received = b""
        self._is_reading = True
        self._is_wire_reading = True
        self._is_queued = False
        self._has_wire_ended = False
        self._has_ended = False
        # What is sent.
        self._unsent: list[memoryview] = []
        self._unsent_bytes = 0
        self._is_wire_full = False
        self._is_paused = False
        self._is_writing_soon = False
        self._is_last = False
        self._has_finished = False
        self._is_closing = False

    # -- what the transport of the socket calls -------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Begin; the client speaks first."""
        assert self._connection is not None
        self._wire = transport
        transport.set_write_buffer_limits(high=0)  # `pause_writing` whenever something is unsent
        self._connection.connection_made(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Free everything; the connection ends, too."""
        connection = self._connection
        assert connection is not None
        self._drop()
        self._connection = self._session = None
        connection.connection_lost(error)

    def get_buffer(self, _: int) -> memoryview:
        """Return the listener's buffer; it is free again when `buffer_updated` returns."""
        return self._listener.tls_buffers.receive

    def buffer_updated(self, count: int) -> None:
        """Decrypt a small record that arrives by itself; let what else arrives wait for a turn."""
        connection, session = self._connection, self._session
        if connection is None or self._has_ended:
            return
        arrived = self._listener.tls_buffers.receive[:count]
        plain = None
        try:
            if (
                session is not None
                and session.is_open
                and self._is_reading
                and not self._received
                and count <= _SMALL_BYTES
                and record_size(arrived) == count
            ):
                plain = session.take(arrived)
            else:
                self._received += arrived
                is_complete = self._has_record()
        except (ssl.SSLError, BadRecord) as error:
            self._fail(error)
            return
        if plain is not None:
            self._hand_on(plain)
            return
        if not self._has_room(connection):
            return
        if self._is_queued or count == RECEIVE_BYTES:
            self._read_wire(is_reading=False)
        if is_complete and self._is_reading:
            self._queue()

    def eof_received(self) -> bool:
        """Note that the client sends no more. What it has asked for is still answered."""
        self._has_wire_ended = True
        self._hand_on(b"")
        return True

    def pause_writing(self) -> None:
        """Encrypt no more until the socket has taken what is encrypted."""
        self._is_wire_full = True

    def resume_writing(self) -> None:
        """Encrypt more."""
        self._is_wire_full = False
        self._write_on()

    # -- what the listener calls in its turns ---------------------------------------------------

    def parse(self) -> None:
        """Decrypt some of the records that have arrived."""
        self._is_queued = False
        if self._connection is None or self._has_ended:
            return
        if self._session is None:
            self._session = TlsSession(self._context, self._listener.tls_buffers.incoming)
        session, received = self._session, memoryview(self._received)
        pieces, used, left = [], 0, _RECORDS_PER_TURN
        try:
            while left and self._is_reading and (size := record_size(received[used:])):
                pieces.append(session.take(received[used : used + size]))
                used, left = used + size, left - 1
            self._received = b"" if session.has_ended else self._received[used:]
            self._is_queued = self._has_record() and self._is_reading
        except (ssl.SSLError, BadRecord) as error:
            self._fail(error)
            return
        if self._has_room(self._connection):
            self._hand_on(b"".join(pieces))
        if self._is_reading and not self._is_queued:
            self._read_wire(is_reading=True)

    def answer(self) -> bool:
        """Return whether there are more records to decrypt in another turn."""
        return self._is_queued

    def flush(self) -> None:
        """Do nothing: the connection writes in its own turn."""

    # -- what the connection calls --------------------------------------------------------------

    def is_closing(self) -> bool:
        """Return whether nothing more can be written."""
        return self._is_closing or self._connection is None

    def pause_reading(self) -> None:
        """Hand nothing more on."""
        self._is_reading = False
        self._read_wire(is_reading=False)

    def resume_reading(self) -> None:
        """Hand on what has arrived and what arrives."""
        self._is_reading = True
        if self._has_record():
            self._queue()
        else:
            self._read_wire(is_reading=True)

    def set_write_buffer_limits(self, high: int) -> None:
        """Do nothing: the connection is paused whenever something is unsent."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are unsent, plain and encrypted ones together."""
        size: int = self._wire.get_write_buffer_size()
        return self._unsent_bytes + size

    def write(self, data: bytes) -> None:
        """Send bytes as fast as the socket takes them."""
        self.writelines((data,))

    def writelines(self, lines: Sequence[bytes]) -> None:
        """Send several pieces of bytes."""
        if self.is_closing():
            return
        for data in lines:
            if data:
                self._unsent.append(memoryview(data))
                self._unsent_bytes += len(data)
        self._write_on()

    def can_write_eof(self) -> bool:
        """Return that one direction can end before the other one."""
        return True

    def write_eof(self) -> None:
        """Send nothing after what is written; still read."""
        self._is_last = True
        self._write_on()

    def close(self) -> None:
        """Close after what is written."""
        if not self.is_closing():
            self._is_closing = self._is_last = self._has_ended = True
            self._read_wire(is_reading=False)
            self._write_on()

    def abort(self) -> None:
        """Close without sending the rest."""
        self._drop()
        self._wire.abort()

    # -- inside ---------------------------------------------------------------------------------

    def _hand_on(self, plain: bytes) -> None:
        """Give the connection what was decrypted, and the end if nothing comes before it."""
        connection, session = self._connection, self._session
        if connection is None:
            return
        if session is not None and (sent := session.take_output()):
            self._wire.write(sent)
            self._show_pause()
        if plain:
            connection.data_received(plain)
        has_ended = self._has_wire_ended or (session is not None and session.has_ended)
        if has_ended and not (self._has_ended or self._has_record()):
            self._has_ended = True
            self._read_wire(is_reading=False)
            if not connection.eof_received():
                self.close()

    def _has_record(self) -> bool:
        """Return whether a whole record waits to be decrypted."""
        return record_size(memoryview(self._received)) > 0

    def _queue(self) -> None:
        """Decrypt in a turn of the listener."""
        if not self._is_queued and self._connection is not None:
            self._is_queued = True
            self._count(self._connection)
            self._listener.answer_soon(self, self._connection)

    def _read_wire(self, *, is_reading: bool) -> None:
        """Read from the socket, or stop."""
        if is_reading and (self._has_ended or self._has_wire_ended):
            return
        if is_reading != self._is_wire_reading and not self._wire.is_closing():
            self._is_wire_reading = is_reading
            if is_reading:
                self._wire.resume_reading()
            else:
                self._wire.pause_reading()

    def _has_room(self, connection: "Connection") -> bool:
        """Return whether there is memory for what waits; abort if there is not."""
        self._count(connection)
        if not connection.undecrypted_bytes:
            return True
        has_room = self._listener.has_room(connection.place, is_new=True)
        if not has_room:
            self.abort()
        return has_room

    def _count(self, connection: "Connection") -> None:
        """Count what waits to be decrypted, and what OpenSSL holds in a handshake."""
        session = self._session
        is_open = session is not None and session.is_open
        held = len(self._received) if len(self._received) > _FREE_BYTES else 0
        if session is not None and not is_open:
            held += _HANDSHAKE_BYTES
        self._listener.received_bytes += held - connection.undecrypted_bytes
        connection.undecrypted_bytes = held
        connection.is_decrypting = is_open and self._is_queued

    def _write_on(self) -> None:
        """Encrypt as much as the socket takes, but no more than a turn's share."""
        left = _WRITTEN_BYTES
        try:
            while self._unsent and not self._is_wire_full and left > 0:
                left -= self._write_some()
        except ssl.SSLError as error:
            self._fail(error)
            return
        if self._unsent:
            if not (self._is_wire_full or self._is_writing_soon):
                self._is_writing_soon = True
                self._listener.loop.call_soon(self._write_soon)
        elif self._is_last:
            self._finish()
        self._show_pause()

    def _write_soon(self) -> None:
        self._is_writing_soon = False
        self._write_on()

    def _write_some(self) -> int:
        """Encrypt some bytes, and let the socket take them; return how many they were."""
        assert self._session is not None
        records, size = [], 0
        while self._unsent and size < _JOINED_BYTES:
            data = self._unsent[0]
            records.append(self._session.encrypt(data[:PIECE_BYTES]))
            if len(data) <= PIECE_BYTES:
                del self._unsent[0]
                size += len(data)
            else:
                self._unsent[0] = data[PIECE_BYTES:]
                size += PIECE_BYTES
        self._unsent_bytes -= size
        if len(records) == 1:
            self._wire.write(records[0])
        else:
            self._wire.writelines(records)
        return size

    def _show_pause(self) -> None:
        """Pause the connection while something is unsent; not during a handshake."""
        session, connection = self._session, self._connection
        is_paused = self._is_wire_full or bool(self._unsent)
        if is_paused == self._is_paused or connection is None:
            return
        if session is not None and session.is_open:
            self._is_paused = is_paused
            if is_paused:
                connection.pause_writing()
            else:
                connection.resume_writing()

    def _finish(self) -> None:
        """End this direction of TLS, then close or end this direction of the socket."""
        is_first = not self._has_finished
        self._has_finished = True
        if is_first and self._session is not None and (sent := self._session.close_notify()):
            self._wire.write(sent)
        if self._is_closing:
            self._wire.close()
        elif is_first:
            try:
                self._wire.write_eof()
            except OSError:  # the client has gone
                self.abort()

    def _fail(self, error: ssl.SSLError | BadRecord) -> None:
        """Close because of what the client has sent; OpenSSL may have an alert for it."""
        reason = error.reason if isinstance(error, ssl.SSLError) else str(error)
        logging.getLogger(__name__).debug("TLS ended: %s", reason)
        alert = b"" if self._session is None else self._session.take_output()
        self._drop()
        if self._is_wire_full:
            self._wire.abort()
            return
        if alert:
            self._wire.write(alert)
        self._wire.close()

    def _drop(self) -> None:
        """Drop what waits; do nothing more but close."""
        self._is_closing = self._has_ended = self._has_finished = True
        self._is_last = self._is_queued = False
        self._received = b""
        self._unsent.clear()
        self._unsent_bytes = 0
        if (connection := self._connection) is not None:
            self._listener.received_bytes -= connection.undecrypted_bytes
            connection.undecrypted_bytes = 0
            connection.is_decrypting = False
