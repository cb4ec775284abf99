"""Listening sockets, and why one cannot be had."""

import errno
import socket
from typing import Final

from openpns.errors import ConfigError

BACKLOG: Final = 1024
"""Connections that the system keeps until they are accepted."""


def listen(name: str, host: str, port: int) -> socket.socket:
    """Return a socket that listens on a port; 0 for a free one.

    Raises:
        ConfigError: The port cannot be bound; the text contains the setting `name`.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # A name such as localhost may have several addresses; clients try IPv4, too.
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        raise port_error(name, host, port, error) from None
    return listening


def port_error(name: str, host: str, port: int, error: Exception) -> ConfigError:
    """Return the error of a port that cannot be bound; the text contains the setting `name`."""
    reasons = {
        errno.EADDRINUSE: "another program listens there; stop it, or choose another port",
        errno.EACCES: "ports below 1024 need rights that this user lacks; choose a higher one",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }
    reason = "it is not an address or name of this machine"
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return ConfigError(f"{name}: cannot listen on {host!r} port {port}: {reason}")
