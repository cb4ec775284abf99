import asyncio
import socket
import struct

import pytest
from tests.transport.conftest import Serve, get, is_closed, post, read_all, read_one, statuses

SOON = 0.3
"""A timeout of a test, in s; the listener checks it four times in that time."""


def test_stop_closes_idle_connections_and_answers_the_others(serve: Serve) -> None:
    served = serve()
    idle, busy, half = served.connect(), served.connect(), served.connect()
    idle.sendall(get("/a"))
    read_one(idle)
    busy.sendall(get("/wait/1") + get("/next"))
    half.sendall(post(b"ab", length=4))
    served.wait_until(lambda: served.paths.waiting == 1)
    served.wait_until(lambda: served.listener.connections == 3)
    stopping = asyncio.run_coroutine_threadsafe(served.listener.stop(20), served._loop)
    assert is_closed(idle)
    with pytest.raises(ConnectionRefusedError):
        served.connect()
    served.go_on()
    half.sendall(b"cd")
    assert statuses(read_all(busy)) == [200, 200]
    received = read_all(half)
    assert b"POST / abcd" in received
    assert b"connection: close" in received
    stopping.result(20)
    assert served.listener.connections == 0


def test_stop_drops_what_is_not_done_in_time(serve: Serve) -> None:
    served = serve()
    waiting, unread = served.connect(), served.connect(receive_buffer=4096)
    waiting.sendall(get("/wait/1"))
    unread.sendall(get("/bytes/8000000"))
    served.wait_until(lambda: served.listener.unsent_bytes > 0 and served.paths.waiting == 1)
    served.call(served.listener.stop(0.2))
    assert read_all(waiting) == b""
    served.wait_until(lambda: served.paths.waiting == 0)


def test_drop_requests_leaves_other_connections_open(serve: Serve) -> None:
    served = serve()
    idle, busy = served.connect(), served.connect()
    idle.sendall(get("/a"))
    read_one(idle)
    busy.sendall(get("/wait/1"))
    served.wait_until(lambda: served.paths.waiting == 1)

    async def drop() -> None:
        served.listener.drop_requests()

    served.call(drop())
    assert read_all(busy) == b""
    idle.sendall(get("/b"))
    assert read_one(idle)[0] == 200


@pytest.mark.parametrize("is_aborted", [False, True])
def test_client_that_goes_away_in_a_body_is_not_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture, *, is_aborted: bool
) -> None:
    served = serve()
    for _ in range(20):
        client = served.connect()
        client.sendall(post(b"abc", length=50))
        if is_aborted:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            client.shutdown(socket.SHUT_WR)
        client.close()
    with served.connect() as last:
        last.sendall(get("/a"))
        read_one(last)
    served.wait_until(lambda: served.listener.connections == 0)
    assert caplog.records == []
