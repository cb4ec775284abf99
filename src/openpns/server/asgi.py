"""The ASGI app, for any other server: `openpns.server.asgi:app`, configured by environment."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import aclosing, nullcontext
from functools import partial
from typing import Any

from openpns.api import request_body
from openpns.api.pipeline import Api, HeaderList, Reply
from openpns.api.request_body import BodyBudget, BodyCollector
from openpns.errors import OpenPNSError, ParameterError
from openpns.server.application import Application, from_environ

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiApp:
    """Carry calls from an ASGI server to the API, and answers back.

    Args:
        make: Makes the worker when the server starts; from the environment where None.
    """

    def __init__(self, make: Callable[[], Application] = from_environ) -> None:
        self._make = make
        self._application: Application | None = None
        self._api: Api | None = None
        self._starting = asyncio.Lock()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection of the ASGI server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            api = self._api or await self._start()
            headers = list(_headers(scope))
            reply = await api.handle(
                scope["method"],
                scope["path"],
                headers,
                partial(_read_body, api.body_budget, headers, receive),
            )
            await _send_reply(reply, send)
        else:
            raise ValueError(f"openpns speaks HTTP, not {scope['type']}")

    async def _start(self) -> Api:
        """Start the worker, once: at start-up, or with the first call where there was none."""
        async with self._starting:
            if self._api is None:
                self._application = self._make()
                self._api = await self._application.start()
        return self._api

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
        except OpenPNSError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._application is not None:
            await self._application.stop()
        await send({"type": "lifespan.shutdown.complete"})


app = AsgiApp()


def _headers(scope: Message) -> Iterator[tuple[str, str]]:
    """Return the headers as text; one that is no ASCII is left out, as the RSGI server does."""
    for name, value in scope["headers"]:
        if value.isascii():
            yield name.decode("latin-1").lower(), value.decode("ascii")


async def _read_body(
    room: BodyBudget, headers: HeaderList, receive: Receive, bytes_max: int
) -> bytes | None:
    sent = dict(headers).get("content-length", "")
    length = int(sent) if sent.isdigit() else bytes_max
    if length > bytes_max:
        return None
    with nullcontext() if length <= request_body.SMALL_BODY_BYTES else room.reserve(length):
        return await _collect(receive, bytes_max)


async def _collect(receive: Receive, bytes_max: int) -> bytes | None:
    body = BodyCollector(bytes_max)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ParameterError("the caller went away before the body was read")
        if not body.add(message.get("body", b"")):
            return None
        if not message.get("more_body"):
            return body.body()


async def _send_reply(reply: Reply, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in reply.headers]
    start = {"type": "http.response.start", "status": reply.status, "headers": headers}
    if isinstance(reply.body, bytes):
        headers.append((b"content-length", b"%d" % len(reply.body)))
        await send(start)
        await send({"type": "http.response.body", "body": reply.body})
        return
    try:
        await send(start)
        async with aclosing(reply.body) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        reply.close()
