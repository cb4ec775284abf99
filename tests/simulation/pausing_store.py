"""A PostgreSQL store whose writes can be stopped after any of their steps."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import asyncpg

from openpns.storage.postgres.store import PostgresStore
from openpns.storage.statements import NamedStatement
from openpns.storage.store import BatchKey, Statement, Store, Transaction

LOCK: int = 7_260_116
"""The advisory lock that a stopped write waits for."""

_PAUSE = "test_pause"
_WAITING = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted
"""
_BLOCKED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
"""


class PausingStore:
    """A store that stops its next write after some steps, until `Pause` lets it go on."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        sql = "SELECT pg_advisory_xact_lock($1::bigint)"
        store._statements[_PAUSE] = NamedStatement(_PAUSE, sql, ("lock",))
        self.after: int | None = None
        """How many steps the next write takes before it stops; None if it does not."""
        self.is_stopped = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(
        self,
        steps: Callable[[], Transaction[Any]],
        *,
        customer_id: str = "",
        batch_key: BatchKey | None = None,
    ) -> Any:
        if self.after is None:
            return await self._store.write(steps, customer_id=customer_id, batch_key=batch_key)
        after, self.after = self.after, None
        return await self._store.write(lambda: self._stopping(steps(), after))

    def _stopping(self, steps: Transaction[Any], after: int) -> Transaction[Any]:
        rows: Any = None
        for count in range(1000):
            if count == after:
                self.is_stopped = True
                yield Statement(_PAUSE, {"lock": LOCK})
            try:
                step = steps.send(rows)
            except StopIteration as stop:
                return stop.value
            rows = yield step
        raise AssertionError


async def interleave(
    connection: asyncpg.Connection,
    store: Store,
    first: Callable[[], Any],
    second: Callable[[], Any],
    after: int,
) -> tuple[list[Any], bool]:
    """Run two writes; the first stops after some steps, until the second ends or waits for it.

    Args:
        connection: Of this test alone; it holds the lock meanwhile.

    Returns:
        Their results or errors, and whether the first has so many steps.
    """
    pausing = cast("PausingStore", store)
    pausing.after, pausing.is_stopped = after, False
    try:
        await connection.execute("SELECT pg_advisory_lock($1::bigint)", LOCK)
        one = asyncio.ensure_future(first())
        while not one.done() and not await connection.fetchval(_WAITING, LOCK):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        other = asyncio.ensure_future(second())
        # The first waits for the lock of this connection; if two wait, the second waits for it.
        while not other.done() and await connection.fetchval(_BLOCKED) < 2:
            if one.done():
                break
            await asyncio.sleep(0.001)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1::bigint)", LOCK)
    pausing.after = None
    results = await asyncio.gather(one, other, return_exceptions=True)
    return results, pausing.is_stopped
