import pytest
from tests.transport.conftest import Serve, get, post, read_one, statuses

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_request_has_what_was_sent(serve: Serve) -> None:
    served = serve()
    served.talk(post(b"body", "X-A: 1", "x-a: 2", "x-a: 3", "Connection: close", path="/p?q=%41"))
    (request,) = served.paths.seen
    assert (request.method, request.target, request.body) == (b"POST", b"/p?q=%41", b"body")
    assert request.headers[b"x-a"] == b"3"
    assert request.repeated == [b"x-a", b"x-a"]
    assert request.fault is None
    assert request.address == "127.0.0.1"


def test_addresses_of_all_lines_of_x_forwarded_for_are_joined(serve: Serve) -> None:
    served = serve()
    lines = ("X-Forwarded-For: 192.0.2.1", "x-forwarded-for: 192.0.2.2, 192.0.2.3")
    served.talk(post(b"", *lines, "X-FORWARDED-FOR: 192.0.2.4", "Connection: close"))
    (request,) = served.paths.seen
    assert request.headers[b"x-forwarded-for"] == b"192.0.2.1,192.0.2.2, 192.0.2.3,192.0.2.4"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.2\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\nX: a\n\n",
        b"GET / HTTP/1.1\r\nX: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nX : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nx",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
        CHUNKED + b"f" * 17 + b"\r\n",
        CHUNKED + b"1\r\nxy\r\n0\r\n\r\n",
    ],
)
def test_what_two_servers_could_read_differently_is_refused(serve: Serve, sent: bytes) -> None:
    served = serve()
    received = served.talk(sent)
    assert statuses(received) == [400]
    assert b"content-length: 0\r\n" in received
    assert b"connection: close\r\n" in received
    assert served.paths.seen == []


def test_good_requests_before_a_bad_one_are_answered(serve: Serve) -> None:
    assert statuses(serve().talk(get("/a") + get("/b") + b"\0\r\n\r\n")) == [200, 200, 400]


def test_too_many_or_too_long_headers_are_431(serve: Serve) -> None:
    served = serve()
    assert statuses(served.talk(get("/", *["X: a"] * 120))) == [431]
    assert statuses(served.talk(get("/", "X: " + "a" * 200_000))) == [431]
    assert statuses(served.talk(get("/" + "a" * 200_000))) == [431]
    good = get("/", "X: " + "a" * 64_000, *["Y: b"] * 90, "Connection: close")
    assert statuses(served.talk(good)) == [200]


def test_chunked_body_is_joined_and_trailers_are_ignored(serve: Serve) -> None:
    served = serve()
    connection = served.connect()
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello") + b"0\r\nHost: trailer\r\n\r\n"
    for piece in (CHUNKED + body, CHUNKED[:30], CHUNKED[30:] + body[:7], body[7:]):
        connection.sendall(piece)
    for _ in range(2):
        assert read_one(connection)[2] == b"POST / hello"
    assert {request.headers[b"host"] for request in served.paths.seen} == {b"x"}


def test_trailers_and_sizes_of_chunks_are_bounded(serve: Serve) -> None:
    served = serve(body_bytes_max=1024)
    for trailers in (b"X: a\r\n" * 50_000, b"".join(b"X%d: a\r\n" % n for n in range(50_000))):
        assert statuses(served.talk(CHUNKED + b"0\r\n" + trailers)) == [431]
    extension = b"1;" + b"a" * 500_000 + b"\r\nx\r\n"
    assert statuses(served.talk(CHUNKED + extension)) == [413]


def test_body_in_many_tiny_pieces_is_refused(serve: Serve) -> None:
    served = serve()
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b"x" * 300)
    received = served.talk(CHUNKED + body)
    assert statuses(received) == [413]
    assert b"come in larger chunks" in received
    fewer = CHUNKED + b"1\r\nx\r\n" * 256 + b"0\r\n\r\n"
    assert statuses(served.talk(fewer, get("/", "Connection: close"))) == [200, 200]


def test_larger_bodies_are_bounded_together_by_what_has_arrived(serve: Serve) -> None:
    served = serve(received_bytes_max=100_000)
    promises = [served.connect() for _ in range(20)]
    for connection in promises:
        connection.sendall(post(b"", length=90_000))
    assert statuses(served.talk(post(b"z" * 90_000, "Connection: close"))) == [200]
    first, second = promises[:2]
    first.sendall(b"z" * 80_000)
    served.wait_until(lambda: served.listener.received_bytes > 80_000)
    second.sendall(b"z" * 80_000)
    status, _, body = read_one(second)
    assert (status, body) == (
        413,
        b"Service unavailable: too many large requests at once; nothing was written",
    )
    first.sendall(b"z" * 10_000)
    assert read_one(first)[0] == 200
    served.wait_until(lambda: served.listener.received_bytes == 0)


def test_larger_body_is_held_until_its_response(serve: Serve) -> None:
    served = serve()
    connection = served.connect()
    connection.sendall(post(b"z" * 90_000, path="/wait/1"))
    served.wait_until(lambda: served.paths.waiting == 1)
    assert served.listener.received_bytes >= 90_000
    served.go_on()
    read_one(connection)
    served.wait_until(lambda: served.listener.received_bytes == 0)


def test_headers_in_parts_are_bounded_together(serve: Serve) -> None:
    served = serve(received_bytes_max=100_000)
    part = b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000
    held = [served.connect() for _ in range(2)]
    for connection in held:
        connection.sendall(part)
    served.wait_until(lambda: served.listener.received_bytes > 80_000)
    assert statuses(served.talk(part)) == [503]
    assert statuses(served.talk(get("/", "Connection: close"))) == [200]
    for connection in held:
        connection.sendall(b"\r\n\r\n")
        assert read_one(connection)[0] == 200
    served.wait_until(lambda: served.listener.received_bytes == 0)


def test_headers_count_while_the_body_arrives(serve: Serve) -> None:
    served = serve(received_bytes_max=100_000)
    for _ in range(2):
        served.connect().sendall(post(b"", f"X: {'x' * 40_000}", length=9000))
    served.wait_until(lambda: served.listener.received_bytes > 80_000)
    assert statuses(served.talk(post(b"z" * 30_000, length=30_001))) == [413]


def test_request_for_another_protocol_is_answered_in_this_one(serve: Serve) -> None:
    served = serve()
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    received = served.talk(post(b"body", *upgrade) + get("/never"))
    assert received.endswith(b"POST / body")
    assert b"connection: close\r\n" in received
    assert len(served.paths.seen) == 1


def test_connect_is_a_method_like_others(serve: Serve) -> None:
    served = serve()
    assert statuses(served.talk(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\ntunnel")) == [200]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_request_may_be_cut_anywhere(serve: Serve, size: int) -> None:
    served = serve()
    sent = post(b"hello", "X-A: b", path="/cut") + get("/end", "Connection: close")
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    received = served.talk(*pieces)
    assert b"POST /cut hello" in received
    assert b"GET /end " in received
