"""One side of a copy in PostgreSQL; see `openpns.storage.copying`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, cast

import asyncpg

from openpns import limits
from openpns.clock import now_ms as read_clock
from openpns.errors import ConfigError, ServiceUnavailable
from openpns.storage.copying import (
    LOG_TABLE,
    MARK_NUMBER,
    PROGRESS_TABLE,
    STATE_TABLE,
    TABLES,
    Change,
    Conflict,
    Done,
    Row,
    State,
    Table,
    TableKey,
)
from openpns.storage.postgres import capture
from openpns.storage.postgres.errors import DRIVER, is_lost
from openpns.storage.postgres.hosts import Hosts
from openpns.storage.postgres.reasons import CONNECTING, cannot_connect, explain

_LOCK: Final = 0x636F7079
"""The advisory lock of a copy: "copy" in ASCII."""

_LOCK_TIMEOUT: Final = "2s"
"""How long to wait for a table; meanwhile its writers wait behind this."""
_FREEZE_ATTEMPTS: Final = 30
_PAUSE_S: Final = 0.5
_PLACES_EACH: Final = 10_000

_MARK: Final = (
    "INSERT INTO schema_migration (number, step, file, checksum, applied_ms) "
    "VALUES ($1, $2, '', $3, $4)"
)
_UNMARK: Final = f"DELETE FROM schema_migration WHERE number = {MARK_NUMBER}"  # noqa: S608 - ours
_NAMES: Final = [table.name for table in TABLES]
_COLUMNS: Final = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
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
_ORIGIN: Final = """
SELECT concat_ws(':', s.system_identifier, c.timeline_id, d.oid)
FROM pg_control_system() AS s, pg_control_checkpoint() AS c, pg_database AS d
WHERE d.datname = current_database()
"""
_SEQUENCE: Final = "pg_get_serial_sequence('{}', '{}')"


class PostgresEndpoint:
    """A PostgreSQL database that is copied from or to; see `openpns.storage.copying.Endpoint`.

    Args:
        connection: To its primary, as the owner of the tables.
        option: The option of the command that names it, for error texts.
    """

    def __init__(self, connection: Any, option: str) -> None:
        self._db = connection
        self._option = option
        self._reading = asyncio.Lock()
        self._columns: dict[str, Sequence[str]] = {}
        self._types: dict[str, dict[str, str]] = {}
        self._uniques: dict[str, list[tuple[Sequence[str], str | None]]] = {}

    @classmethod
    async def open(cls, url: str, option: str) -> "PostgresEndpoint":
        """Connect to the primary of a URL."""
        timeout_s = limits.STORAGE_TIMEOUT_MS / 1000
        try:
            connection = await Hosts(url).connect(None, timeout=timeout_s)
        except CONNECTING as error:
            raise cannot_connect(error) from None
        if connection.is_pooled:
            await connection.close()
            raise ConfigError(
                f"{option}: is a pooler; a copy needs a session: give the URL of PostgreSQL itself"
            )
        return cls(connection, option)

    async def state(self) -> State:  # noqa: D102
        with self._explained():
            mark = await self._db.fetchrow(
                f"SELECT step, checksum FROM schema_migration WHERE number = {MARK_NUMBER}"  # noqa: S608
            )
            if mark is not None and mark[0] == "copying":
                origin = await self._db.fetchval(
                    f"SELECT last_key FROM {PROGRESS_TABLE} WHERE table_name = ''"  # noqa: S608
                )
                return State("copying", mark[1], origin)
            if mark is not None:
                return State(mark[0], mark[1])
            if await self._db.fetchval("SELECT to_regclass($1)", STATE_TABLE) is None:
                return State()
            found = await self._db.fetchrow(f"SELECT copy_id, origin FROM {STATE_TABLE}")  # noqa: S608
            return State("capturing", *found)

    async def origin(self) -> str:  # noqa: D102
        with self._explained():
            return cast("str", await self._db.fetchval(_ORIGIN))

    async def lock(self) -> None:  # noqa: D102
        with self._explained():
            if not await self._db.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                raise ConfigError(
                    f"{self._option}: another copy is running; wait for its end"
                ) from None

    async def columns(self, table: str) -> Sequence[str]:  # noqa: D102
        with self._explained():
            rows = await self._db.fetch(_COLUMNS, table)
        self._types[table] = dict(map(tuple, rows))
        return [*self._types[table]]

    def use_columns(self, table: str, columns: Sequence[str]) -> None:  # noqa: D102
        self._columns[table] = columns

    async def count(self, table: str) -> int:  # noqa: D102
        with self._explained():
            async with self._db.transaction():
                # Counting reads each row: faster in the order of the file.
                await self._db.execute("SET LOCAL enable_seqscan = on")
                return int(await self._db.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608

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

    async def record_id(self) -> int:  # noqa: D102
        with self._explained():
            name = _SEQUENCE.format("call_record", "record_id")
            sequence = await self._db.fetchval(f"SELECT {name}")
            last, is_called = await self._db.fetchrow(
                f"SELECT last_value, is_called FROM {sequence}"  # noqa: S608 - a sequence's name
            )
        return int(last) if is_called else int(last) - 1

    async def capture(self, copy_id: str) -> None:  # noqa: D102
        origin = await self.origin()
        async with self.freeze():
            with self._explained():
                schema = await self._as_owner()
                for sql in capture.install_sql(schema):
                    await self._db.execute(sql)
                await self._db.execute(
                    f"INSERT INTO {STATE_TABLE} VALUES (1, $1, $2)",  # noqa: S608
                    copy_id,
                    origin,
                )

    async def _as_owner(self) -> str:
        """Act as the owner of the tables; return their schema."""
        schema, owner = await self._db.fetchrow(
            "SELECT quote_ident(n.nspname), quote_ident(pg_get_userbyid(c.relowner)) "
            "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE c.oid = 'customer'::regclass"
        )
        await self._db.execute(f"SET LOCAL ROLE {owner}")
        return cast("str", schema)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:  # noqa: D102
        with self._explained():
            async with self._db.transaction(isolation="repeatable_read", readonly=True):
                yield

    @asynccontextmanager
    async def freeze(self) -> AsyncIterator[None]:  # noqa: D102
        transaction = self._db.transaction()
        for number in range(_FREEZE_ATTEMPTS):
            if number:
                await asyncio.sleep(_PAUSE_S)
            with self._explained():
                transaction = self._db.transaction()
                await transaction.start()
                if await self._lock_tables():
                    break
                await transaction.rollback()
        else:
            raise ServiceUnavailable(
                f"{self._option}: a table is in use by a long transaction, such as pg_dump or an "
                "import; run the command again after its end"
            )
        try:
            yield
            with self._explained():
                await transaction.commit()
        except BaseException:
            with contextlib.suppress(*DRIVER):
                await transaction.rollback()
            raise

    async def _lock_tables(self) -> bool:
        """Wait for all writes, and let no other one begin; return whether that worked in time."""
        await self._db.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        try:
            await self._db.execute(f"LOCK TABLE {', '.join(_NAMES)} IN SHARE ROW EXCLUSIVE MODE")
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            return False
        return True

    async def changes(self, after: int, at_most: int) -> Sequence[Change]:  # noqa: D102
        with self._explained():
            rows = await self._db.fetch(
                f"SELECT place, table_name, key FROM {LOG_TABLE} WHERE place > $1 "  # noqa: S608
                "ORDER BY place LIMIT $2",
                after,
                at_most,
            )
        return [Change(place, table, tuple(json.loads(key))) for place, table, key in rows]

    async def forget(self, places: Sequence[int]) -> None:  # noqa: D102
        # Not all up to the last one: a place is drawn before its row is committed.
        sql = f"DELETE FROM {LOG_TABLE} WHERE place = ANY (CAST($1 AS bigint[]))"  # noqa: S608
        with self._explained():
            for at in range(0, len(places), _PLACES_EACH):
                await self._db.execute(sql, list(places[at : at + _PLACES_EACH]))

    async def move(self, copy_id: str, now_ms: int) -> None:  # noqa: D102
        with self._explained():
            await self._db.execute(
                "UPDATE customer_state SET bindings_held_ms = $1 WHERE bindings_held_ms IS NULL",
                now_ms,
            )
            await self._db.execute(_MARK, MARK_NUMBER, "moved", copy_id, now_ms)
            await self._as_owner()
            for sql in capture.refuse_sql():
                await self._db.execute(sql)

    async def cancel(self) -> None:  # noqa: D102
        async with self.freeze():
            with self._explained():
                for trigger, table in await self._db.fetch(capture.FIND_TRIGGERS, _NAMES):
                    await self._db.execute(f'DROP TRIGGER "{trigger}" ON {table}')
                for sql in capture.remove_sql():
                    await self._db.execute(sql)
                await self._db.execute(_UNMARK)

    async def begin(self, copy_id: str) -> None:  # noqa: D102
        origin = await self.origin()
        with self._explained():
            async with self._db.transaction():
                await self._db.execute(
                    f"CREATE TABLE {PROGRESS_TABLE} (table_name text NOT NULL PRIMARY KEY, "
                    "last_key text, is_complete bigint NOT NULL, row_count bigint NOT NULL, "
                    "digest text NOT NULL)"
                )
                await self._db.execute(
                    f"INSERT INTO {PROGRESS_TABLE} VALUES ('', $1, 0, 0, '')",  # noqa: S608
                    origin,
                )
                await self._db.execute(_MARK, MARK_NUMBER, "copying", copy_id, read_clock())
                for name in _NAMES:
                    await self._db.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")

    async def progress(self) -> Mapping[str, Done]:  # noqa: D102
        with self._explained():
            rows = await self._db.fetch(
                f"SELECT * FROM {PROGRESS_TABLE} WHERE table_name <> ''"  # noqa: S608
            )
        return {
            table: Done(
                None if key is None else tuple(json.loads(key)), bool(complete), count, int(total)
            )
            for table, key, complete, count, total in rows
        }

    async def save(self, table: str, done: Done) -> None:  # noqa: D102
        with self._explained():
            await self._db.execute(
                f"INSERT INTO {PROGRESS_TABLE} VALUES ($1, $2, $3, $4, $5) "  # noqa: S608
                "ON CONFLICT (table_name) DO UPDATE SET last_key = excluded.last_key, "
                "is_complete = excluded.is_complete, row_count = excluded.row_count, "
                "digest = excluded.digest",
                table,
                None if done.last_key is None else json.dumps(done.last_key),
                int(done.is_complete),
                done.rows,
                str(done.digest),
            )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:  # noqa: D102
        with self._explained():
            async with self._db.transaction():
                yield

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:  # noqa: D102
        with self._explained():
            try:
                await self._db.copy_records_to_table(
                    table.name, records=rows, columns=self._columns[table.name]
                )
            except asyncpg.UniqueViolationError as error:
                raise Conflict(explain(error)) from None

    async def replace(self, table: Table, rows: Sequence[Row]) -> Sequence[Row]:  # noqa: D102
        columns = self._columns[table.name]
        key = ", ".join(table.key)
        others = [name for name in columns if name not in table.key]
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        upsert = (
            f"INSERT INTO {table.name} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE "  # noqa: S608
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
                f"DELETE FROM {table.name} AS t USING {self._unnest(table, names)} "  # noqa: S608
                f"WHERE {_joined(unique)} AND ({other}){condition} RETURNING {shown}"
            )
            statements.append((sql, names))
        return statements

    async def delete(self, table: Table, keys: Sequence[TableKey]) -> None:  # noqa: D102
        sql = (
            f"DELETE FROM {table.name} AS t USING {self._unnest(table, table.key)} "  # noqa: S608
            f"WHERE {_joined(table.key)}"
        )
        with self._explained():
            await self._db.execute(sql, *_arrays(table.key, keys))

    async def tidy(self) -> None:  # noqa: D102
        with self._explained():
            await self._db.execute(f"ANALYZE {', '.join(_NAMES)}")

    async def finish(self, record_id: int) -> None:  # noqa: D102
        with self._explained():
            async with self._db.transaction():
                for name in _NAMES:
                    await self._db.execute(f"ALTER TABLE {name} ENABLE TRIGGER USER")
                places = await self._db.fetchval("SELECT max(place) FROM audit_unsealed") or 0
                for table, column, last in (
                    ("call_record", "record_id", record_id),
                    ("audit_unsealed", "place", places),
                ):
                    await self._db.execute(
                        f"SELECT setval({_SEQUENCE.format(table, column)}, "
                        f"{max(last, 1)}, {last > 0})"
                    )
                await self._db.execute(f"DROP TABLE {PROGRESS_TABLE}")
                await self._db.execute(_UNMARK)

    async def close(self) -> None:  # noqa: D102
        if self._db.is_in_transaction():
            self._db.terminate()
        else:
            with contextlib.suppress(*DRIVER):
                await self._db.close(timeout=_PAUSE_S)

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
        return f"SELECT {columns} FROM {table.name} AS t"  # noqa: S608 - ours

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
