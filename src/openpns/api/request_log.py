"""Counts of all requests, and a log line for each that failed or was slow.

Neither holds a secret, a body or a phone: an unexpected error is logged as its type and stack,
without its text, which may quote data.
"""

from time import perf_counter
from typing import Any, Final

import msgspec

from openpns import limits
from openpns.api.counters import NO_ACTION, Counters
from openpns.core.logs import LineBound, describe_error
from openpns.errors import (
    InternalError,
    MethodNotAllowed,
    OutcomeUnknown,
    Overloaded,
    ReadFailed,
    ServiceUnavailable,
    WireError,
)

_STORAGE_ERRORS: Final = (ServiceUnavailable, ReadFailed, OutcomeUnknown)
_SERVER_ERRORS: Final = (*_STORAGE_ERRORS, InternalError)
_SECOND_MS: Final = 1000


class RequestRecord(msgspec.Struct):
    """The facts of a request, as they become known.

    Attributes:
        is_truncated: Whether its response could not be sent completely.
    """

    request_id: str
    started_s: float
    action: str = NO_ACTION
    access_key: str | None = None
    customer_id: str | None = None
    error: WireError | None = None
    is_truncated: bool = False
    is_finished: bool = False


class RequestLog:
    """Count requests; log those that failed or were slow, up to so many lines a second.

    Failures of the server have a bound of their own, so that no caller can hide them.

    Args:
        lines_max: Lines a second, in sum.
        lines_per_key_max: Lines a second of one access key, and of all requests whose signature was
            not verified.
    """

    def __init__(
        self,
        counters: Counters,
        log: Any,
        slow_ms: int = limits.SLOW_REQUEST_MS,
        lines_max: int = limits.LOG_LINES_PER_S_MAX,
        lines_per_key_max: int = limits.LOG_LINES_PER_KEY_PER_S_MAX,
    ) -> None:
        self._counters = counters
        self._log = log
        self._slow_s = slow_ms / _SECOND_MS
        on_omitted = counters.count_omitted_line
        self._bound = LineBound(log, lines_max, lines_per_key_max, on_omitted)
        self._server_bound = LineBound(log, lines_max, on_omitted=on_omitted)

    def end(self, record: RequestRecord) -> None:
        """Count a request that has its response; log it if it failed or was slow."""
        duration_s = perf_counter() - record.started_s
        error = record.error
        code = 0 if error is None else error.code
        self._counters.count(record.action, code, duration_s)
        if error is None:
            if duration_s >= self._slow_s and self._allows(record, code):
                self._log.warning("request slow", **_facts(record, duration_s), code=code)
            return
        # Any caller can overload the server.
        is_server_error = isinstance(error, _SERVER_ERRORS) and not isinstance(error, Overloaded)
        if is_server_error and isinstance(error, _STORAGE_ERRORS):
            self._counters.count_storage_error()
        if not (self._server_bound.allows(code) if is_server_error else self._allows(record, code)):
            return
        write = self._log.warning
        if isinstance(error, _SERVER_ERRORS):
            write = self._log.error
        elif isinstance(error, MethodNotAllowed):
            write = self._log.debug  # each check of readiness is such a request
        event = "response truncated" if record.is_truncated else "request failed"
        facts = _facts(record, duration_s) | describe_error(error.__cause__)
        write(event, **facts, code=code, msg=error.msg)

    def _allows(self, record: RequestRecord, code: int) -> bool:
        # Anybody can send a request with a known key and a wrong signature.
        key = None if record.customer_id is None else record.access_key
        return self._bound.allows(code, key)


def _facts(record: RequestRecord, duration_s: float) -> dict[str, object]:
    facts: dict[str, object] = {
        "request_id": record.request_id,
        "action": record.action,
        "access_key": record.access_key,
        "customer_id": record.customer_id,
        "duration_ms": round(duration_s * _SECOND_MS, 3),
    }
    return {name: value for name, value in facts.items() if value is not None}
