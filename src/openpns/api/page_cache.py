"""Encoded responses, cached until the customer's data changes.

Every request reads its access key after it arrived, and with the key the revision of the customer's
data. A cached response is used only if it was read at that revision.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from openpns.core.actions import Fragment
from openpns.kit.in_flight import SingleFlight

_ENTRY_BYTES: Final = 512
"""What an entry takes in addition to its texts: objects, tuples, a slot in the table."""

_SHARE_MAX: Final = 8
"""A response may take at most this part of the cache, so that one does not evict all others."""


CacheKey: TypeAlias = tuple[str, str, str | None, bytes]
"""What a cached response depends on, except the customer's revision: customer, action, Content-Type
and body."""


class PageCache:
    """Cache up to `bytes_max` bytes of encoded responses; evict the least recently used first."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_used = 0
        self._bytes_max = bytes_max
        self._pages: OrderedDict[CacheKey, tuple[int, bytes]] = OrderedDict()
        self._reading: SingleFlight[CacheKey, tuple[int, Fragment]] = SingleFlight()

    def find(self, key: CacheKey, revision: int) -> bytes | None:
        """Return the response cached at a revision that was read after the request arrived."""
        cached = self._pages.get(key)
        if cached is None or cached[0] != revision:
            return None
        self._pages.move_to_end(key)
        return cached[1]

    async def read(
        self, key: CacheKey, revision: int, read: Callable[[], Awaitable[tuple[int, Fragment]]]
    ) -> Fragment:
        """Read a response that is not cached, or share what another request is reading.

        After a change many requests miss the same page at once; one or two of them read it. `read`
        returns the response with the revision that it was read at.
        """
        if not self._bytes_max:
            return (await read())[1]

        async def read_and_add() -> tuple[int, Fragment]:
            found_revision, fragment = await read()
            if isinstance(fragment, bytes):
                self.add(key, found_revision, fragment)
            return found_revision, fragment

        _, fragment = await self._reading.run(
            key,
            read_and_add,
            is_current=lambda found: found[0] == revision,
            is_shared=lambda found: isinstance(found[1], bytes),
        )
        return fragment

    def add(self, key: CacheKey, revision: int, page: bytes) -> None:
        """Cache a response with the revision of its own snapshot; it replaces an older one."""
        size = _size(key, page)
        if size > self._bytes_max // _SHARE_MAX:
            return
        self._drop(key)
        self._pages[key] = (revision, page)
        self.bytes_used += size
        while self.bytes_used > self._bytes_max:
            self._drop(next(iter(self._pages)))

    def _drop(self, key: CacheKey) -> None:
        dropped = self._pages.pop(key, None)
        if dropped is not None:
            self.bytes_used -= _size(key, dropped[1])


def _size(key: CacheKey, page: bytes) -> int:
    _, _, content_type, body = key
    return len(body) + len(content_type or "") + len(page) + _ENTRY_BYTES
