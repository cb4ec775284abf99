"""Searches: brief ones on the event loop, long ones on threads, bounded in number and time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import apsw
import pytest

from openpns.errors import Overloaded, ServiceUnavailable
from openpns.kit.turns import Places
from openpns.storage.sqlite.searcher import CHECK_STEPS, LOOP_CHECKS, Searcher
from openpns.storage.sqlite.store import SQLiteStore
from openpns.storage.statements import prepare

COUNT = (
    "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT ?) SELECT max(x) FROM c"
)
LONG = LOOP_CHECKS * CHECK_STEPS
"""Rows whose count takes more steps than a search has on the event loop."""


class Searches:
    """A searcher, and the threads that its searches ran on."""

    def __init__(self, path: Path, timeout_s: float = 60.0) -> None:
        self.places = Places("searches", 2, 1, 1, timeout_s)
        self.connections = 0
        self.threads: list[str] = []
        self.gate = threading.Event()
        self._path = path
        self.searcher = Searcher(self._connect, self._connect(), self.places, 2, timeout_s)

    def _connect(self) -> apsw.Connection:
        self.connections += 1
        return apsw.Connection(str(self._path))

    async def count(self, owner: str, rows: int) -> int:
        def read(connection: apsw.Connection) -> int:
            self.threads.append(threading.current_thread().name)
            return int(connection.execute(COUNT, (rows,)).get)

        return await self.searcher.fetch(owner, read)

    async def wait(self, owner: str) -> int:
        """Search until the gate is open."""

        def read(connection: apsw.Connection) -> int:
            if threading.current_thread() is threading.main_thread():
                raise apsw.InterruptError
            self.gate.wait(10)
            return int(connection.execute(COUNT, (1,)).get)

        return await self.searcher.fetch(owner, read)


@pytest.fixture
def searches(tmp_path: Path) -> Iterator[Searches]:
    made = Searches(tmp_path / "test.db")
    yield made
    made.gate.set()
    made.searcher.close()


async def turn() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_brief_search_runs_on_the_event_loop(searches: Searches) -> None:
    assert await searches.count("a", 10) == 10
    assert searches.threads == ["MainThread"]
    assert searches.connections == 1


async def test_long_search_begins_again_on_a_thread(searches: Searches) -> None:
    for _ in range(3):
        assert await searches.count("a", LONG) == LONG
    names = [name.partition("_")[0] for name in searches.threads]
    assert names == ["MainThread", "sqlite-reader"] * 3
    assert searches.connections == 2  # the one on the thread is used again
    assert await searches.count("a", 10) == 10  # the loop's has no bound left from before


async def test_long_search_ends_at_its_deadline(tmp_path: Path) -> None:
    searches = Searches(tmp_path / "test.db", timeout_s=0.001)
    with pytest.raises(ServiceUnavailable, match=r"took longer than 0\.001 s; use a filter that"):
        await searches.count("a", 10**9)
    assert searches.places.in_flight == 0
    searches.searcher.close()


async def test_searches_of_a_customer_wait_for_each_other_and_not_for_others(
    searches: Searches,
) -> None:
    first = asyncio.ensure_future(searches.wait("a"))
    await turn()
    assert await searches.count("a", 10) == 10  # a brief one needs no place
    second = asyncio.ensure_future(searches.wait("a"))
    await turn()
    assert (searches.places.in_flight, searches.places.waiting) == (1, 1)
    searches.threads.clear()
    with pytest.raises(Overloaded, match="has 1 searches waiting already"):
        await searches.count("a", 10)
    assert searches.threads == []  # not even on the event loop
    assert await searches.count("b", LONG) == LONG
    searches.gate.set()
    assert [await first, await second] == [1, 1]
    assert searches.places.in_flight == 0


async def test_cancelled_search_ends_and_gives_its_place_back(searches: Searches) -> None:
    search = asyncio.ensure_future(searches.count("a", 10**9))
    while len(searches.threads) < 2:  # noqa: ASYNC110 - a thread has no event of asyncio
        await asyncio.sleep(0.001)
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    assert searches.places.in_flight == 0
    assert await searches.count("a", LONG) == LONG


async def test_search_that_is_cancelled_twice_keeps_its_connection_until_it_ends(
    searches: Searches,
) -> None:
    search = asyncio.ensure_future(searches.wait("a"))
    for _ in range(3):
        await turn()
        search.cancel()
    await turn()
    assert (search.done(), searches.places.in_flight) == (False, 1)
    searches.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await search
    assert searches.places.in_flight == 0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = SQLiteStore(str(tmp_path / "store.db"), timeout_ms=100, create=True)
    yield opened
    await opened.close()


def teach(store: SQLiteStore, sql: str) -> None:
    """Add a statement that searches to a store."""
    store._statements["search"] = prepare("search", sql, "sqlite", {"search": "customer_id"})


async def test_streamed_search_has_a_place_and_a_thread_from_its_first_step(
    store: SQLiteStore,
) -> None:
    seen: list[tuple[str, int]] = []

    def note() -> None:
        seen.append((threading.current_thread().name, store.usage().searches))

    store._register_functions.append(lambda each: each.create_scalar_function("note", note))
    teach(store, "SELECT 1, note() UNION ALL SELECT 2, note() UNION ALL SELECT 3, note()")
    async with aclosing(store.stream("search", {"customer_id": "a"}, 1)) as slices:
        await anext(slices)
        assert [(name.partition("_")[0], searches) for name, searches in seen[:1]] == [
            ("sqlite-reader", 1)
        ]
        assert store.usage().searches == 0  # a slow client must not keep it
        assert store.usage().large_pages == 1
        assert [rows[0][0] async for rows in slices] == [2, 3]
    assert "MainThread" not in {name for name, _ in seen}
    assert store.usage() == (0, 0, 0, 0, 0)


async def test_streamed_search_ends_at_its_deadline_before_its_first_row(
    store: SQLiteStore,
) -> None:
    teach(store, COUNT.replace("?", str(10**8)))
    with pytest.raises(ServiceUnavailable, match=r"took longer than 0\.1 s"):
        await anext(store.stream("search", {"customer_id": "a"}, 1))
    assert store.usage() == (0, 0, 0, 0, 0)
