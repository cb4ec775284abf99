"""What one customer, and all together, may use of a worker's storage at once."""

from typing import Final, NamedTuple

import msgspec

from openpns import limits


class StorageBounds(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a worker's storage; see the settings with these names.

    Attributes:
        waiting_per_customer_max: How many writes, and how many searches and large pages, of one
            customer may wait.
    """

    searches_max: int = limits.SEARCHES_MAX
    searches_per_customer_max: int = limits.SEARCHES_PER_CUSTOMER_MAX
    large_pages_max: int = limits.LARGE_PAGES_MAX
    large_pages_per_customer_max: int = limits.LARGE_PAGES_PER_CUSTOMER_MAX
    waiting_per_customer_max: int = limits.WAITING_PER_CUSTOMER_MAX


DEFAULT_BOUNDS: Final = StorageBounds()


class StorageUsage(NamedTuple):
    """What a worker's storage does at the moment."""

    searches: int
    searches_waiting: int
    large_pages: int
    large_pages_waiting: int
    writes_waiting: int
    """Writes that wait for SQLite's writer; on PostgreSQL, reads and writes that wait for a
    connection."""


class StorageSizes(NamedTuple):
    """The size of a database in bytes; 0 for one in memory, and on PostgreSQL."""

    database: int = 0
    log: int = 0
    """The log of changes, which SQLite copies to the database about twice a minute."""
