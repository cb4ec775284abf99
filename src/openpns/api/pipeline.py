"""The hot path: from the bytes of a request to the bytes of its response.

Read `_respond` from top to bottom: the order of its checks is part of the API.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from time import perf_counter
from typing import Final

from openpns import limits
from openpns.accounts import access_keys
from openpns.accounts.secret_box import SecretBox
from openpns.api.authentication import CACHED_KEY_BYTES, Authenticator
from openpns.api.page_cache import CacheKey, PageCache
from openpns.api.registry import ACTIONS
from openpns.api.request_body import BodyBudget, BodyDeadline
from openpns.api.request_log import RequestLog, RequestRecord
from openpns.core.actions import Fragment
from openpns.core.context import Context, RequestFacts, Services
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
from openpns.protocol import envelope
from openpns.protocol.headers import PATHS, read_headers

UNKNOWN_KEY: Final = "(unknown)"
"""An unknown access key in the log; no access key can be written like this."""

HeaderList = list[tuple[str, str]]

ReadBody = Callable[[int], Awaitable[bytes | None]]
"""Return the body, or None if it has more bytes than the argument."""


class Reply:
    """A response, ready to be sent; `close` is called once the body was sent, or cannot be."""

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
    """Respond to requests, whatever carries them; the bounds are those of `server.config`."""

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
        self._authenticator = Authenticator(secret_box, cache_bytes_max // CACHED_KEY_BYTES)
        self._request_log = request_log
        self._body_bytes_max = body_bytes_max
        self._in_flight_max = in_flight_max
        self.body_budget = BodyBudget(max(body_buffer_bytes_max, body_bytes_max))
        """The bytes that larger bodies may take together; one body is always admitted."""
        self._deadline = BodyDeadline(body_timeout_ms)
        self._pages = PageCache(cache_bytes_max)
        self._rates = services.rates
        self._in_flight = 0

    async def handle(
        self, method: str, path: str, headers: Iterable[tuple[str, str]], read_body: ReadBody
    ) -> Reply:
        """Return the response to one request; a failure is a response, too.

        The path is without the query; the names of the headers are in lower case.
        """
        record = RequestRecord(self._services.ids.request_id(), perf_counter())
        self._request_log.begin()
        is_finished = True
        try:
            fragment = await self._respond(record, method, path, headers, read_body)
            if isinstance(fragment, bytes):
                return Reply(200, _headers(record), envelope.success(record.request_id, fragment))
            is_finished = False
            chunks = self._chunks(record, fragment)
            return Reply(200, _headers(record), chunks, partial(self._end, record))
        except WireError as error:
            return self._fail(record, error)
        except Exception as error:  # noqa: BLE001 - a bug gets a response as well
            return self._fail(record, _bug(error))
        finally:
            if is_finished:
                self._end(record)

    async def _respond(
        self,
        record: RequestRecord,
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
        body = await self._read_body(record, read_body)
        public = read_headers(headers)
        found = await access_keys.find(services.store, public.access_key)
        # An unknown key may be a secret that was pasted into the wrong place. Its line in the log
        # must take as long to write as that of a known key.
        record.access_key = UNKNOWN_KEY if found is None else public.access_key
        key = self._authenticator.check(public, body, found, services.clock())
        principal = key.principal
        record.customer_id = principal.customer_id
        if principal.rate_per_s is not None or self._rates.is_for_all:
            self._rates.charge(principal)
        action = ACTIONS.get(public.action)
        if action is None:
            raise ParameterError(f"action must be one of {', '.join(ACTIONS)}")
        record.action = public.action
        if action.is_write and principal.is_read_only:
            raise PermissionDenied("the accessKey may only read")
        if action.depends_on is not None:
            revision: int = getattr(key.revisions, action.depends_on)
            cache_key = CacheKey(principal.customer_id, public.action, public.content_type, body)
            cached = self._pages.find(cache_key, revision)
            if cached is not None:
                return cached
        request = action.read(body, public.content_type)
        token = getattr(request, "client_token", None)
        facts = RequestFacts(record.request_id, public.sign, public.ts_ms, token)
        context = Context(services, principal, facts)
        if action.depends_on is None:
            return action.encode(await action.rule(context, **request.parameters()))

        async def read() -> tuple[int, Fragment]:
            result = await action.rule(context, **request.parameters())
            return result.revision, action.encode(result)

        return await self._pages.read(cache_key, revision, read)

    async def _read_body(self, record: RequestRecord, read_body: ReadBody) -> bytes:
        """Read the body; from then on the request is in flight."""
        body = await self._deadline.read(read_body(self._body_bytes_max), record.started_s)
        if body is None:
            raise BodyTooLarge(f"the body may have at most {self._body_bytes_max} bytes")
        if self._in_flight >= self._in_flight_max:
            raise Overloaded("too many requests at once; nothing was written")
        self._in_flight += 1
        record.is_in_flight = True
        return body

    def _end(self, record: RequestRecord) -> None:
        if record.is_finished:
            return
        record.is_finished = True
        self._in_flight -= record.is_in_flight
        self._request_log.end(record)
        # The error's traceback refers to this record: a cycle, which would keep the body and the
        # connection for a while (Granian closes it only when nothing can read from it any more).
        record.error = None

    async def _chunks(
        self, record: RequestRecord, fragment: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """Send a response in chunks; the request is in flight until the last one."""
        try:
            async with aclosing(fragment):
                yield envelope.success_begin(record.request_id) + b","
                async for chunk in fragment:
                    yield chunk
            yield envelope.ENVELOPE_END
        except Exception as error:  # noqa: BLE001 - whatever it is
            # The status is sent already: truncate the response and log that. The HTTP server logs
            # what it is given, so it gets no error that quotes data.
            record.error = error if isinstance(error, WireError) else InternalError()
            record.error.__cause__ = error.__cause__ if record.error is error else error
            record.is_truncated = True
            raise InternalError("the response was truncated") from None
        finally:
            self._end(record)

    def _fail(self, record: RequestRecord, error: WireError) -> Reply:
        record.error = error
        headers = _headers(record)
        if isinstance(error, MethodNotAllowed):
            headers.append(("allow", "POST"))
        if error.retry_after_s is not None:
            headers.append(("retry-after", f"{error.retry_after_s:.0f}"))
        return Reply(error.http_status, headers, envelope.failure(record.request_id, error))


def _bug(error: Exception) -> InternalError:
    failure = InternalError()
    failure.__cause__ = error
    return failure


def _headers(record: RequestRecord) -> HeaderList:
    return [("content-type", "application/json"), ("x-request-id", record.request_id)]
