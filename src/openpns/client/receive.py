"""Send one attempt of a request and receive its response, in bounded time and memory.

httpx2 bounds each wait for a part of a response, but not all of them together.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from traceback import walk_tb
from typing import Any, Final

import httpx2

from openpns.client.answers import Response
from openpns.client.config import ClientConfig
from openpns.client.connections import AsyncConnections, Connections
from openpns.client.exchange import Send
from openpns.client.streams import give_up_after_fork, is_new_stream
from openpns.errors import (
    AnswerTooLarge,
    AnswerTooLate,
    AnswerUnreadable,
    ConnectFailed,
    ConnectionLost,
    TransportError,
)
from openpns.kit.plain_text import brief

_PART_BYTES: Final = 64 * 1024
"""How much of a body is sent before the time is checked again."""

_LENGTH_DIGITS_MAX: Final = 19
"""Of a Content-Length; Python does not read numbers of any length."""

_TIMEOUT_S_MIN: Final = 0.001

_WHY_CHARS_MAX: Final = 300
_MANY_DIGITS: Final = re.compile(r"[0-9]{5,}")
"""Such as a phone: httpx2's errors quote what they cannot read."""

_ENVIRONMENT: Final = (OSError, UnicodeError, RuntimeError)
"""What the system, a host name that cannot be encoded, a test runner that forbids sockets, and a
client of httpx2 that another thread closes raise."""
_LIBRARIES: Final = frozenset({"httpx2", "httpcore2", "h11", "anyio", "idna"})
"""They raise other errors as well, such as for a redirect to what cannot be read as a URL."""


class AttemptError(Exception):
    """There is no response that the client accepts; `kind` is the error to raise for it."""

    def __init__(
        self, kind: type[TransportError], why: str, http_status: int | None = None
    ) -> None:
        self.kind = kind
        self.why = why
        self.http_status = http_status
        super().__init__(why)


def receive(
    connections: Connections, url: httpx2.URL, step: Send, config: ClientConfig
) -> Response:
    """Send a request and return its response.

    Raises:
        httpx2.HTTPError: There is no response.
        AttemptError: It is too large, too late, or compressed, or could not be requested.
        ClientClosed: The connections were closed.
    """
    http = connections.get()
    request = _request(http, url, step, config)
    trace = _Trace()
    request.extensions["trace"] = trace
    before = _deadline()
    _thread.deadline = step.deadline
    try:
        response = http.send(request, stream=True)
        try:
            body = _Body(response, config.response_bytes_max)
            for part in response.iter_bytes():
                body.add(part)
                _check_time(step.deadline)  # the only check of a transport without sockets
        finally:
            response.close()
    except (httpx2.ReadTimeout, httpx2.WriteTimeout):
        _check_time(step.deadline)
        raise
    except Exception as error:
        _explain(error, trace, is_own=connections.is_own)
        raise
    finally:
        _thread.deadline = before
    return body.complete()


async def receive_async(
    connections: AsyncConnections, url: httpx2.URL, step: Send, config: ClientConfig
) -> Response:
    """Send a request and return its response; see `receive`."""
    import asyncio  # noqa: PLC0415 - a sync program need not load it

    http = await connections.get()
    request = _request(http, url, step, config)
    trace = _Trace()
    request.extensions["trace"] = trace.call_async
    try:
        async with asyncio.timeout(step.deadline - time.monotonic()):
            response = await http.send(request, stream=True)
            try:
                body = _Body(response, config.response_bytes_max)
                async for part in response.aiter_bytes():
                    body.add(part)
            finally:
                await response.aclose()
    except TimeoutError:
        raise _too_late() from None
    except Exception as error:
        _explain(error, trace, is_own=connections.is_own)
        raise
    return body.complete()


def describe(error: Exception) -> str:
    """Return a library's error as a text without control characters and phones, of one line."""
    while isinstance(error, ExceptionGroup):  # of the addresses of a server
        error = error.exceptions[0]
    why = ": ".join(filter(None, (type(error).__name__, str(error))))
    return _MANY_DIGITS.sub("…", brief(why, _WHY_CHARS_MAX))


def _explain(error: Exception, trace: "_Trace", *, is_own: bool) -> None:
    """Raise an AttemptError for an error of the environment or of a library, but not httpx2's own.

    Other errors are not of the attempt: a signal handler raises them, such as Celery's
    SoftTimeLimitExceeded. An error of the user's own transport is the user's.
    """
    if not is_own or isinstance(error, httpx2.HTTPError | AttemptError) or not _is_failure(error):
        return
    if trace.is_sent:
        raise AttemptError(ConnectionLost, f"the connection was lost ({describe(error)})") from None
    raise AttemptError(ConnectFailed, f"no connection can be made ({describe(error)})") from None


def _is_failure(error: Exception) -> bool:
    """Return whether an error says that the attempt failed, rather than that it is interrupted."""
    if isinstance(error, ExceptionGroup):  # of the addresses of a server
        return all(map(_is_failure, error.exceptions))
    if isinstance(error, _ENVIRONMENT):
        return True
    names = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    return bool(names) and names[-1].partition(".")[0] in _LIBRARIES


def _request(
    http: httpx2.Client | httpx2.AsyncClient, url: httpx2.URL, step: Send, config: ClientConfig
) -> httpx2.Request:
    timeout_s = max(_TIMEOUT_S_MIN, min(config.timeout_s, step.deadline - time.monotonic()))
    return http.build_request(
        "POST", url, content=step.content, headers=step.headers, timeout=timeout_s
    )


class _Body:
    """A response's body as it arrives."""

    def __init__(self, response: httpx2.Response, bytes_max: int) -> None:
        self._response = response
        self._bytes_max = bytes_max
        self._content = bytearray()
        self._status = response.status_code
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise AttemptError(
                AnswerUnreadable,
                "the response is compressed, although the request does not allow that",
                self._status,
            )
        length = response.headers.get("content-length", "")
        if length.isdecimal() and (len(length) > _LENGTH_DIGITS_MAX or int(length) > bytes_max):
            raise self._too_large()

    def add(self, part: bytes) -> None:
        if len(self._content) + len(part) > self._bytes_max:
            raise self._too_large()
        self._content += part

    def complete(self) -> Response:
        headers = {name.lower(): value for name, value in self._response.headers.items()}
        return Response(self._status, headers, self._content)

    def _too_large(self) -> AttemptError:
        return AttemptError(
            AnswerTooLarge,
            f"the response has more than {self._bytes_max} bytes (response_bytes_max)",
            self._status,
        )


_thread = threading.local()
"""`deadline`: when the response to what this thread sends must be complete, by time.monotonic()."""


def _deadline() -> float | None:
    """Return the deadline of this thread's request; None outside of a request."""
    deadline: float | None = getattr(_thread, "deadline", None)
    return deadline


def _too_late() -> AttemptError:
    return AttemptError(AnswerTooLate, "the response was not complete in time (deadline_s)")


def _check_time(deadline: float) -> float:
    """Return the seconds that are left."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise _too_late()
    return left


class _Trace:
    """What httpx2 says of a request: whether it is being sent, and each new stream."""

    def __init__(self) -> None:
        self.is_sent = False

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        stream = self._see(event, info)
        if stream is not None:
            _bound_stream(stream)

    async def call_async(self, event: str, info: Mapping[str, Any]) -> None:
        self._see(event, info)

    def _see(self, event: str, info: Mapping[str, Any]) -> Any:
        """Return the stream if an event brings one."""
        if event.endswith("send_request_headers.started"):
            self.is_sent = self.is_sent or info["request"].method != b"CONNECT"  # to a proxy
        stream = info.get("return_value") if is_new_stream(event) else None
        if stream is not None:
            give_up_after_fork(stream)
        return stream


def _bound_stream(stream: Any) -> None:
    """Let each wait of a new connection end at the deadline of the request that it is used for.

    Otherwise a response whose header arrives byte by byte would have the whole timeout for each
    byte.
    """
    stream.read = partial(_read, stream.read)
    stream.write = partial(_write, stream.write)
    stream.start_tls = partial(_start_tls, stream.start_tls)


def _read(read: Callable[..., bytes], bytes_max: int, timeout: float | None = None) -> bytes:
    return read(bytes_max, timeout=_wait_s(timeout))


def _write(write: Callable[..., None], data: bytes, timeout: float | None = None) -> None:
    view = memoryview(data)
    for start in range(0, len(view), _PART_BYTES):
        write(view[start : start + _PART_BYTES], timeout=_wait_s(timeout))


def _start_tls(
    start_tls: Callable[..., Any],
    ssl_context: Any,
    server_hostname: str | None = None,
    timeout: float | None = None,
) -> Any:
    return start_tls(ssl_context, server_hostname, timeout=_wait_s(timeout))


def _wait_s(timeout: float | None) -> float | None:
    """Return how long a wait may take: until its timeout or the deadline, whichever is first."""
    deadline = _deadline()
    if deadline is None:  # another client uses the same transport
        return timeout
    left = _check_time(deadline)
    return left if timeout is None else min(left, timeout)
