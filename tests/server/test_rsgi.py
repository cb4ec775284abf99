import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from granian._granian import RSGIProtocolClosed
from tests.api.conftest import Server
from tests.helpers import LIST_ALL, FailingStore, on_sqlite_only

from openpns.api import request_body
from openpns.core import logs
from openpns.errors import ConfigError
from openpns.groups import pages
from openpns.server.rsgi import RsgiApp

pytestmark = on_sqlite_only

CREATE = b'{"phones":"85211111114"}'


class Connection:
    """Granian's part: gives the body in pieces, keeps the answer."""

    def __init__(self, *pieces: bytes, stays: bool = True, takes: int = 1000) -> None:
        self._pieces = list(pieces)
        self._stays = stays
        self._takes = takes
        self.status = 0
        self.body = b""

    async def __call__(self) -> bytes:
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if not self._stays:
            raise RSGIProtocolClosed("RSGI transport is closed")

    def response_bytes(self, status: int, _: Any, body: bytes) -> None:
        self.status, self.body = status, body

    def response_stream(self, status: int, _: Any) -> "Connection":
        self.status = status
        return self

    async def send_bytes(self, piece: bytes) -> None:
        if self._takes == 0:
            raise RSGIProtocolClosed("RSGI transport is closed")
        self._takes -= 1
        self.body += piece


class Worker:
    """In the place of an application: its API is the test's."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.stopped = False

    async def start(self) -> Any:
        return self._server.api

    async def stop(self) -> None:
        self.stopped = True


async def _post(
    server: Server, headers: list[tuple[str, str]], connection: Connection
) -> dict[str, Any] | None:
    """Carry a call; return the envelope, None where it did not arrive whole."""
    app = RsgiApp(Worker(server))  # type: ignore[arg-type]
    await app._start()
    scope = SimpleNamespace(method="POST", path="/api/pns/", headers=dict(headers))
    await app.__rsgi__(scope, connection)  # type: ignore[arg-type]
    await app._stop()
    try:
        envelope: dict[str, Any] = json.loads(connection.body)
    except json.JSONDecodeError:
        return None
    return envelope


def _with_length(headers: list[tuple[str, str]], length: int) -> list[tuple[str, str]]:
    return [*headers, ("content-length", str(length))]


async def test_a_body_of_known_length_and_one_in_chunks_are_read(server: Server) -> None:
    headers = server.headers()
    whole = Connection(LIST_ALL)
    envelope = await _post(server, _with_length(headers, len(LIST_ALL)), whole)
    assert envelope is not None
    assert envelope["code"] == 0
    in_chunks = Connection(LIST_ALL[:7], LIST_ALL[7:])
    assert (await _post(server, headers, in_chunks) or {})["code"] == 0


async def test_a_body_over_the_bound_is_413_announced_or_not(server: Server) -> None:
    server.make_api(body_bytes_max=10)
    announced, in_chunks = Connection(stays=False), Connection(b"x" * 6, b"x" * 6, stays=False)
    await _post(server, _with_length(server.headers(), 11), announced)
    await _post(server, server.headers(), in_chunks)
    assert (announced.status, in_chunks.status) == (413, 413)


async def test_larger_bodies_that_arrive_together_have_so_much_room(server: Server) -> None:
    server.make_api(body_bytes_max=100_000, body_buffer_bytes_max=150_000)
    headers = server.headers()
    large = request_body.SMALL_BODY_BYTES + 1
    small = _with_length(headers, len(LIST_ALL))
    with server.api.body_budget.reserve(150_000 - large):
        assert (await _post(server, _with_length(headers, large), Connection(b"x" * large)) or {})[
            "code"
        ] == 1003
        for sent in (_with_length(headers, large + 1), headers):
            full = Connection(LIST_ALL)
            envelope = await _post(server, sent, full)
            assert (full.status, (envelope or {})["code"]) == (503, 19004)
        assert (await _post(server, small, Connection(LIST_ALL)) or {})["code"] == 0
    assert (await _post(server, headers, Connection(LIST_ALL)) or {})["code"] == 0


@pytest.mark.parametrize("announced", [True, False])
async def test_a_caller_that_goes_away_in_mid_body_is_no_bug_of_ours(
    server: Server, *, announced: bool
) -> None:
    headers = server.headers("createGroup", CREATE)
    gone = Connection(CREATE[:9], stays=False)
    await _post(server, _with_length(headers, len(CREATE)) if announced else headers, gone)
    (line,) = server.log.lines
    assert (line["level"], line["code"]) == ("warning", 1002)


@pytest.fixture
async def in_pieces(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server whose page of three groups is sent in pieces."""
    for _ in range(3):
        assert await server.code("createGroup", CREATE) == 0
    monkeypatch.setattr(pages, "PHONES_IN_CHUNKED_PAGE_MIN", 1)
    monkeypatch.setattr(pages, "GROUPS_IN_SLICE", 2)
    return server


async def test_a_caller_that_goes_away_in_mid_answer_is_no_error(in_pieces: Server) -> None:
    assert await _post(in_pieces, in_pieces.headers(), Connection(LIST_ALL, takes=2)) is None
    assert in_pieces.log.text == ""


async def test_an_answer_that_breaks_off_is_logged_once_and_ends(in_pieces: Server) -> None:
    store = FailingStore(in_pieces.services.store, "stream", RuntimeError("away"))
    in_pieces.make_api(replace(in_pieces.services, store=store))
    assert await _post(in_pieces, in_pieces.headers(), Connection(LIST_ALL)) is None
    assert [line["event"] for line in in_pieces.log.lines] == ["response truncated"]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def test_the_worker_starts_and_stops_with_granians_loop(
    loop: asyncio.AbstractEventLoop,
    server: Server,
) -> None:
    worker = Worker(server)
    app = RsgiApp(worker)  # type: ignore[arg-type]
    app.__rsgi_init__(loop)
    app.__rsgi_del__(loop)
    assert worker.stopped


@pytest.mark.usefixtures("server")
def test_a_worker_that_cannot_start_says_why_and_exits(
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Refused:
        async def start(self) -> None:
            raise ConfigError("database: is not set")

    logs.configure("json", "info")
    with pytest.raises(SystemExit) as ended:
        RsgiApp(Refused()).__rsgi_init__(loop)  # type: ignore[arg-type]
    assert ended.value.code == 1
    assert "database: is not set" in capsys.readouterr().err
