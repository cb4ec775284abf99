"""Writes of many callers in one transaction of PostgreSQL: one commit, and few round trips.

Writes of one place wait for each other anyway, for each locks the same row until its commit.
Those that come while one is under way gather behind it and then go together: the first statement
of all, then the second of all, and so on, each time in one round trip. That is right only for
writes that touch rows of their own besides the one they lock; the caller of `run` vouches for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from openpns.errors import InternalError, OutcomeUnknown, ServiceUnavailable, WireError
from openpns.storage.store import Row, Statement, StatementBatch, Transaction

_TOGETHER_MAX: Final = 64
"""How many writes one transaction takes."""

MakeSteps: TypeAlias = Callable[[], Transaction[Any]]
RunAll: TypeAlias = Callable[[Sequence[MakeSteps]], Awaitable[Sequence[Any]]]


class BatchMismatch(Exception):
    """Writes cannot be told apart, or one of them failed: each must run by itself."""


class WriteBatcher:
    """Run the writes of one place together.

    Args:
        run_all: Runs writes in one transaction, in step; raises BatchMismatch, having written
            nothing, where each must run by itself.
        run_alone: Runs a write in a transaction of its own.
    """

    def __init__(self, run_all: RunAll, run_alone: Callable[[MakeSteps], Awaitable[Any]]) -> None:
        self._run_all = run_all
        self._run_alone = run_alone
        self._waiting: dict[str, list[tuple[MakeSteps, asyncio.Future[Any]]]] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def run(self, place: str, steps: MakeSteps) -> Any:
        """Return a write's result once it is on disk.

        Args:
            place: Writes of the same place may go together.
            steps: Makes the write's steps.

        Raises:
            WireError: As a write by itself would; nothing is written then.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        waiting = self._waiting.setdefault(place, [])
        waiting.append((steps, future))
        if len(waiting) == 1:  # at the end of this turn of the loop, with all who come in it
            loop.call_soon(self._send, place)
        return await future

    def _send(self, place: str) -> None:
        if place in self._under_way or place not in self._waiting:
            return
        waiting = self._waiting.pop(place)
        if len(waiting) > _TOGETHER_MAX:
            self._waiting[place] = waiting[_TOGETHER_MAX:]
        task = asyncio.create_task(self._serve(waiting[:_TOGETHER_MAX]))
        self._under_way[place] = task
        task.add_done_callback(lambda _: self._end(place))

    def _end(self, place: str) -> None:
        del self._under_way[place]
        self._send(place)

    async def _serve(self, batch: Sequence[tuple[MakeSteps, asyncio.Future[Any]]]) -> None:
        if len(batch) > 1:
            try:
                results = await self._run_all([steps for steps, _ in batch])
            except BatchMismatch:
                pass
            except BaseException as error:  # noqa: BLE001 - each caller is told
                for _, future in batch:
                    _settle(future, error=_copy(error))
                return
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    _settle(future, result)
                return
        for steps, future in batch:
            try:
                _settle(future, await self._run_alone(steps))
            except BaseException as error:  # noqa: BLE001 - the caller is told
                _settle(future, error=error)


async def run_lockstep(
    makers: Sequence[MakeSteps], run: Callable[[Sequence[Statement]], Awaitable[Sequence[Row]]]
) -> list[Any]:
    """Run writes side by side: the first statement of all, then the second of all.

    Args:
        makers: Make the steps of each.
        run: Runs statements of one name in order and returns all their rows.

    Returns:
        What each write returns.

    Raises:
        BatchMismatch: A write failed, they take different ways, or the rows cannot be told
            apart: there must be one for each statement, or none at all.
    """
    writes = [make() for make in makers]
    results: list[Any] = [None] * len(writes)
    rows: Sequence[Sequence[Row]] | None = None
    try:
        while True:
            steps = _advance(writes, rows, results)
            if steps is None:
                return results
            found = await run(steps)
            if found and len(found) != len(writes):
                raise BatchMismatch
            rows = [[row] for row in found] if found else [[]] * len(writes)
    finally:
        for write in writes:
            write.close()


def _advance(
    writes: Sequence[Transaction[Any]], rows: Sequence[Sequence[Row]] | None, results: list[Any]
) -> list[Statement] | None:
    """Return the next statement of each write; None where all of them ended."""
    steps: list[Statement] = []
    for place, write in enumerate(writes):
        try:
            step = next(write) if rows is None else write.send(rows[place])
        except StopIteration as stop:
            results[place] = stop.value
            continue
        except Exception as error:
            raise BatchMismatch from error
        if isinstance(step, StatementBatch):
            raise BatchMismatch
        steps.append(step)
    if not steps:
        return None
    if len(steps) != len(writes) or len({step.name for step in steps}) > 1:
        raise BatchMismatch
    return steps


def _settle(
    future: asyncio.Future[Any], result: Any = None, error: BaseException | None = None
) -> None:
    if future.done():  # its caller was cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _copy(error: BaseException) -> BaseException:
    """Return an error of a caller's own: raised in several places, one would mix its tracebacks."""
    if isinstance(error, (ServiceUnavailable, OutcomeUnknown)):
        copy: WireError = type(error)(error.detail)
        copy.__cause__ = error.__cause__
    else:
        copy = InternalError()
        copy.__cause__ = error
    return copy
