"""Migrations of PostgreSQL: which were applied, and applying those that are missing."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import asyncpg

from openpns.clock import now_ms
from openpns.errors import ConfigError
from openpns.storage import migrations
from openpns.storage.copying import STATE_TABLE
from openpns.storage.migrations import Applied, Migration

_LOCK: Final = 0x6F70656E706E73
"""The advisory lock under which migrations run: "openpns" in ASCII."""

_TIMEOUT_S: Final = 86_400.0
"""Far longer than for other statements: a large table is not rewritten in seconds."""

_LOCK_TIMEOUT: Final = "2s"
"""How long a step beside running servers waits for a table. While it waits, so do all requests
that need the table."""

_PAUSE_S: Final = 1.0
_ATTEMPTS_MAX: Final = 60

_CREATE: Final = (
    "CREATE TABLE schema_migration (number integer NOT NULL PRIMARY KEY, "
    "applied_at timestamptz NOT NULL DEFAULT now())"
)
_HAS_STEPS: Final = (
    "SELECT EXISTS (SELECT FROM pg_attribute "
    "WHERE attrelid = to_regclass('schema_migration') AND attname = 'step' AND NOT attisdropped)"
)
_HIDDEN_SCHEMA: Final = """
SELECT min(nspname) FROM pg_namespace
WHERE NOT has_schema_privilege(oid, 'USAGE') AND nspname = ANY (string_to_array(
    replace(translate(current_setting('search_path'), ' "', ''), '$user', current_user), ','
))
"""
"""A schema of the search path that the user may not use: its tables seem not to exist."""

_RECORD: Final = (
    "INSERT INTO schema_migration (number, step, file, checksum, applied_ms) "
    "VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT (number, step) DO UPDATE SET file = excluded.file, checksum = excluded.checksum"
)


async def read_applied(connection: Any) -> list[Applied]:
    """Return the steps that were applied; before migration 8 only their numbers are recorded."""
    if await connection.fetchval("SELECT to_regclass('schema_migration')") is None:
        hidden = await connection.fetchval(_HIDDEN_SCHEMA)
        if hidden is not None:
            raise ConfigError(
                f"database: permission denied for schema {hidden}; grant USAGE on it to the user "
                "of the URL"
            )
        return []
    if not await connection.fetchval(_HAS_STEPS):
        rows = await connection.fetch("SELECT number FROM schema_migration ORDER BY number")
        return [Applied(row["number"]) for row in rows]
    rows = await connection.fetch(
        "SELECT CAST(number AS bigint), step, checksum FROM schema_migration "
        "ORDER BY number, applied_ms, step DESC"
    )
    return [Applied(*row) for row in rows]


async def repeat(attempt: Callable[[], Awaitable[list[Migration]]]) -> list[Migration]:
    """Repeat a run of migrations that waits too long for a table, and let requests run meanwhile.

    A write that has changed one table and waits for another one may make it wait forever.

    Raises:
        ConfigError: The table stays in use.
    """
    for number in range(_ATTEMPTS_MAX):
        if number:
            await asyncio.sleep(_PAUSE_S)
        with contextlib.suppress(asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            return await attempt()
    raise ConfigError(
        "database: cannot migrate: a table is in use by a long transaction, such as pg_dump or an "
        "export; run openpns migrate again after its end"
    )


async def migrate(
    connection: Any,
    known: Sequence[Migration],
    check: Callable[[Sequence[Migration]], Awaitable[None]],
    *,
    with_post: bool,
) -> list[Migration]:
    """Apply the missing steps, inside the caller's transaction, and return them.

    `check` raises if they must not be applied to a database that is not empty.

    Raises:
        LockNotAvailableError: A table is in use; nothing is applied.
    """
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK, timeout=_TIMEOUT_S)
    applied = await read_applied(connection)
    if not applied and await connection.fetchval("SELECT to_regclass('schema_migration')") is None:
        await connection.execute(_CREATE)
    missing = migrations.find_missing(known, applied, with_post=with_post)
    is_captured = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", STATE_TABLE)
    migrations.refuse_captured(missing, is_captured=is_captured)
    if applied:
        await check(missing)
    if all(one.step != "stop" for one in missing):
        await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    for one in missing:
        if one.before is not None:
            await one.before(connection)
        await connection.execute(one.sql, timeout=_TIMEOUT_S)
        if one.after is not None:
            await one.after(connection)
        if one.number < migrations.STOP_LAST:
            await connection.execute(
                "INSERT INTO schema_migration (number) VALUES ($1)", one.number
            )
        for done in migrations.recorded_by(one, known):
            row = (done.number, done.step, done.file, done.checksum, now_ms())
            await connection.execute(_RECORD, *row)
    return missing
