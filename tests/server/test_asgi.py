import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import httpx2
import pytest
from tests.conftest import FakeClock
from tests.helpers import LIST_ALL, MASTER_KEY, on_sqlite_only, signed_headers

from openpns import limits
from openpns.accounts import access_keys
from openpns.accounts.access_keys import NewSecret
from openpns.accounts.master_key import open_secret_box
from openpns.clock import now_ms
from openpns.core.context import Context
from openpns.errors import ConfigError
from openpns.groups import pages
from openpns.server.application import Application
from openpns.server.asgi import AsgiApp
from openpns.server.config import load_settings
from openpns.storage.store import Store

Message = MutableMapping[str, Any]


@pytest.fixture
async def key(store: Store, database_url: str, clock: FakeClock, context: Context) -> NewSecret:
    secret_box = await open_secret_box(store, database_url, MASTER_KEY)
    return await access_keys.create(store, secret_box, clock, context.customer_id)


class Carrier:
    """An ASGI server's part: hands messages in, keeps those that come out."""

    def __init__(self, app: AsgiApp) -> None:
        self.app = app
        self.sent: list[Message] = []

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def receiver(self, *messages: Message) -> Callable[[], Awaitable[Message]]:
        waiting = list(messages)

        async def receive() -> Message:
            return waiting.pop(0)

        return receive

    async def post(
        self, headers: list[tuple[str, str]], *messages: Message
    ) -> tuple[int, dict[str, Any]]:
        """Send a call in pieces and return status and envelope."""
        self.sent.clear()
        raw = [(name.encode(), value.encode()) for name, value in headers]
        scope = {"type": "http", "method": "POST", "path": "/api/pns/", "headers": raw}
        await self.app(scope, self.receiver(*messages), self.send)
        body = b"".join(message["body"] for message in self.sent[1:])
        return self.sent[0]["status"], json.loads(body)


def _piece(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


class Lifespan:
    """The lifespan of an app, as an ASGI server goes through it."""

    def __init__(self, app: AsgiApp) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self.answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task = asyncio.ensure_future(
            app({"type": "lifespan"}, self._queue.get, self.answers.put)
        )

    async def tell(self, event: str) -> Message:
        await self._queue.put({"type": f"lifespan.{event}"})
        return await self.answers.get()

    async def end(self) -> None:
        await self._task


@pytest.fixture
def asgi_app(database_url: str, clock: FakeClock) -> AsgiApp:
    settings = load_settings({"database": database_url, "body_bytes_max": 1024}, {})
    return AsgiApp(lambda: Application(settings, {"OPENPNS_MASTER_KEY": MASTER_KEY}, clock))


@pytest.fixture
async def started(asgi_app: AsgiApp, key: NewSecret) -> AsyncIterator[AsgiApp]:
    """The app between startup and shutdown."""
    lifespan = Lifespan(asgi_app)
    assert (await lifespan.tell("startup"))["type"] == "lifespan.startup.complete"
    yield asgi_app
    assert (await lifespan.tell("shutdown"))["type"] == "lifespan.shutdown.complete"
    await lifespan.end()


async def test_a_call_is_answered_through_an_asgi_server(
    started: AsgiApp, key: NewSecret, clock: FakeClock
) -> None:
    transport = httpx2.ASGITransport(started)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        headers = signed_headers(key, "listGroup", LIST_ALL, clock())
        response = await client.post("/api/pns/", content=LIST_ALL, headers=headers)
        assert response.json()["data"] == {"groups": [], "total": 0}
        assert response.headers["x-request-id"] == response.json()["requestId"]
        assert response.headers["content-length"] == str(len(response.content))
        assert (await client.get("/api/pns/")).headers["allow"] == "POST"
        assert (await client.get("/")).status_code == 404


@on_sqlite_only
async def test_a_body_in_chunks_is_put_together(
    started: AsgiApp, key: NewSecret, clock: FakeClock
) -> None:
    headers = signed_headers(key, "listGroup", LIST_ALL, clock())
    pieces = [_piece(LIST_ALL[:5], more=True), _piece(LIST_ALL[5:], more=False)]
    status, envelope = await Carrier(started).post(headers, *pieces)
    assert (status, envelope["code"]) == (200, 0)


@on_sqlite_only
async def test_a_body_over_the_bound_is_not_read_to_its_end(started: AsgiApp) -> None:
    carrier = Carrier(started)
    in_chunks = [_piece(b"x" * 600, more=True), _piece(b"x" * 600, more=True)]
    assert (await carrier.post([], *in_chunks))[0] == 413
    announced = [("content-length", "1025")]
    assert (await carrier.post(announced))[0] == 413


@on_sqlite_only
async def test_a_larger_body_needs_room(started: AsgiApp, key: NewSecret, clock: FakeClock) -> None:
    assert started._api is not None
    headers = signed_headers(key, "listGroup", LIST_ALL, clock())
    announced = [*headers, ("content-length", str(len(LIST_ALL)))]
    with started._api.body_budget.reserve(limits.BODY_BUFFER_BYTES_MAX - 1023):
        in_chunks, _ = await Carrier(started).post(headers, _piece(LIST_ALL, more=False))
        small, _ = await Carrier(started).post(announced, _piece(LIST_ALL, more=False))
    assert (in_chunks, small) == (200, 200)  # a body of 1024 bytes at most is a small one


@on_sqlite_only
async def test_a_caller_that_goes_away_in_mid_body_changes_nothing(
    started: AsgiApp, key: NewSecret, clock: FakeClock
) -> None:
    create = b'{"phones":"85211111114"}'
    headers = signed_headers(key, "createGroup", create, clock())
    carrier = Carrier(started)
    left = [_piece(create, more=True), {"type": "http.disconnect"}]
    assert (await carrier.post(headers, *left))[1]["code"] == 1002
    headers = signed_headers(key, "listGroup", LIST_ALL, clock())
    _, envelope = await carrier.post(headers, _piece(LIST_ALL, more=False))
    assert envelope["data"]["total"] == 0


@on_sqlite_only
async def test_a_header_that_is_no_ascii_is_as_good_as_missing(
    started: AsgiApp, key: NewSecret, clock: FakeClock
) -> None:
    headers = signed_headers(key, "listGroup", LIST_ALL, clock())
    wrong = [(name, "ü" if name == "sign" else value) for name, value in headers]
    _, envelope = await Carrier(started).post(wrong, _piece(LIST_ALL, more=False))
    assert envelope["msg"] == "Missing common parameters: sign"


async def test_a_large_page_is_sent_in_pieces(
    started: AsgiApp, key: NewSecret, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    carrier = Carrier(started)
    for place in range(3):
        create = b'{"phones":"85211111114","remark":"%d"}' % place
        headers = signed_headers(key, "createGroup", create, clock())
        assert (await carrier.post(headers, _piece(create, more=False)))[1]["code"] == 0
    monkeypatch.setattr(pages, "PHONES_IN_CHUNKED_PAGE_MIN", 1)
    monkeypatch.setattr(pages, "GROUPS_IN_SLICE", 2)
    headers = signed_headers(key, "listGroup", LIST_ALL, clock())
    _, envelope = await carrier.post(headers, _piece(LIST_ALL, more=False))
    assert [group["phones"] for group in envelope["data"]["groups"]] == ["85211111114"] * 3
    assert envelope["data"]["total"] == 3
    assert len(carrier.sent) > 4


async def test_where_the_server_has_no_lifespan_the_first_call_starts_the_app(
    key: NewSecret, clock: FakeClock, database_url: str
) -> None:
    made: list[Application] = []

    def make() -> Application:
        settings = load_settings({"database": database_url}, {})
        made.append(Application(settings, {"OPENPNS_MASTER_KEY": MASTER_KEY}, clock))
        return made[-1]

    app = AsgiApp(make)
    headers = signed_headers(key, "listGroup", LIST_ALL, clock())
    calls = [Carrier(app).post(headers, _piece(LIST_ALL, more=False)) for _ in range(3)]
    assert [envelope["code"] for _, envelope in await asyncio.gather(*calls)] == [0, 0, 0]
    assert len(made) == 1
    await made[0].stop()


async def test_an_app_that_cannot_start_tells_the_server_why() -> None:
    def refuse() -> Application:
        raise ConfigError("database: is not set")

    lifespan = Lifespan(AsgiApp(refuse))
    answer = await lifespan.tell("startup")
    assert answer == {"type": "lifespan.startup.failed", "message": "database: is not set"}
    await lifespan.end()


@on_sqlite_only
async def test_what_is_not_http_is_refused(asgi_app: AsgiApp) -> None:
    carrier = Carrier(asgi_app)
    with pytest.raises(ValueError, match="not websocket"):
        await asgi_app({"type": "websocket"}, carrier.receiver(), carrier.send)


@pytest.fixture
def uvicorn(database_url: str) -> Iterator[subprocess.Popen[str]]:
    """The app under a real server that is not ours, on a free port."""
    environ = {
        "OPENPNS_DATABASE": database_url,
        "OPENPNS_MASTER_KEY": MASTER_KEY,
        "OPENPNS_LOG_FORMAT": "json",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "openpns.server.asgi:app", "--port", "0"],
        env=os.environ | environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.terminate()
    process.communicate(timeout=30)


def _wait_for(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    assert process.stderr is not None
    read = ""
    for line in process.stderr:
        read += line
        found = re.search(pattern, line)
        if found:
            return found
    raise AssertionError(read)


@on_sqlite_only
def test_the_app_runs_on_uvicorn_configured_by_environment_alone(
    key: NewSecret, uvicorn: subprocess.Popen[str]
) -> None:
    port = _wait_for(uvicorn, r"running on http://127\.0\.0\.1:([0-9]+)")[1]
    headers = signed_headers(key, "listGroup", LIST_ALL, now_ms())
    response = httpx2.post(f"http://127.0.0.1:{port}/v1/api/pns", content=LIST_ALL, headers=headers)
    assert response.json()["data"] == {"groups": [], "total": 0}
    uvicorn.terminate()
    _wait_for(uvicorn, "Application shutdown complete")
    uvicorn.wait(30)


@on_sqlite_only
def test_uvicorn_stops_with_the_reason_where_the_database_is_not_migrated(
    uvicorn: subprocess.Popen[str],
) -> None:
    _wait_for(uvicorn, "database: .* does not exist; make it with: openpns migrate")
    assert uvicorn.wait(30) != 0
