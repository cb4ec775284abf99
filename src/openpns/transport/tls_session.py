"""One side of TLS, without a socket: records in, plain bytes out, and the other way round."""

import ssl
from contextlib import suppress
from typing import Final

from openpns.transport.records import HelloBound

RECEIVE_BYTES: Final = 32 * 1024
"""Read from a socket at once."""
PIECE_BYTES: Final = 16 * 1024
"""Encrypted at once: as much as a record holds. OpenSSL's buffer for it stays with the session, so
a session that has sent a large response holds a third more than this."""


class TlsBuffers:
    """What all connections of a listener share: each uses it for one step, and leaves it empty.

    Attributes:
        receive: What a socket is read into.
        incoming: What OpenSSL reads from.
    """

    def __init__(self) -> None:
        self.receive = memoryview(bytearray(RECEIVE_BYTES))
        self.incoming = ssl.MemoryBIO()


class TlsSession:
    """A server's session.

    OpenSSL gets whole records, and all that one holds is read at once. So between two records it
    has nothing to hold a buffer for.

    Args:
        incoming: What OpenSSL reads from. All sessions of a thread share one: it is empty before
            and after each record, and grows to the largest one.

    Attributes:
        is_open: Whether the handshake is over.
        has_ended: Whether the client has sent close_notify; what it sends afterwards means nothing.
    """

    def __init__(self, context: ssl.SSLContext, incoming: ssl.MemoryBIO) -> None:
        self.is_open = False
        self.has_ended = False
        self._incoming, self._outgoing = incoming, ssl.MemoryBIO()
        self._tls = context.wrap_bio(incoming, self._outgoing, server_side=True)
        self._hello: HelloBound | None = HelloBound()
        self._output = b""

    def take(self, record: memoryview) -> bytes:
        """Take a whole record; return what it holds for the application.

        Raises:
            BadRecord: The handshake begins with too large a message.
            ssl.SSLError: OpenSSL refuses it; `take_output` returns the alert.
        """
        if self._hello is not None:
            self._hello.check(record)
        self._incoming.write(record)
        try:
            if self._hello is not None:
                self._shake_hands(self._hello)
                return b""
            # A record holds less than its size: nothing of it is left in OpenSSL.
            plain = self._tls.read(len(record))
        except ssl.SSLWantReadError:  # a record for OpenSSL
            return b""
        except ssl.SSLZeroReturnError:  # close_notify, after ours
            plain = b""
        finally:
            if self._incoming.pending:  # of a record that was refused
                self._incoming.read()
        if not plain:
            self.has_ended = True
        return plain

    def encrypt(self, data: memoryview) -> bytes:
        """Return the record that holds up to `PIECE_BYTES` of plain bytes."""
        self._tls.write(data)
        return self._outgoing.read()

    def take_output(self) -> bytes:
        """Return what OpenSSL has to send by itself; empty if nothing."""
        output = self._output
        self._output = b""
        return output + self._outgoing.read() if self._outgoing.pending else output

    def close_notify(self) -> bytes:
        """Return the record that ends this direction; empty during a handshake."""
        if self.is_open:
            with suppress(ssl.SSLError):  # the record is written; the client has not sent its own
                self._tls.unwrap()
        return self._outgoing.read()

    def _shake_hands(self, hello: HelloBound) -> None:
        """Take a step of the handshake."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            # The next record may follow at once: whether it is bounded depends on this answer.
            answer = self._outgoing.read()
            hello.note_answer(answer)
            self._output += answer
        else:
            self._hello = None
            self.is_open = True
