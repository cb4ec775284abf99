"""The open connections of all clients of this process, which a forked child must not use.

Parent and child would read each other's responses. So the child gives up its copy of each
connection. It sends nothing, in particular no end of a TLS session: the connection stays the
parent's, and ends when the parent closes it.
"""

import os
import socket
from contextlib import suppress
from typing import Any, Final
from weakref import WeakKeyDictionary

from openpns.kit.forks import give_up, renew_after_fork


class _Descriptor:
    """A file descriptor of a socket, and which socket that is: a number is used again."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._identity = self._identify()

    def _identify(self) -> tuple[int, int]:
        status = os.fstat(self._number)
        return status.st_dev, status.st_ino

    def give_up(self) -> None:
        """Give the parent's socket up, if it is still the same one; see `kit.forks.give_up`."""
        with suppress(OSError):
            if self._identify() == self._identity:
                give_up(self._number)


class _Streams:
    """Streams of httpx2 with their sockets."""

    def __init__(self) -> None:
        self._sockets: WeakKeyDictionary[Any, socket.socket | _Descriptor] = WeakKeyDictionary()
        renew_after_fork(self)

    def add(self, stream: Any) -> None:
        sock = stream.get_extra_info("socket")
        if isinstance(sock, socket.socket):
            self._sockets[stream] = sock
        elif sock is not None:  # what an event loop shows of its socket
            with suppress(OSError):
                self._sockets[stream] = _Descriptor(sock.fileno())

    def after_fork(self) -> None:
        for sock in list(self._sockets.values()):
            if isinstance(sock, _Descriptor):
                sock.give_up()
            elif sock.fileno() >= 0:
                # Not `close`, which would change the state of a TLS session.
                os.close(sock.detach())
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
