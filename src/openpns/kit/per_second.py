"""A bound on how often something happens within a second, for each of many keys."""

from collections import Counter


class PerSecond:
    """Allow so many a second for each key; count the others.

    Attributes:
        omitted: How many were not allowed, since `take_omitted` was called last.
    """

    def __init__(self, per_key_max: int) -> None:
        self._per_key_max = per_key_max
        self._second = 0
        self._counts: Counter[str] = Counter()  # of one second: no more keys than requests in it
        self.omitted = 0

    def allows(self, key: str, now_ms: int) -> bool:
        """Return whether it may happen now for a key."""
        second = now_ms // 1000
        if second != self._second:
            self._second = second
            self._counts.clear()
        if self._counts[key] < self._per_key_max:
            self._counts[key] += 1
            return True
        self.omitted += 1
        return False

    def take_omitted(self) -> int:
        """Return how many were not allowed, and begin to count again."""
        omitted, self.omitted = self.omitted, 0
        return omitted
