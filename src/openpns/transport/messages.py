"""What a connection and its responder exchange: requests and replies."""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from openpns.errors import WireError


class Request(msgspec.Struct):
    """A request, as it was sent.

    Attributes:
        target: The path with its query; a proxy's client sends a whole URL.
        headers: Names in lower case; of a repeated one, the last value, but all addresses of
            X-Forwarded-For.
        repeated: The names of headers that were sent again, once for each time.
        arrived_s: When it had arrived, as far as it is read, by `perf_counter`.
        body: All of it; empty if there is a `fault`.
        fault: Why the body is not there: it is too large or too late, or must not be sent.
        is_old: Whether it came with HTTP/1.0.
        address: The IP address at the other end of the connection; it may be a proxy's.
    """

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    repeated: list[bytes]
    arrived_s: float
    body: bytes = b""
    fault: WireError | None = None
    is_old: bool = False
    address: str = ""

    def __repr__(self) -> str:
        """Return a text without headers and body: they hold signatures and phones."""
        return f"Request({self.method!r}, {len(self.body)} bytes)"

    @property
    def path(self) -> str:
        """The path without the query, decoded."""
        return unquote(self.raw_path.decode("ascii", "replace"))

    @property
    def raw_path(self) -> bytes:
        """The path without the query, as sent; empty if the target has none."""
        target = self.target
        # A path may begin with two slashes, which are not those before the host of a URL.
        if not target.startswith(b"/"):
            try:
                target = urlsplit(target).path
            except ValueError:  # not a URL
                return b""
        return target.partition(b"?")[0]


class Reply(msgspec.Struct):
    """A response, ready to be sent.

    Attributes:
        headers: Whole lines, each with its end; without Content-Length, Date and Connection.
        body: Its pieces; a generator is read as fast as the client reads.
        owner: Whose request it answers, to share out the memory of responses that are not read;
            empty if nobody is known to have signed it.
        close: Called when a body from a generator was sent, or cannot be.
    """

    status: int
    headers: bytes
    body: tuple[bytes, ...] | AsyncGenerator[bytes, None]
    owner: str = ""
    close: Callable[[], None] | None = None

    def __repr__(self) -> str:
        """Return a text without the body: it holds phones."""
        return f"Reply({self.status})"


class Responder(Protocol):
    """Answers requests. Its methods raise nothing but CancelledError."""

    async def respond(self, request: Request) -> Reply | None:
        """Return the response; None closes the connection without one.

        The first step runs outside a task: what it awaits first must not need
        `asyncio.current_task`.
        """
        ...

    async def admit(self, request: Request) -> WireError | None:
        """Return why the body of a request must not be sent, if it must not.

        Asked for a body that is larger, or whose client waits for 100 (Continue); the body is empty
        here. The error becomes the request's `fault`.
        """
        ...
