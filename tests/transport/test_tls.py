import gc
import socket
import ssl
import time
import weakref
from pathlib import Path

import pytest
from tests.certificates import write_certificate
from tests.transport.conftest import Serve, get, is_closed, post, read_all, read_one
from tests.transport.tls_client import TlsClient, client_context

SOON = 0.3
"""A timeout of a test, in s; the listener checks it four times in that time."""


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
    with TlsClient(served.port) as client:
        last = client.shake_hands()
        before_s = time.perf_counter()
        client.send(last + client.records(get("/a")))
        served.wait_until(lambda: len(served.paths.seen) == 1)
    assert served.paths.seen[0].arrived_s > before_s


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_records_arrive_in_pieces_of_any_size(
    serve: Serve, tls: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    served = serve(tls)
    for size in (1, 2, 5, 7):
        with TlsClient(served.port, client_context(version)) as client:
            client.send(client.shake_hands(size), size)
            client.send(client.records(get("/a"), get("/b", "Connection: close")), size)
            assert client.read_all().count(b"HTTP/1.1 200") == 2


def test_request_in_many_records_that_arrive_together_is_answered(
    serve: Serve, tls: ssl.SSLContext
) -> None:
    served = serve(tls)
    with TlsClient(served.port) as client:
        client.send(client.shake_hands())
        request = get("/a") * 20 + get("/b", "Connection: close")
        client.send(client.records(*(request[place : place + 1] for place in range(len(request)))))
        assert client.read_all().count(b"HTTP/1.1 200") == 21
    served.wait_until(lambda: not served.listener.connections)
    assert not served.listener.received_bytes


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("has_notify", [True, False])
def test_half_closed_connection_is_answered_to_its_end(
    serve: Serve, tls: ssl.SSLContext, version: ssl.TLSVersion, *, has_notify: bool
) -> None:
    served = serve(tls)
    with TlsClient(served.port, client_context(version)) as client:
        client.send(client.shake_hands())
        sent = client.records(get("/bytes/1000000") * 3)
        client.send(sent + client.close_notify() if has_notify else sent)
        if not has_notify:
            client.socket.shutdown(socket.SHUT_WR)
        assert client.read_all().count(b"x" * 1_000_000) == 3
    served.wait_until(lambda: not served.listener.connections)


def test_client_that_still_sends_a_refused_body_can_read_why(
    serve: Serve, tls: ssl.SSLContext
) -> None:
    served = serve(tls, body_bytes_max=1000)
    connection = served.connect()
    connection.sendall(post(b"z" * 2_000_000))
    assert read_one(connection)[0] == 413
    assert connection.recv(1) == b""


def test_idle_connection_ends_with_close_notify(serve: Serve, tls: ssl.SSLContext) -> None:
    served = serve(tls, idle_timeout_s=SOON)
    with TlsClient(served.port) as client:
        client.send(client.shake_hands() + client.records(get("/a")))
        assert client.read_all().count(b"HTTP/1.1 200") == 1


def test_hello_that_announces_much_is_refused(serve: Serve, tls: ssl.SSLContext) -> None:
    served = serve(tls)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        client.sendall(bytes.fromhex("16030100040101fff0"))
        assert is_closed(client)


def test_certificate_and_keys_change_for_new_connections_only(
    serve: Serve, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    served = serve(tls)
    old = served.connect()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_certificate(tmp_path))
    served.listener.tls = context
    new = served.connect()
    assert isinstance(old, ssl.SSLSocket)
    assert isinstance(new, ssl.SSLSocket)
    assert old.getpeercert(binary_form=True) != new.getpeercert(binary_form=True)
    for connection in (old, new):
        connection.sendall(get("/a"))
        assert read_one(connection)[0] == 200


def test_record_that_was_changed_closes_only_its_connection(
    serve: Serve, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "openpns.transport.tls")
    served = serve(tls)
    with TlsClient(served.port) as other, TlsClient(served.port) as client:
        other.send(other.shake_hands())
        client.send(client.shake_hands())
        record = bytearray(client.records(b"x" * 10_000))
        record[5_000] ^= 1
        client.send(bytes(record))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.read_all()
        other.send(other.records(get("/a", "Connection: close")))
        assert other.read_all().count(b"HTTP/1.1 200") == 1
    (line,) = caplog.messages
    assert line == "TLS ended: DECRYPTION_FAILED_OR_BAD_RECORD_MAC"


def test_handshakes_and_partial_records_are_counted(serve: Serve, tls: ssl.SSLContext) -> None:
    served = serve(tls)
    with TlsClient(served.port) as client:
        client.step()
        served.wait_until(lambda: served.listener.received_bytes >= 40_000)
        client.receive()
        client.send(client.shake_hands() + client.records(get("/a")))
        served.wait_until(lambda: not served.listener.received_bytes)
        client.send(client.records(b"x" * 16_000)[:10_000])
        served.wait_until(lambda: served.listener.received_bytes == 10_000)
    served.wait_until(lambda: not served.listener.received_bytes)


def test_handshakes_beyond_the_bound_are_dropped(serve: Serve, tls: ssl.SSLContext) -> None:
    served = serve(tls, received_bytes_max=90_000)
    with TlsClient(served.port) as first, TlsClient(served.port) as second:
        first.step()
        second.step()
        served.wait_until(lambda: served.listener.received_bytes >= 80_000)
        with TlsClient(served.port) as third:
            third.step()
            served.wait_until(lambda: served.listener.connections == 2)
            assert is_closed(third.socket)
        first.receive()
        first.send(first.shake_hands() + first.records(get("/a", "Connection: close")))
        assert first.read_all().count(b"HTTP/1.1 200") == 1


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
    assert 0 < sender.measure() <= listener.unsent_bytes < 61_000
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
