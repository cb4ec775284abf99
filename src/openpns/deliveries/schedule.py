"""When a failed delivery is tried again."""

from email.utils import parsedate_to_datetime
from typing import Final

_S: Final = 1000
_MINUTE: Final = 60 * _S
_HOUR: Final = 60 * _MINUTE

DELAYS_MS: Final[dict[str, tuple[int, ...]]] = {
    "vendor": (_MINUTE,) * 60,
    "vendor-2024": (5 * _MINUTE,) * 2,
    "exponential": (
        *(5 * _S, 30 * _S, 2 * _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
        *(_HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, 12 * _HOUR, 20 * _HOUR, 24 * _HOUR),
    ),
}
"""By the value of `webhook_schedule`: the delays after the first attempt, the second, and so on.
After the last of these attempts a delivery has failed."""

RETRY_AFTER_S_MAX: Final = 3600
"""A receiver that asks for a longer delay gets this one."""


def delay_ms(schedule: str, round_tries: int, retry_after_s: int | None = None) -> int | None:
    """Return the delay before the next attempt; None after the last one.

    Args:
        round_tries: Attempts since the delivery was queued, at least 1.
        retry_after_s: What the receiver asked for; None if nothing. It can only prolong the delay.
    """
    delays = DELAYS_MS[schedule]
    if round_tries > len(delays):
        return None
    return max(delays[round_tries - 1], (retry_after_s or 0) * _S)


def parse_retry_after(text: str, now_ms: int) -> int | None:
    """Return the seconds of a header `Retry-After`, at most an hour; None if it cannot be read."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        seconds = int(text[:10])
    else:
        try:
            seconds = -(-(int(parsedate_to_datetime(text).timestamp() * _S) - now_ms) // _S)
        except (ValueError, TypeError, OverflowError, OSError):
            return None
    return min(max(seconds, 0), RETRY_AFTER_S_MAX)
