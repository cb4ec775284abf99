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
import json
import queue
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import apsw

from openpns.errors import ConfigError, InternalError, ReadFailed, ServiceUnavailable
from openpns.storage import sqlite_places
from openpns.storage.statements import load_statements
from openpns.storage.store import (
    Params,
    ResultT,
    Row,
    Statement,
    StatementMany,
    Steps,
)

_BATCH_WRITES_MAX: Final = 256
_UNAVAILABLE: Final = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.PermissionsError,
    apsw.NoMemError,
    apsw.ProtocolError,
    apsw.ConnectionClosedError,
)
_OPEN_FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
_DAMAGED: Final = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)

Turns: TypeAlias = contextlib.AbstractContextManager[Any]
"""What a connection works under: a lock in memory, nothing on a disk, where WAL does without."""


class SQLiteStore:
    """A store in one SQLite file, or in memory; see `openpns.storage.store.Store`.

    Args:
        path: The file; None for a new database in memory, which goes with the store.
        timeout_ms: How long a write waits for another process's.
        create: Make the file where it is missing, readable by its owner alone.

    Raises:
        ConfigError: The file cannot be opened or is no database.
    """

    def __init__(self, path: str | None, timeout_ms: int, *, create: bool = False) -> None:
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
        self._writer = _Writer(self._connect, self._sql, self._turns)

    async def fetch(self, name: str, params: Params) -> Sequence[Row]:  # noqa: D102
        try:
            with self._turns:
                return self._reader.execute(self._sql[name], _as_sqlite(params)).fetchall()
        except apsw.Error as error:
            raise _wire_error(error) from error

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
            raise _wire_error(error) from error

    async def write(self, steps: Callable[[], Steps[ResultT]]) -> ResultT:  # noqa: D102
        return cast("ResultT", await self._writer.run(_Write(steps)))

    async def schema_version(self) -> int:  # noqa: D102
        try:
            with self._turns:
                return int(self._reader.pragma("user_version"))
        except apsw.Error as error:
            raise _wire_error(error) from error

    async def migrate(self, scripts: Sequence[tuple[int, str]]) -> list[int]:  # noqa: D102
        try:
            connection = self._connect()
            try:
                with self._turns:
                    return _migrate(connection, scripts)
            finally:
                connection.close(True)
        except apsw.Error as error:
            answer = _wire_error(error)
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
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("fullfsync", True)  # macOS; elsewhere it means nothing
        connection.pragma("foreign_keys", True)
        sqlite_places.register(connection)
        return connection


class _Write:
    """A write on its way: its steps, and the future that its caller waits for."""

    def __init__(self, steps: Callable[[], Steps[Any]]) -> None:
        self.steps = steps
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        if self.future.done():  # its caller was cancelled
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _Writer:
    """The thread that writes; started by the first write."""

    def __init__(
        self, connect: Callable[[], apsw.Connection], sql: dict[str, str], turns: Turns
    ) -> None:
        self._connect = connect
        self._sql = sql
        self._turns = turns
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def run(self, write: _Write) -> Any:
        if self._closed:
            raise ServiceUnavailable("the storage is closed; nothing was written")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sqlite-writer", daemon=True)
            self._thread.start()
        self._queue.put(write)
        return await write.future

    def close(self) -> None:
        """Let the writes that wait finish, then end the thread."""
        self._closed = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        connection: apsw.Connection | None = None
        while batch := self._take_batch():
            try:
                with self._turns:
                    connection = connection or self._connect()
                    self._run_batch(connection, batch)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any failure
                # Those that were refused too: they may have been refused for what another write
                # of the batch had done, which is undone now.
                for write in batch:
                    write.error = _wire_error(error)
            for loop in {write.loop for write in batch}:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                    loop.call_soon_threadsafe(_settle, [w for w in batch if w.loop is loop])
        if connection is not None:
            connection.close(True)

    def _take_batch(self) -> list[_Write]:
        """Wait for a write and take those that wait behind it; nothing means the end."""
        batch: list[_Write] = []
        while len(batch) < _BATCH_WRITES_MAX and (not batch or not self._queue.empty()):
            write = self._queue.get()
            if write is None:
                if batch:
                    self._queue.put(None)
                break
            batch.append(write)
        return batch

    def _run_batch(self, connection: apsw.Connection, batch: list[_Write]) -> None:
        with _transaction(connection):
            for write in batch:
                write.error = None
                try:
                    with _savepoint(connection):
                        write.result = self._run_steps(connection, write.steps())
                except apsw.Error as error:
                    if not connection.in_transaction:
                        raise  # SQLite gave the whole transaction up
                    write.error = _wire_error(error)
                except Exception as error:  # noqa: BLE001 - handed to its caller
                    write.error = error

    def _run_steps(self, connection: apsw.Connection, steps: Steps[Any]) -> Any:
        try:
            step = next(steps)
            while True:
                step = steps.send(self._run_step(connection, step))
        except StopIteration as stop:
            return stop.value

    def _run_step(
        self, connection: apsw.Connection, step: Statement | StatementMany
    ) -> Sequence[Row]:
        if isinstance(step, StatementMany):
            connection.executemany(self._sql[step.name], step.params)
            return []
        return connection.execute(self._sql[step.name], _as_sqlite(step.params)).fetchall()


class _Undoable:
    """Statements that are kept together or undone together.

    apsw's own context manager would not do: where SQLite has given the whole transaction up, as
    it does on a full disk, it hides that error behind one of its own.
    """

    def __init__(self, connection: apsw.Connection, begin: str, keep: str, undo: str) -> None:
        self._connection = connection
        self._begin = begin
        self._keep = keep
        self._undo = undo

    def __enter__(self) -> None:
        self._connection.execute(self._begin)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._undo_if_begun()
            return
        try:
            self._connection.execute(self._keep)
        except apsw.Error:
            self._undo_if_begun()
            raise

    def _undo_if_begun(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute(self._undo)


def _transaction(connection: apsw.Connection) -> _Undoable:
    return _Undoable(connection, "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")


def _savepoint(connection: apsw.Connection) -> _Undoable:
    return _Undoable(
        connection, "SAVEPOINT write", "RELEASE write", "ROLLBACK TO write; RELEASE write"
    )


def _migrate(connection: apsw.Connection, scripts: Sequence[tuple[int, str]]) -> list[int]:
    applied = []
    with _transaction(connection):
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


def _settle(batch: list[_Write]) -> None:
    for write in batch:
        write.settle()


def _as_sqlite(params: Params) -> Params:
    """Write a list as JSON, which `json_each` reads: SQLite has no arrays."""
    for value in params.values():
        if isinstance(value, list):
            break
    else:
        return params
    return {
        name: json.dumps(value) if isinstance(value, list) else value
        for name, value in params.items()
    }


def _wire_error(error: Exception) -> Exception:
    answer: Exception
    if isinstance(error, _UNAVAILABLE):
        answer = ServiceUnavailable("the storage is away, full or busy; nothing was written")
    elif isinstance(error, _DAMAGED):
        answer = ReadFailed("the storage is damaged")
    else:
        answer = InternalError()
    answer.__cause__ = error  # told to the log where it is not raised from here
    return answer
