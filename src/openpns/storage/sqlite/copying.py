"""One side of a copy in an SQLite file; see `openpns.storage.copying`."""

import asyncio
import contextlib
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import apsw

from openpns.clock import now_ms as read_clock
from openpns.errors import ConfigError, ServiceUnavailable
from openpns.storage.copying import (
    HOLD,
    LEASES,
    LOG_TABLE,
    MARK_NUMBER,
    PROGRESS_TABLE,
    STATE_TABLE,
    STEPS,
    Change,
    Conflict,
    Done,
    Row,
    State,
    Table,
    TableKey,
    refuse_leases,
    source_state,
)
from openpns.storage.sqlite import capture
from openpns.storage.sqlite.connections import enter_wal, open_file
from openpns.storage.sqlite.errors import FAILURES, describe, to_wire_error

ResultT = TypeVar("ResultT")

_BUSY_MS: Final = 10_000
_FREEZE_S: Final = 60.0
_CACHE_KIB: Final = 65_536
_MARK: Final = "INSERT INTO schema_migration VALUES (?, ?, '', ?, ?)"
_UNMARK: Final = f"DELETE FROM schema_migration WHERE number = {MARK_NUMBER}"


class SQLiteEndpoint:
    """An SQLite file that is copied from or to; see `openpns.storage.copying.Endpoint`.

    Statements run one after another on a thread of their own.

    Args:
        path: The file; its migrations are current.
        option: The option of the command that names it, for error texts.
    """

    def __init__(self, path: str, option: str) -> None:
        self._path = path
        self._option = option
        self._thread = ThreadPoolExecutor(1)
        self._columns: dict[str, Sequence[str]] = {}
        self._uniques: dict[str, list[tuple[Sequence[str], str]]] = {}
        self._lock: int | None = None
        self._db = open_file(path, timeout_ms=_BUSY_MS)
        enter_wal(self._db, _BUSY_MS)
        self._db.pragma("cache_size", -_CACHE_KIB)
        self._db.pragma("synchronous", 2)

    async def state(self) -> State:  # noqa: D102
        return await self._run(self._state)

    def _state(self) -> State:
        mark = self._first(
            f"SELECT step, checksum FROM schema_migration WHERE number = {MARK_NUMBER}"
        )
        if mark is not None and mark[0] == "copying":
            origin, rounds = self._first(
                f"SELECT last_key, digest FROM {PROGRESS_TABLE} WHERE table_name = ''"
            )
            return State("copying", mark[1], origin, rounds.split())
        found = None
        if self._db.table_exists(None, STATE_TABLE):
            found = self._first(f"SELECT copy_id, origin, round FROM {STATE_TABLE}")
        return source_state(mark, found)

    async def origin(self) -> str:  # noqa: D102
        found = os.stat(self._path)  # noqa: PTH116
        return f"{found.st_dev}:{found.st_ino}"

    async def lock(self) -> None:  # noqa: D102
        file = os.open(f"{self._path}.copy.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._lock = file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{self._option}: another copy is running; wait for its end"
            ) from None

    async def columns(self, table: str) -> Sequence[str]:  # noqa: D102
        rows = await self._all("SELECT name FROM pragma_table_info(?)", (table,))
        return [name for (name,) in rows]

    def use_columns(self, table: str, columns: Sequence[str]) -> None:  # noqa: D102
        self._columns[table] = columns

    async def count(self, table: str) -> int:  # noqa: D102
        return int((await self._all(f"SELECT count(*) FROM {table}"))[0][0])

    async def page(  # noqa: D102
        self, table: Table, after: TableKey | None, rows_max: int
    ) -> Sequence[Row]:
        key = ", ".join(table.key)
        behind = "" if after is None else f"WHERE ({key}) > ({_marks(table.key)})"
        sql = f"{self._select(table)} {behind} ORDER BY {key} LIMIT {rows_max}"
        return await self._all(sql, after or ())

    async def rows(self, table: Table, keys: Sequence[TableKey]) -> Sequence[Row]:  # noqa: D102
        sql = f"{self._select(table)} WHERE {_equal(table.key)}"
        return await self._run(lambda: self._db.executemany(sql, keys).fetchall())

    async def steps(self) -> AbstractSet[tuple[int, str]]:  # noqa: D102
        return {(int(number), str(step)) for number, step in await self._all(STEPS)}

    async def record_id(self) -> int:  # noqa: D102
        return int((await self._all("SELECT last_id FROM call_record_counter"))[0][0])

    async def capture(self, copy_id: str) -> None:  # noqa: D102
        origin = await self.origin()

        def work() -> None:
            for sql in capture.install_sql():
                self._db.execute(sql)
            row = (copy_id, origin, copy_id)
            self._db.execute(f"INSERT INTO {STATE_TABLE} VALUES (1, ?, ?, ?)", row)

        async with self._transaction("IMMEDIATE"):
            await self._run(work)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:  # noqa: D102
        await self._all("BEGIN")
        try:
            yield
        finally:
            await self._all("ROLLBACK")

    def freeze(self) -> contextlib.AbstractAsyncContextManager[None]:  # noqa: D102
        return self._transaction("IMMEDIATE")

    async def changes(self, after: int, at_most: int) -> Sequence[Change]:  # noqa: D102
        rows = await self._all(
            f"SELECT place, table_name, key FROM {LOG_TABLE} WHERE place > ? "
            "ORDER BY place LIMIT ?",
            (after, at_most),
        )
        return [Change(place, table, tuple(json.loads(key))) for place, table, key in rows]

    async def enter_round(self, name: str) -> None:  # noqa: D102
        async with self._transaction("IMMEDIATE"):
            await self._all(f"UPDATE {STATE_TABLE} SET round = ?", (name,))

    async def forget(self, places: Sequence[int]) -> None:  # noqa: D102
        # One writer at a time: no place below the last one can still be added.
        sql = f"DELETE FROM {LOG_TABLE} WHERE place <= ?"
        async with self._transaction("IMMEDIATE"):
            await self._all(sql, (places[-1],))

    async def move(self, copy_id: str, now_ms: int) -> None:  # noqa: D102
        def work() -> None:
            self._db.execute(HOLD.format("?"), (now_ms,))
            for sql in capture.refuse_sql():
                self._db.execute(sql)
            self._db.execute(_MARK, (MARK_NUMBER, "moved", copy_id, now_ms))

        await self._run(work)

    async def stop(self, copy_id: str, now_ms: int) -> None:  # noqa: D102
        def work() -> None:
            count, end_ms = self._first(LEASES.format(now_ms))
            refuse_leases(self._option, count, end_ms, now_ms)
            for sql in capture.refuse_sql():
                self._db.execute(sql)
            self._db.execute(_MARK, (MARK_NUMBER, "moved", copy_id, now_ms))

        async with self._transaction("IMMEDIATE"):
            await self._run(work)

    async def cancel(self) -> None:  # noqa: D102
        is_moved = (await self.state()).role == "moved"

        def work() -> None:
            names = [name for (name,) in self._db.execute(capture.FIND_TRIGGERS)]
            for name in names:
                self._db.execute(f"DROP TRIGGER {name}")
            for table in (STATE_TABLE, LOG_TABLE):
                self._db.execute(f"DROP TABLE IF EXISTS {table}")
            self._db.execute(_UNMARK)
            if is_moved:
                self._db.execute(HOLD.format("?"), (read_clock(),))

        async with self._transaction("IMMEDIATE"):
            await self._run(work)

    async def begin(self, copy_id: str) -> None:  # noqa: D102
        origin = await self.origin()

        def work() -> None:
            self._db.execute(
                f"CREATE TABLE {PROGRESS_TABLE} (table_name TEXT NOT NULL PRIMARY KEY, "
                "last_key TEXT, is_complete INTEGER NOT NULL, row_count INTEGER NOT NULL, "
                "digest TEXT NOT NULL) STRICT"
            )
            row = (origin, copy_id)
            self._db.execute(f"INSERT INTO {PROGRESS_TABLE} VALUES ('', ?, 0, 0, ?)", row)
            self._db.execute(_MARK, (MARK_NUMBER, "copying", copy_id, read_clock()))

        async with self._transaction("IMMEDIATE"):
            await self._run(work)

    async def save_rounds(self, names: Sequence[str]) -> None:  # noqa: D102
        sql = f"UPDATE {PROGRESS_TABLE} SET digest = ? WHERE table_name = ''"
        async with self._transaction("IMMEDIATE"):
            await self._all(sql, (" ".join(names),))

    async def progress(self) -> Mapping[str, Done]:  # noqa: D102
        # A target's rows are those of the source; triggers must add none. The source refers to no
        # missing row, and rows of a page may refer to later ones.
        self._db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        self._db.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 0)
        rows = await self._all(f"SELECT * FROM {PROGRESS_TABLE} WHERE table_name <> ''")
        return {
            table: Done(
                None if key is None else tuple(json.loads(key)), bool(complete), count, int(total)
            )
            for table, key, complete, count, total in rows
        }

    async def save(self, table: str, done: Done) -> None:  # noqa: D102
        key = None if done.last_key is None else json.dumps(done.last_key)
        await self._all(
            f"INSERT OR REPLACE INTO {PROGRESS_TABLE} VALUES (?, ?, ?, ?, ?)",
            (table, key, int(done.is_complete), done.rows, str(done.digest)),
        )

    def transaction(self) -> contextlib.AbstractAsyncContextManager[None]:  # noqa: D102
        return self._transaction("IMMEDIATE")

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:  # noqa: D102
        columns = self._columns[table.name]
        sql = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({_marks(columns)})"

        def work() -> None:
            try:
                self._db.executemany(sql, rows)
            except apsw.ConstraintError as error:
                raise Conflict(describe(error)) from None

        await self._run(work)

    async def replace(self, table: Table, rows: Sequence[Row]) -> Sequence[Row]:  # noqa: D102
        columns = self._columns[table.name]
        places = {name: place for place, name in enumerate(columns)}
        others = [name for name in columns if name not in table.key]
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        upsert = (
            f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({_marks(columns)}) "
            f"ON CONFLICT ({', '.join(table.key)}) DO "
            + (f"UPDATE SET {changes}" if changes else "NOTHING")
        )

        def work() -> Sequence[Row]:
            displaced: list[Row] = []
            for unique, predicate in self._uniques_of(table):
                find = (
                    f"DELETE FROM {table.name} WHERE {_equal(unique)} {predicate} "
                    f"AND NOT ({_equal(table.key)}) RETURNING {', '.join(columns)}"
                )
                names = (*unique, *table.key)
                values = ([row[places[name]] for name in names] for row in rows)
                displaced += self._db.executemany(find, values)
            self._db.executemany(upsert, rows)
            return displaced

        return await self._run(work)

    def _uniques_of(self, table: Table) -> list[tuple[Sequence[str], str]]:
        """Return the columns of each unique index but the key's, and the condition of its rows."""
        found = self._uniques.get(table.name)
        if found is None:
            found = self._uniques[table.name] = []
            indexes = self._db.execute(
                "SELECT i.name, s.sql FROM pragma_index_list(?) AS i JOIN sqlite_schema AS s "
                """ON s.name = i.name AND s.type = 'index' WHERE i."unique" AND i.origin <> 'pk'""",
                (table.name,),
            ).fetchall()
            for index, sql in indexes:
                columns = self._db.execute("SELECT name FROM pragma_index_info(?)", (index,))
                _, where, predicate = str(sql or "").partition("WHERE ")
                found.append(([name for (name,) in columns], f"AND ({predicate})" if where else ""))
        return found

    async def delete(self, table: Table, keys: Sequence[TableKey]) -> None:  # noqa: D102
        sql = f"DELETE FROM {table.name} WHERE {_equal(table.key)}"
        await self._run(lambda: self._db.executemany(sql, keys))

    async def tidy(self) -> None:
        """Do nothing: the figures for the planner are those of the migrations."""

    async def finish(self, record_id: int) -> None:  # noqa: D102
        async with self._transaction("IMMEDIATE"):
            await self._all("UPDATE call_record_counter SET last_id = ?", (record_id,))
            await self._all(f"DROP TABLE {PROGRESS_TABLE}")
            await self._all(_UNMARK)
        await self._run(lambda: self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE))

    async def close(self) -> None:  # noqa: D102
        await asyncio.shield(asyncio.to_thread(self._thread.shutdown))
        self._db.close(True)
        if self._lock is not None:
            os.close(self._lock)

    @asynccontextmanager
    async def _transaction(self, kind: str) -> AsyncIterator[None]:
        await self._begin(kind)
        try:
            yield
            await self._all("COMMIT")
        except BaseException:
            await self._run(lambda: self._db.in_transaction and self._db.execute("ROLLBACK"))
            raise

    async def _begin(self, kind: str) -> None:
        """Begin to write; ask as often as servers do, which would be faster otherwise."""
        give_up_s = time.monotonic() + _FREEZE_S
        while True:
            if await self._run(partial(self._try_to_begin, kind)):
                return
            if time.monotonic() > give_up_s:
                raise ServiceUnavailable(f"{self._option}: other processes write all the time")
            await asyncio.sleep(0.001)

    def _try_to_begin(self, kind: str) -> bool:
        self._db.set_busy_timeout(0)
        try:
            self._db.execute(f"BEGIN {kind}")
        except apsw.BusyError:
            return False
        finally:
            self._db.set_busy_timeout(_BUSY_MS)
        return True

    async def _all(self, sql: str, params: Iterable[Any] = ()) -> Sequence[Row]:
        return await self._run(lambda: self._db.execute(sql, tuple(params)).fetchall())

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        """Run work on the thread; if this is cancelled, wait for its end."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise
        except FAILURES as error:
            answer = to_wire_error(error)
            if isinstance(answer, ServiceUnavailable):
                raise answer from error
            raise ConfigError(f"{self._option}: {describe(error)}") from error

    def _select(self, table: Table) -> str:
        return f"SELECT {', '.join(self._columns[table.name])} FROM {table.name}"

    def _first(self, sql: str) -> Any:
        return self._db.execute(sql).fetchone()


def _marks(columns: Sequence[str]) -> str:
    return ", ".join("?" * len(columns))


def _equal(columns: Sequence[str]) -> str:
    return " AND ".join(f"{name} = ?" for name in columns)
