"""The sending side of a connection: replies to bytes, as fast as the client takes them."""

from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from openpns.transport.messages import Reply, Request

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from openpns.transport.connection import Connection
    from openpns.transport.listener import Listener

_JOINED_BYTES_MAX: Final = 64 * 1024
"""A larger response is written in pieces: to copy it would take longer."""
_SENT_BYTES_PER_TIMEOUT: Final = 1024 * 1024
"""For each of so many bytes of a response its client has the send timeout once more."""

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Sender:
    """Writes the responses of one connection.

    Attributes:
        is_waiting: Whether the client has to take something before more is sent.
        owner: Whose response was sent last.
        unsent_bytes: What the listener has counted of `measure`.
    """

    def __init__(self, listener: "Listener", connection: "Connection") -> None:
        self.is_waiting = False
        self.owner = ""
        self.unsent_bytes = 0
        self._listener = listener
        # Two that refer to each other would stay in memory until the garbage collector looks at old
        # objects.
        self._connection: Callable[[], Any] = ref(connection)
        self._transport: Any = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        # How long the client takes for a response, and how much of it was sent.
        self._is_streaming = False
        self._began_s = 0.0
        self._since_s = 0.0
        self._waited_s = 0.0
        self._sent_bytes = 0
        self._drained: asyncio.Future[None] | None = None

    def begin(self, transport: Any) -> None:
        """Send on a transport."""
        self._transport = transport
        # `pause_writing` whenever something is unsent: the clock for sending runs from then on.
        transport.set_write_buffer_limits(high=1)

    def add(self, request: Request, reply: Reply, *, is_last: bool) -> None:
        """Add a whole response to those that `flush` writes together."""
        body: Any = reply.body
        length = sum(map(len, body))
        self._out.append(
            b"%b%bcontent-length: %d\r\n%b"
            % (_STATUS_LINES[reply.status], reply.headers, length, self._ending(request, is_last))
        )
        if request.method != b"HEAD":
            self._out += body
            self._out_bytes += length
        self.owner = reply.owner
        if self._out_bytes > _JOINED_BYTES_MAX and not self._transport.is_closing():
            self.flush()

    def add_status(self, status: int) -> None:
        """Add the last response, without a body, to what is not HTTP."""
        ending = self._listener.date + b"connection: close\r\n\r\n"
        self._out.append(b"%bcontent-length: 0\r\n%b" % (_STATUS_LINES[status], ending))

    def add_continue(self) -> None:
        """Add the interim response that asks for the body."""
        self._out.append(b"HTTP/1.1 100 Continue\r\n\r\n")

    def flush(self) -> None:
        """Write what was added, in one system call."""
        out, size = self._out, self._out_bytes
        if out:
            self._out, self._out_bytes = [], 0
            if size > _JOINED_BYTES_MAX:
                self._transport.writelines(out)
            else:
                self._transport.write(b"".join(out))
            if self.is_waiting:
                self._sent_bytes += size
                self._listener.hold(self._connection())

    async def stream(self, request: Request, reply: Reply, *, is_last: bool) -> None:
        """Send a response piece by piece.

        Raises:
            InternalError: It broke off, which was logged; an end would make it look complete.
        """
        self.owner = reply.owner
        self._is_streaming, self._waited_s, self._sent_bytes = True, 0.0, 0
        self._began_s = self._listener.loop.time()
        assert not isinstance(reply.body, tuple)
        pieces = reply.body
        # To HTTP/1.0, the end of the connection is the end of the response.
        is_chunked = not request.is_old
        framing = b"transfer-encoding: chunked\r\n" if is_chunked else b""
        ending = self._ending(request, is_last)
        try:
            async with aclosing(pieces):
                await self._write(_STATUS_LINES[reply.status] + reply.headers + framing + ending)
                async for piece in pieces:
                    if self._transport.is_closing():
                        return
                    await self._write(
                        b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
                    )
            if is_chunked:
                await self._write(b"0\r\n\r\n")
        finally:
            self._is_streaming = False
            if reply.close is not None:
                reply.close()

    def pause(self) -> None:
        """Note that the client does not take its response as fast as it is sent."""
        if not self.is_waiting:
            self.is_waiting = True
            self._since_s = self._listener.loop.time()
            if not self._is_streaming:
                self._began_s, self._waited_s = self._since_s, 0.0
                self._sent_bytes = self.measure()
            self._listener.hold(self._connection())

    def resume(self) -> None:
        """Note that the client has taken everything, or is gone."""
        if self.is_waiting:
            self._listener.release(self._connection())
            self._waited_s += self._listener.loop.time() - self._since_s
            self.is_waiting = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def is_too_slow(self, now_s: float) -> bool:
        """Return whether the client has taken too long for its response.

        Too slowly for its bytes, or too long in all: what is streamed may hold a snapshot.
        """
        if not (self.is_waiting or self._is_streaming):
            return False
        if now_s - self._began_s > self._listener.bounds.response_timeout_s:
            return True
        if not self.is_waiting:
            return False
        waited_s = self._waited_s + now_s - self._since_s
        timeouts = 1 + self._sent_bytes / _SENT_BYTES_PER_TIMEOUT
        return waited_s > self._listener.bounds.send_timeout_s * timeouts

    def measure(self) -> int:
        """Return how many bytes of the responses are not sent yet."""
        size: int = self._transport.get_write_buffer_size()
        return size

    def _ending(self, request: Request, is_last: bool) -> bytes:
        """Return the last headers of a response and the empty line."""
        if is_last:
            return self._listener.date + b"connection: close\r\n\r\n"
        if request.is_old:
            return self._listener.date + b"connection: keep-alive\r\n\r\n"
        return self._listener.date + b"\r\n"

    async def _write(self, data: bytes) -> None:
        """Write a part of a response; wait until the client has taken it."""
        if self._transport.is_closing():
            return
        self._sent_bytes += len(data)
        self._transport.write(data)
        if self.is_waiting:
            self._drained = self._listener.loop.create_future()
            await self._drained
