"""Receivers of webhooks on loopback, good and bad ones, and webhooks in a database."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from standardwebhooks import Webhook
from tests import direct

from openpns.accounts.secret_box import SecretBox
from openpns.core import outbox
from openpns.core.outbox import Event
from openpns.deliveries.signature import new_secret, secret_owner
from openpns.storage.store import (
    Statement,
    StatementBatch,
    Store,
    Transaction,
    database_path,
)

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
KIND = "callRecord"
STATES = (
    "SELECT delivery_id, state, tries, round_tries, last_status, last_error FROM delivery "
    "ORDER BY customer_id, delivery_id"
)
MINUTE_MS = 60_000


class Received(NamedTuple):
    """A request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"].removeprefix("msg_")


Respond = Callable[["HookServer", Received, asyncio.StreamWriter], Any]


async def take(_: "HookServer", __: Received, writer: asyncio.StreamWriter) -> None:
    """Take it."""
    writer.write(OK)


def answer(text: str, headers: str = "") -> Respond:
    """Answer with a status line and headers."""

    async def respond(_: "HookServer", __: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {text}\r\n{headers}content-length: 0\r\n\r\n".encode())

    return respond


async def hang(receiver: "HookServer", _: Received, __: asyncio.StreamWriter) -> None:
    """Never answer."""
    await receiver.never.wait()


async def drop(_: "HookServer", __: Received, writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer."""
    writer.transport.abort()


async def drip(receiver: "HookServer", _: Received, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nx: ")
    while not receiver.never.is_set():
        writer.write(b"x")
        await asyncio.sleep(0.02)


class HookServer:
    """A server that records what it gets, in the order of arrival."""

    def __init__(self, respond: Respond = take) -> None:
        self.respond = respond
        self.received: list[Received] = []
        self.never = asyncio.Event()
        self.in_flight = 0
        self.in_flight_max = 0
        self.port = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def ids(self) -> list[str]:
        return [one.id for one in self.received]

    async def start(self, **options: Any) -> "HookServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, **options)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self.never.set()
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._serve_one(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers["content-length"]))
        received = Received(request_line.split()[1], headers, body)
        self.received.append(received)
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            await self.respond(self, received, writer)
            await writer.drain()
        finally:
            self.in_flight -= 1


@contextlib.asynccontextmanager
async def receiving(respond: Respond = take, **options: Any) -> AsyncIterator[HookServer]:
    """Run a receiver for the time of a block."""
    receiver = await HookServer(respond).start(**options)
    try:
        yield receiver
    finally:
        await receiver.stop()


class ThreadedHookServer:
    """A receiver in a thread of its own, for tests that wait for processes."""

    def __init__(self, respond: Respond = take) -> None:
        self._respond = respond
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self.receiver: HookServer

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        async def serve() -> None:
            self._stopping = asyncio.Event()
            async with receiving(self._respond) as self.receiver:
                self._ready.set()
                await self._stopping.wait()

        self._loop.run_until_complete(serve())
        self._loop.close()


async def add_webhook(
    database_url: str,
    secret_box: SecretBox,
    customer_id: str,
    url: str,
    *,
    kinds: str = KIND,
    previous: str | None = None,
    previous_until_ms: int = 0,
) -> str:
    """Store an active webhook; return its secret."""
    secret = new_secret()

    def literal(text: str) -> str:
        encrypted = secret_box.encrypt(text.encode(), secret_owner(customer_id)).hex()
        return f"'\\x{encrypted}'" if database_path(database_url) is None else f"x'{encrypted}'"

    before = "NULL" if previous is None else literal(previous)
    await direct.run(
        database_url,
        "INSERT INTO webhook (customer_id, url, kinds, state, secret_ciphertext, "
        "previous_ciphertext, previous_until_ms, created_ms, changed_ms) VALUES "
        f"('{customer_id}', '{url}', '{kinds}', 'active', {literal(secret)}, {before}, "
        f"{previous_until_ms}, 1, 1)",
    )
    return secret


def add_events(
    customer_id: str, ids: Sequence[int], now_ms: int
) -> Callable[[], Transaction[None]]:
    """Return the steps of a write that adds events."""
    events = [Event(str(one), KIND, b'{"id":%d}' % one) for one in ids]

    def steps() -> Transaction[None]:
        yield StatementBatch(
            "delivery_add", [outbox.add(customer_id, one, now_ms).params for one in events]
        )

    return steps


async def add_customer(store: Store, customer_id: str) -> None:
    """Add a customer."""

    def steps() -> Transaction[None]:
        customer = {"customer_id": customer_id, "name": "", "now_ms": 1}
        yield Statement("customer_create", customer)
        yield Statement("customer_state_create", {"customer_id": customer_id, "revision": 1})

    await store.write(steps)


def verified(secret: str, received: Received) -> bool:
    """Return whether a delivery has a signature with a secret; its time is not looked at."""
    hook = Webhook(secret)
    at = datetime.fromtimestamp(int(received.headers["webhook-timestamp"]), UTC)
    expected = hook.sign(received.headers["webhook-id"], at, received.body.decode())
    return expected in received.headers["webhook-signature"].split(" ")


def repeated(ids: Sequence[str]) -> dict[str, int]:
    """Return the ids that were received more than once."""
    return {one: count for one, count in Counter(ids).items() if count > 1}


async def until(condition: object, seconds: float = 60) -> None:
    """Wait until a function returns something true."""
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
