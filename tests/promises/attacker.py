"""A client that attacks a server with many connections, and a bystander who must be answered."""

import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.processes import Process, signed
from tests.promises.wire import Bystander

_SEND_S = 0.2
"""How long to send on one connection, whose server may read no more."""


class Attacker:
    """Many connections whose client reads nothing."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._tls = tls
        self._held: list[socket.socket] = []

    def hold(self, sent: bytes, source: str = "127.0.0.1") -> None:
        """Open one more connection, send something, and keep it open."""
        connection = socket.socket()
        connection.bind((source, 0))
        if hasattr(socket, "TCP_MAXSEG"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self._port))
        self._held.append(connection)
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection)
            except OSError:
                return  # the server has no place
            self._held.append(connection)
        connection.settimeout(_SEND_S)
        with contextlib.suppress(OSError):
            connection.sendall(sent)

    def close(self) -> None:
        for connection in self._held:
            connection.close()
        self._held.clear()


Attack = Callable[[Process], Attacker]
"""Makes an attacker of a server, who lets go at the end of the test."""


@contextlib.contextmanager
def bystander(server: Process, source: str | None = None) -> Iterator[None]:
    with Bystander(server, source) as other:
        yield
        assert server.call("listGroup", {"limit": 1, "offset": 0}, "cus_2")["code"] == 0
    assert other.error is None, repr(other.error)
    assert set(other.codes) == {0}


def request(body: bytes, action: str = "listGroup", length: int | None = None) -> bytes:
    headers = "".join(
        f"{name}: {value}\r\n" for name, value in signed("cus_1", action, body).items()
    )
    size = len(body) if length is None else length
    return f"POST /api/pns/ HTTP/1.1\r\nContent-Length: {size}\r\n{headers}\r\n".encode() + body


def memory_of(pid: int, line: str = "VmRSS") -> int:
    """Return the resident bytes of a process, or with VmHWM their peak; 0 without /proc."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(line + r":\s+([0-9]+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0
