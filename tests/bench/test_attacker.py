"""The process that attacks: it counts codes, takes turns with kinds, and holds connections."""

import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from bench.attacker import Attacker, Orders, attacking

RESPONSE = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"code":0}'


class Handler(socketserver.StreamRequestHandler):
    """Answers each request with code 0, and counts the actions."""

    def handle(self) -> None:
        while lines := list(iter(self.rfile.readline, b"\r\n")):
            if not lines[-1]:
                return
            headers = dict(line.decode().strip().split(": ", 1) for line in lines[1:])
            self.rfile.read(int(headers["Content-Length"]))
            self.server.actions[headers["action"]] += 1  # type: ignore[attr-defined]
            self.wfile.write(RESPONSE)


class Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.actions: Counter[str] = Counter()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_requests_of_all_kinds_are_sent_until_the_end(listener: Listener) -> None:
    kinds = ("small page", "limits", "question")
    orders = Orders(listener.server_address[1], kinds, "key", "secret", connections=6)
    with attacking(orders) as attacked:
        assert attacked.codes == Counter()
    assert set(attacked.codes) == {0}
    assert 6 <= attacked.codes.total() <= listener.actions.total()
    assert set(listener.actions) == {"listGroup", "getLimits", "queryAXB"}
    assert (attacked.ended_early, attacked.opened) == (0, 0)


def test_connections_are_opened_and_held(listener: Listener) -> None:
    orders = Orders(listener.server_address[1], ("silent connections",), "key", "secret")
    with attacking(orders) as attacked:
        pass
    assert attacked.opened >= 1
    assert attacked.codes == Counter()


def test_attack_without_a_server_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    orders = Orders(port, ("small page",), "key", "secret")
    with attacking(orders) as attacked:
        pass
    assert attacked.ended_early == 32


def test_oldest_held_connection_gives_way() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        attacker = Attacker(listening.getsockname()[1], held_max=2)
        accepted = []
        for number in range(3):
            attacker.hold(b"%d" % number)
            accepted.append(listening.accept()[0])
        assert [connection.recv(1) for connection in accepted] == [b"0", b"1", b"2"]
        assert accepted[0].recv(1) == b""
        for connection in accepted[1:]:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
        attacker.close()
        for connection in accepted:
            connection.close()
