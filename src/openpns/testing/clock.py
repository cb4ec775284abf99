"""A clock that tests can move."""

import threading
from typing import Final

from openpns.clock import now_ms

_NOW_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999, the last time in a header Date."""


class MovableClock:
    """The emulator's clock: real time until it is moved. Thread-safe.

    To move it out of the years 1970 to 9999 raises ValueError.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead_ms = 0
        self._frozen_ms: int | None = None

    def __call__(self) -> int:
        """Return the time in ms since 1970 UTC."""
        with self._lock:
            return self._now_ms()

    def __repr__(self) -> str:
        is_frozen = self._frozen_ms is not None
        return f"MovableClock(now_ms={self()}, {'frozen' if is_frozen else 'running'})"

    def advance(self, *, seconds: float) -> None:
        """Move the clock, back with a negative number; a frozen clock stays frozen."""
        with self._lock:
            self._move_to(self._now_ms() + round(seconds * 1000))

    def set(self, to_ms: int) -> None:
        """Set the clock, in ms since 1970 UTC; a frozen clock stays frozen."""
        with self._lock:
            self._move_to(to_ms)

    def freeze(self) -> None:
        """Stop the clock; `advance` and `set` still move it."""
        with self._lock:
            self._frozen_ms = self._now_ms()

    def unfreeze(self) -> None:
        """Let the clock run on from its time."""
        with self._lock:
            if self._frozen_ms is not None:
                self._ahead_ms = self._frozen_ms - now_ms()
                self._frozen_ms = None

    def reset(self) -> None:
        """Return to real time."""
        with self._lock:
            self._ahead_ms = 0
            self._frozen_ms = None

    def _now_ms(self) -> int:
        return self._frozen_ms if self._frozen_ms is not None else now_ms() + self._ahead_ms

    def _move_to(self, to_ms: int) -> None:
        if not 0 <= to_ms <= _NOW_MS_MAX:
            raise ValueError(f"allowed are 0 to {_NOW_MS_MAX} ms since 1970 UTC")
        if self._frozen_ms is not None:
            self._frozen_ms = to_ms
        else:
            self._ahead_ms = to_ms - now_ms()
