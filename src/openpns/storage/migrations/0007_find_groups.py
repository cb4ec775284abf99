"""Fold the names of the existing groups.

Neither database folds as Python does: SQLite knows ASCII only, PostgreSQL what its version and
locale know. SQLite calls a function of openpns; on PostgreSQL the rows are read and updated.
"""

from typing import Any, Final

from openpns.kit.casefold import fold_name

_ROWS_EACH: Final = 5000


def before_sqlite(connection: Any) -> None:
    """Register the function `name_key_of(name)`, which the SQL calls."""
    import apsw  # noqa: PLC0415 - PostgreSQL's part does not need it

    def name_key_of(*values: Any) -> str:
        return fold_name(values[0])

    connection.create_scalar_function(
        "name_key_of", name_key_of, 1, deterministic=True, flags=apsw.SQLITE_DIRECTONLY
    )


async def after_postgres(connection: Any) -> None:
    """Fold the name of every group."""
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
        "UPDATE number_group AS g SET name_key = n.name_key "
        "FROM unnest($1::text[], $2::text[], $3::text[]) AS n (customer_id, group_id, name_key) "
        "WHERE g.customer_id = n.customer_id AND g.group_id = n.group_id",
        *[list(column) for column in zip(*rows, strict=True)],
    )
