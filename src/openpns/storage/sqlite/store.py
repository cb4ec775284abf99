"""SQLite: reads on the event loop, writes in batches on one thread.

A read takes microseconds, so it runs where it is asked for. A write waits for the disk, so one
thread takes all the writes that wait, runs each under a savepoint of its own, and commits them
together: many writes, one fsync. In WAL mode neither waits for the other.

A database in memory has no WAL. There reads and batches take turns under a lock, so that none
finds the database busy; a turn is short, for there is no disk to wait for.
"""

import asyncio
import contextlib
import itertools
import secrets
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import apsw
import apsw.ext
import msgspec

from openpns.errors import ConfigError, InternalError
from openpns.groups import order
from openpns.storage import name_keys
from openpns.storage.sqlite.errors import to_wire_error
from openpns.storage.sqlite.writer import Lock, Write, Writer, as_parameters, transaction
from openpns.storage.statements import load_statements
from openpns.storage.store import Params, ResultT, Row, Transaction

_OPEN_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE

_PAGES: Final = frozenset({"group_list", "group_list_seek"})
"""Statements with many rows and no bytes among them."""

_decode_rows: Final = msgspec.json.Decoder(list[tuple[Any, ...]]).decode


class SQLiteStore:
    """A store in one SQLite file, or in memory; see `openpns.storage.store.Store`.

    Args:
        path: The file; None for a new database in memory, which goes with the store.
        timeout_ms: How long a write waits for another process's.
        create: Make the file where it is missing, readable by its owner alone.
        cached_rows_max: How many rows that were looked up are kept until anything is committed.

    Raises:
        ConfigError: The file cannot be opened or is no database.
    """

    def __init__(
        self, path: str | None, timeout_ms: int, *, create: bool = False, cached_rows_max: int = 0
    ) -> None:
        # In memory, one name for all connections of this store, and for no others.
        self._path = path or f"file:/{secrets.token_hex(16)}?vfs=memdb"
        self._is_in_memory = path is None
        self._lock: Lock = threading.Lock() if path is None else contextlib.nullcontext()
        self._timeout_ms = timeout_ms
        self._sql = {name: s.sql for name, s in load_statements("sqlite").items()}
        if path is None:
            pass
        elif create:
            _create_private(path)
        else:
            _require(path)
        try:
            self._reader = self._connect()
        except apsw.Error as error:
            raise ConfigError(
                f"database: cannot open {path}: {error}; allowed is an SQLite file in a folder "
                "that can be written"
            ) from None
        self._version_cursor = self._reader.cursor()
        self._rows: dict[tuple[str, str], Mapping[str, Any] | None] = {}
        self._rows_version = 0
        self._checked_in: asyncio.AbstractEventLoop | None = None
        self._pages_sql: dict[str, str] = {}
        self._rows_max = cached_rows_max
        self._writer = Writer(self._connect, self._sql, self._lock)

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:  # noqa: D102
        try:
            with self._lock:
                if name in _PAGES or name.startswith("group_find:"):
                    page = self._reader.execute(self._page_sql(name), params).get
                    return cast("Sequence[Row]", _decode_rows(page))
                return self._reader.execute(self._sql[name], as_parameters(params)).fetchall()
        except apsw.Error as error:
            raise to_wire_error(error) from error

    async def get_cached(self, name: str, value: str) -> Mapping[str, Any] | None:  # noqa: D102
        key = (name, value)
        if self._rows_max and self._is_unchanged() and key in self._rows:
            return self._rows[key]
        try:
            with self._lock:
                cursor = self._reader.execute(self._sql[name], {"value": value})
                found = next(cursor, None)
                names = [column[0] for column in cursor.get_description()] if found else ()
                row = dict(zip(names, found, strict=True)) if found else None
        except apsw.Error as error:
            raise to_wire_error(error) from error
        if len(self._rows) >= self._rows_max:
            self._rows.clear()
        if self._rows_max:
            self._rows[key] = row
        return row

    def _is_unchanged(self) -> bool:
        """Tell whether nothing was committed since the rows were kept; if not, forget them.

        Looking costs more than all else that a kept page costs, for SQLite lets go of Python's
        lock meanwhile. So one look serves all callers of a turn of the event loop: those that
        are resumed before `_look_again` is. They were waiting in the loop's queue, each with its
        whole request, before `_look_again` was put there, and so before the look.
        """
        loop = asyncio.get_running_loop()
        if self._checked_in is loop:
            return True
        loop.call_soon(self._look_again)
        try:
            with self._lock:
                # Changes with each commit of another connection, and this one never writes.
                version = self._version_cursor.execute("PRAGMA data_version").get
        except apsw.Error as error:
            raise to_wire_error(error) from error
        self._checked_in = loop
        if version == self._rows_version:
            return True
        self._rows.clear()
        self._rows_version = version
        return False

    def _look_again(self) -> None:
        self._checked_in = None

    def _page_sql(self, name: str) -> str:
        """Return a statement that brings all rows of another in one, as JSON.

        SQLite lets go of Python's lock for every row and must win it back from the HTTP server's
        thread: for ten rows that takes ten times as long as reading them.
        """
        sql = self._pages_sql.get(name)
        if sql is None:
            rows = self._sql[name]
            columns = len(apsw.ext.query_info(self._reader, rows).description)
            names = ", ".join(f"column_{place}" for place in range(columns))
            of_all = f"SELECT json_group_array(json_array({names})) FROM page"  # noqa: S608 - ours
            sql = self._pages_sql[name] = f"WITH page ({names}) AS ({rows}) {of_all}"
        return sql

    async def stream(  # noqa: D102
        self, name: str, params: Params, rows_each: int
    ) -> AsyncGenerator[Sequence[Row], None]:
        if self._is_in_memory:  # a turn cannot wait for the caller, so it takes all rows at once
            rows_left = iter(await self.fetch(name, params))
            while rows := list(itertools.islice(rows_left, rows_each)):
                yield rows
                await asyncio.sleep(0)
            return
        # A connection of its own: the snapshot stays open as long as the cursor does, and other
        # reads must not be held in it.
        try:
            connection = self._connect()
            try:
                cursor = connection.execute(self._sql[name], params)
                while rows := list(itertools.islice(cursor, rows_each)):
                    yield rows
                    await asyncio.sleep(0)
            finally:
                connection.close(True)
        except apsw.Error as error:
            raise to_wire_error(error) from error

    async def write(  # noqa: D102
        self,
        steps: Callable[[], Transaction[ResultT]],
        *,
        batch_key: str | None = None,
    ) -> ResultT:
        write = Write(steps, skip_savepoint=batch_key is not None)
        return cast("ResultT", await self._writer.run(write))

    async def schema_version(self) -> int:  # noqa: D102
        try:
            with self._lock:
                return int(self._reader.pragma("user_version"))
        except apsw.Error as error:
            raise to_wire_error(error) from error

    async def migrate(self, scripts: Sequence[tuple[int, str]]) -> list[int]:  # noqa: D102
        try:
            connection = self._connect()
            try:
                with self._lock:
                    return _migrate(connection, scripts)
            finally:
                connection.close(True)
        except apsw.Error as error:
            answer = to_wire_error(error)
            if isinstance(answer, InternalError):
                raise ConfigError(f"database: cannot migrate: {error}") from error
            raise answer from error

    async def close(self) -> None:  # noqa: D102
        await asyncio.to_thread(self._writer.close)
        self._reader.close(True)

    def _connect(self) -> apsw.Connection:
        flags = _OPEN_FLAGS | (apsw.SQLITE_OPEN_URI if self._is_in_memory else 0)
        connection = apsw.Connection(self._path, flags=flags)
        # Plans must not depend on the values that are looked for: SQLite would plan most statements
        # anew each time they run, which takes longer than running them.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        connection.set_busy_timeout(self._timeout_ms)
        _enter_wal(connection, self._timeout_ms)
        connection.pragma("synchronous", "full")
        connection.pragma("fullfsync", True)  # macOS; elsewhere it means nothing
        connection.pragma("foreign_keys", True)
        order.register(connection)
        name_keys.register(connection)
        return connection


def _enter_wal(connection: apsw.Connection, timeout_ms: int) -> None:
    """Turn WAL on; where two do so at once in a new file, SQLite lets one fail without waiting."""
    give_up_s = time.monotonic() + timeout_ms / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(0.01)
        else:
            return


def _migrate(connection: apsw.Connection, scripts: Sequence[tuple[int, str]]) -> list[int]:
    applied = []
    with transaction(connection):
        version = int(connection.pragma("user_version"))
        for number, sql in scripts:
            if number > version:
                connection.execute(sql)
                connection.pragma("user_version", number)
                applied.append(number)
    return applied


def _create_private(path: str) -> None:
    """Make an empty file with mode 0600; SQLite gives its side files the same mode."""
    try:
        Path(path).touch(mode=0o600)
    except OSError as error:
        raise ConfigError(
            f"database: cannot create {path}: {error.strerror}; allowed is a file in a folder "
            "that exists and can be written"
        ) from None


def _require(path: str) -> None:
    """Make sure that a file is there, so that a slip of the pen makes no new database."""
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
