import asyncio
from time import perf_counter

import pytest

from openpns import limits
from openpns.api import request_body
from openpns.api.request_body import BodyBudget, BodyCollector, BodyDeadline
from openpns.errors import Overloaded, ParameterError


@pytest.mark.parametrize("chunk_bytes", [request_body.CHUNK_BYTES_MIN, 1024, 16 * 1024])
def test_collector_joins_chunks(chunk_bytes: int) -> None:
    collector = BodyCollector(limits.BODY_BYTES_MAX)
    chunks = [bytes([number % 256]) * chunk_bytes for number in range(1024 * 1024 // chunk_bytes)]
    assert all(collector.add(chunk) for chunk in chunks)
    assert collector.body() == b"".join(chunks)


def test_collector_allows_short_body_byte_by_byte() -> None:
    collector = BodyCollector(limits.BODY_BYTES_MAX)
    assert all(collector.add(b"x") for _ in range(request_body.CHUNKS_FREE))
    assert collector.body() == b"x" * request_body.CHUNKS_FREE


def test_collector_refuses_many_tiny_chunks() -> None:
    collector = BodyCollector(limits.BODY_BYTES_MAX)
    for _ in range(request_body.CHUNKS_FREE + 1):
        collector.add(b"x")
    with pytest.raises(ParameterError, match="larger chunks"):
        collector.add(b"x")


def test_collector_reports_body_over_bound() -> None:
    collector = BodyCollector(10)
    assert collector.add(b"x" * 10)
    assert not collector.add(b"x")


async def test_deadline_returns_body_in_time_and_refuses_late_ones() -> None:
    deadline = BodyDeadline(50)

    async def read(wait_s: float) -> bytes:
        await asyncio.sleep(wait_s)
        return b"body"

    now_s = perf_counter()
    in_time = asyncio.create_task(deadline.read(read(0), now_s))
    late = asyncio.create_task(deadline.read(read(60), now_s))
    later = asyncio.create_task(deadline.read(read(60), now_s + 0.02))
    assert await in_time == b"body"
    for task in (late, later):
        with pytest.raises(ParameterError, match="the body must arrive within 50 ms"):
            await task
        assert task.cancelling() == 0
    again = asyncio.create_task(deadline.read(read(60), perf_counter()))
    with pytest.raises(ParameterError):
        await again


async def test_deadline_passes_on_cancellation_by_server() -> None:
    deadline = BodyDeadline(60_000)

    async def never() -> bytes:
        await asyncio.Event().wait()
        return b""

    task = asyncio.create_task(deadline.read(never(), perf_counter()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_budget_refuses_bodies_over_bound() -> None:
    budget = BodyBudget(100)
    with budget.reserve(60):
        with pytest.raises(Overloaded, match="too many large bodies at once"), budget.reserve(41):
            raise AssertionError("unreachable")
        with budget.reserve(40), pytest.raises(Overloaded), budget.reserve(1):
            raise AssertionError("unreachable")
        with budget.reserve(40):
            pass
    with pytest.raises(ZeroDivisionError), budget.reserve(100):
        raise ZeroDivisionError
    with budget.reserve(100):
        pass
