"""SQLite: reads on the event loop, long ones on threads, writes in batches on one thread.

Most reads take microseconds, so they run on the event loop; see `searcher` for the others. A write
waits for the disk, so one thread takes waiting writes, customers in turns, runs each under a
savepoint of its own, and commits them together: many writes, one fsync. In WAL mode reads and
writes do not wait for each other.

A database in memory has no WAL. Its reads and batches alternate under a lock, so that none finds
the database busy. They hold it briefly, because there is no disk to wait for.
"""

import asyncio
import contextlib
import itertools
import math
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final, cast

import apsw
import apsw.ext
import msgspec

from openpns.errors import ConfigError, InternalError
from openpns.kit.turns import Places
from openpns.storage.bounds import DEFAULT_BOUNDS, StorageBounds, StorageSizes, StorageUsage
from openpns.storage.migrations import Applied, Migration
from openpns.storage.schema import Differences
from openpns.storage.sqlite import log, memory, migrate, schema
from openpns.storage.sqlite.connections import enter_wal, keep_in_memory, open_file
from openpns.storage.sqlite.errors import FAILURES, describe, to_wire_error
from openpns.storage.sqlite.searcher import Searcher
from openpns.storage.sqlite.writer import (
    Lock,
    Write,
    Writer,
    as_parameters,
    run_steps,
    snapshot,
)
from openpns.storage.statements import NamedStatement, load_attribute, load_statements
from openpns.storage.store import BatchKey, Guard, NamedRow, Params, ResultT, Row, Transaction

_OPEN_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE

_decode_rows: Final = msgspec.json.Decoder(list[tuple[Any, ...]]).decode


class SQLiteStore:
    """A store in one SQLite file, or in memory; see `openpns.storage.store.Store`.

    Args:
        path: The file; None for a new database in memory, which ends with the store.
        timeout_ms: How long a write waits for a write of another process.
        create: Create a missing file, with mode 0600.
        cached_rows_max: How many rows of `get_cached` are cached until anything is committed.
        bounds: What one customer, and all together, may use at once.

    Raises:
        ConfigError: The file cannot be opened or is not a database.
    """

    def __init__(
        self,
        path: str | None,
        timeout_ms: int,
        *,
        create: bool = False,
        cached_rows_max: int = 0,
        bounds: StorageBounds = DEFAULT_BOUNDS,
    ) -> None:
        # In memory: one name for all connections of this store and for no others.
        self._path = path or f"file:/{secrets.token_hex(16)}?vfs=memdb"
        self._is_in_memory = path is None
        self._lock: Lock = threading.Lock() if path is None else contextlib.nullcontext()
        self._timeout_ms = timeout_ms
        self._statements = load_statements("sqlite")
        self._sql = {name: one.sql for name, one in self._statements.items()}
        functions = {one.function for one in self._statements.values() if one.function}
        self._register_functions = [load_attribute(path) for path in sorted(functions)]
        if path is not None:
            (_create_private if create else _require)(path)
        try:
            self._reader = keep_in_memory(self._connect_reading())
        except FAILURES as error:
            raise ConfigError(
                f"database: cannot open {path}: {describe(error)}; allowed is an SQLite file in a "
                "folder that can be written"
            ) from None
        self._version_cursor = self._reader.cursor()
        self._cached_rows: dict[tuple[str, str], NamedRow] = {}
        self._cached_rows_max = cached_rows_max
        self._cached_version = 0
        self._checked_s = -math.inf
        """When the last check of the version began, by `perf_counter`."""
        self._columns: dict[str, list[str]] = {}
        self._json_sql: dict[str, str] = {}
        timeout_s = timeout_ms / 1000
        waiting_max = bounds.waiting_per_customer_max
        connect = lambda: keep_in_memory(self._connect())  # noqa: E731
        self._writer = Writer(connect, self._sql, self._lock, timeout_s, waiting_max)
        searches, large_pages = bounds.searches_max, bounds.large_pages_max
        self._searches = Places(
            "searches", searches, bounds.searches_per_customer_max, waiting_max, timeout_s
        )
        self._previews = Places(
            "dry runs", searches, bounds.searches_per_customer_max, waiting_max, timeout_s
        )
        self._large_pages = Places(
            "large pages", large_pages, bounds.large_pages_per_customer_max, waiting_max, timeout_s
        )
        self._searcher = Searcher(
            self._connect_reading,
            self._reader,
            self._searches,
            searches + large_pages,
            timeout_s,
        )

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:  # noqa: D102
        statement = self._statements[name]
        try:
            if statement.search_owner is not None and not self._is_in_memory:
                read = partial(self._read, statement, params)
                return await self._searcher.fetch(params[statement.search_owner], read)
            with self._lock:
                return self._read(statement, params, self._reader)
        except FAILURES as error:
            raise to_wire_error(error) from error

    def _read(
        self, statement: NamedStatement, params: Params, connection: apsw.Connection
    ) -> Sequence[Row]:
        if statement.has_json_rows:
            page = connection.execute(self._as_json(statement.name), params).get
            return cast("Sequence[Row]", _decode_rows(page))
        return connection.execute(statement.sql, as_parameters(params)).fetchall()

    async def get_cached(  # noqa: D102
        self, name: str, value: str, since_s: float
    ) -> NamedRow | None:
        cached = self._cached_rows.get((name, value))
        if cached is not None and self._is_unchanged(since_s):
            return cached
        # The version first: a commit between the two makes the row newer than it seems.
        if self._cached_rows_max:
            self._is_unchanged(since_s)
        params = {str(self._statements[name].cache_key): value}
        try:
            with self._lock:
                row = self._reader.execute(self._sql[name], params).fetchone()
        except FAILURES as error:
            raise to_wire_error(error) from error
        if row is None:  # not cached: anybody can ask for values that do not exist
            return None
        named = dict(zip(self._columns_of(name), row, strict=True))
        if self._cached_rows_max:
            if len(self._cached_rows) >= self._cached_rows_max:
                self._cached_rows.clear()
            self._cached_rows[name, value] = named
        return named

    def _is_unchanged(self, since_s: float) -> bool:
        """Return whether nothing was committed until `since_s`, since the rows were cached.

        If something was, the rows are dropped.

        A check takes two system calls for a lock, more than the rest of a response from the cache.
        One that began after a request had arrived is as good as another one: the requests that the
        event loop has received together share it.
        """
        if self._checked_s >= since_s:
            return True
        checked_s = perf_counter()
        try:
            with self._lock:
                # Changes with each commit of another connection, and this one never writes.
                version = self._version_cursor.execute("PRAGMA data_version").get
        except FAILURES as error:
            raise to_wire_error(error) from error
        self._checked_s = checked_s
        if version == self._cached_version:
            return True
        self._cached_rows.clear()
        self._cached_version = version
        return False

    def _as_json(self, name: str) -> str:
        """Return a statement that returns all rows of another as one JSON text.

        SQLite releases the GIL for every row, and may have to win it back from the writer's thread.
        """
        sql = self._json_sql.get(name)
        if sql is None:
            rows = self._sql[name]
            names = ", ".join(f"column_{place}" for place in range(len(self._columns_of(name))))
            of_all = f"SELECT json_group_array(json_array({names})) FROM page"  # noqa: S608 - ours
            sql = self._json_sql[name] = f"WITH page ({names}) AS ({rows}) {of_all}"
        return sql

    def _columns_of(self, name: str) -> list[str]:
        columns = self._columns.get(name)
        if columns is None:
            found = apsw.ext.query_info(self._reader, self._sql[name]).description
            columns = self._columns[name] = [column[0] for column in found]
        return columns

    async def stream(  # noqa: D102
        self, name: str, params: Params, rows_each: int
    ) -> AsyncGenerator[Sequence[Row], None]:
        if self._is_in_memory:  # the lock is not held while the caller works: read all at once
            rows_left = iter(await self.fetch(name, params))
            while rows := list(itertools.islice(rows_left, rows_each)):
                yield rows
                await asyncio.sleep(0)
            return
        # A connection of its own: the cursor keeps its snapshot open, which other reads must not
        # see. A slice may take long: many phones, or many groups that a filter skips.
        statement = self._statements[name]
        owner = str(params.get("customer_id") or "")
        await self._large_pages.take(owner)
        try:
            connection = self._connect_reading()
            cursor: Iterator[Row] = iter(())

            def begin() -> list[Row]:
                nonlocal cursor
                cursor = connection.execute(statement.sql, params)  # runs up to the first row
                return read_slice()

            def read_slice() -> list[Row]:
                return list(itertools.islice(cursor, rows_each))

            try:
                async with self._search_place(statement, params):
                    rows = await self._searcher.run(connection, begin)
                while rows:
                    yield rows
                    rows = await self._searcher.run(connection, read_slice)
            finally:
                connection.close(True)
        except FAILURES as error:
            raise to_wire_error(error) from error
        finally:
            self._large_pages.give(owner)

    def _search_place(
        self, statement: NamedStatement, params: Params
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """Return a place for a statement that searches; others need none."""
        if statement.search_owner is None:
            return contextlib.nullcontext()
        return self._searches.hold(params[statement.search_owner])

    async def read(  # noqa: D102
        self, steps: Callable[[], Transaction[ResultT]], *, customer_id: str = ""
    ) -> ResultT:
        def attempt(connection: apsw.Connection) -> ResultT:
            with snapshot(connection):
                return cast("ResultT", run_steps(connection, self._sql, steps()))

        try:
            async with self._previews.hold(customer_id):
                if not self._is_in_memory:
                    return await self._searcher.fetch(customer_id, attempt)
                with self._lock:
                    return attempt(self._reader)
        except FAILURES as error:
            raise to_wire_error(error) from error

    async def write(  # noqa: D102
        self,
        steps: Callable[[], Transaction[ResultT]],
        *,
        customer_id: str = "",
        batch_key: BatchKey | None = None,
    ) -> ResultT:
        write = Write(steps, customer_id, skip_savepoint=batch_key is not None)
        return cast("ResultT", await self._writer.run(write))

    async def applied_migrations(self) -> list[Applied]:  # noqa: D102
        try:
            with self._lock:
                return migrate.read_applied(self._reader)
        except FAILURES as error:
            raise to_wire_error(error) from error

    async def find_schema_differences(  # noqa: D102
        self, known: Sequence[Migration]
    ) -> Differences:
        try:
            with self._lock:
                return schema.find_differences(self._reader, known)
        except FAILURES as error:
            raise to_wire_error(error) from error

    async def migrate(  # noqa: D102
        self,
        known: Sequence[Migration],
        *,
        with_post: bool = False,
        guard: Guard | None = None,
    ) -> list[Migration]:
        try:
            connection = self._connect()

            def check(missing: Sequence[Migration]) -> None:
                if guard is not None:
                    run_steps(connection, self._sql, guard(missing))

            try:
                run = memory.migrate if self._is_in_memory else migrate.migrate
                with self._lock:
                    return run(connection, known, check, with_post=with_post)
            finally:
                connection.close(True)
        except FAILURES as error:
            answer = to_wire_error(error)
            if isinstance(answer, InternalError):
                raise ConfigError(f"database: cannot migrate: {describe(error)}") from error
            raise answer from error

    async def truncate_log(self) -> bool:  # noqa: D102
        if self._is_in_memory:
            return True
        try:
            return await asyncio.to_thread(log.truncate, self._path)
        except FAILURES as error:
            raise to_wire_error(error) from error

    def usage(self) -> StorageUsage:  # noqa: D102
        return StorageUsage(
            self._searches.in_flight,
            self._searches.waiting,
            self._large_pages.in_flight,
            self._large_pages.waiting,
            self._writer.waiting,
        )

    def sizes(self) -> StorageSizes:  # noqa: D102
        return StorageSizes() if self._is_in_memory else log.sizes(self._path)

    async def close(self) -> None:  # noqa: D102
        self._writer.refuse_more()
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._searcher.close)
        self._reader.close(True)

    def _connect(self) -> apsw.Connection:
        flags = _OPEN_FLAGS | (apsw.SQLITE_OPEN_URI if self._is_in_memory else 0)
        connection = open_file(self._path, flags=flags, timeout_ms=self._timeout_ms)
        # Plans must not depend on the parameters: SQLite would plan most statements again for each
        # run, which takes longer than running them.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        enter_wal(connection, self._timeout_ms)
        connection.pragma("synchronous", "full")
        connection.pragma("fullfsync", True)  # macOS; has no effect elsewhere
        connection.pragma("foreign_keys", True)
        for register in self._register_functions:
            register(connection)
        return connection

    def _connect_reading(self) -> apsw.Connection:
        connection = self._connect()
        connection.pragma("query_only", True)
        return connection


def _create_private(path: str) -> None:
    """Create an empty file with mode 0600; SQLite gives its side files the same mode."""
    try:
        Path(path).touch(mode=0o600)
    except OSError as error:
        raise ConfigError(
            f"database: cannot create {path}: {error.strerror}; allowed is a file in a folder "
            "that exists and can be written"
        ) from None


def _require(path: str) -> None:
    """Make sure that a file exists, so that a mistyped name does not create a database."""
    try:
        Path(path).stat()
    except FileNotFoundError:
        raise ConfigError(
            f"database: {path} does not exist; make it with: openpns migrate --database URL"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"database: cannot open {path}: {error.strerror}; allowed is an SQLite file in a "
            "folder that can be written"
        ) from None
