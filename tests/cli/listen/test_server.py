import http.client
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from tests.webhooks.vectors import RECORD, SECRET, headers_of

from openpns.cli.listen import server as module
from openpns.cli.listen.answers import Answers, Refused, Rules, Shown
from openpns.cli.listen.screen import Screen
from openpns.cli.listen.server import serving
from openpns.transport.sockets import listen
from openpns.webhooks import Receiver

BODY = RECORD["body"].encode()
_RULES = Rules()


class Silent(Screen):
    """Shows at once, and keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Shown] = []
        self.failures: list[BaseException] = []

    def show(self, shown: Shown) -> None:
        self.shown.append(shown)

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)


@contextmanager
def answering(screen: Screen, rules: Rules = _RULES) -> Iterator[int]:
    listening = listen("port", "127.0.0.1", 0)
    receiver = Receiver(SECRET, body_bytes_max=2000, clock=lambda: int(RECORD["timestamp"]) * 1000)
    with serving(listening, Answers(receiver, rules, None, screen.show), screen):
        yield listening.getsockname()[1]


@pytest.fixture
def screen() -> Silent:
    return Silent()


@pytest.fixture
def port(screen: Silent) -> Iterator[int]:
    with answering(screen) as port:
        yield port
    assert screen.failures == []


def exchange(port: int, request: bytes) -> bytes:
    """Send bytes; return all that is answered until the connection ends."""
    with closing(socket.create_connection(("127.0.0.1", port), 60)) as connection:
        connection.sendall(request)
        answer = b""
        while received := connection.recv(65536):
            answer += received
        return answer


def test_connection_is_kept_for_the_next_delivery(port: int, screen: Silent) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for path in ("/", "/any?path=1"):
            connection.request("POST", path, BODY, headers_of(RECORD))
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"received\n")
            assert connection.sock is not None
    assert len(screen.shown) == 2


def test_refusal_says_why(port: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", "/", BODY + b" ", headers_of(RECORD))
        response = connection.getresponse()
        assert response.status == 401
        assert response.read().startswith(b"webhook-signature: does not match")
        connection.request("POST", "/", BODY)
        assert connection.getresponse().status == 400


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 405),
        (b"DELETE /\x1b[31m HTTP/1.1\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}", 411),
        (b"POST / HTTP/1.1\r\n" + b"A: 1\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_request_that_is_no_delivery_is_refused(
    port: int, screen: Silent, request_: bytes, status: int
) -> None:
    answer = exchange(port, request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f" {status} ".encode() in head.splitlines()[0]
    assert b"\x1b" not in answer
    assert (b"Allow: POST" in head) == (status == 405)
    assert body.count(b"\n") == 1
    assert screen.shown == []


def test_body_that_is_too_large_is_reported_and_answered(
    port: int, screen: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also to a client that reads nothing before all is sent, and to one that sends nothing."""
    monkeypatch.setattr(module, "_DRAIN_S", 60.0)
    why = "the body is larger than 2000 bytes"
    for length, body in (
        (b"8000000", b"x" * 8_000_000),
        (b"8000000", b""),
        (b"9" * 16, b""),
        (b"9" * 5000, b""),
    ):
        head = b"POST / HTTP/1.1\r\nContent-Length: " + length
        answer = exchange(port, head + b"\r\n\r\n" + body)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert answer.endswith(f"\r\n\r\n{why}\n".encode())
    assert screen.shown == [Refused(413, why)] * 4


def test_rest_of_a_large_body_is_read_up_to_a_bound(
    port: int, screen: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DRAINED_BYTES_MAX", 1000)
    with closing(socket.create_connection(("127.0.0.1", port), 60)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9000000000\r\n\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(bytes(64 << 20))
    assert len(screen.shown) == 1


def test_tls_is_answered_without_a_part_of_it(port: int) -> None:
    assert exchange(port, b"\x16\x03\x01\r\n\r\n") == b"Bad Request\n"


def test_header_that_is_sent_twice_is_refused(port: int) -> None:
    lines = [f"{name}: {value}" for name, value in headers_of(RECORD).items()]
    head = "\r\n".join(["POST / HTTP/1.0", *lines, lines[0], f"Content-Length: {len(BODY)}"])
    answer = exchange(port, f"{head}\r\n\r\n".encode() + BODY)
    assert b" 400 " in answer.splitlines()[0]
    assert answer.endswith(b"webhook-id: sent more than once; allowed is once\n")


def test_body_that_ends_early_is_no_delivery(port: int, screen: Silent) -> None:
    with closing(socket.create_connection(("127.0.0.1", port), 60)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n{}")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000) == b""
    assert screen.shown == []


def test_client_that_waits_for_100_may_send(port: int) -> None:
    head = (
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    )
    answer = exchange(port, head.encode() + BODY)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ")


def test_status_without_a_body_has_none(screen: Silent) -> None:
    with answering(screen, Rules(status=204)) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(2):
            connection.request("POST", "/", BODY, headers_of(RECORD))
            response = connection.getresponse()
            assert (response.status, response.read()) == (204, b"")
        connection.close()


def test_connection_above_the_bound_is_closed(
    screen: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CONNECTIONS_MAX", 1)
    with answering(screen) as port:
        first = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        first.request("POST", "/", BODY, headers_of(RECORD))
        assert first.getresponse().read()
        assert exchange(port, b"") == b""
        first.close()
    assert screen.failures == []


def test_bug_ends_the_command(screen: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Answers, "answer", fail)
    with answering(screen) as port:
        assert exchange(port, b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}") == b""
    assert [type(error) for error in screen.failures] == [ZeroDivisionError]


def test_delivery_that_is_not_shown_at_the_end_gets_no_answer() -> None:
    screen = Screen()
    with answering(screen) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/", BODY, headers_of(RECORD))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    connection.close()
