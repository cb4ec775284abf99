import gc
import socket
import ssl
import time
import weakref
from pathlib import Path

import pytest
from tests.certificates import write_certificate
from tests.transport.conftest import Serve, get, is_closed, post, read_all, read_one

SOON = 0.3
"""A timeout of a test, in s; the listener checks it four times in that time."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key, in files."""
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def test_tls_carries_requests_large_bodies_and_large_responses(
    serve: Serve, tls: ssl.SSLContext
) -> None:
    served = serve(tls)
    connection = served.connect()
    connection.sendall(post(b"z" * 500_000))
    assert read_one(connection)[2] == b"POST / " + b"z" * 500_000
    connection.sendall(get("/bytes/3000000"))
    assert len(read_one(connection)[2]) == 3_000_000
    connection.sendall(get("/chunks/3", "Connection: close"))
    assert read_all(connection).count(b"y") == 150_000


def test_request_with_the_end_of_the_handshake_arrives_then(
    serve: Serve, tls: ssl.SSLContext
) -> None:
    served = serve(tls)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(received, to_send)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(to_send.read())
                received.write(connection.recv(65536))
        client.write(get("/a"))
        before_s = time.perf_counter()
        connection.sendall(to_send.read())
        served.wait_until(lambda: len(served.paths.seen) == 1)
    assert served.paths.seen[0].arrived_s > before_s


def test_connection_without_a_handshake_is_closed_and_has_a_place(
    serve: Serve, tls: ssl.SSLContext
) -> None:
    served = serve(tls, header_timeout_s=SOON)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as silent:
        served.wait_until(lambda: served.listener.connections == 1)
        assert is_closed(silent)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as plain:
        plain.sendall(get("/a"))
        assert b"HTTP" not in read_all(plain)
    served.wait_until(lambda: served.listener.connections == 0)


def test_response_that_is_not_taken_over_tls_is_dropped(serve: Serve, tls: ssl.SSLContext) -> None:
    served = serve(tls, send_timeout_s=SOON)
    connection = served.connect(receive_buffer=4096)
    connection.sendall(get("/bytes/8000000"))
    served.wait_until(lambda: served.listener.unsent_bytes > 0)
    served.wait_until(lambda: served.listener.connections == 0)


def test_clients_that_do_not_end_tls_keep_no_place(serve: Serve, tls: ssl.SSLContext) -> None:
    served = serve(tls, connections_max=3)
    for _ in range(8):
        connection = served.connect()
        connection.sendall(get("/a"))
        assert read_one(connection)[0] == 200
    assert served.listener.connections <= 4
    served.wait_until(lambda: served.listener.connections <= 3)


def test_what_is_encrypted_and_not_sent_is_counted(serve: Serve, tls: ssl.SSLContext) -> None:
    served = serve(tls)
    connection = served.connect(receive_buffer=4096)
    listener, seen = served.listener, served.paths.seen
    asked = 0
    while not listener.unsent_bytes:
        connection.sendall(get("/bytes/60000"))
        asked += 1
        served.wait_until(lambda: bool(listener.unsent_bytes) or len(seen) == asked)  # noqa: B023
    (sender,) = (one.sender for one in listener._slow)
    assert 0 < sender.wire.get_write_buffer_size() <= listener.unsent_bytes < 61_000
    for _ in range(asked):
        assert len(read_one(connection)[2]) == 60_000
    served.wait_until(lambda: not listener.unsent_bytes)
    connection.sendall(get("/a"))
    assert read_one(connection)[0] == 200


def test_client_that_goes_away_before_it_takes_its_response_is_no_error(
    serve: Serve, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(tls)
    listener = served.listener
    connection = served.connect(receive_buffer=4096)
    connection.sendall(get("/bytes/60000") * 100)
    served.wait_until(lambda: bool(listener.unsent_bytes))
    connection.close()
    served.wait_until(lambda: not listener.connections)
    assert not listener.unsent_bytes
    assert [record.message for record in caplog.records] == []


@pytest.mark.parametrize("is_tls", [True, False])
def test_ended_connections_leave_nothing_in_memory(
    serve: Serve, tls: ssl.SSLContext, *, is_tls: bool
) -> None:
    served = serve(tls if is_tls else None)
    connection = served.connect()
    connection.sendall(get("/a") + b"GET / HTTP/1.1\r\nX: ")
    assert read_one(connection)[0] == 200
    gc.collect()
    gc.disable()
    try:
        ended = [weakref.ref(one) for one in served.listener._connections]
        connection.close()
        served.wait_until(lambda: not served.listener.connections)
        served.wait_until(lambda: ended[0]() is None)
    finally:
        gc.enable()


def test_client_that_goes_away_in_its_handshake_keeps_no_place(
    serve: Serve, tls: ssl.SSLContext
) -> None:
    served = serve(tls)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as leaving:
        served.wait_until(lambda: served.listener.connections == 1)
        leaving.sendall(b"\x16\x03\x01")
    served.wait_until(lambda: served.listener.connections == 0)
