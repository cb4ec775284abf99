"""The open connections of all clients of this process, which a forked child must not use.

Parent and child would read each other's responses. So the child gives up its copy of each
connection. It sends nothing, in particular no end of a TLS session: the connection stays the
parent's, and ends when the parent closes it.
"""

import socket
from contextlib import suppress
from typing import Any, Final
from weakref import WeakKeyDictionary

from openpns.kit.forks import Descriptor, renew_after_fork


class _Streams:
    """Streams of httpx2 with their sockets."""

    def __init__(self) -> None:
        self._sockets: WeakKeyDictionary[Any, tuple[Any, Descriptor]] = WeakKeyDictionary()
        renew_after_fork(self)

    def add(self, stream: Any) -> None:
        sock = stream.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                self._sockets[stream] = sock, Descriptor(sock.fileno())

    def after_fork(self) -> None:
        for sock, descriptor in list(self._sockets.values()):
            if not isinstance(sock, socket.socket):  # what an event loop shows of its socket
                descriptor.give_up()
            elif sock.fileno() >= 0:
                # Not `close`, which would change the state of a TLS session.
                sock.detach()
                descriptor.close()
        self._sockets.clear()


_streams: Final = _Streams()


def is_new_stream(event: str) -> bool:
    """Return whether an event of httpx2's extension `trace` brings a new stream."""
    return event.endswith(
        ("connect_tcp.complete", "connect_unix_socket.complete", "start_tls.complete")
    )


def give_up_after_fork(stream: Any) -> None:
    """Let a forked child give up its copy of a stream of httpx2."""
    _streams.add(stream)
