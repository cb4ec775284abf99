"""Counts of all requests, and a log line for each that failed or was slow.

Neither holds a secret, a body or a phone: an unexpected error is logged as its type and stack,
without its text, which may quote data.
"""

from time import perf_counter
from typing import Any, Final

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


class RequestRecord:
    """The facts of a request, as they become known."""

    __slots__ = (
        "access_key",
        "action",
        "customer_id",
        "error",
        "is_finished",
        "is_in_flight",
        "is_truncated",
        "request_id",
        "started_s",
    )

    def __init__(self, request_id: str, started_s: float) -> None:
        self.request_id = request_id
        self.started_s = started_s
        self.action = NO_ACTION
        self.access_key: str | None = None
        self.customer_id: str | None = None
        self.error: WireError | None = None
        self.is_in_flight = False
        self.is_truncated = False
        """Whether its response could not be sent completely."""
        self.is_finished = False


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
        self.begin = counters.begin

    def end(self, record: RequestRecord) -> None:
        """Count a request that has its response; log it if it failed or was slow."""
        duration_s = perf_counter() - record.started_s
        error = record.error
        code = error.code if error is not None else 0
        is_storage_error = isinstance(error, _STORAGE_ERRORS) and not isinstance(error, Overloaded)
        self._counters.end(record.action, code, duration_s, is_storage_error=is_storage_error)
        if error is not None:
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
