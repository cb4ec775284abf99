import asyncio
from collections.abc import Sequence

import pytest

from openpns.errors import InternalError, Overloaded, ServiceUnavailable
from openpns.kit.turns import OwnerCounts
from openpns.storage.postgres.read_batcher import ReadBatcher
from openpns.storage.store import Params, Row


class Reads:
    """Reads that wait until they are released; a row is the value and the number of its read."""

    def __init__(self, reads_max: int = 100) -> None:
        self.together: list[tuple[str, str, list[int]]] = []
        self.gate = asyncio.Semaphore(0)
        self.error: Exception | None = None
        self.batcher = ReadBatcher(self.read, OwnerCounts("reads", reads_max))

    async def read(
        self, name: str, customer_id: str, params: Sequence[Params]
    ) -> Sequence[Sequence[Row]]:
        values = [one["value"] for one in params]
        self.together.append((name, customer_id, values))
        number = len(self.together)
        await self.gate.acquire()
        if self.error is not None and (-1 in values or isinstance(self.error, ServiceUnavailable)):
            raise self.error
        return [[(value, number)] if value else [] for value in values]

    def start(
        self, value: int, customer_id: str = "cus_1", name: str = "find"
    ) -> "asyncio.Future[Sequence[Row]]":
        return asyncio.ensure_future(self.batcher.fetch(name, customer_id, {"value": value}))

    async def release(self, times: int) -> None:
        for _ in range(times):
            self.gate.release()
            await turn()


async def turn() -> None:
    """Let everything run that can."""
    for _ in range(8):
        await asyncio.sleep(0)


async def test_reads_of_one_turn_share_a_round_trip_and_get_their_own_rows() -> None:
    reads = Reads()
    found = asyncio.gather(*[reads.start(value) for value in (1, 2, 0, 1)])
    await turn()
    await reads.release(1)
    assert await found == [[(1, 1)], [(2, 1)], [], [(1, 1)]]
    assert reads.together == [("find", "cus_1", [1, 2, 0, 1])]


async def test_read_never_joins_a_round_trip_that_has_begun() -> None:
    reads = Reads()
    early = reads.start(1)
    await turn()
    late = reads.start(2)
    await turn()
    waiting = [reads.start(value) for value in (3, 4)]  # two round trips are in flight
    await turn()
    assert [values for *_, values in reads.together] == [[1], [2]]
    await reads.release(3)
    found = await asyncio.gather(early, late, *waiting)
    assert found == [[(1, 1)], [(2, 2)], [(3, 3)], [(4, 3)]]


async def test_customers_and_statements_do_not_wait_for_each_other() -> None:
    reads = Reads()
    started = [reads.start(1), reads.start(2, "cus_2"), reads.start(3, name="other")]
    await turn()
    assert reads.together == [
        ("find", "cus_1", [1]),
        ("find", "cus_2", [2]),
        ("other", "cus_1", [3]),
    ]
    await reads.release(3)
    assert len(await asyncio.gather(*started)) == 3


async def test_a_round_trip_has_at_most_32_reads() -> None:
    reads = Reads()
    found = asyncio.gather(*[reads.start(value) for value in range(1, 71)])
    await turn()
    await reads.release(3)
    assert [rows[0][0] for rows in await found] == [*range(1, 71)]
    assert [len(values) for *_, values in reads.together] == [32, 32, 6]


async def test_read_that_the_database_refuses_fails_alone() -> None:
    reads = Reads()
    reads.error = InternalError("broken")
    found = asyncio.gather(*[reads.start(value) for value in (1, -1, 2)], return_exceptions=True)
    await turn()
    await reads.release(4)
    first, refused, last = await found
    assert (first, last) == ([(1, 2)], [(2, 4)])
    assert isinstance(refused, InternalError)


async def test_lost_storage_is_raised_to_each_caller_as_an_error_of_its_own() -> None:
    reads = Reads()
    reads.error = ServiceUnavailable("away")
    found = asyncio.gather(*[reads.start(value) for value in (1, 2)], return_exceptions=True)
    await turn()
    await reads.release(1)
    one, other = await found
    assert [type(one), type(other)] == [ServiceUnavailable] * 2
    assert one is not other
    assert len(reads.together) == 1


async def test_cancelled_caller_does_not_disturb_the_others() -> None:
    reads = Reads()
    cancelled, other = reads.start(1), reads.start(2)
    await turn()
    cancelled.cancel()
    await reads.release(1)
    assert await other == [(2, 1)]
    assert cancelled.cancelled()


async def test_too_many_reads_of_a_customer_are_refused() -> None:
    reads = Reads(reads_max=2)
    started = [reads.start(1), reads.start(2)]
    await turn()
    with pytest.raises(Overloaded, match="2 reads waiting"):
        await reads.start(3)
    other = reads.start(4, "cus_2")
    await turn()
    await reads.release(2)
    await asyncio.gather(*started, other)
    later = reads.start(5)
    await turn()
    await reads.release(1)
    assert await later == [(5, 3)]
