"""A bound on how often something happens within a second, for each of many keys."""

from collections import Counter


class PerSecond:
    """Allow so many a second for each key."""

    def __init__(self, per_key_max: int) -> None:
        self._per_key_max = per_key_max
        self._second = 0
        self._counts: Counter[str] = Counter()  # of one second: no more keys than requests in it

    def allows(self, key: str, now_ms: int) -> bool:
        """Return whether it may happen now for a key."""
        second = now_ms // 1000
        if second != self._second:
            self._second = second
            self._counts.clear()
        if self._counts[key] < self._per_key_max:
            self._counts[key] += 1
            return True
        return False
