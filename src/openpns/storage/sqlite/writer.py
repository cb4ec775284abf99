"""SQLite's writer: one thread that commits waiting writes together; customers take turns."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter, sleep
from typing import Any, Final, TypeAlias

import apsw
import msgspec

from openpns.errors import ServiceUnavailable
from openpns.kit.in_flight import settle
from openpns.kit.turns import OwnerCounts, TurnQueue
from openpns.storage.sqlite.errors import FAILURES, to_wire_error
from openpns.storage.store import Params, Row, Statement, StatementBatch, Step, Transaction

_BATCH_S: Final = 0.025
"""A batch takes no further write after this time: others wait for its commit, and so does the
writer of another process, which gives up after `storage_timeout_ms`."""

SETTLED_AT_ONCE: Final = 32
"""Callers that go on in one turn of the event loop: each takes up to 0.1 ms for its response."""

_BUSY_POLL_S: Final = 0.001
"""How often to try again while another process writes. SQLite's own waits grow to 100 ms, in which
a busy process commits several batches."""

_encode: Final = msgspec.json.Encoder().encode

Lock: TypeAlias = contextlib.AbstractContextManager[Any]
"""The lock around a connection's work; a no-op for databases on disk, which use WAL."""


class Write:
    """A write in flight: its steps, and the future that its caller waits for.

    With `skip_savepoint` it runs without a savepoint at first, which takes a fifth less CPU: it
    hardly ever fails after it has changed something.
    """

    def __init__(
        self,
        steps: Callable[[], Transaction[Any]],
        customer_id: str = "",
        *,
        skip_savepoint: bool = False,
    ) -> None:
        self.steps = steps
        self.customer_id = customer_id
        self.skip_savepoint = skip_savepoint
        self.arrived_s = 0.0
        """When it began to wait, by the writer's clock."""
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Pass on the result or the error, once.

        The write keeps neither: the traceback of an error refers to frames that have the write.
        Only a garbage collection finds such a cycle, and a full one stops the event loop.
        """
        future, error = self.future, self.error
        del self.future, self.error
        settle(future, self.result, error)


class Writer:
    """The thread that writes, with a connection of its own; the first write starts it.

    Args:
        timeout_s: How long it waits while another process writes.
        waiting_per_customer_max: Writes of one customer that may wait.
        clock_s: Bounds the time of a batch; says how long a write has waited.
    """

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        sql: dict[str, str],
        lock: Lock,
        timeout_s: float,
        waiting_per_customer_max: int,
        clock_s: Callable[[], float] = perf_counter,
    ) -> None:
        self._connect = connect
        self._sql = sql
        self._lock = lock
        self._timeout_s = timeout_s
        self._clock_s = clock_s
        self._in_flight = OwnerCounts("writes", waiting_per_customer_max)
        self._pending: list[Write] = []
        self._queue: TurnQueue[Write] = TurnQueue()
        self._changed = threading.Condition()
        """Guards the queue and `_is_ending`."""
        self._is_ending = False
        self._thread: threading.Thread | None = None
        self._closed = False
        self._took_s: dict[str, float] = {}
        """How long the last write of each customer took whose writes wait."""

    @property
    def waiting(self) -> int:
        """How many writes wait for a batch."""
        return len(self._pending) + len(self._queue)

    async def run(self, write: Write) -> Any:
        """Return a write's result once it is on disk.

        Raises:
            WireError: Whatever its steps raise, or the error of the storage; nothing is written
                then. Overloaded if too many writes of its customer wait.
        """
        if self._closed:
            raise ServiceUnavailable("the storage is closed; nothing was written")
        self._in_flight.enter(write.customer_id)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sqlite-writer", daemon=True)
            self._thread.start()
        # Clients that got responses together send their next requests together. Hand writes over at
        # the end of this turn of the loop, so that the thread does not start with the first alone.
        write.arrived_s = self._clock_s()
        self._pending.append(write)
        if len(self._pending) == 1:
            write.loop.call_soon(self._hand_over)
        return await write.future

    def _hand_over(self) -> None:
        pending, self._pending = self._pending, []
        with self._changed:
            for write in pending:
                self._queue.add(write.customer_id, write)
            self._changed.notify()

    def refuse_more(self) -> None:
        """Refuse writes from now on; runs on the event loop, as `_hand_over` does."""
        self._closed = True
        self._hand_over()

    def close(self) -> None:
        """Wait for the writes that were handed over, then end the thread."""
        if self._thread is not None:
            with self._changed:
                self._is_ending = True
                self._changed.notify()
            self._thread.join()

    def _work(self) -> None:
        connection: apsw.Connection | None = None
        while self._wait():
            batch: list[Write] = []
            try:
                with self._lock:
                    connection = connection or self._connect_patiently()
                    self._run_batch(connection, batch)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any failure
                # Also for writes that were refused: the reason may be what another write of the
                # batch had done, which is undone now.
                batch = batch or self._take_failed(error)
                for write in batch:
                    write.error = to_wire_error(error)
            for loop in {write.loop for write in batch}:
                with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits
                    loop.call_soon_threadsafe(self._settle, [w for w in batch if w.loop is loop])
        if connection is not None:
            connection.close(True)

    def _settle(self, batch: list[Write]) -> None:
        """Let the callers of some writes go on, and those of the others in the next turn."""
        for write in batch[:SETTLED_AT_ONCE]:
            self._in_flight.leave(write.customer_id)
            write.settle()
        if rest := batch[SETTLED_AT_ONCE:]:
            rest[0].loop.call_soon(self._settle, rest)

    def _connect_patiently(self) -> apsw.Connection:
        connection = self._connect()
        give_up_s = 0.0

        def wait(attempt: int) -> bool:
            nonlocal give_up_s
            now_s = perf_counter()
            if attempt == 0:
                give_up_s = now_s + self._timeout_s
            sleep(_BUSY_POLL_S)
            return now_s < give_up_s

        connection.set_busy_handler(wait)
        return connection

    def _wait(self) -> bool:
        """Wait for a write; return False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_ending)
            return len(self._queue) > 0

    def _take(self, batch: Sequence[Write], left_s: float) -> Write | None:
        """Return the next write of a batch; None if it is better committed first.

        The next customer's last write took longer than what is left of the batch: those in it are
        not to wait for another such write.
        """
        with self._changed:
            if not self._queue or (batch and self._took_s.get(self._queue.next_owner, 0) > left_s):
                return None
            return self._queue.take()

    def _note_time(self, customer_id: str, took_s: float) -> None:
        """Note how long a write took; one that filled a batch gives its next turn to others.

        Those who began to wait during the write would otherwise wait for the next one as well.
        """
        with self._changed:
            if took_s > _BATCH_S:
                self._queue.put_last(customer_id)
            if self._queue.count(customer_id):
                self._took_s[customer_id] = took_s
            else:
                self._took_s.pop(customer_id, None)

    def _take_failed(self, error: Exception) -> list[Write]:
        """Return the writes that wait, if none can begin because of this error.

        While another process writes, those that have not waited `timeout_s` yet wait on.
        """
        with self._changed:
            waiting = [self._queue.take() for _ in range(len(self._queue))]
            if not isinstance(error, apsw.BusyError):
                return waiting
            late_s = self._clock_s() - self._timeout_s
            for write in waiting:
                if write.arrived_s > late_s:
                    self._queue.add(write.customer_id, write)
            return [write for write in waiting if write.arrived_s <= late_s]

    def _run_batch(self, connection: apsw.Connection, batch: list[Write]) -> None:
        """Commit waiting writes in turns, until none waits or the time is over.

        `batch` gets the writes that were taken, also if this raises.
        """
        try:
            with transaction(connection):
                self._run_writes(connection, batch)
        except SavepointRequired:
            # The writes behind it may be such ones, too: each would have to be rolled back alone.
            with transaction(connection):
                self._run_writes(connection, batch, has_savepoints=True)

    def _run_writes(
        self, connection: apsw.Connection, batch: list[Write], *, has_savepoints: bool = False
    ) -> None:
        """Run the writes of a batch, and those that wait as long as there is time."""
        now_s = self._clock_s()
        until_s = now_s + _BATCH_S
        for again in batch:
            now_s = self._run_timed(connection, again, now_s, is_bare=False)
        while now_s < until_s and (write := self._take(batch, until_s - now_s)):
            batch.append(write)
            is_bare = write.skip_savepoint and not has_savepoints
            now_s = self._run_timed(connection, write, now_s, is_bare=is_bare)

    def _run_timed(
        self, connection: apsw.Connection, write: Write, began_s: float, *, is_bare: bool
    ) -> float:
        """Run a write and note how long it took; return when it ended."""
        self._run_write(connection, write, is_bare=is_bare)
        now_s = self._clock_s()
        self._note_time(write.customer_id, now_s - began_s)
        return now_s

    def _run_write(self, connection: apsw.Connection, write: Write, *, is_bare: bool) -> None:
        write.error = None
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
            write.error = to_wire_error(error) if isinstance(error, FAILURES) else error


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


def snapshot(connection: apsw.Connection) -> TransactionScope:
    """Return a transaction that reads one snapshot, and ends without a change."""
    return TransactionScope(connection, "BEGIN", "ROLLBACK", "ROLLBACK")


def _savepoint(connection: apsw.Connection) -> TransactionScope:
    return TransactionScope(
        connection, "SAVEPOINT write", "RELEASE write", "ROLLBACK TO write; RELEASE write"
    )


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
