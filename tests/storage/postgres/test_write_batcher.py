import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from openpns.errors import GroupNotFound, OutcomeUnknown, ServiceUnavailable
from openpns.storage.postgres.write_batcher import (
    BatchMismatch,
    WriteBatcher,
    run_lockstep,
)
from openpns.storage.store import Row, Statement, StatementBatch, Transaction


def write(*names: str, then: Exception | None = None) -> Callable[[], Transaction[list[Any]]]:
    """Return steps that run statements of these names and return their rows."""

    def steps() -> Transaction[list[Any]]:
        found = []
        for name in names:
            rows = yield Statement(name, {})
            found.append([*rows])
        if then is not None:
            raise then
        return found

    return steps


class Engine:
    """Runs writes when it is released, and notes which ran together."""

    def __init__(self) -> None:
        self.together: list[int] = []
        self.alone = 0
        self.gate = asyncio.Semaphore(0)
        self.error: Exception | None = None
        self.batcher = WriteBatcher(self.run_all, self.run_alone)

    async def run_all(self, writes: Sequence[Callable[[], Transaction[Any]]]) -> Sequence[Any]:
        self.together.append(len(writes))
        await self.gate.acquire()
        if self.error is not None:
            raise self.error
        return range(len(writes))

    async def run_alone(self, steps: Callable[[], Transaction[Any]]) -> Any:
        self.alone += 1
        await self.gate.acquire()
        try:
            next(steps())
        except StopIteration as stop:
            return stop.value
        return None


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_writes_that_arrive_while_one_is_in_flight_run_together_after_it() -> None:
    engine = Engine()
    first = asyncio.ensure_future(engine.batcher.run("cus_1", write()))
    await turn()
    behind = [asyncio.ensure_future(engine.batcher.run("cus_1", write())) for _ in range(5)]
    elsewhere = asyncio.ensure_future(engine.batcher.run("cus_2", write()))
    await turn()
    assert (engine.alone, engine.together) == (2, [])  # another key does not wait
    for _ in range(3):
        engine.gate.release()
        await turn()
    await asyncio.gather(first, elsewhere)
    assert await asyncio.gather(*behind) == [0, 1, 2, 3, 4]
    assert engine.together == [5]


async def test_one_transaction_takes_at_most_64_writes() -> None:
    engine = Engine()
    all_ = asyncio.gather(*(engine.batcher.run("cus_1", write()) for _ in range(150)))
    for _ in range(3):
        await turn()
        engine.gate.release()
    await all_
    assert engine.together == [64, 64, 22]


async def test_each_write_runs_alone_if_one_fails() -> None:
    engine = Engine()
    engine.error = BatchMismatch()
    bad = write(then=GroupNotFound("why"))
    writes = asyncio.gather(
        *(engine.batcher.run("cus_1", steps) for steps in (write(), bad, write())),
        return_exceptions=True,
    )
    for _ in range(4):
        await turn()
        engine.gate.release()
    good, error, also_good = await writes
    assert (good, also_good) == ([], [])
    assert isinstance(error, GroupNotFound)
    assert engine.alone == 3


@pytest.mark.parametrize("kind", [ServiceUnavailable, OutcomeUnknown])
async def test_lost_storage_is_raised_to_all_callers_without_repeating_writes(
    kind: type[ServiceUnavailable | OutcomeUnknown],
) -> None:
    engine = Engine()
    engine.error = kind("lost")
    writes = asyncio.gather(
        *(engine.batcher.run("cus_1", write()) for _ in range(3)), return_exceptions=True
    )
    await turn()
    engine.gate.release()
    errors = await writes
    assert [type(error) for error in errors] == [kind] * 3
    assert len({id(error) for error in errors}) == 3
    assert engine.alone == 0


async def test_cancelled_caller_does_not_affect_the_others() -> None:
    engine = Engine()
    leaving = asyncio.ensure_future(engine.batcher.run("cus_1", write()))
    staying = asyncio.ensure_future(engine.batcher.run("cus_1", write()))
    await turn()
    leaving.cancel()
    engine.gate.release()
    assert await staying == 1
    engine.gate.release()
    assert await engine.batcher.run("cus_1", write()) == []


async def test_lockstep_gives_each_write_the_rows_of_its_own_statements() -> None:
    ran: list[list[str]] = []

    async def run(steps: Sequence[Statement]) -> Sequence[Row]:
        ran.append([step.name for step in steps])
        return [(place,) for place in range(len(steps))] if steps[0].name == "take" else []

    assert await run_lockstep([write("take", "put")] * 3, run) == [
        [[(place,)], []] for place in range(3)
    ]
    assert ran == [["take"] * 3, ["put"] * 3]


def many() -> Transaction[None]:
    yield StatementBatch("take", [])


@pytest.mark.parametrize(
    ("writes", "rows"),
    [
        ([write("take"), write("take", then=GroupNotFound("why"))], [(1,), (2,)]),
        ([write("take"), write("put")], [(1,), (2,)]),
        ([write("take"), write("take", "put")], [(1,), (2,)]),
        ([write("take"), write("take")], [(1,)]),
        ([write("take"), many], []),
    ],
    ids=["one fails", "other statements", "more statements", "too few rows", "many at once"],
)
async def test_lockstep_refuses_writes_that_differ(
    writes: list[Callable[[], Transaction[Any]]], rows: list[Row]
) -> None:
    async def run(_: Sequence[Statement]) -> Sequence[Row]:
        return rows

    with pytest.raises(BatchMismatch):
        await run_lockstep(writes, run)


async def test_batcher_has_no_batch_left_after_the_last_write() -> None:
    engine = Engine()
    engine.gate.release()
    await engine.batcher.run("cus_1", write())
    await turn()
    assert engine.batcher._batches == {}
