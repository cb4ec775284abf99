"""The hot path: from the bytes of a request to the bytes of its response.

Read `_respond` from top to bottom: the order of its checks is part of the API.
"""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from functools import partial
from typing import Final

from openpns import limits
from openpns.accounts import access_keys
from openpns.accounts.secret_box import SecretBox
from openpns.api.authentication import (
    CACHED_KEY_BYTES,
    Authenticator,
    check_head,
    check_permission,
)
from openpns.api.page_cache import PageCache
from openpns.api.registry import ACTIONS
from openpns.api.request_log import RequestLog, RequestRecord
from openpns.core.actions import Fragment
from openpns.core.context import Context, RequestFacts, Services
from openpns.errors import (
    InternalError,
    MethodNotAllowed,
    Overloaded,
    ParameterError,
    PathNotFound,
    WireError,
)
from openpns.kit.turns import OwnerCounts
from openpns.protocol import envelope
from openpns.protocol.headers import PATHS, PublicHeaders, read_headers
from openpns.storage.store import NamedRow
from openpns.transport.messages import Reply, Request
from openpns.transport.proxies import TrustedProxies

_TARGETS: Final = frozenset(path.encode() for path in PATHS)
UNKNOWN_KEY: Final = "(unknown)"
"""An unknown access key in the log; no access key can be written like this."""


class Api:
    """Respond to requests, whatever carries them; the bounds are those of `server.settings`."""

    def __init__(
        self,
        services: Services,
        secret_box: SecretBox,
        request_log: RequestLog,
        in_flight_max: int = limits.REQUESTS_IN_FLIGHT_MAX,
        cache_bytes_max: int = limits.CACHE_BYTES_MAX,
        trusted_proxies: TrustedProxies | None = None,
    ) -> None:
        self._services = services
        self._ids = services.ids
        self._authenticator = Authenticator(
            secret_box, trusted_proxies or TrustedProxies(), cache_bytes_max // CACHED_KEY_BYTES
        )
        self._request_log = request_log
        self._in_flight_max = in_flight_max
        # So that one customer does not take the places of all others.
        self._in_flight_of = OwnerCounts("requests", -(-3 * in_flight_max // 4))
        self._pages = PageCache(cache_bytes_max)
        self._rates = services.rates
        self.in_flight = 0
        """Requests in hand, streamed responses included."""

    async def respond(self, request: Request) -> Reply:
        """Return the response to a request; a failure is a response, too."""
        record = RequestRecord(self._ids.request_id(), request.arrived_s)
        self.in_flight += 1
        try:
            fragment = await self._respond(record, request)
        except WireError as error:
            reply = self._fail(record, error)
        except Exception as error:  # noqa: BLE001 - a bug gets a response as well
            reply = self._fail(record, _bug(error))
        except BaseException:
            self._end(record)
            raise
        else:
            request_id, owner = record.request_id.encode(), record.customer_id or ""
            if not isinstance(fragment, bytes):
                chunks = self._chunks(record, fragment)
                return Reply(200, _headers(request_id), chunks, owner, partial(self._end, record))
            reply = Reply(200, _headers(request_id), envelope.success(request_id, fragment), owner)
        self._end(record)
        return reply

    async def admit(self, request: Request) -> WireError | None:
        """Return why the body of a request must not be sent, if its headers say so.

        Without a known key and a fresh ts nobody can let the server take in a large body.
        """
        try:
            _check_target(request)
            public = read_headers(request.headers, request.repeated)
            row = await self._find_key(public, request)
            key = None if row is None else access_keys.read_row(row)
            check_head(public, key, self._services.clock())
        except WireError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a bug gets a response as well
            return _bug(error)
        return None

    def _find_key(self, public: PublicHeaders, request: Request) -> Awaitable[NamedRow | None]:
        # No access key is longer; a text of many KiB must not reach the database or its cache.
        access_key = public.access_key[: limits.ACCESS_KEY_CHARS_MAX + 1]
        return access_keys.find_row(self._services.store, access_key, request.arrived_s)

    async def _respond(self, record: RequestRecord, request: Request) -> Fragment:
        services = self._services
        _check_target(request)
        if request.fault is not None:
            raise request.fault
        if self.in_flight > self._in_flight_max:
            raise Overloaded("too many requests at once; nothing was written")
        body = request.body
        public = read_headers(request.headers, request.repeated)
        row = await self._find_key(public, request)
        # An unknown key may be a secret that was pasted into the wrong place. Its line in the log
        # must take as long to write as that of a known key.
        record.access_key = UNKNOWN_KEY if row is None else public.access_key
        now_ms = services.clock()
        key = self._authenticator.check(public, request, row, now_ms)
        principal = key.principal
        services.key_used_ms[principal.access_key] = now_ms
        record.customer_id = principal.customer_id
        self._rates.charge(principal)
        action = ACTIONS.get(public.action)
        if action is None:
            raise ParameterError(f"action must be one of {', '.join(ACTIONS)}")
        record.action = public.action
        if principal.is_read_only or principal.allowed_actions is not None:
            check_permission(principal, public.action, action)
        if action.depends_on is not None:
            revision: int = getattr(key.revisions, action.depends_on)
            cache_key = (principal.customer_id, public.action, public.content_type, body)
            cached = self._pages.find(cache_key, revision)
            if cached is not None:
                return cached
        self._in_flight_of.enter(principal.customer_id)
        try:
            fields = action.read(body, public.content_type)
            self._rates.charge(principal, action.cost(fields) - 1, charged=1)
            token = getattr(fields, "client_token", None)
            facts = RequestFacts(record.request_id, public.sign, public.ts_ms, token, public.nonce)
            context = Context(services, principal, facts)
            if action.depends_on is None:
                return action.encode(await action.rule(context, **fields.parameters()))

            async def read() -> tuple[int, Fragment]:
                result = await action.rule(context, **fields.parameters())
                return result.revision, action.encode(result)

            return await self._pages.read(cache_key, revision, read)
        finally:
            self._in_flight_of.leave(principal.customer_id)

    def _end(self, record: RequestRecord) -> None:
        if record.is_finished:
            return
        record.is_finished = True
        self.in_flight -= 1
        self._request_log.end(record)
        # The error's traceback refers to this record: a cycle, which would keep the body alive.
        record.error = None

    async def _chunks(
        self, record: RequestRecord, fragment: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """Send a response in chunks; the request is in flight until the last one."""
        try:
            async with aclosing(fragment):
                yield envelope.success_begin(record.request_id.encode()) + b","
                async for chunk in fragment:
                    yield chunk
            yield envelope.ENVELOPE_END
        except Exception as error:  # noqa: BLE001 - whatever it is
            # The status is sent already: truncate the response and log that. The event loop logs
            # what it is given, so it gets no error that quotes data.
            record.error = error if isinstance(error, WireError) else InternalError()
            record.error.__cause__ = error.__cause__ if record.error is error else error
            record.is_truncated = True
            raise InternalError("the response was truncated") from None
        finally:
            self._end(record)

    def _fail(self, record: RequestRecord, error: WireError) -> Reply:
        record.error = error
        request_id = record.request_id.encode()
        headers = _headers(request_id)
        if isinstance(error, MethodNotAllowed):
            headers += b"allow: POST\r\n"
        if error.retry_after_s is not None:
            headers += b"retry-after: %.0f\r\n" % error.retry_after_s
        body = (envelope.failure(record.request_id, error),)
        return Reply(error.http_status, headers, body, record.customer_id or "")


def _check_target(request: Request) -> None:
    if request.target not in _TARGETS and request.path not in PATHS:
        raise PathNotFound("the path must be /api/pns/")
    if request.method != b"POST":
        raise MethodNotAllowed("the method must be POST")


def _bug(error: Exception) -> InternalError:
    failure = InternalError()
    failure.__cause__ = error
    return failure


def _headers(request_id: bytes) -> bytes:
    return b"content-type: application/json\r\nx-request-id: %b\r\n" % request_id
