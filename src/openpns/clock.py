"""The one place that reads the wall clock."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Return the time now, in ms since 1970 UTC."""


def now_ms() -> int:
    """Return the system's time, in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000
