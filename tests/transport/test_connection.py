import contextlib
import socket
import time

import pytest
from tests.transport.conftest import Serve, get, post, read_all, read_one, statuses

CLOSE = "Connection: close"


def test_connection_carries_one_request_after_another(serve: Serve) -> None:
    connection = serve().connect()
    for number in range(3):
        connection.sendall(post(b"%d" % number))
        status, headers, body = read_one(connection)
        assert (status, body) == (200, b"POST / %d" % number)
        assert b"date: " in headers
        assert b"connection:" not in headers


def test_connection_answers_pipelined_requests_in_order_though_some_wait(serve: Serve) -> None:
    served = serve()
    connection = served.connect()
    connection.sendall(get("/a") + get("/wait/b") + get("/c") + get("/wait/d") + get("/e", CLOSE))
    assert read_one(connection)[2] == b"GET /a "
    served.wait_until(lambda: served.paths.waiting == 1)
    assert [request.path for request in served.paths.seen] == ["/a", "/wait/b"]
    served.go_on()
    rest = read_all(connection)
    places = [rest.index(path) for path in (b"/wait/b", b"/c", b"/wait/d", b"/e")]
    assert places == sorted(places)
    assert statuses(rest) == [200] * 4


def test_connection_holds_a_bounded_part_of_pipelined_requests(serve: Serve) -> None:
    served = serve()
    connection = served.connect()
    many = get("/wait/1") + get("/a") * 20_000
    connection.settimeout(0.3)
    with pytest.raises(TimeoutError):  # the server reads no more
        connection.sendall(many * 20)
    (held,) = served.listener._connections
    assert len(held._queue) < 1000
    assert len(held._rest) < 600_000


def test_connection_closes_when_the_client_asks_for_it(serve: Serve) -> None:
    served = serve()
    received = served.talk(get("/a", CLOSE) + get("/b"))
    assert statuses(received) == [200]
    assert b"connection: close\r\n" in received
    assert len(served.paths.seen) == 1


def test_connection_of_http_1_0_is_closed_unless_kept_alive(serve: Serve) -> None:
    served = serve()
    assert statuses(served.talk(get("/a", version="1.0"))) == [200]
    connection = served.connect()
    for _ in range(2):
        connection.sendall(get("/a", "Connection: keep-alive", version="1.0"))
        assert b"connection: keep-alive" in read_one(connection)[1]


def test_head_gets_the_headers_of_a_response_without_its_body(serve: Serve) -> None:
    received = serve().talk(get("/a", CLOSE).replace(b"GET", b"HEAD"))
    assert b"content-length: 8\r\n" in received
    assert received.endswith(b"\r\n\r\n")


def test_large_response_arrives_whole(serve: Serve) -> None:
    connection = serve().connect()
    connection.sendall(get("/bytes/3000000") + get("/bytes/100"))
    assert read_one(connection)[2] == b"x" * 3_000_000
    assert read_one(connection)[2] == b"x" * 100


def test_streamed_response_is_produced_as_fast_as_it_is_read(serve: Serve) -> None:
    served = serve()
    connection = served.connect(receive_buffer=4096)
    connection.sendall(get("/chunks/1000", CLOSE))
    served.wait_until(lambda: served.listener.unsent_bytes > 0)
    assert served.paths.sent_chunks < 300
    received = read_all(connection)
    assert b"transfer-encoding: chunked" in received
    assert received.count(b"y") == 50_000_000
    assert received.endswith(b"\r\n0\r\n\r\n")
    assert served.listener.unsent_bytes == 0


def test_streamed_response_to_http_1_0_ends_with_the_connection(serve: Serve) -> None:
    received = serve().talk(get("/chunks/2", "Connection: keep-alive", version="1.0"))
    assert b"connection: close" in received
    assert b"chunked" not in received
    assert received.endswith(b"\r\n\r\n" + b"y" * 100_000)


def test_streamed_response_that_breaks_off_is_not_ended(serve: Serve) -> None:
    received = serve().talk(get("/chunks/-2"))
    assert not received.endswith(b"0\r\n\r\n")


def test_responder_may_close_the_connection_without_a_response(serve: Serve) -> None:
    assert serve().talk(get("/drop")) == b""


def test_client_that_waits_for_100_gets_it_if_its_body_is_admitted(serve: Serve) -> None:
    served = serve()
    connection = served.connect()
    connection.sendall(post(b"", "Expect: 100-continue", length=5))
    assert read_one(connection)[0] == 100
    connection.sendall(b"hello")
    assert read_one(connection)[2] == b"POST / hello"
    connection.sendall(post(b"", "Expect: 100-continue", "refuse: x", length=5))
    status, headers, body = read_one(connection)
    assert (status, body) == (413, b"Parameter error: not admitted")
    assert b"connection: close" in headers


def test_client_that_sends_its_body_at_once_gets_no_100(serve: Serve) -> None:
    received = serve().talk(post(b"hello", "Expect: 100-continue", CLOSE))
    assert statuses(received) == [200]


def test_large_body_is_read_only_if_it_is_admitted(serve: Serve) -> None:
    served = serve()
    large = b"z" * 500_000
    received = served.talk(post(large, CLOSE))
    assert received.endswith(b"POST / " + large)
    received = served.talk(post(large, "refuse: x"))
    assert statuses(received) == [413]
    assert served.paths.seen[-1].body == b""
    assert served.listener.received_bytes == 0


@pytest.mark.parametrize("is_chunked", [False, True])
def test_response_to_a_body_over_the_bound_can_be_read_though_the_client_sends_on(
    serve: Serve, *, is_chunked: bool
) -> None:
    served = serve(body_bytes_max=100_000)
    sent = post(b"z" * 2_000_000)
    if is_chunked:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        sent = head + b"%x\r\n%b\r\n0\r\n\r\n" % (2_000_000, b"z" * 2_000_000)
    received = served.talk(sent)
    assert statuses(received) == [413]
    assert b"the body may have at most 100000 bytes" in received
    assert served.listener.received_bytes == 0


def test_client_that_sends_without_end_after_a_refusal_is_cut_off(serve: Serve) -> None:
    connection = serve(body_bytes_max=1000).connect()
    connection.sendall(post(b"", length=10**12))
    assert read_one(connection)[0] == 413
    with contextlib.suppress(ConnectionError):
        for _ in range(10_000):
            connection.sendall(b"z" * 65536)
        raise AssertionError("it is never closed")


def test_client_that_closes_its_half_is_answered(serve: Serve) -> None:
    served = serve()
    assert statuses(served.talk(get("/a") + get("/b"), half_close=True)) == [200, 200]
    assert served.talk(b"", half_close=True) == b""
    assert served.talk(b"GET /a HT", half_close=True) == b""


def test_client_that_closes_its_half_while_its_request_waits_is_answered(serve: Serve) -> None:
    served = serve()
    connection = served.connect()
    connection.sendall(get("/wait/1"))
    connection.shutdown(socket.SHUT_WR)
    served.wait_until(lambda: served.paths.waiting == 1)
    served.go_on()
    assert statuses(read_all(connection)) == [200]


def test_client_that_leaves_in_its_body_is_told_so(serve: Serve) -> None:
    received = serve().talk(post(b"ab", length=5), half_close=True)
    assert b"the client went away before the body was sent" in received


def test_request_of_a_client_that_left_is_carried_out(serve: Serve) -> None:
    served = serve()
    connection = served.connect()
    connection.sendall(get("/wait/1"))
    served.wait_until(lambda: served.paths.waiting == 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    served.wait_until(lambda: served.listener.connections == 0)
    assert served.paths.waiting == 1
    served.go_on()
    served.wait_until(lambda: served.paths.waiting == 0)


def test_bytes_that_arrive_while_a_request_waits_are_answered_later(serve: Serve) -> None:
    served = serve()
    connection = served.connect()
    connection.sendall(get("/wait/1"))
    served.wait_until(lambda: served.paths.waiting == 1)
    connection.sendall(post(b"la", length=4))
    connection.sendall(b"te" + get("/end", CLOSE))
    served.go_on()
    received = read_all(connection)
    assert b"POST / late" in received
    assert statuses(received) == [200] * 3


def test_bad_request_behind_a_good_one_is_refused_in_its_turn(serve: Serve) -> None:
    served = serve()
    connection = served.connect()
    connection.sendall(get("/wait/1") + b"nonsense\r\n\r\n")
    served.wait_until(lambda: served.paths.waiting == 1)
    served.go_on()
    assert statuses(read_all(connection)) == [200, 400]


def test_bytes_after_the_last_request_get_no_response(serve: Serve) -> None:
    served = serve()
    large = post(b"z" * 10_000, CLOSE)
    for rest in (b"nonsense\r\n\r\n" * 2000, get("/b") * 2000):
        assert statuses(served.talk(large + rest)) == [200]
    assert len(served.paths.seen) == 2


def test_request_behind_one_that_waited_arrives_when_that_is_answered(serve: Serve) -> None:
    served = serve()
    connection = served.connect()
    connection.sendall(get("/wait/1") + get("/b", CLOSE))
    served.wait_until(lambda: served.paths.waiting == 1)
    before_s = time.perf_counter()
    served.go_on()
    read_all(connection)
    assert served.paths.seen[1].arrived_s > before_s


def test_request_that_comes_while_nothing_can_be_sent_arrives_then(serve: Serve) -> None:
    served = serve()
    client = served.connect()
    served.wait_until(lambda: served.listener.connections == 1)
    (connection,) = served.listener._connections
    served.wait_until(lambda: connection.transport is not None)

    async def receive() -> float:
        connection.pause_writing()
        before_s = time.perf_counter()
        connection.data_received(get("/a", CLOSE))
        connection.resume_writing()
        return before_s

    before_s = served.call(receive())
    assert statuses(read_all(client)) == [200]
    assert served.paths.seen[0].arrived_s >= before_s


def test_failure_of_one_connection_leaves_the_others_their_responses(serve: Serve) -> None:
    served = serve()
    others = [served.connect() for _ in range(5)]
    bad = served.connect()
    for connection in (others[0], bad, *others[1:]):
        connection.sendall(get("/fail" if connection is bad else "/a"))
    assert read_all(bad) == b""
    for connection in others:
        assert read_one(connection)[0] == 200


def test_requests_that_wait_for_their_turn_are_bounded(serve: Serve) -> None:
    served = serve(received_bytes_max=20_000)
    many = served.connect()
    many.sendall(get("/a") * 1000)  # parsed, each takes many times its bytes
    assert read_all(many).count(b"HTTP/1.1 200") < 1000
    served.wait_until(lambda: not served.listener.connections)
    assert not served.listener.received_bytes
    few = served.connect()
    few.sendall(get("/a") * 10)
    for _ in range(10):
        assert read_one(few)[0] == 200


def test_what_waits_behind_a_request_is_bounded_together(serve: Serve) -> None:
    served = serve(received_bytes_max=100_000)
    first, second = served.connect(), served.connect()
    behind = get("/", f"X: {'x' * 2000}") * 30
    first.sendall(get("/wait/1"))
    second.sendall(get("/wait/1"))
    served.wait_until(lambda: served.paths.waiting == 2)
    first.sendall(behind)
    served.wait_until(lambda: served.listener.received_bytes > 50_000)
    second.sendall(behind)
    assert read_all(second) == b""
    served.go_on()
    assert read_one(first)[0] == 200
    served.wait_until(lambda: served.listener.received_bytes == 0)
