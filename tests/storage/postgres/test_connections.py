"""Places in the pool: by customer, by kind of work, and apart for look-ups of keys."""

import asyncio
from typing import Any

import pytest

from openpns.errors import Overloaded
from openpns.storage.bounds import StorageBounds
from openpns.storage.postgres.connections import Connections, PooledConnection


class Pool:
    """A pool that counts its connections and never waits."""

    def __init__(self) -> None:
        self.taken = 0
        self.most = 0

    async def acquire(self, timeout: float) -> object:  # noqa: ASYNC109 - asyncpg's parameter
        assert timeout == 60
        self.taken += 1
        self.most = max(self.most, self.taken)
        return object()

    async def release(self, _: object) -> None:
        self.taken -= 1


class Work:
    """Work that holds connections until the test ends it."""

    def __init__(self, connections_max: int = 10, **bounds: Any) -> None:
        self.pool = Pool()
        self.connections = Connections(
            self.pool, connections_max, 60.0, StorageBounds(**bounds), (OSError,)
        )
        self.begun: list[str] = []
        self.end = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, connection: PooledConnection, name: str) -> None:
        """Let work take this connection if it can."""

        async def work() -> None:
            async with connection:
                self.begun.append(name)
                await self.end.wait()

        self.tasks.append(asyncio.create_task(work()))
        for _ in range(3):
            await asyncio.sleep(0)

    async def finish(self) -> None:
        self.end.set()
        await asyncio.gather(*self.tasks)
        assert self.pool.taken == 0
        assert self.connections.usage() == (0, 0, 0, 0, 0)


async def test_one_customer_leaves_connections_to_others_and_to_keys() -> None:
    work = Work()
    for _ in range(20):
        await work.begin(work.connections.for_work("a"), "a")
    assert (work.begun, work.connections.usage().writes_waiting) == (["a"] * 6, 14)
    for _ in range(3):
        await work.begin(work.connections.for_work("b"), "b")
    await work.begin(work.connections.for_key(), "key")
    assert work.begun[6:] == ["b", "b", "key"]
    await work.finish()
    assert work.begun[9:11] == ["b", "a"] or work.begun[9:11] == ["a", "b"]
    assert work.pool.most <= 10


async def test_searches_and_large_pages_leave_connections_to_small_reads_and_writes() -> None:
    work = Work()
    for owner in "aabbcc":
        await work.begin(work.connections.for_search(owner), f"search {owner}")
        await work.begin(work.connections.for_large_page(owner), f"page {owner}")
    usage = work.connections.usage()
    assert (usage.searches, usage.searches_waiting) == (2, 4)
    assert (usage.large_pages, usage.large_pages_waiting) == (2, 4)
    for _ in range(4):
        await work.begin(work.connections.for_work("d"), "d")
    assert work.begun.count("d") == 4
    await work.finish()


@pytest.mark.parametrize("kind", ["search", "large_page"])
async def test_one_customer_cannot_hold_all_places_of_a_kind(kind: str) -> None:
    work = Work()  # the bounds are the default ones
    for owner in "aaab":
        await work.begin(getattr(work.connections, f"for_{kind}")(owner), owner)
    assert work.begun == ["a", "b"]
    await work.finish()


async def test_searches_of_one_customer_are_bounded() -> None:
    work = Work(30, searches_max=5, searches_per_customer_max=2, waiting_per_customer_max=1)
    for _ in range(3):
        await work.begin(work.connections.for_search("a"), "a")
    with pytest.raises(Overloaded, match="has 1 searches waiting already"):
        await work.connections.for_search("a").__aenter__()
    await work.begin(work.connections.for_search("b"), "b")
    assert work.begun == ["a", "a", "b"]
    await work.finish()


async def test_large_page_of_a_search_has_a_place_of_both_kinds_until_its_rows_are_found() -> None:
    work = Work()
    page = work.connections.for_large_page("a", is_search=True)
    await work.begin(page, "page")
    await work.begin(work.connections.for_search("a"), "search")
    usage = work.connections.usage()
    assert (usage.searches, usage.searches_waiting, usage.large_pages) == (1, 1, 1)
    for _ in range(2):
        work.connections.end_search(page)
        await asyncio.sleep(0)
        usage = work.connections.usage()
        assert (usage.searches, usage.searches_waiting, usage.large_pages) == (1, 0, 1)
    await work.finish()


async def test_large_page_that_waits_for_the_place_of_a_search_takes_no_connection() -> None:
    work = Work()
    await work.begin(work.connections.for_search("a"), "search")
    await work.begin(work.connections.for_large_page("a", is_search=True), "page")
    assert (work.begun, work.pool.taken) == (["search"], 1)
    work.tasks.pop().cancel()
    await asyncio.sleep(0)
    assert work.connections.usage() == (1, 0, 0, 0, 0)
    await work.finish()


async def test_failed_connection_gives_its_places_back() -> None:
    work = Work()

    async def fail(timeout: float) -> object:  # noqa: ASYNC109 - asyncpg's parameter
        raise ConnectionResetError("lost")

    work.pool.acquire = fail  # type: ignore[method-assign]
    with pytest.raises(ConnectionResetError, match="lost"):
        await work.connections.for_search("a").__aenter__()
    with pytest.raises(ConnectionResetError, match="lost"):
        await work.connections.for_large_page("a", is_search=True).__aenter__()
    assert work.connections.usage() == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("connections_max", [1, 2, 3])
async def test_every_kind_of_work_fits_a_small_pool(connections_max: int) -> None:
    work = Work(connections_max)
    kinds = (
        work.connections.for_work,
        work.connections.for_search,
        work.connections.for_large_page,
    )
    for kind in kinds:
        async with kind("a"):
            assert work.pool.taken == 1
