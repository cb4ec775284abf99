"""Nobody holds the server by its connections: not with silence, promises or unread responses.

Each attack runs while another customer sends requests, which must all be answered.

Source: docs/security.md; docs/operating/serving.md, "Connections".
"""

import contextlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.helpers import on_sqlite_only
from tests.processes import Process, Start, signed
from tests.promises.wire import Bystander

pytestmark = on_sqlite_only

CONNECTIONS_MAX = 64
LARGE_PAGE = b'{"limit":1000,"offset":0}'


class Attacker:
    """Many connections whose client reads nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._held: list[socket.socket] = []

    def hold(self, sent: bytes) -> None:
        """Open one more connection, send something, and keep it open."""
        connection = socket.socket()
        self._held.append(connection)
        if hasattr(socket, "TCP_MAXSEG"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self._port))
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection.send(sent)

    def close(self) -> None:
        for connection in self._held:
            connection.close()


@pytest.fixture
def attack() -> Iterator[Callable[[Process], Attacker]]:
    made: list[Attacker] = []

    def begin(server: Process) -> Attacker:
        made.append(Attacker(server.port))
        return made[-1]

    yield begin
    for attacker in made:
        attacker.close()


@contextlib.contextmanager
def bystander(server: Process) -> Iterator[None]:
    with Bystander(server) as other:
        yield
        assert server.call("listGroup", {"limit": 1, "offset": 0}, "cus_2")["code"] == 0
    assert other.error is None
    assert set(other.codes) == {0}


def request(body: bytes, action: str = "listGroup", length: int | None = None) -> bytes:
    headers = "".join(
        f"{name}: {value}\r\n" for name, value in signed("cus_1", action, body).items()
    )
    size = len(body) if length is None else length
    return f"POST /api/pns/ HTTP/1.1\r\nContent-Length: {size}\r\n{headers}\r\n".encode() + body


def test_silent_connections_give_way(serve: Start, attack: Callable[[Process], Attacker]) -> None:
    server = serve("--connections-max", str(CONNECTIONS_MAX))
    attacker = attack(server)
    with bystander(server):
        for sent in (b"", b"POST /api/pns/ HTTP/1.1\r\nX: ") * CONNECTIONS_MAX:
            attacker.hold(sent)
    assert server.stop() == 0


def test_unread_responses_do_not_hold_connections(
    serve: Start, attack: Callable[[Process], Attacker]
) -> None:
    server = serve("--connections-max", str(CONNECTIONS_MAX), "--send-timeout-ms", "500")
    attacker = attack(server)
    with bystander(server):
        for _ in range(3 * CONNECTIONS_MAX // 2):
            attacker.hold(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 400)
    assert server.stop() == 0


def test_promises_of_bodies_hold_nothing(
    serve: Start, attack: Callable[[Process], Attacker]
) -> None:
    server = serve("--body-buffer-bytes-max", str(2**20))
    attacker = attack(server)
    with bystander(server):
        for _ in range(50):
            attacker.hold(b"POST /api/pns/ HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n")
            attacker.hold(request(b"", "createGroup", length=1_048_576))
        phones = ",".join(str(8613800000000 + number) for number in range(1300))
        assert len(phones) > 18_000
        assert server.call("createGroup", {"phones": phones}, "cus_2")["code"] == 0
    assert server.stop() == 0


def test_large_body_of_an_unknown_key_is_refused_before_it_is_read(serve: Start) -> None:
    server = serve()
    body = b'{"phones":"' + b"8" * 900_000 + b'"}'
    sent = request(body, "createGroup").replace(b"key-of-cus-1", b"key-of-nobody")
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent[:2000])
        answer = connection.recv(65536)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 1005
    assert server.stop() == 0


def test_memory_for_unread_pages_is_bounded(
    serve: Start, attack: Callable[[Process], Attacker]
) -> None:
    server = serve("--send-buffer-bytes-max", str(16 * 2**20), "--admin-port", "0")
    phones = ",".join(str(8613800000000 + number) for number in range(250))
    for _ in range(100):
        assert server.call("createGroup", {"phones": phones})["code"] == 0
    attacker = attack(server)
    (worker,) = server.workers(1)
    before = _resident_bytes(worker)
    with bystander(server):
        for place in range(60):  # 0.3 MB each, and none of them from the cache
            attacker.hold(request(b'{"limit":1000,"offset":0,"place":%d}' % place))
            attacker.hold(request(LARGE_PAGE))
    if before:
        assert _resident_bytes(worker) - before < 96 * 2**20
    assert server.stop() == 0


def _resident_bytes(pid: int) -> int:
    """Return the memory of a process; 0 where /proc does not tell."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmRSS:\s+([0-9]+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0
