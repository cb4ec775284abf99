"""A pool of connections that customers share: places by kind of work, and by customer."""

from typing import Any, Final

from openpns.kit.turns import OwnerCounts, Places
from openpns.storage.bounds import StorageBounds, StorageUsage

_KEY_CONNECTIONS: Final = 2
"""Connections that only look-ups of access keys use: each request begins with one."""


class Connections:
    """The connections of a pool; each method returns one for the time of a block.

    Searches and large pages have a third of the places for other work at most, so that small reads
    and writes go on. One customer has three quarters of them at most.

    Args:
        pool: A pool of asyncpg.
        lost: The errors of a lost connection.
    """

    def __init__(
        self,
        pool: Any,
        connections_max: int,
        timeout_s: float,
        bounds: StorageBounds,
        lost: tuple[type[Exception], ...],
    ) -> None:
        self.pool = pool
        self._timeout_s = timeout_s
        self._lost = lost
        places = connections_max - min(_KEY_CONNECTIONS, connections_max // 4)
        waiting_max = bounds.waiting_per_customer_max
        self.writes = OwnerCounts("writes", waiting_max)
        per_customer = places - places // 4
        # As many as would wait and have a place if each took a round trip of its own.
        self.reads = OwnerCounts("reads", waiting_max + per_customer)
        self._work = Places("requests", places, per_customer, waiting_max, timeout_s)
        self._searches = Places(
            "searches",
            min(bounds.searches_max, max(places // 3, 1)),
            bounds.searches_per_customer_max,
            waiting_max,
            timeout_s,
        )
        self._large_pages = Places(
            "large pages",
            min(bounds.large_pages_max, max(places // 3, 1)),
            bounds.large_pages_per_customer_max,
            waiting_max,
            timeout_s,
        )

    def usage(self) -> StorageUsage:
        """Return what is in flight and what waits."""
        return StorageUsage(
            self._searches.in_flight,
            self._searches.waiting,
            self._large_pages.in_flight,
            self._large_pages.waiting,
            self._work.waiting,
        )

    def for_key(self) -> "PooledConnection":
        """Return a connection for a look-up of access keys, which waits for no other work."""
        return PooledConnection(self, "", ())

    def for_work(self, customer_id: str = "") -> "PooledConnection":
        """Return a connection for a small read or a write."""
        return PooledConnection(self, customer_id, (self._work,))

    def for_search(self, customer_id: str) -> "PooledConnection":
        """Return a connection for a search."""
        return PooledConnection(self, customer_id, (self._searches, self._work))

    def for_large_page(self, customer_id: str, *, is_search: bool = False) -> "PooledConnection":
        """Return a connection for a page that is read as its client takes it.

        A search also has the place of one, until `end_search`.
        """
        searches = (self._searches,) if is_search else ()
        return PooledConnection(self, customer_id, (self._large_pages, *searches, self._work))

    def end_search(self, connection: "PooledConnection") -> None:
        """Give back the place of a search before the block ends: its rows are found."""
        connection.give(self._searches)

    async def acquire(self) -> Any:
        """Take a connection of the pool."""
        return await self.pool.acquire(timeout=self._timeout_s)

    async def release(self, connection: Any) -> None:
        """Give a connection back; an error does not replace the block's own result or error.

        A commit whose outcome is unknown stays unknown.
        """
        try:
            await self.pool.release(connection)
        except self._lost:
            # Only a server that has vanished does not answer when a statement is cancelled. Then
            # all connections of the pool are lost.
            await self.pool.expire_connections()


class PooledConnection:
    """A connection of the pool for the time of a block, with a place of each kind."""

    __slots__ = ("_connection", "_connections", "_held", "_owner", "_places")

    def __init__(self, connections: Connections, owner: str, places: tuple[Places, ...]) -> None:
        self._connections = connections
        self._owner = owner
        self._places = places
        self._held: list[Places] = []

    async def __aenter__(self) -> Any:
        try:
            for places in self._places:
                await places.take(self._owner)
                self._held.append(places)
            self._connection = await self._connections.acquire()
        except BaseException:
            self._give()
            raise
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._connections.release(self._connection)
        finally:
            self._give()

    def give(self, places: Places) -> None:
        """Give one place back, if it is held."""
        if places in self._held:
            self._held.remove(places)
            places.give(self._owner)

    def _give(self) -> None:
        for places in reversed(self._held):
            places.give(self._owner)
