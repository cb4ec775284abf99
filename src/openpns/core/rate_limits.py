"""The rate of each access key: a token bucket for each, in this worker's memory.

Source: docs/operating/keys.md, "Rate limits"; docs/decisions/0016-rate-limits-in-shares.md.
"""

from collections import OrderedDict
from collections.abc import Callable
from time import perf_counter_ns
from typing import Final, NamedTuple

from openpns.core.principal import Principal
from openpns.errors import RateLimited

_SECOND_NS: Final = 10**9
_BUCKETS_MAX: Final = 100_000


class Rate(NamedTuple):
    """A key's rate, as its owner sees it; None for any number."""

    per_s: int | None
    burst: int | None
    used: int
    """Requests of the burst that are used up in this worker's share."""


class RateLimits:
    """Refuse requests of keys that send too many.

    A bucket is one number: the time at which it will be full again if no request arrives. A key
    without a bucket has a full one, so that a full bucket may be deleted.

    Args:
        per_s: Requests a second of each key without a rate of its own; 0 for no limit.
        burst: Requests of them at once; 0 for those of a second.
        workers: How many workers share a key's requests; each grants its part.
        clock_ns: A monotonic clock, in ns; the wall clock may jump.
        buckets_max: Buckets in memory; the least recently used one is deleted.
    """

    def __init__(
        self,
        per_s: int = 0,
        burst: int = 0,
        workers: int = 1,
        clock_ns: Callable[[], int] = perf_counter_ns,
        buckets_max: int = _BUCKETS_MAX,
    ) -> None:
        self.is_for_all = per_s > 0
        """Whether keys without a rate of their own have one."""
        self._per_s = per_s
        self._burst = burst
        self._workers = workers
        self._clock_ns = clock_ns
        self._buckets_max = buckets_max
        self._full_ns: OrderedDict[str, int] = OrderedDict()

    def charge(self, principal: Principal) -> None:
        """Take a token for one request of a principal.

        Raises:
            RateLimited: There is none; nothing was taken.
        """
        per_s, burst = self._rate_of(principal)
        if per_s == 0:
            return
        access_key = principal.access_key
        token_ns = self._workers * _SECOND_NS // per_s
        # A worker's part of a burst may be less than one request, but a bucket must hold one.
        room_ns = max((burst or per_s) * _SECOND_NS // per_s, token_ns)
        now_ns = self._clock_ns()
        # An empty bucket is full after room_ns; later only if its rate was raised since.
        full_ns = min(max(self._full_ns.get(access_key, 0), now_ns), now_ns + room_ns)
        wait_ns = full_ns + token_ns - now_ns - room_ns
        if wait_ns > 0:
            self._full_ns[access_key] = full_ns
            raise self._refusal(per_s, wait_ns)
        self._full_ns[access_key] = full_ns + token_ns
        self._full_ns.move_to_end(access_key)
        if len(self._full_ns) > self._buckets_max:
            self._full_ns.popitem(last=False)

    def usage(self, principal: Principal) -> Rate:
        """Return a principal's rate and how much of it is used."""
        per_s, burst = self._rate_of(principal)
        if per_s == 0:
            return Rate(None, None, 0)
        token_ns = self._workers * _SECOND_NS // per_s
        left_ns = max(self._full_ns.get(principal.access_key, 0) - self._clock_ns(), 0)
        return Rate(per_s, burst or per_s, -(-left_ns // token_ns))

    def _rate_of(self, principal: Principal) -> tuple[int, int | None]:
        if principal.rate_per_s is None:
            return self._per_s, self._burst
        return principal.rate_per_s, principal.rate_burst

    def _refusal(self, per_s: int, wait_ns: int) -> RateLimited:
        wait_s = -(-wait_ns // _SECOND_NS)
        share = f", spread over {self._workers} workers" if self._workers > 1 else ""
        error = RateLimited(
            f"this accessKey may send {per_s} requests a second{share}; nothing was done; send the "
            f"request again in {wait_s} s"
        )
        error.retry_after_s = float(wait_s)
        return error
