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
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Final, cast

import apsw

from openpns.errors import ConfigError, InternalError
from openpns.storage import sqlite_places
from openpns.storage.sqlite_errors import wire_error
from openpns.storage.sqlite_writer import Turns, Write, Writer, as_parameters, transaction
from openpns.storage.statements import load_statements
from openpns.storage.store import Params, ResultT, Row, Steps

_OPEN_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


class SQLiteStore:
    """A store in one SQLite file, or in memory; see `openpns.storage.store.Store`.

    Args:
        path: The file; None for a new database in memory, which goes with the store.
        timeout_ms: How long a write waits for another process's.
        create: Make the file where it is missing, readable by its owner alone.
        rows_kept_max: How many rows that were looked up are kept until anything is committed.

    Raises:
        ConfigError: The file cannot be opened or is no database.
    """

    def __init__(
        self, path: str | None, timeout_ms: int, *, create: bool = False, rows_kept_max: int = 0
    ) -> None:
        # In memory, one name for all connections of this store, and for no others.
        self._path = path or f"file:/{secrets.token_hex(16)}?vfs=memdb"
        self._is_in_memory = path is None
        self._turns: Turns = threading.Lock() if path is None else contextlib.nullcontext()
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
        self._rows: dict[tuple[str, str], Row | None] = {}
        self._rows_version = 0
        self._rows_max = rows_kept_max
        self._writer = Writer(self._connect, self._sql, self._turns)

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:  # noqa: D102
        try:
            with self._turns:
                return self._reader.execute(self._sql[name], as_parameters(params)).fetchall()
        except apsw.Error as error:
            raise wire_error(error) from error

    async def look_up(self, name: str, value: str) -> Row | None:  # noqa: D102
        try:
            with self._turns:
                # Changes with each commit of another connection, and this one never writes.
                version = self._version_cursor.execute("PRAGMA data_version").get
                if version != self._rows_version:
                    self._rows.clear()
                    self._rows_version = version
                key = (name, value)
                if key in self._rows:
                    return self._rows[key]
                row: Row | None = self._reader.execute(self._sql[name], {"value": value}).get
        except apsw.Error as error:
            raise wire_error(error) from error
        if len(self._rows) >= self._rows_max:
            self._rows.clear()
        if self._rows_max:
            self._rows[key] = row
        return row

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
            raise wire_error(error) from error

    async def write(self, steps: Callable[[], Steps[ResultT]]) -> ResultT:  # noqa: D102
        return cast("ResultT", await self._writer.run(Write(steps)))

    async def schema_version(self) -> int:  # noqa: D102
        try:
            with self._turns:
                return int(self._reader.pragma("user_version"))
        except apsw.Error as error:
            raise wire_error(error) from error

    async def migrate(self, scripts: Sequence[tuple[int, str]]) -> list[int]:  # noqa: D102
        try:
            connection = self._connect()
            try:
                with self._turns:
                    return _migrate(connection, scripts)
            finally:
                connection.close(True)
        except apsw.Error as error:
            answer = wire_error(error)
            if isinstance(answer, InternalError):
                raise ConfigError(f"database: cannot migrate: {error}") from error
            raise answer from error

    async def close(self) -> None:  # noqa: D102
        await asyncio.to_thread(self._writer.close)
        self._reader.close(True)

    def _connect(self) -> apsw.Connection:
        flags = _OPEN_FLAGS | (apsw.SQLITE_OPEN_URI if self._is_in_memory else 0)
        connection = apsw.Connection(self._path, flags=flags)
        connection.set_busy_timeout(self._timeout_ms)
        _enter_wal(connection, self._timeout_ms)
        connection.pragma("synchronous", "full")
        connection.pragma("fullfsync", True)  # macOS; elsewhere it means nothing
        connection.pragma("foreign_keys", True)
        sqlite_places.register(connection)
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
