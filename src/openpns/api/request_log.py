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
    OutcomeUnknown,
    Overloaded,
    RateLimited,
    ReadFailed,
    ServiceUnavailable,
    WireError,
)

_STORAGE_ERRORS: Final = (ServiceUnavailable, ReadFailed, OutcomeUnknown)
_SERVER_ERRORS: Final = (*_STORAGE_ERRORS, InternalError)
_SECOND_MS: Final = 1000

LINES_PER_S_MAX: Final = 20
"""Log lines per second and worker for requests that fail before their signature is verified or
exceed their key's rate; further ones are only counted."""


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
    """Count requests, and log those that failed or were slow.

    Failures before the signature is checked, and those of a rate limit, are logged at up to
    `LINES_PER_S_MAX` lines a second; the others are counted in one more line.
    """

    def __init__(self, counters: Counters, log: Any, slow_ms: int = limits.SLOW_REQUEST_MS) -> None:
        self._counters = counters
        self._log = log
        self._slow_s = slow_ms / _SECOND_MS
        self._bound = LineBound(log, LINES_PER_S_MAX)

    def end(self, record: RequestRecord) -> None:
        """Count a request that has its response; log it if it failed or was slow."""
        duration_s = perf_counter() - record.started_s
        error = record.error
        code = 0 if error is None else error.code
        self._counters.count(record.action, code, duration_s)
        if error is not None:
            if isinstance(error, _STORAGE_ERRORS) and not isinstance(error, Overloaded):
                self._counters.count_storage_error()
            # Before the signature is checked, anybody may have sent the request; a key over its
            # rate sends many. Neither may fill the disk with lines.
            is_bounded = record.customer_id is None or isinstance(error, RateLimited)
            if is_bounded and not self._bound.allows(error.code):
                return
            write = self._log.error if isinstance(error, _SERVER_ERRORS) else self._log.warning
            event = "response truncated" if record.is_truncated else "request failed"
            facts = _facts(record, duration_s) | describe_error(error.__cause__)
            write(event, **facts, code=code, msg=error.msg)
        elif duration_s >= self._slow_s:
            self._log.warning("request slow", **_facts(record, duration_s), code=code)


def _facts(record: RequestRecord, duration_s: float) -> dict[str, object]:
    facts: dict[str, object] = {
        "request_id": record.request_id,
        "action": record.action,
        "access_key": record.access_key,
        "customer_id": record.customer_id,
        "duration_ms": round(duration_s * _SECOND_MS, 3),
    }
    return {name: value for name, value in facts.items() if value is not None}
