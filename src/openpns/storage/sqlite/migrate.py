"""Migrations of SQLite: which were applied, and applying those that are missing."""

from collections.abc import Callable, Sequence
from typing import Final

import apsw

from openpns.clock import now_ms
from openpns.storage import migrations
from openpns.storage.copying import STATE_TABLE
from openpns.storage.migrations import Applied, Migration
from openpns.storage.sqlite.writer import transaction

_RECORD: Final = "INSERT INTO schema_migration VALUES (?, ?, ?, ?, ?)"


def read_applied(connection: apsw.Connection) -> list[Applied]:
    """Return the steps that were applied; before migration 8 `user_version` has the number."""
    number = int(connection.pragma("user_version"))
    if number < migrations.STOP_LAST:
        return [Applied(one) for one in range(1, number + 1)]
    rows = connection.execute(
        "SELECT number, step, checksum FROM schema_migration ORDER BY number, applied_ms, step DESC"
    )
    return [Applied(*row) for row in rows]


def migrate(
    connection: apsw.Connection,
    known: Sequence[Migration],
    check: Callable[[Sequence[Migration]], object],
    *,
    with_post: bool,
) -> list[Migration]:
    """Apply the missing steps in one transaction and return them.

    `check` raises if they must not be applied to a database that is not empty.
    """
    with transaction(connection):
        applied = read_applied(connection)
        missing = migrations.find_missing(known, applied, with_post=with_post)
        is_captured = connection.table_exists(None, STATE_TABLE)
        migrations.refuse_captured(missing, is_captured=is_captured)
        if applied:
            check(missing)
        for one in missing:
            if one.before is not None:
                one.before(connection)
            connection.execute(one.sql)
            if one.after is not None:
                one.after(connection)
            if one.number <= migrations.STOP_LAST:
                connection.pragma("user_version", one.number)
            for done in migrations.recorded_by(one, known):
                row = (done.number, done.step, done.file, done.checksum, now_ms())
                connection.execute(_RECORD, row)
    return missing
