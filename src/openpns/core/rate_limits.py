"""The rates of access keys and customers: a token bucket for each, in this worker's memory.

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
    """Units of the burst that are used up in this worker's share."""


class _Bucket(NamedTuple):
    """A rate that applies to a request: of its access key, or of its customer."""

    owner: str
    """The id, and before it what it is the id of."""
    per_s: int
    burst: int


class RateLimits:
    """Refuse requests of keys and customers that send too many.

    A request costs one unit, or more if it takes the server longer. A bucket is one number: the
    time at which it will be full again if no request arrives. A key without a bucket has a full
    one, so that a full bucket may be deleted.

    Args:
        per_s: Units a second of each key without a rate of its own; 0 for no limit.
        burst: Units of them at once; 0 for those of a second.
        workers: How many workers share a key's requests; each grants its part.
        clock_ns: A monotonic clock, in ns; the wall clock may jump.
        buckets_max: Buckets in memory; the least recently used one is deleted.
        customer_per_s: Units a second of each customer, over all its keys; 0 for no limit.
        customer_burst: Units of them at once; 0 for those of a second.
    """

    def __init__(
        self,
        per_s: int = 0,
        burst: int = 0,
        workers: int = 1,
        clock_ns: Callable[[], int] = perf_counter_ns,
        buckets_max: int = _BUCKETS_MAX,
        customer_per_s: int = 0,
        customer_burst: int = 0,
    ) -> None:
        self._is_for_all = per_s > 0 or customer_per_s > 0
        self._per_s = per_s
        self._burst = burst
        self._customer_per_s = customer_per_s
        self._customer_burst = customer_burst
        self._workers = workers
        self._clock_ns = clock_ns
        self._buckets_max = buckets_max
        self._full_ns: OrderedDict[str, int] = OrderedDict()

    def charge(self, principal: Principal, units: int = 1, charged: int = 0) -> None:
        """Take units of a request from the buckets of its principal.

        A request takes no more than a full bucket holds, with what was charged for it before.

        Raises:
            RateLimited: A bucket has not as many; nothing was taken.
        """
        if principal.rate_per_s is None and not self._is_for_all:
            return
        now_ns = self._clock_ns()
        taken: list[tuple[str, int]] = []
        for bucket in self._buckets_of(principal):
            token_ns, room_ns = self._size_of(bucket)
            # An empty bucket is full after room_ns; later only if its rate was raised since.
            full_ns = min(max(self._full_ns.get(bucket.owner, 0), now_ns), now_ns + room_ns)
            capacity = room_ns // token_ns
            later_ns = full_ns + token_ns * max(min(units, capacity - charged), 0)
            if later_ns > now_ns + room_ns:
                self._full_ns[bucket.owner] = full_ns
                raise self._refusal(bucket, later_ns - now_ns - room_ns)
            taken.append((bucket.owner, later_ns))
        for owner, later_ns in taken:
            self._full_ns[owner] = later_ns
            self._full_ns.move_to_end(owner)
        while len(self._full_ns) > self._buckets_max:
            self._full_ns.popitem(last=False)

    def usage(self, principal: Principal) -> Rate:
        """Return the rate of a principal's key and how much of it is used."""
        bucket = self._key_bucket(principal)
        if bucket is None:
            return Rate(None, None, 0)
        return self._usage_of(bucket)

    def customer_usage(self, principal: Principal) -> Rate:
        """Return the rate of a principal's customer and how much of it is used."""
        bucket = self._customer_bucket(principal)
        if bucket is None:
            return Rate(None, None, 0)
        return self._usage_of(bucket)

    def _usage_of(self, bucket: _Bucket) -> Rate:
        token_ns, _ = self._size_of(bucket)
        left_ns = max(self._full_ns.get(bucket.owner, 0) - self._clock_ns(), 0)
        return Rate(bucket.per_s, bucket.burst or bucket.per_s, -(-left_ns // token_ns))

    def _buckets_of(self, principal: Principal) -> list[_Bucket]:
        buckets = (self._key_bucket(principal), self._customer_bucket(principal))
        return [bucket for bucket in buckets if bucket is not None]

    def _key_bucket(self, principal: Principal) -> _Bucket | None:
        per_s, burst = self._per_s, self._burst
        if principal.rate_per_s is not None:
            per_s, burst = principal.rate_per_s, principal.rate_burst or 0
        return _Bucket(f"accessKey {principal.access_key}", per_s, burst) if per_s else None

    def _customer_bucket(self, principal: Principal) -> _Bucket | None:
        if not self._customer_per_s:
            return None
        owner = f"customer {principal.customer_id}"
        return _Bucket(owner, self._customer_per_s, self._customer_burst)

    def _size_of(self, bucket: _Bucket) -> tuple[int, int]:
        """Return the time for one unit and for a full bucket, in ns."""
        token_ns = self._workers * _SECOND_NS // bucket.per_s
        # A worker's part of a burst may be less than one unit, but a bucket must hold one.
        burst_ns = (bucket.burst or bucket.per_s) * _SECOND_NS // bucket.per_s
        return token_ns, max(burst_ns, token_ns)

    def _refusal(self, bucket: _Bucket, wait_ns: int) -> RateLimited:
        wait_s = -(-wait_ns // _SECOND_NS)
        share = f", spread over {self._workers} workers" if self._workers > 1 else ""
        error = RateLimited(
            f"this {bucket.owner.partition(' ')[0]} may send {bucket.per_s} requests a second"
            f"{share}; nothing was done; send the request again in {wait_s} s"
        )
        error.retry_after_s = float(wait_s)
        return error
