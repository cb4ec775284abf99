"""Receivers: how many attempts each may have in flight, so that none delays the others.

A receiver begins with one attempt at a time, and has twice as many after each that succeeds. After
one that fails it has one at a time again, after more of them with growing pauses. While an attempt
takes long it has no others. Receivers that fail share a quarter of all places, and those that
succeed slowly half of them, so that the others always have some. An eighth is kept for the only
attempt of receivers that do neither: those that were quick and begin to hang together, with many
attempts each, do not take it.

There is no I/O here; times are seconds of a clock that never jumps.
"""

from collections.abc import Iterable
from typing import Final

import httpx2

SLOW_S: Final = 1.0
"""An attempt in flight for longer is slow: its receiver gets no more until it ends."""

PAUSE_S_MAX: Final = 30.0
_FAILING_SHARE: Final = 4
_LATE_SHARE: Final = 2
_KEPT_SHARE: Final = 8
_KNOWN_MAX: Final = 2000


class Target:
    """Where deliveries of a customer are sent: what a webhook's row says.

    Attributes:
        url: None if deliveries cannot be sent; then `problem` says why.
        changed_ms: Which change of the webhook this is.
    """

    __slots__ = ("changed_ms", "previous", "previous_until_ms", "problem", "secret", "url")

    def __init__(
        self,
        changed_ms: int,
        url: httpx2.URL | None = None,
        secret: str = "",
        previous: str | None = None,
        previous_until_ms: int = 0,
        problem: str = "",
    ) -> None:
        self.changed_ms = changed_ms
        self.url = url
        self.secret = secret
        self.previous = previous
        self.previous_until_ms = previous_until_ms
        self.problem = problem

    def secrets(self, now_ms: int) -> list[str]:
        """Return the secrets in force: the newest first, and the one before it for a while."""
        is_rotating = self.previous is not None and now_ms < self.previous_until_ms
        return [self.secret, self.previous] if is_rotating and self.previous else [self.secret]


class Receiver:
    """The receiver of one customer.

    Attributes:
        is_failing: Whether its last attempt failed.
        is_late: Whether the last one that succeeded was slow.
        failing_ms: Since when, by the wall clock; what the database is to have.
        served: Grows over all receivers: the last time that it got a place.
    """

    __slots__ = (
        "_failures",
        "_last_failure_s",
        "_paused_until_s",
        "_started_s",
        "customer_id",
        "failing_ms",
        "is_failing",
        "is_late",
        "served",
        "target",
        "width",
    )

    def __init__(self, customer_id: str, target: Target, failing_ms: int = 0) -> None:
        self.customer_id = customer_id
        self.target = target
        self.failing_ms = failing_ms
        self.is_failing = failing_ms > 0
        self.is_late = False
        self.width = 1
        self.served = 0
        self._failures = 1 if self.is_failing else 0
        self._last_failure_s = 0.0
        self._paused_until_s = 0.0
        self._started_s: dict[str, float] = {}

    @property
    def in_flight(self) -> int:
        """Attempts in flight."""
        return len(self._started_s)

    def is_paused(self, now_s: float) -> bool:
        """Whether no attempt should begin now."""
        return now_s < self._paused_until_s

    def is_slow(self, now_s: float) -> bool:
        """Whether an attempt takes long."""
        # The first one in the order of insertion is the oldest.
        oldest_s = next(iter(self._started_s.values()), now_s)
        return now_s - oldest_s >= SLOW_S

    def begin(self, delivery_id: str, now_s: float) -> None:
        """Note that an attempt begins."""
        self._started_s[delivery_id] = now_s

    def drop(self, delivery_id: str) -> None:
        """Note that an attempt has ended without a result."""
        self._started_s.pop(delivery_id, None)

    def succeed(self, delivery_id: str, now_s: float, width_max: int) -> bool:
        """Note that an attempt has succeeded; return whether the receiver failed before."""
        started_s = self._started_s.pop(delivery_id, now_s)
        self.is_late = now_s - started_s >= SLOW_S
        self.width = min(self.width * 2, width_max)
        self._failures, self._paused_until_s = 0, 0.0
        was_failing, self.is_failing, self.failing_ms = self.is_failing, False, 0
        return was_failing

    def fail(self, delivery_id: str, now_s: float, now_ms: int, retry_after_s: int | None) -> bool:
        """Note that an attempt has failed; return whether the receiver did not fail before."""
        started_s = self._started_s.pop(delivery_id, now_s)
        self.width = 1
        # Attempts in flight together fail together: that is one failure.
        if not self._failures or started_s >= self._last_failure_s:
            self._failures += 1
            self._last_failure_s = now_s
        pause_s = 0.0 if self._failures < 2 else 2.0 ** min(self._failures - 2, 10)  # noqa: PLR2004
        pause_s = max(min(pause_s, PAUSE_S_MAX), retry_after_s or 0)
        self._paused_until_s = max(self._paused_until_s, now_s + pause_s)
        was_failing, self.is_failing = self.is_failing, True
        if not was_failing:
            self.failing_ms = now_ms
        return not was_failing


class Receivers:
    """All receivers that a worker knows, and the places that they share.

    Args:
        places_max: Attempts in flight of all.
        width_max: Attempts in flight of one.
    """

    def __init__(self, places_max: int, width_max: int) -> None:
        self.places_max = places_max
        self.width_max = min(width_max, places_max)
        self._failing_max = max(places_max // _FAILING_SHARE, 1)
        self._late_max = max(places_max // _LATE_SHARE, 1)
        self._kept = places_max // _KEPT_SHARE
        self._known: dict[str, Receiver] = {}
        self._served = 0

    @property
    def in_flight(self) -> int:
        """Attempts in flight of all receivers."""
        return sum(one.in_flight for one in self._known.values())

    def find(self, customer_id: str) -> Receiver | None:
        """Return the receiver of a customer, if it is known."""
        return self._known.get(customer_id)

    def add(self, receiver: Receiver) -> None:
        """Add a receiver, or replace that of its customer."""
        before = self._known.get(receiver.customer_id)
        if before is not None:
            receiver._started_s = before._started_s  # noqa: SLF001 - the same attempts go on
        self._known[receiver.customer_id] = receiver

    def forget_idle(self) -> None:
        """If there are many, forget those without an attempt in flight; failing ones last.

        Not between `add` and the attempts for which the receiver was added.
        """
        if len(self._known) > _KNOWN_MAX:
            known = self._known.items()
            self._known = {key: one for key, one in known if one.in_flight or one.is_failing}
        if len(self._known) > _KNOWN_MAX:
            self._known = {key: one for key, one in self._known.items() if one.in_flight}

    def share(
        self, due: Iterable[Receiver], now_s: float, *, with_pauses: bool = True
    ) -> dict[str, int]:
        """Return how many attempts of each of these receivers may begin now, if any."""
        rooms = [(one, self._room(one, now_s, with_pauses)) for one in due]
        rooms = [(one, room) for one, room in rooms if room]
        # Who has the fewest in flight comes first, then who has waited longest for a place.
        rooms.sort(key=lambda each: (each[0].in_flight, each[0].served))
        free = self.places_max - self.in_flight
        known = self._known.values()
        free_failing = self._failing_max - sum(one.in_flight for one in known if one.is_failing)
        free_late = self._late_max - sum(
            one.in_flight for one in known if one.is_late and not one.is_failing
        )
        shares: dict[str, int] = {}
        for place, (receiver, room) in enumerate(rooms):
            share = min(room, free, max(free // (len(rooms) - place), 1))
            is_only = not (receiver.in_flight or receiver.is_failing or receiver.is_late)
            share = min(share, max(free - self._kept, int(is_only)))
            if receiver.is_failing:
                share = min(share, free_failing)
                free_failing -= max(share, 0)
            elif receiver.is_late:
                share = min(share, free_late)
                free_late -= max(share, 0)
            if share > 0:
                shares[receiver.customer_id] = share
                free -= share
                self._served += 1
                receiver.served = self._served
        return shares

    def _room(self, receiver: Receiver, now_s: float, with_pauses: bool) -> int:
        if with_pauses and receiver.is_paused(now_s):
            return 0
        width = 1 if receiver.is_failing or receiver.is_slow(now_s) else receiver.width
        return max(min(width, self.width_max) - receiver.in_flight, 0)
