"""A client that decides what it sends of TLS, and when."""

import contextlib
import socket
import ssl
from typing import Any, Self

_TIMEOUT_S = 20


def client_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a context that trusts any server; with one version of TLS, if it is given."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class TlsClient:
    """A connection to a port of this machine; nothing is sent unless a test says so.

    Attributes:
        socket: What carries the records.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or client_context()).wrap_bio(self._received, self._to_send)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self.socket.close()

    def step(self, *pieces_of: int) -> bool:
        """Take a step of the handshake; return whether it is over.

        Args:
            pieces_of: Send what there is in pieces of so many bytes; at once if not given.
        """
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self.send(self._to_send.read(), *pieces_of)
            return False
        return True

    def shake_hands(self, *pieces_of: int) -> bytes:
        """Carry out the handshake; return its last records, which are not sent."""
        while not self.step(*pieces_of):
            self.receive()
        return self._to_send.read()

    def records(self, *contents: bytes) -> bytes:
        """Return a record for each content."""
        for content in contents:
            self.tls.write(content)
        return self._to_send.read()

    def close_notify(self) -> bytes:
        """Return the record that ends this direction."""
        with contextlib.suppress(ssl.SSLWantReadError):  # the server has not sent its own
            self.tls.unwrap()
        return self._to_send.read()

    def send(self, data: bytes, pieces_of: int = 0) -> None:
        """Send bytes as they are."""
        if pieces_of:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start in range(0, len(data), pieces_of):
                self.socket.sendall(data[start : start + pieces_of])
        else:
            self.socket.sendall(data)

    def receive(self) -> bool:
        """Receive some records; return whether there were any."""
        data = self.socket.recv(65536)
        self._received.write(data)
        return bool(data)

    def read_all(self) -> bytes:
        """Return what is decrypted until the server sends close_notify.

        Raises:
            ConnectionError: The server closed without it.
        """
        pieces: list[Any] = []
        while True:
            try:
                pieces.append(self.tls.read(65536))
            except ssl.SSLWantReadError:
                if not self.receive():
                    raise ConnectionError("no close_notify") from None
            except ssl.SSLZeroReturnError:
                break
            else:
                if not pieces[-1]:
                    break
        return b"".join(pieces)
