import asyncio
from collections.abc import Sequence

import pytest

from openpns.errors import InternalError, ServiceUnavailable
from openpns.storage.postgres.read_coalescer import ReadCoalescer
from openpns.storage.store import Row


class Reads:
    """Reads that wait until they are let go; a row is the value and the number of its read."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.gate = asyncio.Semaphore(0)
        self.error: Exception | None = None
        self.shared = ReadCoalescer(self.read)

    async def read(self, values: list[str]) -> Sequence[Row]:
        self.asked.append(values)
        number = len(self.asked)
        await self.gate.acquire()
        if self.error is not None:
            raise self.error
        return [(value, number) for value in values if value != "unknown"]

    async def find(self, value: str) -> Row | None:
        return await self.shared.find(value)


async def turn() -> None:
    """Let everything that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_callers_of_one_moment_share_a_read_and_each_gets_its_row() -> None:
    reads = Reads()
    found = asyncio.gather(*(reads.find(value) for value in ("a", "b", "a", "unknown")))
    await turn()
    reads.gate.release()
    assert await found == [("a", 1), ("b", 1), ("a", 1), None]
    assert reads.asked == [["a", "b", "unknown"]]


async def test_a_caller_never_joins_a_read_that_is_under_way() -> None:
    reads = Reads()
    early = asyncio.create_task(reads.find("a"))
    await turn()
    late = asyncio.create_task(reads.find("a"))
    await turn()
    assert reads.asked == [["a"], ["a"]]
    latest = asyncio.create_task(reads.find("a"))
    await turn()
    assert len(reads.asked) == 2  # it waits, for two are under way
    for _ in range(3):
        reads.gate.release()
    assert [await early, await late, await latest] == [("a", 1), ("a", 2), ("a", 3)]


async def test_many_callers_are_served_in_bounded_reads() -> None:
    reads = Reads()
    values = [str(number) for number in range(1300)]
    found = asyncio.gather(*(reads.find(value) for value in values))
    for _ in range(3):
        await turn()
        reads.gate.release()
    assert [row[0] for row in await found if row] == values
    assert [len(asked) for asked in reads.asked] == [512, 512, 276]


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ServiceUnavailable("away"), ServiceUnavailable), (KeyError(), InternalError)],
)
async def test_each_caller_gets_an_error_of_its_own_and_the_next_read_goes_on(
    error: Exception, kind: type[Exception]
) -> None:
    reads = Reads()
    reads.error = error
    tasks = [asyncio.create_task(reads.find("a")) for _ in range(2)]
    await turn()
    reads.gate.release()
    raised = []
    for task in tasks:
        with pytest.raises(kind) as caught:
            await task
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    reads.error = None
    reads.gate.release()
    assert await reads.find("a") == ("a", 2)


async def test_a_caller_that_went_away_keeps_nobody_else_from_its_row() -> None:
    reads = Reads()
    gone, stays = (asyncio.create_task(reads.find("a")) for _ in range(2))
    await turn()
    gone.cancel()
    reads.gate.release()
    assert await stays == ("a", 1)
