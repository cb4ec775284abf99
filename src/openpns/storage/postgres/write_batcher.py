"""Writes of many callers in one PostgreSQL transaction: one commit and few round trips.

Writes that lock the same row wait for each other anyway, until the commit. Those that arrive while
one is in flight wait and then run together in lockstep: the first statement of all in one round
trip, then the second of all, and so on. This is right only for writes that apart from the locked
row touch rows of their own; the code that passes a `batch_key` guarantees it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from openpns.kit.in_flight import Batch, copy_error, settle
from openpns.storage.store import Row, Statement, StatementBatch, Transaction

_WRITES_MAX: Final = 64

MakeSteps: TypeAlias = Callable[[], Transaction[Any]]
RunAll: TypeAlias = Callable[[Sequence[MakeSteps]], Awaitable[Sequence[Any]]]
_Pending: TypeAlias = "tuple[MakeSteps, asyncio.Future[Any]]"


class BatchMismatch(Exception):
    """Writes do not run the same statements, or one of them failed: each must run alone."""


class WriteBatcher:
    """Runs writes with the same batch key together, one transaction at a time for each key.

    Args:
        run_all: Runs writes in one transaction, in lockstep. Raises BatchMismatch, with nothing
            written, if each must run alone.
    """

    def __init__(self, run_all: RunAll, run_alone: Callable[[MakeSteps], Awaitable[Any]]) -> None:
        self._run_all = run_all
        self._run_alone = run_alone
        self._batches: dict[str, Batch[_Pending]] = {}

    async def run(self, batch_key: str, steps: MakeSteps) -> Any:
        """Return a write's result once it is on disk.

        Raises:
            WireError: As a write that runs alone; nothing is written then.
        """
        batch = self._batches.get(batch_key)
        if batch is None:
            batch = self._batches[batch_key] = Batch(
                self._run, _WRITES_MAX, 1, lambda: self._batches.pop(batch_key)
            )
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        batch.add((steps, future))
        return await future

    async def _run(self, batch: list[_Pending]) -> None:
        if len(batch) > 1:
            try:
                results = await self._run_all([steps for steps, _ in batch])
            except BatchMismatch:
                pass
            except BaseException as error:  # noqa: BLE001 - raised to each caller
                for _, future in batch:
                    settle(future, error=copy_error(error))
                return
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    settle(future, result)
                return
        for steps, future in batch:
            try:
                settle(future, await self._run_alone(steps))
            except BaseException as error:  # noqa: BLE001 - raised to its caller
                settle(future, error=error)


async def run_lockstep(
    makers: Sequence[MakeSteps], run: Callable[[Sequence[Statement]], Awaitable[Sequence[Row]]]
) -> list[Any]:
    """Run the first statement of all writes, then the second of all; return each result.

    `run` runs statements of one name in order and returns all their rows.

    Raises:
        BatchMismatch: A write failed, the writes run different statements, or it is not clear
            which row belongs to which: there must be one for each statement, or none at all.
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
    """Return the next statement of each write; None if all of them ended."""
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
