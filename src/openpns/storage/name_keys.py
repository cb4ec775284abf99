"""Filling in the folded names of groups that were there before names were folded.

Neither engine folds as Python does: SQLite knows ASCII alone, PostgreSQL what its version and
locale know. So SQLite calls a function of ours, and on PostgreSQL the rows are gone over.
"""

from typing import Any, Final

import apsw

from openpns.kit.casefold import fold_name

SINCE: Final = 7
"""The migration that brought the column."""

_ROWS_EACH: Final = 5000


def register(connection: apsw.Connection) -> None:
    """Give a connection the function `name_key_of(name)`.

    Args:
        connection: The connection.
    """

    def name_key_of(*values: Any) -> str:
        return fold_name(values[0])

    connection.create_scalar_function("name_key_of", name_key_of, 1, deterministic=True)


async def fill(connection: Any) -> None:
    """Fold the name of every group, within a migration of PostgreSQL.

    Args:
        connection: The migration's connection.
    """
    names = connection.cursor(
        "SELECT customer_id, group_id, group_name FROM number_group", prefetch=_ROWS_EACH
    )
    rows: list[tuple[str, str, str]] = []
    async for customer_id, group_id, name in names:
        rows.append((customer_id, group_id, fold_name(name)))
        if len(rows) == _ROWS_EACH:
            await _write(connection, rows)
            rows = []
    if rows:
        await _write(connection, rows)


async def _write(connection: Any, rows: list[tuple[str, str, str]]) -> None:
    await connection.execute(
        "UPDATE number_group AS g SET folded_name = n.folded_name "
        "FROM unnest($1::text[], $2::text[], $3::text[]) AS n (customer_id, group_id, folded_name) "
        "WHERE g.customer_id = n.customer_id AND g.group_id = n.group_id",
        *[list(column) for column in zip(*rows, strict=True)],
    )
