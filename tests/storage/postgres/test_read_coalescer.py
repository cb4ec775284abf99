import asyncio
from collections.abc import Sequence

import pytest

from openpns.errors import InternalError, ServiceUnavailable
from openpns.storage.postgres.read_coalescer import ReadCoalescer
from openpns.storage.store import NamedRow


class Reads:
    """Reads that wait until they are released; a row is the value and the number of its read."""

    def __init__(self) -> None:
        self.values_read: list[list[str]] = []
        self.gate = asyncio.Semaphore(0)
        self.error: Exception | None = None
        self.shared = ReadCoalescer(self.read, "value")

    async def read(self, values: list[str]) -> Sequence[NamedRow]:
        self.values_read.append(values)
        number = len(self.values_read)
        await self.gate.acquire()
        if self.error is not None:
            raise self.error
        return [{"value": value, "read": number} for value in values if value != "unknown"]

    async def find(self, value: str) -> tuple[str, int] | None:
        row = await self.shared.find(value)
        return None if row is None else (row["value"], row["read"])


async def turn() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_callers_of_one_turn_share_a_read() -> None:
    reads = Reads()
    found = asyncio.gather(*(reads.find(value) for value in ("a", "b", "a", "unknown")))
    await turn()
    reads.gate.release()
    assert await found == [("a", 1), ("b", 1), ("a", 1), None]
    assert reads.values_read == [["a", "b", "unknown"]]


async def test_caller_never_joins_a_read_in_flight() -> None:
    reads = Reads()
    early = asyncio.create_task(reads.find("a"))
    await turn()
    late = asyncio.create_task(reads.find("a"))
    await turn()
    assert reads.values_read == [["a"], ["a"]]
    latest = asyncio.create_task(reads.find("a"))
    await turn()
    assert len(reads.values_read) == 2  # it waits, because two are in flight
    for _ in range(3):
        reads.gate.release()
    assert [await early, await late, await latest] == [("a", 1), ("a", 2), ("a", 3)]


async def test_reads_are_bounded() -> None:
    reads = Reads()
    values = [str(number) for number in range(1300)]
    found = asyncio.gather(*(reads.find(value) for value in values))
    for _ in range(3):
        await turn()
        reads.gate.release()
    assert [row[0] for row in await found if row] == values
    assert [len(values) for values in reads.values_read] == [512, 512, 276]


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ServiceUnavailable("away"), ServiceUnavailable), (KeyError(), InternalError)],
)
async def test_failed_read_raises_an_error_of_its_own_to_each_caller(
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


async def test_cancelled_caller_does_not_affect_the_others() -> None:
    reads = Reads()
    cancelled, stays = (asyncio.create_task(reads.find("a")) for _ in range(2))
    await turn()
    cancelled.cancel()
    reads.gate.release()
    assert await stays == ("a", 1)
