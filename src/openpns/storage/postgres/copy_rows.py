"""Rows of a copy in PostgreSQL: reading and writing them; see `openpns.storage.copying`."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import asyncpg

from openpns.errors import ConfigError, ServiceUnavailable
from openpns.storage.copying import Conflict, Row, Table, TableKey
from openpns.storage.postgres.errors import DRIVER, is_lost
from openpns.storage.postgres.reasons import explain

_COLUMNS: Final = """
SELECT attname, format_type(atttypid, NULL), attidentity <> '' FROM pg_attribute
WHERE attrelid = CAST($1 AS text)::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_UNIQUES: Final = """
SELECT array(
    SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place
), pg_get_expr(i.indpred, i.indrelid)
FROM pg_index AS i
WHERE i.indrelid = CAST($1 AS text)::regclass AND i.indisunique AND NOT i.indisprimary
"""


class CopyRows:
    """The part of an endpoint that reads and writes rows.

    Args:
        connection: To the primary, as the owner of the tables.
        option: The option of the command that names the database, for error texts.
    """

    def __init__(self, connection: Any, option: str) -> None:
        self._db = connection
        self._option = option
        self._reading = asyncio.Lock()
        self._columns: dict[str, Sequence[str]] = {}
        self._types: dict[str, dict[str, str]] = {}
        self._counted: dict[str, set[str]] = {}
        """The identity columns of each table; a row keeps its value, and it cannot be updated."""
        self._uniques: dict[str, list[tuple[Sequence[str], str | None]]] = {}

    async def columns(self, table: str) -> Sequence[str]:  # noqa: D102
        with self._explained():
            rows = await self._db.fetch(_COLUMNS, table)
        self._types[table] = {name: kind for name, kind, _ in rows}
        self._counted[table] = {name for name, _, is_counted in rows if is_counted}
        return [*self._types[table]]

    def use_columns(self, table: str, columns: Sequence[str]) -> None:  # noqa: D102
        self._columns[table] = columns

    async def count(self, table: str) -> int:  # noqa: D102
        with self._explained():
            async with self._db.transaction():
                # Counting reads each row: faster in the order of the file.
                await self._db.execute("SET LOCAL enable_seqscan = on")
                return int(await self._db.fetchval(f"SELECT count(*) FROM {table}"))

    async def page(  # noqa: D102
        self, table: Table, after: TableKey | None, rows_max: int
    ) -> Sequence[Row]:
        key = ", ".join(table.key)
        marks = ", ".join(f"${place}" for place in range(1, len(table.key) + 1))
        behind = "" if after is None else f"WHERE ({key}) > ({marks})"
        sql = f"{self._select(table)} {behind} ORDER BY {key} LIMIT {rows_max}"
        return await self._fetch(sql, after or ())

    async def rows(self, table: Table, keys: Sequence[TableKey]) -> Sequence[Row]:  # noqa: D102
        sql = f"{self._select(table)} JOIN {self._unnest(table, table.key)} ON {_joined(table.key)}"
        return await self._fetch(sql, _arrays(table.key, keys))

    async def _fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Row]:
        async with self._reading:  # a page may be read ahead
            with self._explained():
                return [tuple(row) for row in await self._db.fetch(sql, *arguments)]

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:  # noqa: D102
        with self._explained():
            try:
                await self._db.copy_records_to_table(
                    table.name, records=rows, columns=self._columns[table.name]
                )
            except (asyncpg.UniqueViolationError, asyncpg.InternalServerError) as error:
                # Citus passes the text of a node's error on, but not its code.
                raise Conflict(explain(error)) from None

    async def replace(self, table: Table, rows: Sequence[Row]) -> Sequence[Row]:  # noqa: D102
        columns = self._columns[table.name]
        key = ", ".join(table.key)
        kept = {*table.key, *self._counted[table.name]}
        others = [name for name in columns if name not in kept]
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        upsert = (
            f"INSERT INTO {table.name} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE "
            f"SELECT * FROM {self._unnest(table, columns)} ON CONFLICT ({key}) DO "
            + (f"UPDATE SET {changes}" if changes else "NOTHING")
        )
        displaced: list[Row] = []
        with self._explained():
            for sql, names in await self._displacing(table):
                arrays = _arrays(names, _chosen(columns, names, rows))
                displaced += map(tuple, await self._db.fetch(sql, *arrays))
            await self._db.execute(upsert, *_arrays(columns, rows))
        return displaced

    async def _displacing(self, table: Table) -> Sequence[tuple[str, Sequence[str]]]:
        """Return for each unique index the statement that deletes other rows with its values."""
        if table.name not in self._uniques:
            found = await self._db.fetch(_UNIQUES, table.name)
            self._uniques[table.name] = [(names, where) for names, where in found]
        statements = []
        for unique, where in self._uniques[table.name]:
            names = list(dict.fromkeys((*unique, *table.key)))
            shown = ", ".join(f"t.{name}" for name in self._columns[table.name])
            other = " OR ".join(f"t.{name} <> k.k_{name}" for name in table.key)
            condition = f" AND ({where})" if where else ""
            sql = (
                f"DELETE FROM {table.name} AS t USING {self._unnest(table, names)} "
                f"WHERE {_joined(unique)} AND ({other}){condition} RETURNING {shown}"
            )
            statements.append((sql, names))
        return statements

    async def delete(self, table: Table, keys: Sequence[TableKey]) -> None:  # noqa: D102
        sql = (
            f"DELETE FROM {table.name} AS t USING {self._unnest(table, table.key)} "
            f"WHERE {_joined(table.key)}"
        )
        with self._explained():
            await self._db.execute(sql, *_arrays(table.key, keys))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DRIVER as error:
            text = f"{self._option}: {explain(error)}"
            if is_lost(error):
                raise ServiceUnavailable(text) from error
            raise ConfigError(text) from error

    def _select(self, table: Table) -> str:
        columns = ", ".join(f"t.{name}" for name in self._columns[table.name])
        return f"SELECT {columns} FROM {table.name} AS t"

    def _unnest(self, table: Table, columns: Sequence[str]) -> str:
        """Return arrays of values as a table k, whose columns are those of the table after k_."""
        types = self._types[table.name]
        arrays = ", ".join(f"${place}::{types[name]}[]" for place, name in enumerate(columns, 1))
        return f"unnest({arrays}) AS k ({', '.join(f'k_{name}' for name in columns)})"


def _joined(columns: Sequence[str]) -> str:
    return " AND ".join(f"t.{name} = k.k_{name}" for name in columns)


def _arrays(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the values of each column."""
    return [[row[place] for row in rows] for place in range(len(columns))]


def _chosen(
    columns: Sequence[str], names: Sequence[str], rows: Sequence[Row]
) -> Sequence[Sequence[Any]]:
    places = [columns.index(name) for name in names]
    return [[row[place] for place in places] for row in rows]
