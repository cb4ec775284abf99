"""A small HTTP/1.1 server that can also refuse to answer: it carries calls to the emulator.

It answers as the real server's HTTP side does, and has power over the connection, which is what
tests of lost answers need. h11 reads and writes HTTP; asyncio's streams carry the bytes.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

import h11

from openpns.api.pipeline import HeaderList, ReadBody, Reply
from openpns.clock import Clock
from openpns.errors import ConfigError, InternalError, ParameterError

_READ_BYTES: Final = 65_536
_DISCARD_S: Final = 2.0
"""For how long a body that nobody wants is read, so that its caller gets to read the answer."""


class Request(NamedTuple):
    """The head of a request."""

    method: str
    path: str
    """Without the query."""
    headers: HeaderList
    """Names in lower case; a value that is no ASCII is left out, as the real server does."""


Answer = Callable[[Request, ReadBody], Awaitable[Reply | None]]
"""Answer a call; None drops its connection without a byte."""


class HttpServer:
    """Listens, and minds its connections.

    Args:
        answer: Answers the calls.
        clock: What the header Date says.
    """

    def __init__(self, answer: Answer, clock: Clock) -> None:
        self._answer = answer
        self._clock = clock
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Begin to listen; return the address and the port.

        Args:
            host: An address or name of this machine.
            port: The port; 0 picks a free one.

        Raises:
            ConfigError: It cannot listen there.
        """
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            # A name such as localhost may have several addresses; its port must be one.
            address = min(found, key=lambda entry: entry[0] != socket.AF_INET)[4]
            self._server = await asyncio.start_server(self._serve, str(address[0]), port)
        except (OSError, UnicodeError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"cannot listen on {host!r} port {port}: {reason}") from None
        taken = self._server.sockets[0].getsockname()
        return str(taken[0]), int(taken[1])

    async def drop_calls(self) -> None:
        """Drop the connections of all calls in hand, without an answer."""
        await self._drop(lambda connection: connection.is_in_call)

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        await self._drop(lambda _: True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer, self._answer, self._clock)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.serve()
        except asyncio.CancelledError:  # by `_drop` alone
            writer.transport.abort()
        finally:
            del self._connections[connection]
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _drop(self, which: Callable[["_Connection"], bool]) -> None:
        tasks = [task for connection, task in self._connections.items() if which(connection)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Connection:
    """One connection: request after request, until either side ends it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Answer,
        clock: Clock,
    ) -> None:
        self.is_in_call = False
        self._reader = reader
        self._writer = writer
        self._answer = answer
        self._clock = clock
        self._http = h11.Connection(h11.SERVER)

    async def serve(self) -> None:
        """Answer calls until the connection ends."""
        try:
            while await self._serve_one():
                self._http.start_next_cycle()
        except OSError:  # the caller went away
            return

    async def _serve_one(self) -> bool:
        """Answer one call; tell whether another may follow."""
        try:
            head = await self._next_event()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint)
            return False
        if not isinstance(head, h11.Request):  # the caller is done
            return False
        self.is_in_call = True
        request = _read_head(head)
        reply = await self._answer(request, partial(self._read_body, request.headers))
        try:
            is_sent = reply is not None and await self._send(reply, request.method)
        finally:
            if reply is not None:
                reply.close()
        if not is_sent:
            self._writer.transport.abort()
            return False
        self.is_in_call = False
        return await self._discard_body() and self._http.our_state is h11.DONE

    async def _next_event(self) -> h11.Event:
        while isinstance(event := self._http.next_event(), type):  # it needs more bytes
            self._http.receive_data(await self._reader.read(_READ_BYTES))
        return event

    async def _read_body(self, headers: HeaderList, bytes_max: int) -> bytes | None:
        if int(dict(headers).get("content-length", "0")) > bytes_max:  # h11 knows it is a number
            return None
        if self._http.they_are_waiting_for_100_continue:
            self._write(h11.InformationalResponse(status_code=100, headers=[]))
        body = bytearray()
        try:
            while isinstance(event := await self._next_event(), h11.Data):
                body += event.data
                if len(body) > bytes_max:
                    return None
        except (h11.RemoteProtocolError, OSError):
            raise ParameterError("the caller went away before the body was read") from None
        return bytes(body)

    async def _send(self, reply: Reply, method: str) -> bool:
        """Send an answer; tell whether it was sent to its end."""
        headers = [*reply.headers]
        if isinstance(reply.body, bytes):
            headers.append(("content-length", str(len(reply.body))))
        headers.append(("date", formatdate(self._clock() / 1000, usegmt=True)))
        if self._http.they_are_waiting_for_100_continue:  # with a body that is not wanted
            headers.append(("connection", "close"))
        status = HTTPStatus(reply.status)
        self._write(
            h11.Response(status_code=status, reason=status.phrase.encode(), headers=headers)
        )
        if isinstance(reply.body, bytes):
            if method != "HEAD":
                self._write(h11.Data(reply.body))
        else:
            async with aclosing(reply.body) as pieces:
                try:
                    async for piece in pieces:
                        self._write(h11.Data(piece))
                        await self._writer.drain()
                except InternalError:  # broken off in its middle, and logged
                    return False
        self._write(h11.EndOfMessage())
        await self._writer.drain()
        return True

    async def _refuse(self, status: int) -> None:
        """Answer what is no HTTP as the real server does."""
        if self._http.our_state is h11.IDLE:
            self._write(
                h11.Response(
                    status_code=status,
                    reason=HTTPStatus(status).phrase.encode(),
                    headers=[("connection", "close"), ("content-length", "0")],
                )
            )
            self._write(h11.EndOfMessage())
            await self._writer.drain()

    async def _discard_body(self) -> bool:
        """Read what is left of a body; tell whether another call may follow it."""
        try:
            async with asyncio.timeout(_DISCARD_S):
                while self._http.their_state is h11.SEND_BODY:
                    await self._next_event()
        except (h11.RemoteProtocolError, TimeoutError):
            return False
        return self._http.their_state is h11.DONE

    def _write(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")


def _read_head(head: h11.Request) -> Request:
    target = head.target.decode("ascii")
    # A proxy's caller sends a whole URL; anyone else a path, which may begin with two slashes.
    path = target if target.startswith("/") else urlsplit(target).path
    headers = [
        (name.decode("ascii"), value.decode("ascii"))
        for name, value in head.headers
        if value.isascii()
    ]
    return Request(head.method.decode("ascii"), unquote(path.partition("?")[0]), headers)
