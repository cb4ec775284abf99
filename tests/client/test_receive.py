"""Both clients in front of a hostile server, over real sockets."""

import asyncio
import json
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from tests.client.fake_server import ACCESS_KEY, OK, SECRET
from tests.client.hostile_server import (
    bomb,
    date_of,
    drip,
    endless_chunks,
    head,
    hostile,
    response,
)

import openpns
from openpns import AsyncClient, Client, errors
from openpns.client import exchange
from openpns.kit.plain_text import plain

EMPTY_PAGE = json.dumps(OK | {"data": {"groups": [], "total": 0}}).encode()
BYTES_MAX = 1024 * 1024
SOON_S = 0.3

Use = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BACKOFF_S", 0.001)


@pytest.fixture(params=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Sends one listGroup, or what `use` sends, with a client of each kind."""

    def send_sync(url: str, use: Use = lambda pns: pns.groups.list(), **settings: Any) -> Any:
        with Client(url, ACCESS_KEY, SECRET, **settings) as pns:
            return use(pns)

    def send_async(url: str, use: Use = lambda pns: pns.groups.list(), **settings: Any) -> Any:
        async def main() -> Any:
            async with AsyncClient(url, ACCESS_KEY, SECRET, **settings) as pns:
                return await use(pns)

        return asyncio.run(main())

    return send_sync if request.param == "sync" else send_async


@pytest.mark.parametrize("layers", [1, 2])
def test_compressed_response_is_refused_unread(send: Callable[..., Any], layers: int) -> None:
    packed = bomb(layers)
    tracemalloc.start()
    try:
        with hostile(packed) as server, pytest.raises(errors.AnswerUnreadable, match="compressed"):
            send(server.url)
        assert tracemalloc.get_traced_memory()[1] < 8 * BYTES_MAX
    finally:
        tracemalloc.stop()


def test_endless_response_is_read_up_to_the_bound(send: Callable[..., Any]) -> None:
    with hostile(endless_chunks) as server:
        with pytest.raises(errors.AnswerTooLarge) as raised:
            send(server.url, response_bytes_max=BYTES_MAX)
        assert str(raised.value) == (
            f"listGroup: the response has more than {BYTES_MAX} bytes (response_bytes_max)"
        )
        assert raised.value.http_status == 200
        assert len(server.requests) == 1
    assert server.sent_bytes < 64 * BYTES_MAX  # what sockets can hold, and what a thread is ahead


@pytest.mark.parametrize("length", [BYTES_MAX + 1, 10**18, 10**19])
def test_content_length_beyond_the_bound_is_refused_unread(
    send: Callable[..., Any], length: int
) -> None:
    def answer() -> Iterator[bytes]:
        yield head(f"Content-Length: {length}")
        yield from drip(b" " * 100)

    with hostile(answer) as server, pytest.raises(errors.AnswerTooLarge):
        send(server.url, response_bytes_max=BYTES_MAX)


def test_response_of_exactly_the_bound_is_read(send: Callable[..., Any]) -> None:
    body = EMPTY_PAGE + b" " * (BYTES_MAX - len(EMPTY_PAGE))
    with hostile(response(body)) as server:
        assert send(server.url, response_bytes_max=BYTES_MAX).total == 0
        with pytest.raises(errors.AnswerTooLarge):
            send(server.url, response_bytes_max=BYTES_MAX - 1)


LONG = b" " * 1000


@pytest.mark.parametrize(
    "parts",
    [
        lambda: drip(b"HTTP/1.1 200 OK\r\nX: " + LONG),
        lambda: drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
        lambda: drip(head("Content-Length: 1000") + LONG),
        lambda: drip(head("Transfer-Encoding: chunked") + b"1\r\n \r\n" * 200),
        lambda: drip(b"", 0),
    ],
    ids=["header", "continue", "body", "chunks", "nothing"],
)
def test_slow_response_ends_at_the_deadline(
    send: Callable[..., Any], parts: Callable[[], Iterable[bytes]]
) -> None:
    def answer() -> Iterator[bytes]:
        yield from parts()
        time.sleep(3 * SOON_S)

    with hostile(answer) as server:
        with pytest.raises(errors.AnswerTooLate, match=r"in time \(deadline_s\)"):
            send(server.url, deadline_s=2 * SOON_S, timeout_s=60)
        assert len(server.requests) == 1  # the deadline is that of all attempts
    assert server.sent_bytes < len(LONG) / 2


def test_deadline_of_an_earlier_request_does_not_end_a_later_one(
    send: Callable[..., Any],
) -> None:
    async def again(pns: AsyncClient) -> int:
        first = await pns.groups.list()
        await asyncio.sleep(2 * SOON_S)
        return first.total + (await pns.groups.list()).total

    def use(pns: Any) -> Any:
        if isinstance(pns, AsyncClient):
            return again(pns)
        first = pns.groups.list()
        time.sleep(2 * SOON_S)
        return first.total + pns.groups.list().total

    with hostile(response(EMPTY_PAGE)) as server:
        assert send(server.url, use, deadline_s=SOON_S) == 0
        assert len(server.requests) == 2


def test_silence_longer_than_the_timeout_is_too_late(send: Callable[..., Any]) -> None:
    def answer() -> Iterator[bytes]:
        yield head("Content-Length: 100")
        time.sleep(SOON_S)

    with hostile(answer) as server, pytest.raises(errors.AnswerTooLate, match="ReadTimeout"):
        send(server.url, timeout_s=SOON_S / 10, retries=0)


@pytest.mark.parametrize(
    "answer",
    [
        head("Content-Length: 1000") + EMPTY_PAGE,
        head("Content-Length: -5") + EMPTY_PAGE,
        head("Content-Length: 5", "Content-Length: 6") + EMPTY_PAGE,
        head("Content-Length: 5, 6") + EMPTY_PAGE,
        head("Content-Length: x") + EMPTY_PAGE,
        head("Transfer-Encoding: chunked") + b"85211111114,85211111115\r\n",
        b"HTTP/1.1 200 OK\r\n85211111114\r\n\r\n",
        head("Transfer-Encoding: chunked") + b"zz\r\n",
        head("X: " + "y" * 200_000),
        b"HTTP/1.1 0 \x1b[2J\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: //\xe2@\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-server\r\n",
        b"\x00" * 1000,
        b"",
    ],
    ids=lambda answer: answer[-30:].decode("latin-1").encode("unicode_escape").decode(),
)
def test_broken_response_is_a_lost_connection(send: Callable[..., Any], answer: bytes) -> None:
    def once() -> Iterator[bytes]:
        yield answer
        raise OSError  # closes the connection

    with hostile(once) as server, pytest.raises(errors.ConnectionLost) as raised:
        send(server.url, retries=0)
    text = str(raised.value)
    assert plain(text) == text
    assert "85211111114" not in text


def test_content_length_that_is_too_small_cuts_the_response(send: Callable[..., Any]) -> None:
    with (
        hostile(head("Content-Length: 10", "Connection: close") + EMPTY_PAGE) as server,
        pytest.raises(errors.AnswerUnreadable, match="10 bytes"),
    ):
        send(server.url)


def test_time_of_a_server_far_ahead_is_not_signed(send: Callable[..., Any]) -> None:
    refused = json.dumps(OK | {"code": 1004, "msg": "Timestamp has expired"}).encode()
    answer = response(refused, date_of(datetime(2030, 1, 1, tzinfo=UTC)))
    with hostile(answer) as server:
        with pytest.raises(openpns.TimestampExpired, match=r"corrects at most 300 s \(clock_skew"):
            send(server.url, lambda pns: pns.groups.delete("b8c2"))
        assert len(server.requests) == 1


def test_slow_reader_of_a_large_body_ends_at_the_deadline() -> None:
    stream = _SlowStream()
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=stream))
    with (
        Client("https://pns.test", ACCESS_KEY, SECRET, deadline_s=0.05, transport=transport) as pns,
        pytest.raises(errors.AnswerTooLate),
    ):
        pns.groups.list()
    assert stream.is_closed


class _SlowStream(httpx2.SyncByteStream):
    """A body that a transport without a socket produces slowly."""

    is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(100):
            yield b" "
            time.sleep(0.01)

    def close(self) -> None:
        self.is_closed = True


def test_transport_can_also_be_used_without_a_client_of_openpns() -> None:
    transport = httpx2.HTTPTransport()
    with hostile(response(EMPTY_PAGE)) as server:
        pns = Client(server.url, ACCESS_KEY, SECRET, transport=transport, deadline_s=SOON_S)
        assert pns.groups.list().total == 0
        other = httpx2.Client(transport=transport, timeout=None)
        assert other.post(server.url).json()["code"] == 0
        pns.close()
