"""What the operator is told of each call: a count always, a line where it failed or was slow.

Neither holds a secret, a body or a phone number: an unexpected error is logged as its type and
the places it passed through, without its text, which may quote data.
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


class Call:
    """What is known of a call so far."""

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
        """Whether its body was read, so that it counts as one of those in hand."""
        self.is_truncated = False
        """Whether its answer could not be sent to its end."""
        self.is_finished = False


class RequestLog:
    """Count calls, and log those that failed or were slow.

    Of calls that fail before their signature was right, or for their key's rate, only so many lines
    a second are logged (`limits.LOG_LINES_PER_S_MAX`), and then the count of the rest.

    Args:
        counters: Where they are counted.
        log: A structlog logger.
        slow_ms: From how many ms on a call is slow.
    """

    def __init__(self, counters: Counters, log: Any, slow_ms: int = limits.SLOW_REQUEST_MS) -> None:
        self._counters = counters
        self._log = log
        self._slow_s = slow_ms / _SECOND_MS
        self._bound = LineBound(log, limits.LOG_LINES_PER_S_MAX)
        self.begin = counters.begin

    def end(self, call: Call) -> None:
        """Count a call that was answered; log it where it failed or was slow.

        Args:
            call: The call.
        """
        duration_s = perf_counter() - call.started_s
        error = call.error
        code = error.code if error is not None else 0
        is_storage_error = isinstance(error, _STORAGE_ERRORS) and not isinstance(error, Overloaded)
        self._counters.end(call.action, code, duration_s, is_storage_error=is_storage_error)
        if error is not None:
            # Before the signature was right, anybody may be the one who calls; and a key over its
            # rate calls all the more often. Neither may fill the disk with lines.
            is_bounded = call.customer_id is None or isinstance(error, RateLimited)
            if is_bounded and not self._bound.lets_through(error.code):
                return
            write = self._log.error if isinstance(error, _SERVER_ERRORS) else self._log.warning
            event = "answer broken off" if call.is_truncated else "call failed"
            facts = _facts(call, duration_s) | describe_error(error.__cause__)
            write(event, **facts, code=code, msg=error.msg)
        elif duration_s >= self._slow_s:
            self._log.warning("call slow", **_facts(call, duration_s), code=code)


def _facts(call: Call, duration_s: float) -> dict[str, object]:
    facts: dict[str, object] = {
        "request_id": call.request_id,
        "action": call.action,
        "access_key": call.access_key,
        "customer_id": call.customer_id,
        "duration_ms": round(duration_s * _SECOND_MS, 3),
    }
    return {name: value for name, value in facts.items() if value is not None}
