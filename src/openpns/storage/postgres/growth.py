"""Plans are made again as tables grow.

A generic plan is made once for each connection. One that is made while a table is empty may take
any index that begins with the customer. Once there are rows, it reads all of a customer, until the
first ANALYZE. If PostgreSQL knows only how large the table is, it finds the right index.

Source: docs/decisions/0045-plans-over-empty-tables.md.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

Levels = tuple[int, ...]
"""About how large each table and index is: the next level is four times as large."""

CHECK_S: Final = 1.0
"""How often a process looks at the sizes, if it uses the database."""

_PAGES_MAX: Final = 1024
"""A plan that fits a table of so many pages fits a larger one."""

_PAGES: Final = """
SELECT pg_relation_size(oid) / current_setting('block_size')::bigint FROM pg_class
WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace ORDER BY oid
"""
_DISCARD: Final = "DISCARD PLANS"


class Growth:
    """Drops the plans of a connection that were made while a table was much smaller.

    Args:
        clock_s: Says when to look at the sizes again.
    """

    def __init__(self, clock_s: Callable[[], float] = perf_counter) -> None:
        self._clock_s = clock_s
        self._due_s = clock_s()
        self._levels: Levels = ()

    async def refresh(self, connection: Any) -> None:
        """Prepare a connection for use: of a pool, the one that it is about to return."""
        if connection.is_pooled:  # each use of a statement is planned
            return
        now_s = self._clock_s()
        if now_s >= self._due_s:
            self._due_s = now_s + CHECK_S
            rows = await connection.fetch(_PAGES)
            levels = tuple(min(row[0] or 0, _PAGES_MAX).bit_length() // 2 for row in rows)
            if levels != self._levels:
                self._levels = levels
        if connection.planned_for is not self._levels:
            if connection.planned_for is not None:
                await connection.execute(_DISCARD)
            connection.plan_for(self._levels)
