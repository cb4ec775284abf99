"""The faults that the next requests meet, as switched on by a test."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from openpns import errors
from openpns.api.registry import ACTIONS
from openpns.errors import WIRE_ERRORS, WireError

Drop = Literal["before_commit", "after_commit"]


@dataclass(slots=True)
class _Fault:
    """A fault, for the requests of one action or of any."""

    name: str
    times_left: int | None
    action: str | None
    delay_s: float = 0.0
    make_error: Callable[[], WireError] | None = None
    drop: Drop | None = None


@dataclass(frozen=True, slots=True)
class Met:
    """The faults that one request meets.

    Attributes:
        names: The names of the switches.
        delay_s: How long the request waits.
        make_error: Return the error that is sent; the request is not carried out.
        drop: When its connection is closed.
    """

    names: tuple[str, ...] = ()
    delay_s: float = 0.0
    make_error: Callable[[], WireError] | None = None
    drop: Drop | None = None


NOTHING: Final = Met()
"""No fault."""


class Faults:
    """The emulator's switches for faults. Thread-safe.

    A fault affects the next `times` requests, or all until `clear` if `times` is None. With
    `action` only requests with that action count. A request meets the first fault that was set and
    is not used up, and every delay in addition. A switch raises ValueError if an argument is not
    allowed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []

    def __repr__(self) -> str:
        with self._lock:
            return f"Faults({', '.join(fault.name for fault in self._faults)})"

    def delay(self, seconds: float, *, times: int | None = 1, action: str | None = None) -> None:
        """Carry requests out after a delay, also if the client has left."""
        if not seconds >= 0:
            raise ValueError("seconds: allowed is 0 or more")
        self._add(_Fault("delay", times, action, delay_s=seconds))

    def error(
        self, code: int, detail: str = "", *, times: int | None = 1, action: str | None = None
    ) -> None:
        """Refuse requests with a code of docs/errors.md and its HTTP status.

        Args:
            detail: The part of `msg` after the code's own text.
        """
        if code not in WIRE_ERRORS:
            raise ValueError(f"code: allowed are {', '.join(map(str, WIRE_ERRORS))}")
        self._add(_Fault("error", times, action, make_error=lambda: WIRE_ERRORS[code](detail)))

    def internal_error(self, *, times: int | None = 1, action: str | None = None) -> None:
        """Refuse requests with 19005 and HTTP 500, as after a bug; nothing is written."""
        self._add(_Fault("internal_error", times, action, make_error=errors.InternalError))

    def unavailable(
        self, *, retry_after_s: int = 1, times: int | None = 1, action: str | None = None
    ) -> None:
        """Refuse requests with 19004, HTTP 503 and Retry-After; nothing is written."""
        if retry_after_s < 0:
            raise ValueError("retry_after_s: allowed is an integer of 0 or more")

        def make() -> WireError:
            error = errors.ServiceUnavailable(
                "the storage is away, full or busy; nothing was written"
            )
            error.retry_after_s = retry_after_s
            return error

        self._add(_Fault("unavailable", times, action, make_error=make))

    def expired(self, *, times: int | None = 1, action: str | None = None) -> None:
        """Refuse requests with 1004. The clock stays right; `clock.advance` moves it."""

        def expired() -> WireError:
            return errors.TimestampExpired("a fault of the emulator")

        self._add(_Fault("expired", times, action, make_error=expired))

    def drop_before_commit(self, *, times: int | None = 1, action: str | None = None) -> None:
        """Close the connection without a byte of response; the request is not carried out."""
        self._add(_Fault("drop_before_commit", times, action, drop="before_commit"))

    def drop_after_commit(self, *, times: int | None = 1, action: str | None = None) -> None:
        """Carry requests out, then close the connection without a byte of response."""
        self._add(_Fault("drop_after_commit", times, action, drop="after_commit"))

    def clear(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._faults.clear()

    def take(self, action: str | None) -> Met:
        """Return what the next request meets, and count it.

        Args:
            action: The header `action`; None if it is missing.
        """
        with self._lock:
            matching = [f for f in self._faults if f.action in (None, action)]
            delays = [fault for fault in matching if fault.name == "delay"]
            others = [fault for fault in matching if fault.name != "delay"][:1]
            for fault in (*delays, *others):
                if fault.times_left is not None:
                    fault.times_left -= 1
                    if fault.times_left == 0:
                        self._faults.remove(fault)
        if not delays and not others:
            return NOTHING
        return Met(
            tuple(fault.name for fault in (*delays, *others)),
            sum(fault.delay_s for fault in delays),
            others[0].make_error if others else None,
            others[0].drop if others else None,
        )

    def _add(self, fault: _Fault) -> None:
        if fault.times_left is not None and fault.times_left < 1:
            raise ValueError("times: allowed is an integer of 1 or more, or None for all requests")
        if fault.action is not None and fault.action not in ACTIONS:
            raise ValueError(f"action: allowed are {', '.join(ACTIONS)}")
        with self._lock:
            self._faults.append(fault)
