"""The values of `ts` that a client signs."""

import threading
import warnings
from collections import deque
from datetime import datetime
from typing import Final

from openpns.clock import Clock
from openpns.kit.forks import renew_after_fork, renew_if_forked

_SKEW_MS_MIN: Final = 1000
"""A smaller difference is not taken for a wrong clock."""

_RECENT_MAX: Final = 60_000
"""How many values are remembered: one each ms for as long as the server accepts a `ts`."""


class ClockSkewWarning(UserWarning):
    """This machine's clock is wrong by the server's clock; the client corrects its own time."""


class Timestamps:
    """Return the server's time in ms, and never one value twice.

    Thread-safe, also in signal handlers and finalisers. If the clock does not move, each value is
    1 ms later than the last one. Two requests with the same body and `ts` have the same signature,
    and a server may take the second one for a copy of the first.
    """

    def __init__(self, clock: Clock, skew_ms_max: int) -> None:
        self._clock = clock
        self._skew_ms_max = skew_ms_max
        self._lock = threading.RLock()
        self._skew_ms = 0
        self._last_ms = 0
        self._recent: deque[int] = deque(maxlen=_RECENT_MAX)
        self._taken: frozenset[int] = frozenset()
        """Values after `_last_ms` that were returned before it was set back."""
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget who holds the lock; see `kit.forks`."""
        self._lock = threading.RLock()

    def next(self) -> int:
        """Return a value that was not returned before."""
        renew_if_forked()
        with self._lock:
            while True:
                last_ms = self._last_ms
                ts = max(self._clock() + self._skew_ms, last_ms + 1)
                while ts in self._taken:
                    ts += 1
                # A signal handler that interrupts this thread has the lock, too.
                if self._last_ms == last_ms:
                    self._last_ms = ts
                    self._recent.append(ts)
                    return ts

    def correct(self, server_time: datetime | None, refused_ts: int) -> bool:
        """Learn the server's time from a response with code 1004; return whether to try again.

        Another thread may have corrected the time while the request was in flight. Then nothing
        changes, but the request may be sent again. A skew of more than `skew_ms_max` is not learnt.
        """
        if server_time is None:
            return False
        server_ms = _ms(server_time)
        if abs(server_ms - refused_ts) < _SKEW_MS_MIN:
            return False
        with self._lock:
            skew_ms = server_ms - self._clock()
            if abs(skew_ms) > self._skew_ms_max:
                return False
            is_new = abs(skew_ms - self._skew_ms) >= _SKEW_MS_MIN
            self._skew_ms = skew_ms
            if self._last_ms - server_ms >= _SKEW_MS_MIN:
                self._taken = frozenset(ts for ts in self._recent if ts >= server_ms)
                self._last_ms = server_ms - 1
        if is_new and abs(skew_ms) >= _SKEW_MS_MIN:
            warnings.warn(
                f"this machine's clock is {_describe(skew_ms)} the server's clock; "
                "this client corrects its own time: synchronise the machine's clock",
                ClockSkewWarning,
                stacklevel=2,
            )
        return True

    def why_not_learnt(self, server_time: datetime, rule: str) -> str | None:
        """Return what to do about a skew that a rule of the client forbids to learn; None for none.

        `rule` follows "this client".
        """
        skew_ms = _ms(server_time) - self._clock()
        if abs(skew_ms) < _SKEW_MS_MIN:
            return None
        return (
            f"this machine's clock is {_describe(skew_ms)} the server's clock, and this client "
            f"{rule}: synchronise the machine's clock"
        )


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _describe(skew_ms: int) -> str:
    return f"{abs(skew_ms) / 1000:.0f} s {'behind' if skew_ms > 0 else 'ahead of'}"
