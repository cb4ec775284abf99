import asyncio
from time import perf_counter

import pytest

from openpns import limits
from openpns.api.request_body import BodyBudget, BodyCollector, BodyDeadline
from openpns.errors import Overloaded, ParameterError


@pytest.mark.parametrize("piece_bytes", [limits.BODY_PIECE_BYTES_MIN, 1024, 16 * 1024])
def test_a_body_in_fair_pieces_is_collected(piece_bytes: int) -> None:
    body = BodyCollector(limits.BODY_BYTES_MAX)
    pieces = [bytes([number % 256]) * piece_bytes for number in range(1024 * 1024 // piece_bytes)]
    assert all(body.add(piece) for piece in pieces)
    assert body.whole() == b"".join(pieces)


def test_a_short_body_may_come_byte_by_byte() -> None:
    body = BodyCollector(limits.BODY_BYTES_MAX)
    assert all(body.add(b"x") for _ in range(limits.BODY_PIECES_FREE))
    assert body.whole() == b"x" * limits.BODY_PIECES_FREE


def test_a_flood_of_tiny_pieces_is_refused() -> None:
    body = BodyCollector(limits.BODY_BYTES_MAX)
    for _ in range(limits.BODY_PIECES_FREE + 1):
        body.add(b"x")
    with pytest.raises(ParameterError, match="larger pieces"):
        body.add(b"x")


def test_a_body_over_the_bound_is_told() -> None:
    body = BodyCollector(10)
    assert body.add(b"x" * 10)
    assert not body.add(b"x")


async def test_a_body_in_time_is_returned_and_one_that_is_late_is_refused() -> None:
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


async def test_a_call_that_the_server_ends_is_not_late() -> None:
    deadline = BodyDeadline(60_000)

    async def never() -> bytes:
        await asyncio.Event().wait()
        return b""

    task = asyncio.create_task(deadline.read(never(), perf_counter()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_bodies_that_arrive_have_so_much_room_together() -> None:
    room = BodyBudget(100)
    with room.hold(60):
        with pytest.raises(Overloaded, match="too many large bodies at once"), room.hold(41):
            raise AssertionError("unreachable")
        with room.hold(40), pytest.raises(Overloaded), room.hold(1):
            raise AssertionError("unreachable")
        with room.hold(40):
            pass
    with pytest.raises(ZeroDivisionError), room.hold(100):
        raise ZeroDivisionError
    with room.hold(100):
        pass
