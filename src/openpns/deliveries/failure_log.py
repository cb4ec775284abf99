"""Log lines about receivers that fail: a few of each receiver, however many attempts it has.

A line has the customer and the reason; nothing of the URL, the body or the response. Times are
seconds of a clock that never jumps.
"""

from math import inf
from typing import Final

from openpns.core import logs

EACH_S: Final = 60.0
"""The time between two lines about the same thing of a receiver, at least."""


class _Lines:
    """What the log says about a receiver, and what it does not say yet."""

    __slots__ = ("failed", "failed_s", "is_failing", "is_shown_failing", "turned_s", "why")

    def __init__(self, *, is_shown_failing: bool) -> None:
        self.is_failing = self.is_shown_failing = is_shown_failing
        self.why = ""
        self.failed = 0
        self.turned_s = self.failed_s = -inf


class FailureLog:
    """Logs when receivers begin to fail and recover, and how many deliveries fail for good.

    The first line is written at once. What happens within `EACH_S` after it is written by `flush`,
    in one line; nothing is written of a receiver that fails and recovers in between.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Lines] = {}

    def turn(self, customer_id: str, now_s: float, why: str | None) -> None:
        """Log that a receiver has begun to fail; or that it has recovered, if `why` is None."""
        is_failing = why is not None
        # What is not known has the other state: this is a turn.
        lines = self._known.setdefault(customer_id, _Lines(is_shown_failing=not is_failing))
        lines.is_failing = is_failing
        lines.why = why or lines.why
        self._show(customer_id, lines, now_s)

    def fail(self, customer_id: str, now_s: float, why: str) -> None:
        """Log that a delivery has failed for good; its receiver is failing."""
        lines = self._known.setdefault(customer_id, _Lines(is_shown_failing=True))
        lines.why = why
        lines.failed += 1
        self._show(customer_id, lines, now_s)

    def flush(self, now_s: float) -> None:
        """Write the lines that are due, and forget receivers without any; inf for all lines."""
        for customer_id, lines in list(self._known.items()):
            self._show(customer_id, lines, now_s)
            if now_s - max(lines.turned_s, lines.failed_s) >= EACH_S:
                del self._known[customer_id]

    def _show(self, customer_id: str, lines: _Lines, now_s: float) -> None:
        if lines.is_failing != lines.is_shown_failing and now_s - lines.turned_s >= EACH_S:
            if lines.is_failing:
                logs.logger().warning("receiver fails", customer_id=customer_id, why=lines.why)
            else:
                logs.logger().info("receiver has recovered", customer_id=customer_id)
            lines.is_shown_failing, lines.turned_s = lines.is_failing, now_s
        if lines.failed and now_s - lines.failed_s >= EACH_S:
            logs.logger().warning(
                "deliveries failed for good",
                customer_id=customer_id,
                deliveries=lines.failed,
                why=lines.why,
            )
            lines.failed, lines.failed_s = 0, now_s
