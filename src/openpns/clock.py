"""The wall clock; no other module reads it."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Return the current time, in ms since 1970 UTC."""


def now_ms() -> int:
    """Return the system's time, in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000
