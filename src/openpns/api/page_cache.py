"""Pages as they were sent, kept to be sent again while nothing has changed.

The cache never decides by itself whether a page is current. Every call reads its access key
after it arrived, and with the key the revision of the customer's data; a page is used only if it
was read at that very revision.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from openpns.core.actions import Fragment
from openpns.kit.in_flight import SingleFlight

_ENTRY_BYTES: Final = 512
"""What an entry takes besides its texts: objects, tuples, a place in the table."""

_SHARE_MAX: Final = 8
"""A page may take at most this part of the cache, so that one does not push all others out."""


class CacheKey(NamedTuple):
    """What a kept answer depends on, but for the customer's revision."""

    customer_id: str
    action: str
    content_type: str | None
    body: bytes


class PageCache:
    """Keep encoded answers by what was key, the least recently used gone first.

    Args:
        bytes_max: How many bytes all entries may take; 0 keeps nothing.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_used = 0
        self._bytes_max = bytes_max
        self._pages: OrderedDict[CacheKey, tuple[int, bytes]] = OrderedDict()
        self._reading: SingleFlight[CacheKey, tuple[int, Fragment]] = SingleFlight()

    def find(self, key: CacheKey, revision: int) -> bytes | None:
        """Return the answer, if it was kept at this revision.

        Args:
            key: What is key.
            revision: The customer's revision, read after the request arrived.
        """
        kept = self._pages.get(key)
        if kept is None or kept[0] != revision:
            return None
        self._pages.move_to_end(key)
        return kept[1]

    async def read(
        self, key: CacheKey, revision: int, read: Callable[[], Awaitable[tuple[int, Fragment]]]
    ) -> Fragment:
        """Return an answer that is not kept: read it, or take what another call reads just now.

        After a change many calls miss the same page at once; one or two of them read it.

        Args:
            key: What is key.
            revision: The customer's revision, read after the request arrived.
            read: Reads the answer, with the revision that it was read at.
        """
        if not self._bytes_max:
            return (await read())[1]

        async def read_and_keep() -> tuple[int, Fragment]:
            found_revision, fragment = await read()
            if isinstance(fragment, bytes):
                self.keep(key, found_revision, fragment)
            return found_revision, fragment

        _, fragment = await self._reading.run(
            key,
            read_and_keep,
            is_current=lambda found: found[0] == revision,
            is_shared=lambda found: isinstance(found[1], bytes),
        )
        return fragment

    def keep(self, key: CacheKey, revision: int, page: bytes) -> None:
        """Keep an answer, in the place of an older one.

        Args:
            key: What was key.
            revision: The revision at which the page was read: its own, from the same snapshot.
            page: What is answered.
        """
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
    return len(key.body) + len(key.content_type or "") + len(page) + _ENTRY_BYTES
