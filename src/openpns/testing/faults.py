"""Faults that tests can switch on: what the next calls meet instead of, or besides, an answer."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from openpns.api.registry import ACTIONS
from openpns.errors import (
    WIRE_ERRORS,
    InternalError,
    ServiceUnavailable,
    TimestampExpired,
    WireError,
)

Drop = Literal["before_commit", "after_commit"]


@dataclass(slots=True)
class _Fault:
    """One switch: what it does, to which calls, and to how many more of them."""

    name: str
    calls_left: int | None
    action: str | None
    delay_s: float = 0.0
    make_error: Callable[[], WireError] | None = None
    drop: Drop | None = None


@dataclass(frozen=True, slots=True)
class Met:
    """What one call meets.

    Attributes:
        names: The faults, by the names of the switches.
        delay_s: For how long it is held back.
        make_error: Makes the error that it is answered with instead of being carried out.
        drop: When its connection is dropped.
    """

    names: tuple[str, ...] = ()
    delay_s: float = 0.0
    make_error: Callable[[], WireError] | None = None
    drop: Drop | None = None


NOTHING: Final = Met()
"""What a call meets that no fault is set for."""


class Faults:
    """The emulator's switches for faults. Safe to use from any thread.

    Each switch is for the next `times` calls, or for all until `clear` where `times` is None;
    with `action` only calls of that action count. A call meets the first switch that was set
    and is not used up, and besides that every delay.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []

    def __repr__(self) -> str:
        with self._lock:
            return f"Faults({', '.join(fault.name for fault in self._faults)})"

    def delay(self, seconds: float, *, times: int | None = 1, action: str | None = None) -> None:
        """Hold calls back before they are carried out, which they are also if the caller leaves.

        Args:
            seconds: For how long.
            times: How many calls; None for all until `clear`.
            action: Only calls of this action.

        Raises:
            ValueError: An argument is not allowed.
        """
        if not seconds >= 0:
            raise ValueError("seconds: allowed is a number from 0 on")
        self._add(_Fault("delay", times, action, delay_s=seconds))

    def error(
        self, code: int, detail: str = "", *, times: int | None = 1, action: str | None = None
    ) -> None:
        """Answer calls with a code, and do not carry them out.

        Args:
            code: A code of docs/errors.md other than 0; it brings its HTTP status with it.
            detail: What stands in `msg` after the code's own text.
            times: How many calls; None for all until `clear`.
            action: Only calls of this action.

        Raises:
            ValueError: An argument is not allowed.
        """
        if code not in WIRE_ERRORS:
            raise ValueError(f"code: allowed are {', '.join(map(str, WIRE_ERRORS))}")
        self._add(_Fault("error", times, action, make_error=lambda: WIRE_ERRORS[code](detail)))

    def internal_error(self, *, times: int | None = 1, action: str | None = None) -> None:
        """Answer calls as a bug is: 19005 with HTTP 500; nothing is written.

        Args:
            times: How many calls; None for all until `clear`.
            action: Only calls of this action.

        Raises:
            ValueError: An argument is not allowed.
        """
        self._add(_Fault("internal_error", times, action, make_error=InternalError))

    def unavailable(
        self, *, retry_after_s: int = 1, times: int | None = 1, action: str | None = None
    ) -> None:
        """Answer calls as without a database: 19004 with HTTP 503; nothing is written.

        Args:
            retry_after_s: What the header Retry-After says, in s.
            times: How many calls; None for all until `clear`.
            action: Only calls of this action.

        Raises:
            ValueError: An argument is not allowed.
        """
        if retry_after_s < 0:
            raise ValueError("retry_after_s: allowed is an integer from 0 on")

        def make() -> WireError:
            error = ServiceUnavailable("the storage is away, full or busy; nothing was written")
            error.retry_after_s = retry_after_s
            return error

        self._add(_Fault("unavailable", times, action, make_error=make))

    def expired(self, *, times: int | None = 1, action: str | None = None) -> None:
        """Answer calls as late ones: 1004. The clock stays right; `clock.advance` moves it.

        Args:
            times: How many calls; None for all until `clear`.
            action: Only calls of this action.

        Raises:
            ValueError: An argument is not allowed.
        """
        self._add(_Fault("expired", times, action, make_error=_expired))

    def drop_before_commit(self, *, times: int | None = 1, action: str | None = None) -> None:
        """Close the connection without a byte of answer; the call is not carried out.

        Args:
            times: How many calls; None for all until `clear`.
            action: Only calls of this action.

        Raises:
            ValueError: An argument is not allowed.
        """
        self._add(_Fault("drop_before_commit", times, action, drop="before_commit"))

    def drop_after_commit(self, *, times: int | None = 1, action: str | None = None) -> None:
        """Carry calls out, then close the connection without a byte of answer.

        Args:
            times: How many calls; None for all until `clear`.
            action: Only calls of this action.

        Raises:
            ValueError: An argument is not allowed.
        """
        self._add(_Fault("drop_after_commit", times, action, drop="after_commit"))

    def clear(self) -> None:
        """Switch everything off."""
        with self._lock:
            self._faults.clear()

    def take(self, action: str | None) -> Met:
        """Return what a call meets, and count it; the emulator asks once for each call.

        Args:
            action: The call's header `action`; None where there is none.
        """
        with self._lock:
            matching = [f for f in self._faults if f.action in (None, action)]
            delays = [fault for fault in matching if fault.name == "delay"]
            others = [fault for fault in matching if fault.name != "delay"][:1]
            for fault in (*delays, *others):
                if fault.calls_left is not None:
                    fault.calls_left -= 1
                    if fault.calls_left == 0:
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
        if fault.calls_left is not None and fault.calls_left < 1:
            raise ValueError("times: allowed is an integer from 1 on, or None for all calls")
        if fault.action is not None and fault.action not in ACTIONS:
            raise ValueError(f"action: allowed are {', '.join(ACTIONS)}")
        with self._lock:
            self._faults.append(fault)


def _expired() -> WireError:
    return TimestampExpired("as the emulator was told to answer")
