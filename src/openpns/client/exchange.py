"""How a client sends one request, without I/O: sign it, and decide whether to send it again.

`Exchanger.exchange` is a generator. It yields what the client must do (send bytes, wait), and gets
the response. The sync and the async client run the same generator.

No variable here shows a body in its repr: error trackers store tracebacks with all variables.
"""

import random
import secrets
import time
from collections.abc import Callable, Generator
from typing import Any, Final, TypeAlias

import msgspec

from openpns.client.account_requests import get_limits
from openpns.client.answers import Response, read_result
from openpns.client.config import ClientConfig, host_and_path
from openpns.client.requests import Request, ResultT, encode_body
from openpns.client.timestamps import Timestamps
from openpns.clock import Clock
from openpns.errors import (
    AnswerUnreadable,
    ClientTokenReused,
    ConnectFailed,
    OpenPNSError,
    OutcomeUnknown,
    RateLimited,
    ServiceUnavailable,
    TimestampExpired,
    TransportError,
    WireError,
)
from openpns.protocol.headers import hmac_headers, signed_headers
from openpns.protocol.signing import HMAC_SHA256

BACKOFF_S: Final = 0.2
_BACKOFF_S_MAX: Final = 5.0
_RETRY_AFTER_S_MAX: Final = 30.0
_GATEWAY_STATUSES: Final = frozenset({429, 502, 503, 504})
_NONCE_BYTES: Final = 24


class Send(msgspec.Struct, frozen=True):
    """The client must send a POST; it passes back the Response or raises TransportError."""

    headers: dict[str, str]
    content: bytes
    deadline: float
    """When the response must be complete, by time.monotonic()."""

    def __repr__(self) -> str:
        return f"Send({len(self.content)} bytes)"


class Wait(msgspec.Struct, frozen=True):
    """The client must wait."""

    seconds: float


Exchange: TypeAlias = Generator[Send | Wait, Response | None, ResultT]


class Exchanger:
    """Exchange requests for results: what a client knows from one request to the next.

    Args:
        jitter: Returns a number from 0 to 1, which spreads the retries of many clients.
        monotonic: The clock of deadlines, in seconds.
    """

    def __init__(
        self,
        config: ClientConfig,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._timestamps = Timestamps(clock, round(config.clock_skew_s_max * 1000))
        self._jitter = jitter
        self._monotonic = monotonic
        is_hmac = config.algorithm == HMAC_SHA256
        self._host_and_path = host_and_path(config.url) if is_hmac else ("", "")
        """What the HMAC scheme signs besides."""
        # Another server refuses the scheme, so it carries nothing out.
        self._is_openpns = is_hmac
        """Whether a response has shown that the server is openpns, which knows clientToken."""

    def exchange(self, request: Request[ResultT]) -> Exchange[ResultT]:
        """Send a request, as often as is safe; return its result.

        Each attempt sends the same bytes with a new `ts` and signature.

        Raises:
            WireError: The server refused the request.
            TransportError: There was no response, or none that can be read.
            ClientClosed: The client was closed, and no attempt is known to be in doubt.
        """
        unsigned = self._unsigned(request)
        unknown: list[WireError | TransportError] = []
        try:
            result = yield from self._attempts(request, unsigned, unknown)
        except OpenPNSError as error:
            if not unknown or error is unknown[0] or _is_response_to_token(error):
                raise
            # How the last attempt failed does not say whether the first one was carried out.
            raise unknown[0] from error
        self._is_openpns = self._is_openpns or request.is_extension
        return result

    def sign(self, request: Request[Any]) -> Send:
        """Return a request signed with the time now."""
        return self._sign(request.action, self._unsigned(request), self._timestamps.next())

    def _attempts(
        self, request: Request[ResultT], unsigned: Send, unknown: list[WireError | TransportError]
    ) -> Exchange[ResultT]:
        """Send a request until it has a result or must not be sent again.

        `unknown` gets the errors of a write that leave open whether it was carried out.
        """
        failures = 0
        is_corrected = False
        while True:
            ts = self._timestamps.next()
            try:
                response = yield self._sign(request.action, unsigned, ts)
                assert response is not None
                return read_result(request, response)
            except TimestampExpired as error:
                if is_corrected or not self._learn_time(error, ts):
                    raise
                is_corrected = True
            except (WireError, TransportError) as error:
                failures += 1
                is_unknown = not request.is_read and _is_outcome_unknown(error)
                if is_unknown:
                    unknown.append(error)
                wait_s = self._wait_s(error, request, failures)
                if wait_s is None or self._monotonic() + wait_s >= unsigned.deadline:
                    raise
                yield Wait(wait_s)
                if is_unknown and not (yield from self._ask_is_openpns(unsigned.deadline)):
                    raise

    def _ask_is_openpns(self, deadline: float) -> Exchange[bool]:
        """Return whether the server is openpns; send getLimits, once, if that is not known yet."""
        if not self._is_openpns:
            request = get_limits()
            unsigned = Send({}, encode_body(request), deadline)
            try:
                response = yield self._sign(request.action, unsigned, self._timestamps.next())
                assert response is not None
                read_result(request, response)
                self._is_openpns = True
            except (WireError, TransportError):
                return False
        return True

    def _learn_time(self, error: TimestampExpired, refused_ts: int) -> bool:
        """Learn the server's time from a refusal; return whether to try again.

        Whoever can set a response's Date could otherwise get a signature for any time.
        """
        if error.server_time is None:
            return False
        if self.config.is_exposed:
            error.hint = self._timestamps.why_not_learnt(
                error.server_time, "does not take the time from a response by plain HTTP"
            )
            return False
        if self._timestamps.correct(error.server_time, refused_ts):
            return True
        error.hint = self._timestamps.why_not_learnt(
            error.server_time,
            f"corrects at most {self.config.clock_skew_s_max:g} s (clock_skew_s_max)",
        )
        return False

    def _unsigned(self, request: Request[Any]) -> Send:
        return Send({}, encode_body(request), self._monotonic() + self.config.deadline_s)

    def _sign(self, action: str, unsigned: Send, ts: int) -> Send:
        config = self.config
        secret = config.access_secret.reveal()
        content, key = unsigned.content, config.access_key
        if config.algorithm == HMAC_SHA256:
            host, path = self._host_and_path
            nonce = secrets.token_urlsafe(_NONCE_BYTES)
            headers = hmac_headers(key, action, ts, nonce, content, secret, host=host, path=path)
        else:
            headers = signed_headers(key, action, ts, content, secret, config.algorithm)
        return Send(headers, content, unsigned.deadline)

    def _wait_s(
        self, error: WireError | TransportError, request: Request[Any], failures: int
    ) -> float | None:
        """Return how long to wait before the next attempt; None if there must not be one."""
        may_repeat = request.is_read or (request.has_client_token and self.config.retry_writes)
        asked_s = error.retry_after_s or 0.0
        if (
            failures > self.config.retries
            or asked_s > _RETRY_AFTER_S_MAX
            or not may_resend(error, may_repeat=may_repeat)
        ):
            return None
        backoff_s = BACKOFF_S * 2.0 ** min(failures - 1, 10)
        backoff_s = min(backoff_s, _BACKOFF_S_MAX)
        return asked_s + backoff_s * (0.5 + self._jitter() / 2)


def may_resend(error: WireError | TransportError, *, may_repeat: bool) -> bool:
    """Return whether a request may be sent again after an error of its last attempt.

    With `may_repeat` it does no harm if the request arrives twice: it changes nothing, or the
    server recognises it by its clientToken.
    """
    if isinstance(error, ConnectFailed | RateLimited | ServiceUnavailable):
        return True  # it was not sent, or the server did nothing
    if isinstance(error, AnswerUnreadable):
        return may_repeat and error.http_status in _GATEWAY_STATUSES
    return may_repeat and _is_outcome_unknown(error)


def _is_outcome_unknown(error: WireError | TransportError) -> bool:
    """Return whether the request may have been carried out although it failed."""
    if isinstance(error, TransportError):
        return not isinstance(error, ConnectFailed)
    return isinstance(error, OutcomeUnknown)


def _is_response_to_token(error: OpenPNSError) -> bool:
    """Return whether openpns gives this error to every attempt with the same clientToken."""
    return isinstance(error, WireError) and (
        error.is_recorded or isinstance(error, ClientTokenReused)
    )
