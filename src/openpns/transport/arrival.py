"""The requests that arrive on one connection: parsed, bounded, and handed on when complete.

httptools (llhttp) parses. It is strict: what two servers could read differently is refused.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from openpns import limits
from openpns.errors import BodyTooLarge, Overloaded, ParameterError, WireError
from openpns.transport.messages import Request

if TYPE_CHECKING:
    from openpns.transport.listener import Listener

SMALL_BODY_BYTES: Final = 16 * 1024
"""A larger body is read only if its headers are good."""

_HEADERS_MAX: Final = 100
_PIECES_FREE: Final = 256
_PIECE_BYTES_MIN: Final = 256
"""Each piece of a body costs a wake-up: after the free ones, they must have this average size."""

_FREE_BYTES: Final = 4 * 1024
"""Of a request that arrives in parts, more than this is counted while it is held."""

_BAD_REQUEST: Final = 400
_HEADERS_TOO_LARGE: Final = 431
_UNAVAILABLE: Final = 503
_HOP_HEADERS: Final = frozenset({b"connection", b"upgrade"})


class Arrival:
    """Parses what a connection receives.

    Args:
        place: Whose memory it takes.
        take: Called with each complete request, while `feed` runs.

    Attributes:
        arrived_s: When what is fed had arrived, by `perf_counter`.
        held_bytes: What the listener has counted of the request that arrives.
        is_last: Whether the last request has arrived: nothing after it is read.
        is_stopping: Makes the request that arrives the last one.
        bad_status: The status for what arrived and is not HTTP; 0 while everything is.
    """

    def __init__(self, listener: "Listener", place: str, take: Callable[[Request], None]) -> None:
        self.arrived_s = 0.0
        self.is_last = False
        self.is_stopping = False
        self.bad_status = 0
        self._listener = listener
        self._place = place
        self._take = take
        self._parser: Any = HttpRequestParser(self)
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._repeated: list[bytes] = []
        self._head: dict[bytes, bytes] | None = None
        self._body: bytes | bytearray = b""
        self._is_whole = False
        # Of a request that arrives in parts.
        self._began_s: float | None = None
        self._fault: WireError | None = None
        self._pieces = 0
        self._raw_bytes = 0
        self._is_admitted = False
        self.held_bytes = 0

    @property
    def is_partial(self) -> bool:
        """Whether a part of a request has arrived."""
        return bool(self._target) or self._began_s is not None

    @property
    def began_s(self) -> float:
        """When a partial request began, by the event loop's clock; 0 if that is not known yet."""
        return self._began_s or 0.0

    @property
    def has_head(self) -> bool:
        """Whether the headers of a partial request have arrived."""
        return self._head is not None

    @property
    def expects_100(self) -> bool:
        """Whether the client waits for 100 (Continue) before it sends the body."""
        head = self._head or {}
        return head.get(b"expect", b"").lower() == b"100-continue" and not self._body

    def feed(self, data: bytes) -> bool:
        """Parse bytes; return whether they end with a complete request."""
        self._is_whole = False
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except HttpParserCallbackError:  # a bug of ours, not bad HTTP
            raise
        except HttpParserError:
            # After the last request anything may come.
            if not (self.is_last and self._is_whole):
                self.bad_status = self.bad_status or _BAD_REQUEST
        return self._is_whole and not self._target and not self.bad_status

    def next_step(self, arrived: int) -> Request | WireError | int | None:
        """Return what a partial request calls for, after more bytes of it have arrived.

        A request: ask whether its body may be sent. An error: answer it without the rest of the
        body. A number: it is not HTTP, or there is no memory for it; answer this status. None:
        wait.
        """
        if self._began_s is None:
            self._began_s = asyncio.get_running_loop().time()
        self._raw_bytes += arrived
        is_too_many = len(self._headers) + len(self._repeated) > _HEADERS_MAX  # trailers, too
        if is_too_many or (self._head is None and self._raw_bytes > limits.HEADER_BYTES_MAX):
            self.bad_status = self.bad_status or _HEADERS_TOO_LARGE
        has_room = self.bad_status or self._hold(self._raw_bytes)
        if self._head is None and not has_room:
            self.bad_status = _UNAVAILABLE
        if self.bad_status or self._head is None:
            return self.bad_status or None
        bytes_max = self._listener.bounds.body_bytes_max
        length = int(self._head.get(b"content-length", bytes_max))
        # Sizes of chunks and trailers count, too.
        if length > bytes_max or self._raw_bytes > 2 * (bytes_max + limits.HEADER_BYTES_MAX):
            return _too_large(bytes_max)
        if not has_room:
            return Overloaded("too many large requests at once; nothing was written")
        if not self._is_admitted and self._fault is None:
            self._is_admitted = True
            if length > SMALL_BODY_BYTES or self.expects_100:
                return self.partial_request()
        return self._fault

    def partial_request(self, fault: WireError | None = None) -> Request:
        """Return a request whose headers have arrived, without a body."""
        assert self._head is not None
        method = self._parser.get_method()
        return Request(method, self._target, self._head, self._repeated, perf_counter(), b"", fault)

    def fault_of_time(self, now_s: float) -> WireError | bool:
        """Return whether a partial request is late: for its body, the error."""
        bounds = self._listener.bounds
        if self._began_s is None:
            return False
        if self._head is None:
            return now_s > self._began_s + bounds.header_timeout_s
        if now_s <= self._began_s + bounds.body_timeout_s:
            return False
        wait_ms = round(bounds.body_timeout_s * 1000)
        return ParameterError(f"the body must arrive within {wait_ms} ms")

    def release(self) -> None:
        """Count the bytes of a request as held no longer."""
        if self.held_bytes:
            self._listener.received_bytes -= self.held_bytes
            self.held_bytes = 0

    def close(self) -> None:
        """Parse no more."""
        self.is_last = True
        # They refer to this object and to the connection: a cycle, which would keep both alive.
        # Neither is used any more.
        self._parser = self._take = None  # type: ignore[assignment]
        self._forget()
        self._target, self._headers, self._head, self._body = b"", {}, None, b""
        self.release()

    # -- what the parser calls ------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """Take the target, or a part of it."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers go to a dict that nobody reads."""
        name = name.lower()
        if name in self._headers:
            self._repeat(name)
            if name == b"x-forwarded-for":  # a proxy may add a line of its own
                value = b"%b,%b" % (self._headers[name], value)
        self._headers[name] = value.rstrip()  # the parser strips white space before it only

    def on_headers_complete(self) -> None:
        """Note that the headers are complete."""
        head = self._head = self._headers
        self._headers = {}
        if len(head) + len(self._repeated) > _HEADERS_MAX:
            self.bad_status = self.bad_status or _HEADERS_TOO_LARGE
        if b"content-length" not in head:
            coding = head.get(b"transfer-encoding", b"chunked")
            # What an HTTP/1.0 proxy has not understood may hide another request.
            is_old = b"transfer-encoding" in head and self._parser.get_http_version() != "1.1"
            if coding.lower() != b"chunked" or is_old:
                self.bad_status = self.bad_status or _BAD_REQUEST

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if self._body or len(piece) > self._listener.small_body_bytes:
            self._add_to_body(piece)
        else:
            self._body = piece

    def on_message_complete(self) -> None:
        """Hand a request on."""
        parser, head = self._parser, self._head
        if self.bad_status or head is None:
            return
        if b"upgrade" in head and parser.should_upgrade():
            return  # `_ignore_upgrade` gives it to another parser
        is_old = False
        if self.is_stopping or b"connection" in head or not parser.should_keep_alive():
            version = parser.get_http_version()
            if version == "0.9":
                self.bad_status = _BAD_REQUEST
                return
            is_old = version == "1.0"
            self.is_last = self.is_stopping or not parser.should_keep_alive()
        body = self._body if type(self._body) is bytes else bytes(self._body)
        request = Request(
            parser.get_method(),
            self._target,
            head,
            self._repeated,
            self.arrived_s,
            body,
            self._fault,
            is_old,
        )
        self._target, self._headers, self._head, self._body = b"", {}, None, b""
        self._is_whole = True
        if self._repeated or self._began_s is not None:
            self._forget()
        self._take(request)

    # -- inside ---------------------------------------------------------------------------------

    def _add_to_body(self, piece: bytes) -> None:
        """Take a piece of a body that is larger, or comes in several."""
        if self._began_s is None:
            self._began_s = asyncio.get_running_loop().time()
        if self._fault is not None:
            return
        if type(self._body) is bytes:
            self._body = bytearray(self._body)
        self._body += piece
        self._pieces += 1
        size, bounds = len(self._body), self._listener.bounds
        if size > bounds.body_bytes_max:
            self._fault = _too_large(bounds.body_bytes_max)
        elif self._pieces > _PIECES_FREE + size // _PIECE_BYTES_MIN:
            self._fault = ParameterError(
                "the body must have a Content-Length, or come in larger chunks"
            )
        if self._fault is not None:
            self._body = b""
        elif self.held_bytes:
            self._hold(max(size, self.held_bytes))

    def _hold(self, size: int) -> bool:
        """Count a request that arrives in parts; return whether there is memory for it."""
        if size <= _FREE_BYTES:
            return True
        self._listener.received_bytes += size - self.held_bytes
        self.held_bytes = size
        return self._listener.has_room(self._place)

    def _repeat(self, name: bytes) -> None:
        if self._repeated:
            self._repeated.append(name)
        else:  # the empty list is that of the requests before
            self._repeated = [name]

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse a request again without the headers of its upgrade; it is the last one."""
        head, method = self._head, self._parser.get_method()
        if head is None or method == b"CONNECT":
            self.is_last = True
            return
        lines = [b"%b %b HTTP/1.1" % (method, self._target), b"connection: close"]
        lines += [b"%b: %b" % line for line in head.items() if line[0] not in _HOP_HEADERS]
        lines += [name + b":" for name in self._repeated if name not in _HOP_HEADERS]
        self._target, self._headers, self._head, self._repeated = b"", {}, None, []
        self._parser = HttpRequestParser(self)
        self.feed(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _forget(self) -> None:
        self._repeated = []
        self._began_s = self._fault = None
        self._pieces = self._raw_bytes = 0
        self._is_admitted = False


def _too_large(bytes_max: int) -> WireError:
    return BodyTooLarge(f"the body may have at most {bytes_max} bytes")
