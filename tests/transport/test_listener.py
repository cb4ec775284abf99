import asyncio
import contextlib
import sys
import time

import pytest
from tests.transport.conftest import Serve, get, is_closed, post, read_all, read_one, statuses

from openpns.kit.networks import Networks

SOON = 0.3
"""A timeout of a test, in s; the listener checks it four times in that time."""


# -- clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"\r\n", b"GET / HTTP/1.1\r\nX: "])
def test_connection_that_completes_no_headers_is_closed(serve: Serve, sent: bytes) -> None:
    served = serve(header_timeout_s=SOON)
    assert served.talk(sent) == b""
    assert served.paths.seen == []


def test_drip_of_header_bytes_gives_no_more_time(serve: Serve) -> None:
    connection = serve(header_timeout_s=SOON).connect()
    connection.sendall(b"GET / HTTP/1.1\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(1000):
            connection.sendall(b"X: a\r\n")
            time.sleep(0.02)
        raise AssertionError("it is never closed")


def test_idle_connection_has_the_idle_timeout_and_a_silent_one_the_header_timeout(
    serve: Serve,
) -> None:
    served = serve(header_timeout_s=SOON, idle_timeout_s=3600)
    idle, silent = served.connect(), served.connect()
    idle.sendall(get("/a"))
    read_one(idle)
    assert is_closed(silent)
    idle.sendall(get("/b"))
    assert read_one(idle)[2] == b"GET /b "


def test_idle_connection_is_closed_in_the_end(serve: Serve) -> None:
    connection = serve(idle_timeout_s=SOON).connect()
    connection.sendall(get("/a"))
    read_one(connection)
    assert is_closed(connection)


def test_part_of_a_request_behind_a_whole_one_has_the_header_timeout(serve: Serve) -> None:
    connection = serve(header_timeout_s=SOON, idle_timeout_s=3600).connect()
    connection.sendall(get("/a") + b"GET / HT")
    read_one(connection)
    assert is_closed(connection)


def test_late_body_is_answered(serve: Serve) -> None:
    served = serve(body_timeout_s=SOON)
    received = served.talk(post(b"ab", length=5))
    assert statuses(received) == [413]
    assert b"the body must arrive within 300 ms" in received


def test_request_may_wait_longer_than_every_timeout(serve: Serve) -> None:
    served = serve(
        header_timeout_s=SOON, body_timeout_s=SOON, idle_timeout_s=SOON, send_timeout_s=SOON
    )
    connection = served.connect()
    connection.sendall(get("/wait/1"))
    served.wait_until(lambda: served.paths.waiting == 1)
    time.sleep(3 * SOON)
    served.go_on()
    assert read_one(connection)[0] == 200


@pytest.mark.parametrize("path", ["/bytes/8000000", "/chunks/400"])
def test_client_that_does_not_take_its_response_is_dropped(serve: Serve, path: str) -> None:
    served = serve(send_timeout_s=SOON)
    connection = served.connect(receive_buffer=4096)
    connection.sendall(get(path))
    served.wait_until(lambda: served.listener.unsent_bytes > 0)
    served.wait_until(lambda: served.listener.connections == 0)
    assert served.listener.unsent_bytes == 0


def test_client_that_takes_a_byte_at_a_time_is_dropped(serve: Serve) -> None:
    served = serve(send_timeout_s=SOON)
    connection = served.connect(receive_buffer=4096)
    connection.sendall(get("/bytes/8000000"))
    served.wait_until(lambda: served.listener.unsent_bytes > 0)
    while served.listener.connections:
        connection.recv(1)
        time.sleep(0.01)
    assert served.listener.unsent_bytes == 0


def test_small_responses_that_are_not_read_do_not_hold_a_connection(serve: Serve) -> None:
    served = serve(send_timeout_s=SOON)
    connection = served.connect(receive_buffer=1024)
    connection.settimeout(5)
    with contextlib.suppress(TimeoutError, ConnectionError):
        for _ in range(2000):  # until the server reads no more
            connection.sendall(get("/a") * 100)
    served.wait_until(lambda: served.listener.connections == 0)


def test_slow_client_of_a_large_response_has_time_for_each_mib(serve: Serve) -> None:
    served = serve(send_timeout_s=SOON)
    connection = served.connect(receive_buffer=65536)
    connection.sendall(get("/bytes/12000000", "Connection: close"))
    received = 0
    while piece := connection.recv(65536):
        received += len(piece)
        if received % 1_000_000 < 65536:
            time.sleep(0.1)
    assert received > 12_000_000


def test_response_that_is_taken_steadily_ends_with_the_response_timeout(serve: Serve) -> None:
    served = serve(response_timeout_s=SOON)
    reader = served.connect(receive_buffer=4096)
    reader.sendall(get("/chunks/1000"))
    taken = 0
    with contextlib.suppress(ConnectionError):
        while piece := reader.recv(65536):
            taken += len(piece)
            time.sleep(0.01)
    assert 0 < taken < 1000 * 50_000
    assert served.paths.sent_chunks < 1000
    served.wait_until(lambda: served.listener.connections == 0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs more loopback addresses")
def test_address_that_holds_the_most_gives_way(serve: Serve) -> None:
    served = serve(received_bytes_max=100_000)
    greedy = [served.connect(source="127.0.0.2") for _ in range(3)]
    for connection in greedy:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 30_000)
    served.wait_until(lambda: served.listener.received_bytes > 90_000)
    assert statuses(served.talk(post(b"z" * 40_000, "Connection: close"))) == [200]
    assert is_closed(greedy[0])


# -- turns ----------------------------------------------------------------------------------------


def test_pipelined_requests_of_a_connection_take_turns_with_others(serve: Serve) -> None:
    served = serve()
    greedy, modest = served.connect(), served.connect()
    greedy.sendall(get("/wait/1"))
    modest.sendall(get("/wait/1"))
    served.wait_until(lambda: served.paths.waiting == 2)
    greedy.sendall(get("/greedy") * 400)
    modest.sendall(get("/modest"))
    served.wait_until(lambda: served.listener.received_bytes > 10_000)
    served.go_on()
    for _ in range(2):
        assert read_one(modest)[0] == 200
    for _ in range(401):
        assert read_one(greedy)[0] == 200
    order = [request.path for request in served.paths.seen]
    assert order.index("/modest") < 2 + 2 * 16
    assert order.count("/greedy") == 400


def test_stop_answers_what_waits_for_its_turn(serve: Serve) -> None:
    served = serve()
    crowd = [served.connect() for _ in range(30)]
    for connection in crowd:
        connection.sendall(get("/wait/1"))
    served.wait_until(lambda: served.paths.waiting == 30)
    stopping = asyncio.run_coroutine_threadsafe(served.listener.stop(20), served._loop)
    served.go_on()
    for connection in crowd:
        assert read_one(connection)[0] == 200
    stopping.result(20)


# -- memory ---------------------------------------------------------------------------------------


def test_unread_responses_are_bounded_and_the_owner_of_most_loses_its_oldest(serve: Serve) -> None:
    served = serve(unsent_bytes_max=50_000_000)
    modest = served.connect(receive_buffer=4096)
    modest.sendall(get("/bytes/20000000", "owner: modest", "Connection: close"))
    served.wait_until(lambda: served.listener.unsent_bytes > 0)
    greedy = [served.connect(receive_buffer=4096) for _ in range(8)]
    for connection in greedy:
        connection.sendall(get("/bytes/20000000", "owner: greedy"))
    served.wait_until(lambda: len(served.paths.seen) == 9)
    served.wait_until(lambda: served.listener.connections <= 3)
    served.wait_until(lambda: served.listener.unsent_bytes <= 50_000_000)
    assert len(read_all(modest)) > 20_000_000


# -- places ---------------------------------------------------------------------------------------


def test_new_connection_replaces_one_that_sends_nothing(serve: Serve) -> None:
    served = serve(connections_max=10)
    speaking = served.connect()
    speaking.sendall(get("/a"))
    read_one(speaking)
    silent = [served.connect() for _ in range(50)]
    served.wait_until(lambda: served.listener.connections <= 10)
    late = served.connect()
    late.sendall(get("/late"))
    assert read_one(late)[2] == b"GET /late "
    speaking.sendall(get("/b"))
    assert read_one(speaking)[2] == b"GET /b "
    assert sum(is_closed(connection) for connection in silent[:30]) == 30


def test_new_connection_replaces_the_one_that_is_idle_the_longest(serve: Serve) -> None:
    served = serve(connections_max=2, header_timeout_s=0.2)
    first, second = served.connect(), served.connect()
    for connection in (first, second):
        connection.sendall(get("/a"))
        read_one(connection)
        time.sleep(0.15)  # longer than between two checks
    third = served.connect()
    third.sendall(get("/c"))
    assert read_one(third)[2] == b"GET /c "
    assert is_closed(first)
    second.sendall(get("/b"))
    assert read_one(second)[2] == b"GET /b "


def test_listener_accepts_no_more_while_every_place_has_a_request(serve: Serve) -> None:
    served = serve(connections_max=3)
    busy = [served.connect() for _ in range(3)]
    for connection in busy:
        connection.sendall(get("/wait/1"))
    served.wait_until(lambda: served.paths.waiting == 3)
    late = [served.connect() for _ in range(3)]
    for connection in late:
        connection.sendall(get("/late"))
    time.sleep(0.1)
    assert served.listener.connections == 3
    assert len(served.paths.seen) == 3
    served.go_on()
    for connection in busy + late:
        assert read_one(connection)[0] == 200
        connection.close()


def test_places_of_one_address_are_bounded(serve: Serve) -> None:
    served = serve(connections_per_address_max=3)
    busy = [served.connect() for _ in range(3)]
    for connection in busy:
        connection.sendall(get("/wait/1"))
    served.wait_until(lambda: served.paths.waiting == 3)
    assert is_closed(served.connect())
    served.go_on()
    for connection in busy:
        assert read_one(connection)[0] == 200
    time.sleep(0.2)  # the listener has noted that none of the places may be taken back
    other = served.connect()
    other.sendall(get("/a"))
    assert read_one(other)[0] == 200


def test_places_of_a_trusted_proxy_are_not_bounded(serve: Serve) -> None:
    served = serve(connections_per_address_max=1, trusted_proxies=Networks("127.0.0.0/8"))
    busy = [served.connect() for _ in range(3)]
    for connection in busy:
        connection.sendall(get("/wait/1"))
    served.wait_until(lambda: served.paths.waiting == 3)
    served.go_on()
    for connection in busy:
        assert read_one(connection)[0] == 200


def test_stranger_with_a_part_of_a_request_gives_way(serve: Serve) -> None:
    served = serve(connections_max=3)
    held = [served.connect() for _ in range(3)]
    for connection in held:
        connection.sendall(get("/a") + b"GET / HTTP/1.1\r\nX: ")
        assert read_one(connection)[0] == 200
    other = served.connect()
    other.sendall(get("/a"))
    assert read_one(other)[0] == 200
    assert is_closed(held[0])
