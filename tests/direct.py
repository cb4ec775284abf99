"""Direct access to a database, to read what is stored or to hold a lock."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from typing import Any, Self

import apsw
import asyncpg
from tests import citus

from openpns.storage.postgres import distribution
from openpns.storage.store import database_path

_TABLES = (
    "call_audio", "routing_sequence", "call_trace", "digit_guard", "seat", "ended_binding",
    "binding", "number_load", "virtual_number", "delivery", "webhook", "call_record",
    "customer_usage",
    "group_phone_chunk", "group_member", "group_order_gap", "group_tombstone", "number_group",
    "idempotency_record", "customer_state", "access_key", "customer",
)  # fmt: skip

# On Citus a transaction may change reference tables after others only if it changes one shard after
# the other. PostgreSQL accepts any setting with a dot.
_SETTINGS = {
    "citus.multi_shard_modify_mode": "sequential",
    "citus.enable_unsafe_triggers": "on",
    "citus.enable_repartition_joins": "on",
    # Hiding shards makes the driver's look at a type take seconds.
    "citus.override_table_visibility": "off",
}

Query = Callable[[str], Awaitable[list[tuple[Any, ...]]]]
"""Run SQL on a connection of its own, and return the rows."""


def _open(path: str) -> apsw.Connection:
    """Open an SQLite file; wait for a server that writes at the moment."""
    connection = apsw.Connection(path)
    connection.set_busy_timeout(5000)
    return connection


async def _connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, server_settings=_SETTINGS)


async def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Run SQL on a connection of its own, and return the rows."""
    path = database_path(url)
    if path is not None:
        with closing(_open(path)) as connection:
            return [tuple(row) for row in connection.execute(sql)]
    postgres = await _connect(url)
    try:
        return [tuple(row) for row in await postgres.fetch(sql)]
    finally:
        await postgres.close()


async def run(url: str, sql: str) -> None:
    """Run a script on a connection of its own."""
    path = database_path(url)
    if path is not None:
        with closing(_open(path)) as connection, connection:
            connection.execute(sql)
        return
    postgres = await _connect(url)
    try:
        await postgres.execute(sql)
    finally:
        await postgres.close()


@asynccontextmanager
async def holding(url: str, sql: str) -> AsyncIterator[None]:
    """Change something in a transaction that is rolled back at the end of the block."""
    path = database_path(url)
    if path is not None:
        with closing(_open(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(sql)
            yield
            connection.execute("ROLLBACK")
        return
    postgres = await _connect(url)
    transaction = postgres.transaction()
    await transaction.start()
    try:
        await postgres.execute(sql)
        yield
    finally:
        await transaction.rollback()
        await postgres.close()


_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
_WAITING_ON_CITUS = "SELECT count(DISTINCT waiting_gpid) FROM citus_lock_waits"
"""On all nodes: the coordinator itself does not wait for the lock of a row that a worker has."""


async def until_waiting(url: str, count: int) -> None:
    """Wait until so many transactions wait for a lock; at once for SQLite, which has one writer."""
    if database_path(url) is not None:
        return
    postgres = await _connect(url)
    try:
        is_spread = await distribution.is_distributed(postgres)
        waiting = _WAITING_ON_CITUS if is_spread else _WAITING
        while await postgres.fetchval(waiting) < count:
            pass
    finally:
        await postgres.close()


_NEW_REVISIONS = """
UPDATE customer_state SET
    phone_count_revision =
        CASE phone_count_revision WHEN groups_revision THEN {0} ELSE phone_count_revision END,
    byte_count_revision =
        CASE byte_count_revision WHEN groups_revision THEN {0} ELSE byte_count_revision END,
    groups_revision = {0}, bindings_revision = {0};
"""


class Snapshot:
    """The rows of a database at one time, to return to; kept in tables of its own connection.

    Start it with `take`. It leaves the audit trail alone, which only grows.
    """

    _TAKE = "".join(f"CREATE TEMP TABLE kept_{name} AS SELECT * FROM {name};" for name in _TABLES)
    # Rows that others refer to go last and come first.
    _RETURN = "".join(
        [
            *(f"DELETE FROM {name};" for name in _TABLES),
            *(f"INSERT INTO {name} SELECT * FROM kept_{name};" for name in reversed(_TABLES)),
        ]
    )

    def __init__(self, connection: apsw.Connection | asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    async def take(cls, url: str) -> Self:
        """Keep the rows that a database has now."""
        path = database_path(url)
        connection = await _connect(url) if path is None else _open(path)
        await _execute(connection, cls._TAKE)
        return cls(connection)

    async def restore(self) -> None:
        """Return to these rows, in one transaction; caches must read them again."""
        revision = _NEW_REVISIONS.format(secrets.randbits(62))
        last_id = "UPDATE call_record_counter SET last_id = 0;"
        if not isinstance(self._connection, apsw.Connection):
            last_id = "SELECT setval('call_record_record_id_seq', 1, false);"
        await _execute(self._connection, f"BEGIN;{self._RETURN}{revision}{last_id}COMMIT;")

    async def close(self) -> None:
        if isinstance(self._connection, apsw.Connection):
            self._connection.close()
        else:
            await self._connection.close()


async def _execute(connection: apsw.Connection | asyncpg.Connection, sql: str) -> None:
    if isinstance(connection, apsw.Connection):
        connection.execute(sql)
    else:
        await connection.execute(sql)


async def empty(url: str) -> None:
    """Delete every row of a database."""
    path = database_path(url)
    if path is not None:
        connection = _open(path)
        with connection:
            for table in _TABLES:
                connection.execute(f"DELETE FROM {table}")
            connection.execute("UPDATE call_record_counter SET last_id = 0")
        connection.close()
        return
    postgres = await _connect(url)
    if await distribution.is_distributed(postgres):
        await citus.empty(url, _TABLES)
    else:
        await postgres.execute(f"TRUNCATE {', '.join(_TABLES)} RESTART IDENTITY")
    await postgres.close()
