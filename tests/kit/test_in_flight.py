import asyncio
from collections.abc import Awaitable, Callable

import pytest

from openpns.errors import InternalError, ServiceUnavailable
from openpns.kit.in_flight import Batch, SingleFlight, copy_error, settle


async def turn() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Runs:
    """Runs that wait until they are released."""

    def __init__(self) -> None:
        self.begun: list[list[int]] = []
        self.gate = asyncio.Semaphore(0)
        self.idle = 0

    async def run(self, items: list[int]) -> None:
        self.begun.append(items)
        await self.gate.acquire()

    def note_idle(self) -> None:
        self.idle += 1


async def test_batch_runs_items_of_one_turn_together() -> None:
    runs = Runs()
    batch = Batch(runs.run, items_max=10, in_flight_max=1)
    for item in range(3):
        batch.add(item)
    assert runs.begun == []
    await turn()
    assert runs.begun == [[0, 1, 2]]
    runs.gate.release()
    await turn()


async def test_batch_adds_no_item_to_a_run_in_flight() -> None:
    runs = Runs()
    batch = Batch(runs.run, items_max=10, in_flight_max=2)
    for item in range(4):
        batch.add(item)
        await turn()
    assert runs.begun == [[0], [1]]
    runs.gate.release()
    await turn()
    assert runs.begun == [[0], [1], [2, 3]]
    for _ in range(2):
        runs.gate.release()
    await turn()


async def test_batch_bounds_the_items_of_a_run() -> None:
    runs = Runs()
    batch = Batch(runs.run, items_max=2, in_flight_max=1)
    for item in range(5):
        batch.add(item)
    for _ in range(3):
        await turn()
        runs.gate.release()
    await turn()
    assert runs.begun == [[0, 1], [2, 3], [4]]


async def test_batch_reports_that_it_is_idle() -> None:
    runs = Runs()
    batch = Batch(runs.run, items_max=1, in_flight_max=1, on_idle=runs.note_idle)
    batch.add(1)
    batch.add(2)
    for idle in (0, 0, 1):
        await turn()
        assert runs.idle == idle
        runs.gate.release()


class Work:
    """Work whose results are released one by one."""

    def __init__(self) -> None:
        self.results: list[asyncio.Future[int]] = []

    async def do(self) -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.results.append(future)
        return await future


def start(
    flight: SingleFlight[str, int],
    work: Callable[[], Awaitable[int]],
    *,
    current: int = 1,
    shared: bool = True,
) -> "asyncio.Task[int]":
    """Begin a run whose caller accepts an earlier result only if it is at least `current`."""
    return asyncio.create_task(
        flight.run("key", work, lambda found: found >= current, lambda _: shared)
    )


async def test_single_flight_shares_a_run_whose_result_is_current() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    work = Work()
    callers = [start(flight, work.do) for _ in range(5)]
    await turn()
    work.results[0].set_result(1)
    assert await asyncio.gather(*callers) == [1] * 5
    assert len(work.results) == 1
    assert flight._in_flight == {}


async def test_single_flight_uses_no_result_of_before_the_call_that_is_not_current() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    work = Work()
    early = start(flight, work.do)
    await turn()
    late = [start(flight, work.do, current=2) for _ in range(5)]
    await turn()
    work.results[0].set_result(1)
    await turn()
    assert len(work.results) == 2
    work.results[1].set_result(1)  # whatever it is: the run began after the calls
    assert await early == 1
    assert await asyncio.gather(*late) == [1] * 5


async def test_single_flight_raises_an_error_to_its_own_caller_only() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    work = Work()
    first, second = start(flight, work.do), start(flight, work.do)
    await turn()
    work.results[0].set_exception(ServiceUnavailable("away"))
    with pytest.raises(ServiceUnavailable):
        await first
    await turn()
    work.results[1].set_result(1)
    assert await second == 1


async def test_single_flight_runs_each_call_if_results_cannot_be_shared() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    work = Work()
    callers = [start(flight, work.do, shared=False) for _ in range(4)]
    for number in range(4):
        await turn()
        for future in work.results:
            if not future.done():
                future.set_result(number)
    assert len(set(await asyncio.gather(*callers))) > 1
    assert len(work.results) == 4
    assert flight._in_flight == {}


async def test_single_flight_continues_after_its_caller_was_cancelled() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    work = Work()
    first, second = start(flight, work.do), start(flight, work.do)
    await turn()
    first.cancel()
    await turn()
    work.results[1].set_result(1)
    assert await second == 1


async def test_settle_leaves_a_cancelled_future_alone() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.cancel()
    settle(future, 1)
    settle(future, error=ValueError())
    assert future.cancelled()


def test_copy_error_keeps_kind_detail_and_cause() -> None:
    cause = ValueError()
    error = ServiceUnavailable("away")
    error.__cause__ = cause
    copy = copy_error(error)
    assert copy is not error
    assert (type(copy), copy.detail, copy.__cause__) == (ServiceUnavailable, "away", cause)
    other = copy_error(cause)
    assert (type(other), other.__cause__) == (InternalError, cause)
