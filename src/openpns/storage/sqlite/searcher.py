"""SQLite's searches and dry runs: brief ones on the event loop, long ones on threads of their own.

A hop to a thread costs several times what a search by an exact phone costs. So a search begins on
the event loop with a budget of steps of SQLite's virtual machine. One that uses it up is
interrupted, and begins again on a thread, with a deadline.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Final, TypeVar

import apsw

from openpns.errors import ServiceUnavailable
from openpns.kit.turns import Places

LOOP_CHECKS: Final = 10
CHECK_STEPS: Final = 5000
"""A search on the event loop ends after so many checks, each after so many steps: about 1 ms."""

_DEADLINE_STEPS: Final = 100_000
"""A thread looks at its deadline after so many steps, about 2 ms: it takes the GIL to do so."""

ResultT = TypeVar("ResultT")


class Searcher:
    """Runs searches; each customer has only so many in flight.

    Args:
        reader: The connection of the event loop.
        places: Those of searches on threads.
        threads_max: Threads for searches and for slices of large pages.
        timeout_s: The deadline of work on a thread.
    """

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        reader: apsw.Connection,
        places: Places,
        threads_max: int,
        timeout_s: float,
    ) -> None:
        self._connect = connect
        self._reader = reader
        self._places = places
        self._timeout_s = timeout_s
        self._threads_max = threads_max
        self._threads: ThreadPoolExecutor | None = None
        self._idle: list[apsw.Connection] = []

    async def fetch(self, owner: str, read: Callable[[apsw.Connection], ResultT]) -> ResultT:
        """Return what `read` reads on a connection; it may be called twice.

        Raises:
            ServiceUnavailable: It took too long, or too many searches of the owner wait.
        """
        self._places.check(owner)  # before it takes time of the event loop
        try:
            return _read_briefly(self._reader, read)
        except apsw.InterruptError:
            pass
        await self._places.take(owner)
        try:
            connection = self._idle.pop() if self._idle else self._connect()
            try:
                return await self.run(connection, lambda: read(connection))
            finally:
                self._idle.append(connection)
        finally:
            self._places.give(owner)

    async def run(self, connection: apsw.Connection, work: Callable[[], ResultT]) -> ResultT:
        """Run work with a connection on a thread; the caller holds a place.

        Raises:
            ServiceUnavailable: It took too long.
        """
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._threads_max, "sqlite-reader")
        is_cancelled = threading.Event()
        future = asyncio.get_running_loop().run_in_executor(
            self._threads, self._run_until, connection, work, is_cancelled
        )
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            is_cancelled.set()
            while not future.done():  # nothing else may use the connection before
                with contextlib.suppress(asyncio.CancelledError):  # cancelled once more
                    await asyncio.wait([future])
            raise

    def close(self) -> None:
        """Wait for the searches in flight, then close their connections."""
        if self._threads is not None:
            self._threads.shutdown()
        for connection in self._idle:
            connection.close(True)

    def _run_until(
        self,
        connection: apsw.Connection,
        work: Callable[[], ResultT],
        is_cancelled: threading.Event,
    ) -> ResultT:
        until_s = perf_counter() + self._timeout_s
        connection.set_progress_handler(
            lambda: is_cancelled.is_set() or perf_counter() > until_s, _DEADLINE_STEPS
        )
        try:
            return work()
        except apsw.InterruptError:
            raise ServiceUnavailable(
                f"the search took longer than {self._timeout_s:g} s; use a filter that matches "
                "fewer groups, or send fewer phones"
            ) from None


def _read_briefly(
    connection: apsw.Connection, read: Callable[[apsw.Connection], ResultT]
) -> ResultT:
    """Read on the event loop.

    Raises:
        apsw.InterruptError: It takes too many steps.
    """
    checks = 0

    def is_over() -> bool:
        nonlocal checks
        checks += 1
        return checks > LOOP_CHECKS

    connection.set_progress_handler(is_over, CHECK_STEPS)
    try:
        return read(connection)
    finally:
        connection.set_progress_handler(None)
