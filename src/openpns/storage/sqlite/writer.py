"""SQLite's writer: one thread that commits all waiting writes together."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import apsw
import msgspec

from openpns.errors import ServiceUnavailable
from openpns.kit.in_flight import settle
from openpns.storage.sqlite.errors import to_wire_error
from openpns.storage.store import Params, Row, Statement, StatementBatch, Step, Transaction

_BATCH_WRITES_MAX: Final = 256

_encode: Final = msgspec.json.Encoder().encode

Lock: TypeAlias = contextlib.AbstractContextManager[Any]
"""The lock around a connection's work; a no-op for databases on disk, which use WAL."""


class Write:
    """A write in flight: its steps, and the future that its caller waits for.

    With `skip_savepoint` it runs without a savepoint at first, which takes a fifth less CPU: it
    hardly ever fails after it has changed something.
    """

    def __init__(
        self, steps: Callable[[], Transaction[Any]], *, skip_savepoint: bool = False
    ) -> None:
        self.steps = steps
        self.skip_savepoint = skip_savepoint
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    """The thread that writes, with a connection of its own; the first write starts it."""

    def __init__(
        self, connect: Callable[[], apsw.Connection], sql: dict[str, str], lock: Lock
    ) -> None:
        self._connect = connect
        self._sql = sql
        self._lock = lock
        self._pending: list[Write] = []
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def run(self, write: Write) -> Any:
        """Return a write's result once it is on disk.

        Raises:
            WireError: Whatever its steps raise, or the error of the storage; nothing is written
                then.
        """
        if self._closed:
            raise ServiceUnavailable("the storage is closed; nothing was written")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sqlite-writer", daemon=True)
            self._thread.start()
        # Clients that got responses together send their next requests together. Hand writes over at
        # the end of this turn of the loop, so that the thread does not start with the first alone.
        self._pending.append(write)
        if len(self._pending) == 1:
            write.loop.call_soon(self._hand_over)
        return await write.future

    def _hand_over(self) -> None:
        pending, self._pending = self._pending, []
        for write in pending:
            self._queue.put(write)

    def refuse_more(self) -> None:
        """Refuse writes from now on; runs on the event loop, as `_hand_over` does."""
        self._closed = True
        self._hand_over()

    def close(self) -> None:
        """Wait for the writes that were handed over, then end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        connection: apsw.Connection | None = None
        while batch := self._take_batch():
            try:
                with self._lock:
                    connection = connection or self._connect()
                    self._run_batch(connection, batch)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any failure
                # Also for writes that were refused: the reason may be what another write of the
                # batch had done, which is undone now.
                for write in batch:
                    write.error = to_wire_error(error)
            for loop in {write.loop for write in batch}:
                with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits
                    loop.call_soon_threadsafe(_settle, [w for w in batch if w.loop is loop])
        if connection is not None:
            connection.close(True)

    def _take_batch(self) -> list[Write]:
        """Wait for a write and take those that wait after it; empty means the end."""
        batch: list[Write] = []
        while len(batch) < _BATCH_WRITES_MAX and (not batch or not self._queue.empty()):
            write = self._queue.get()
            if write is None:
                if batch:
                    self._queue.put(None)
                break
            batch.append(write)
        return batch

    def _run_batch(self, connection: apsw.Connection, batch: list[Write]) -> None:
        try:
            self._run_writes(connection, batch, without_savepoint=True)
        except SavepointRequired:
            self._run_writes(connection, batch, without_savepoint=False)

    def _run_writes(
        self, connection: apsw.Connection, batch: list[Write], *, without_savepoint: bool
    ) -> None:
        with transaction(connection):
            for write in batch:
                write.error = None
                is_bare = without_savepoint and write.skip_savepoint
                changes = connection.total_changes()
                try:
                    with contextlib.nullcontext() if is_bare else _savepoint(connection):
                        write.result = run_steps(connection, self._sql, write.steps())
                except Exception as error:
                    if not connection.in_transaction:
                        raise  # SQLite has rolled the whole transaction back
                    if is_bare and connection.total_changes() != changes:
                        raise SavepointRequired from error
                    # Raised to its caller.
                    write.error = to_wire_error(error) if isinstance(error, apsw.Error) else error


def run_steps(connection: apsw.Connection, sql: Mapping[str, str], steps: Transaction[Any]) -> Any:
    """Run steps in the transaction that a connection has open; return their result."""
    try:
        step = next(steps)
        while True:
            step = steps.send(_run_step(connection, sql, step))
    except StopIteration as stop:
        return stop.value


def _run_step(connection: apsw.Connection, sql: Mapping[str, str], step: Step) -> Sequence[Row]:
    if isinstance(step, Statement):
        return connection.execute(sql[step.name], as_parameters(step.params)).fetchall()
    if isinstance(step, StatementBatch):
        connection.executemany(sql[step.name], step.params)
        return []
    return [_run_step(connection, sql, statement) for statement in step]


class SavepointRequired(Exception):
    """A write without a savepoint failed after it had changed something.

    Roll the batch back and run it with savepoints.
    """


class TransactionScope:
    """A transaction or a savepoint: committed, or rolled back if the block raises.

    apsw's own context manager hides the error if SQLite itself has rolled the transaction back, as
    it does on a full disk.
    """

    def __init__(
        self, connection: apsw.Connection, begin: str, commit: str, roll_back: str
    ) -> None:
        self._connection = connection
        self._begin = begin
        self._commit = commit
        self._roll_back = roll_back

    def __enter__(self) -> None:
        self._connection.execute(self._begin)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._roll_back_if_begun()
            return
        try:
            self._connection.execute(self._commit)
        except apsw.Error:
            self._roll_back_if_begun()
            raise

    def _roll_back_if_begun(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute(self._roll_back)


def transaction(connection: apsw.Connection) -> TransactionScope:
    """Return a transaction that locks the database for writing at its beginning."""
    return TransactionScope(connection, "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")


def _savepoint(connection: apsw.Connection) -> TransactionScope:
    return TransactionScope(
        connection, "SAVEPOINT write", "RELEASE write", "ROLLBACK TO write; RELEASE write"
    )


def _settle(batch: list[Write]) -> None:
    for write in batch:
        settle(write.future, write.result, write.error)


def as_parameters(params: Params) -> Params:
    """Write lists as JSON, which `json_each` reads: SQLite has no arrays."""
    for value in params.values():
        if isinstance(value, list):
            break
    else:
        return params
    return {
        name: _encode(value).decode() if isinstance(value, list) else value
        for name, value in params.items()
    }
