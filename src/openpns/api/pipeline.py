"""The hot path: from the bytes of a request to the bytes of its answer.

Read `_answer` from top to bottom: the order of its checks is part of the API.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from time import perf_counter
from typing import Final

from openpns import limits
from openpns.accounts import access_keys
from openpns.accounts.secret_box import SecretBox
from openpns.api.authentication import Authenticator, read_headers
from openpns.api.page_cache import CacheKey, PageCache
from openpns.api.registry import ACTIONS
from openpns.api.request_body import BodyBudget, BodyDeadline
from openpns.api.request_log import Call, RequestLog
from openpns.core.context import Services
from openpns.errors import (
    BodyTooLarge,
    InternalError,
    MethodNotAllowed,
    Overloaded,
    ParameterError,
    PathNotFound,
    PermissionDenied,
    WireError,
)
from openpns.groups.answers import Fragment
from openpns.protocol import envelope

PATHS: Final = frozenset({"/api/pns/", "/api/pns", "/v1/api/pns/", "/v1/api/pns"})
"""Where the API is served."""

UNKNOWN_KEY: Final = "(unknown)"
"""How the log calls an access key that is not there; no key can be called so."""

HeaderList = list[tuple[str, str]]

ReadBody = Callable[[int], Awaitable[bytes | None]]
"""Return the body, or None where it has more bytes than the argument."""


class Reply:
    """An answer, ready to be sent.

    Args:
        status: The HTTP status.
        headers: The headers, but those that the HTTP server adds.
        body: The body: whole, or in pieces where it is large.
        close: To be called once the body was sent, or cannot be.
    """

    __slots__ = ("body", "close", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: HeaderList,
        body: bytes | AsyncGenerator[bytes, None],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.close = close


class Api:
    """Answer calls; the same whatever carries them.

    Args:
        services: What the actions work with.
        secret_box: Opens the keys' secrets.
        request_log: Counts and logs calls.
        body_bytes_max: The largest body that is read.
        in_flight_max: How many calls may be in hand at once.
        body_timeout_ms: How long a body may take to arrive.
        cache_bytes_max: How many bytes kept answers may take; 0 keeps none.
        body_buffer_bytes_max: How many bytes larger bodies may have together while they arrive;
            one body is let in in any case.
    """

    def __init__(
        self,
        services: Services,
        secret_box: SecretBox,
        request_log: RequestLog,
        body_bytes_max: int = limits.BODY_BYTES_MAX,
        in_flight_max: int = limits.REQUESTS_IN_FLIGHT_MAX,
        body_timeout_ms: int = limits.BODY_TIMEOUT_MS,
        cache_bytes_max: int = limits.CACHE_BYTES_MAX,
        body_buffer_bytes_max: int = limits.BODY_BUFFER_BYTES_MAX,
    ) -> None:
        self._services = services
        self._authenticator = Authenticator(secret_box, cache_bytes_max // limits.CACHED_KEY_BYTES)
        self._telemetry = request_log
        self._body_bytes_max = body_bytes_max
        self._in_flight_max = in_flight_max
        self.body_budget = BodyBudget(max(body_buffer_bytes_max, body_bytes_max))
        """For who reads bodies: what they may take together."""
        self._deadline = BodyDeadline(body_timeout_ms)
        self._pages = PageCache(cache_bytes_max)
        self._rates = services.rates
        self._in_flight = 0

    async def handle(
        self, method: str, path: str, headers: Iterable[tuple[str, str]], read_body: ReadBody
    ) -> Reply:
        """Answer one call; every failure is answered too, none is raised.

        Args:
            method: The HTTP method.
            path: The path, without the query.
            headers: Every header as sent, names in lower case.
            read_body: Reads the body.
        """
        call = Call(self._services.ids.request_id(), perf_counter())
        self._telemetry.begin()
        is_finished = True
        try:
            fragment = await self._answer(call, method, path, headers, read_body)
            if isinstance(fragment, bytes):
                return Reply(200, _headers(call), envelope.success(call.request_id, fragment))
            is_finished = False
            pieces = self._pieces(call, fragment)
            return Reply(200, _headers(call), pieces, partial(self._end, call))
        except WireError as error:
            return self._fail(call, error)
        except Exception as error:  # noqa: BLE001 - a bug is answered as one
            return self._fail(call, _bug(error))
        finally:
            if is_finished:
                self._end(call)

    async def _answer(
        self,
        call: Call,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]],
        read_body: ReadBody,
    ) -> Fragment:
        services = self._services
        if path not in PATHS:
            raise PathNotFound("the path must be /api/pns/")
        if method != "POST":
            raise MethodNotAllowed("the method must be POST")
        body = await self._read_body(call, read_body)
        public = read_headers(headers)
        key = await access_keys.find(services.store, public.access_key)
        # What is no key may be a secret, pasted into the wrong place. Yet its line in the log must
        # take as long to write as that of a key that is there.
        call.access_key = UNKNOWN_KEY if key is None else public.access_key
        caller = self._authenticator.check(public, body, key, services.clock(), call.request_id)
        call.customer_id = caller.customer_id
        action = ACTIONS.get(public.action)
        if action is None:
            raise ParameterError(f"action must be one of {', '.join(ACTIONS)}")
        call.action = public.action
        if caller.rate_per_s is not None or self._rates.is_for_all:
            self._rates.charge(caller)
        if action.is_write and caller.is_read_only:
            raise PermissionDenied("the accessKey may only read")
        if action.is_cached:
            asked = CacheKey(caller.customer_id, public.action, public.content_type, body)
            kept = self._pages.find(asked, caller.version)
            if kept is not None:
                return kept
        request = action.read(body, public.content_type)
        if not action.is_cached:
            return action.encode(await action.run(services, caller, request))

        async def read() -> tuple[int, Fragment]:
            result = await action.run(services, caller, request)
            return result.version, action.encode(result)

        return await self._pages.read(asked, caller.version, read)

    async def _read_body(self, call: Call, read_body: ReadBody) -> bytes:
        """Read the body; from then on the call is in hand, and takes one of the places."""
        body = await self._deadline.read(read_body(self._body_bytes_max), call.started_s)
        if body is None:
            raise BodyTooLarge(f"the body may have at most {self._body_bytes_max} bytes")
        if self._in_flight >= self._in_flight_max:
            raise Overloaded("too many calls at once; nothing was written")
        self._in_flight += 1
        call.is_in_flight = True
        return body

    def _end(self, call: Call) -> None:
        if call.is_finished:
            return
        call.is_finished = True
        self._in_flight -= call.is_in_flight
        self._telemetry.end(call)
        # The error's traceback leads back to this call: a circle, which would keep the body and the
        # connection (Granian ends it only when nobody can read from it any more) for a while.
        call.error = None

    async def _pieces(
        self, call: Call, fragment: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """Send an answer piece by piece; the call is in hand until the last one."""
        try:
            async with aclosing(fragment):
                yield envelope.success_begin(call.request_id) + b","
                async for piece in fragment:
                    yield piece
            yield envelope.ENVELOPE_END
        except Exception as error:  # noqa: BLE001 - whatever it is
            # The status is sent: all that is left is to break the answer off, and to say so. The
            # server that carries us logs what it is given, so it gets no error that quotes data.
            call.error = error if isinstance(error, WireError) else InternalError()
            call.error.__cause__ = error.__cause__ if call.error is error else error
            call.is_truncated = True
            raise InternalError("the answer was broken off") from None
        finally:
            self._end(call)

    def _fail(self, call: Call, error: WireError) -> Reply:
        call.error = error
        headers = _headers(call)
        if isinstance(error, MethodNotAllowed):
            headers.append(("allow", "POST"))
        if error.retry_after_s is not None:
            headers.append(("retry-after", f"{error.retry_after_s:.0f}"))
        return Reply(error.http_status, headers, envelope.failure(call.request_id, error))


def _bug(error: Exception) -> InternalError:
    failure = InternalError()
    failure.__cause__ = error
    return failure


def _headers(call: Call) -> HeaderList:
    return [("content-type", "application/json"), ("x-request-id", call.request_id)]
