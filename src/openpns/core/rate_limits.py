"""How many calls an access key may make: a token bucket for each key, in this worker's memory.

Source: docs/operating/keys.md, "Rate limits"; docs/decisions/0016-rate-limits-in-shares.md.
"""

from collections import OrderedDict
from collections.abc import Callable
from time import perf_counter_ns
from typing import Final, NamedTuple, Protocol

from openpns import limits
from openpns.errors import RateLimited

_SECOND_NS: Final = 10**9


class RatedCaller(Protocol):
    """Who calls, with the rate of its key."""

    @property
    def access_key(self) -> str:
        """The key."""
        ...

    @property
    def rate_per_s(self) -> int | None:
        """Calls a second, 0 for any number; None where it has no rate of its own."""
        ...

    @property
    def rate_burst(self) -> int | None:
        """How many of them may come at once; None for those of a second."""
        ...


class Rate(NamedTuple):
    """A key's rate, as its holder sees it."""

    per_s: int | None
    """Calls a second; None for any number."""
    burst: int | None
    """Calls at once; None for any number."""
    used: int
    """How many of the calls at once are used up in this worker's share."""


class RateLimits:
    """Refuse calls of keys that make too many.

    A bucket is one number: the moment at which it will be full again, if no call comes. A key
    without a bucket has a full one, so that one that is full may be forgotten.

    Args:
        per_s: How many calls a second each key may make that has no rate of its own; 0 for any
            number.
        burst: How many of them may come at once; 0 for those of a second.
        workers: How many workers share a key's calls; each grants its part.
        clock_ns: A clock that only goes forward, in ns; not the wall clock, which may jump.
        buckets_max: How many buckets are kept; of more, the longest unused is forgotten.
    """

    def __init__(
        self,
        per_s: int = 0,
        burst: int = 0,
        workers: int = 1,
        clock_ns: Callable[[], int] = perf_counter_ns,
        buckets_max: int = limits.RATE_BUCKETS_MAX,
    ) -> None:
        self.is_for_all = per_s > 0
        """Whether keys without a rate of their own have one."""
        self._per_s = per_s
        self._burst = burst
        self._workers = workers
        self._clock_ns = clock_ns
        self._buckets_max = buckets_max
        self._full_ns: OrderedDict[str, int] = OrderedDict()

    def charge(self, caller: RatedCaller) -> None:
        """Take a token for one call.

        Args:
            caller: Who calls; its signature was right.

        Raises:
            RateLimited: There is none; nothing was taken.
        """
        per_s, burst = self._rate_of(caller)
        if per_s == 0:
            return
        token_ns = self._workers * _SECOND_NS // per_s
        # A worker's part of a burst may be less than one call, but a bucket must hold one.
        room_ns = max((burst or per_s) * _SECOND_NS // per_s, token_ns)
        now_ns = self._clock_ns()
        # An empty bucket will be full after room_ns; later only by a rate that was raised since.
        full_ns = min(max(self._full_ns.get(caller.access_key, 0), now_ns), now_ns + room_ns)
        wait_ns = full_ns + token_ns - now_ns - room_ns
        if wait_ns > 0:
            self._full_ns[caller.access_key] = full_ns
            raise self._refusal(per_s, wait_ns)
        self._full_ns[caller.access_key] = full_ns + token_ns
        self._full_ns.move_to_end(caller.access_key)
        if len(self._full_ns) > self._buckets_max:
            self._full_ns.popitem(last=False)

    def tell(self, caller: RatedCaller) -> Rate:
        """Return a caller's rate and how much of it is used.

        Args:
            caller: Who asks.
        """
        per_s, burst = self._rate_of(caller)
        if per_s == 0:
            return Rate(None, None, 0)
        token_ns = self._workers * _SECOND_NS // per_s
        left_ns = max(self._full_ns.get(caller.access_key, 0) - self._clock_ns(), 0)
        return Rate(per_s, burst or per_s, -(-left_ns // token_ns))

    def _rate_of(self, caller: RatedCaller) -> tuple[int, int | None]:
        if caller.rate_per_s is None:
            return self._per_s, self._burst
        return caller.rate_per_s, caller.rate_burst

    def _refusal(self, per_s: int, wait_ns: int) -> RateLimited:
        wait_s = -(-wait_ns // _SECOND_NS)
        share = f", spread over {self._workers} workers" if self._workers > 1 else ""
        error = RateLimited(
            f"this accessKey may make {per_s} calls a second{share}; nothing was done; send the "
            f"call again in {wait_s} s"
        )
        error.retry_after_s = float(wait_s)
        return error
