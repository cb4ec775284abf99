"""Migrations of PostgreSQL: which were applied, and applying those that are missing."""

from collections.abc import Sequence
from typing import Any, Final

from openpns.clock import now_ms
from openpns.storage import migrations
from openpns.storage.migrations import Applied, Migration

_LOCK: Final = 0x6F70656E706E73
"""The advisory lock under which migrations run: "openpns" in ASCII."""

_TIMEOUT_S: Final = 86_400.0
"""Far longer than for other statements: a large table is not rewritten in seconds."""

_CREATE: Final = (
    "CREATE TABLE schema_migration (number integer NOT NULL PRIMARY KEY, "
    "applied_at timestamptz NOT NULL DEFAULT now())"
)
_HAS_STEPS: Final = (
    "SELECT EXISTS (SELECT FROM pg_attribute "
    "WHERE attrelid = to_regclass('schema_migration') AND attname = 'step' AND NOT attisdropped)"
)
_RECORD: Final = (
    "INSERT INTO schema_migration (number, step, file, checksum, applied_ms) "
    "VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT (number, step) DO UPDATE SET file = excluded.file, checksum = excluded.checksum"
)


async def read_applied(connection: Any) -> list[Applied]:
    """Return the steps that were applied; before migration 8 only their numbers are recorded."""
    if await connection.fetchval("SELECT to_regclass('schema_migration')") is None:
        return []
    if not await connection.fetchval(_HAS_STEPS):
        rows = await connection.fetch("SELECT number FROM schema_migration ORDER BY number")
        return [Applied(row["number"]) for row in rows]
    rows = await connection.fetch(
        "SELECT CAST(number AS bigint), step, checksum FROM schema_migration "
        "ORDER BY number, applied_ms"
    )
    return [Applied(*row) for row in rows]


async def migrate(
    connection: Any, known: Sequence[Migration], *, with_post: bool
) -> list[Migration]:
    """Apply the missing steps, inside the caller's transaction, and return them."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK, timeout=_TIMEOUT_S)
    applied = await read_applied(connection)
    if not applied and await connection.fetchval("SELECT to_regclass('schema_migration')") is None:
        await connection.execute(_CREATE)
    missing = migrations.find_missing(known, applied, with_post=with_post)
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
