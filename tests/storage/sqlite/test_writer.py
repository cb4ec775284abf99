"""SQLite's writer takes turns by customer, and bounds a batch by time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import apsw
import pytest
from tests import direct
from tests.storage.conftest import add, ids_in

from openpns.errors import GroupNotFound, Overloaded, ServiceUnavailable
from openpns.storage import connect
from openpns.storage.bounds import StorageBounds
from openpns.storage.sqlite.store import SQLiteStore
from openpns.storage.sqlite.writer import SETTLED_AT_ONCE
from openpns.storage.store import BatchKey, Statement, Transaction

WAITING_MAX = 50


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    """A store whose writer has not begun."""
    url = f"sqlite:///{tmp_path / 'test.db'}"
    bounds = StorageBounds(waiting_per_customer_max=WAITING_MAX)
    made = await connect.open_store(url, create=True, bounds=bounds)
    assert isinstance(made, SQLiteStore)
    await connect.migrate(made, url)
    yield made
    await made.close()


class Writes:
    """Writes that note when they run; none begins before all of a test wait.

    Each takes the time `write_s` by the writer's clock, which may be one for each customer. The
    first ones take `first_s` besides.
    """

    def __init__(
        self,
        store: SQLiteStore,
        write_s: float | dict[str, float] = 0.0,
        first_s: Sequence[float] = (),
    ) -> None:
        self.store = store
        self.ran: list[str] = []
        self.refused = ""
        """Customers whose writes are refused after they have changed something."""
        self.accepted = 0
        """So many writes come before the first one that is refused."""
        self.commits = 0
        self._now_s = 0.0
        self._write_s = write_s
        self._first_s = iter(first_s)
        store._writer._clock_s = lambda: self._now_s
        plain = store._writer._connect

        def connect_and_count() -> apsw.Connection:
            connection = plain()
            connection.set_commit_hook(self._count)
            return connection

        store._writer._connect = connect_and_count

    def _count(self) -> bool:
        self.commits += 1
        return False

    def _steps(self, customer_id: str) -> Callable[[], Transaction[None]]:
        def steps() -> Transaction[None]:
            yield Statement("customer_disable", {"customer_id": "cus_1", "now_ms": 5})
            self.ran.append(customer_id)
            each = self._write_s
            self._now_s += each[customer_id] if isinstance(each, dict) else each
            self._now_s += next(self._first_s, 0)
            if customer_id in self.refused and len(self.ran) > self.accepted:
                raise GroupNotFound

        return steps

    async def run(self, customer_ids: str) -> list[BaseException | None]:
        """Let a write of each customer wait, then let the writer go on; return the results."""
        begun, go_on = threading.Event(), threading.Event()

        def wait() -> Transaction[None]:
            begun.set()
            go_on.wait(10)
            self._now_s += 1  # its batch ends
            yield Statement("customer_list", {"customer_id": None})

        first = asyncio.ensure_future(self.store.write(wait))
        await asyncio.to_thread(begun.wait, 10)
        rest = [
            asyncio.ensure_future(
                self.store.write(
                    self._steps(one), customer_id=one, batch_key=BatchKey(one, (f"{place}",))
                )
            )
            for place, one in enumerate(customer_ids)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert self.store.usage().writes_waiting == min(len(customer_ids), WAITING_MAX)
        self.commits = 0
        go_on.set()
        await first
        return await asyncio.gather(*rest, return_exceptions=True)


async def test_writer_takes_one_write_of_each_customer_in_turn(store: SQLiteStore) -> None:
    writes = Writes(store)
    await store.write(add("cus_1"))
    await writes.run("aaaaabbc")
    assert "".join(writes.ran) == "abcabaaa"


async def test_writer_commits_a_batch_after_its_time(store: SQLiteStore) -> None:
    writes = Writes(store, write_s=0.010)
    await store.write(add("cus_1"))
    await writes.run("aaaaaaab")
    assert "".join(writes.ran) == "abaaaaaa"
    # A third write of 10 ms would not end within the 25 ms of a batch; the one before all has its
    # own.
    assert writes.commits == 1 + 4


async def test_writer_commits_a_batch_before_a_write_that_will_take_long(
    store: SQLiteStore,
) -> None:
    writes = Writes(store, write_s={"a": 0.030, "b": 0.001})
    await store.write(add("cus_1"))
    await writes.run("aaab")
    assert "".join(writes.ran) == "abaa"
    assert writes.commits == 1 + 4


async def test_customer_who_comes_during_a_long_write_waits_for_no_second_one(
    store: SQLiteStore,
) -> None:
    writes = Writes(store, write_s={"a": 0.030, "b": 0.001})
    await store.write(add("cus_1"))
    plain, begun, go_on = writes._steps("a"), threading.Event(), threading.Event()

    def long() -> Transaction[None]:
        begun.set()
        go_on.wait(10)
        return (yield from plain())

    waiting = [asyncio.ensure_future(store.write(long, customer_id="a")) for _ in range(3)]
    await asyncio.to_thread(begun.wait, 10)
    waiting.append(asyncio.ensure_future(store.write(writes._steps("b"), customer_id="b")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*waiting)
    assert "".join(writes.ran) == "abaa"


async def test_writer_commits_many_quick_writes_at_once(store: SQLiteStore) -> None:
    writes = Writes(store)
    await store.write(add("cus_1"))
    await writes.run("abc" * 10)
    assert writes.commits == 1 + 1


async def test_writes_that_are_refused_after_a_change_share_a_batch(store: SQLiteStore) -> None:
    writes = Writes(store)
    await store.write(add("cus_1"))
    writes.refused = "a"
    results = await writes.run("aaaab" + "c" * SETTLED_AT_ONCE)
    assert [type(one) for one in results[:5]] == [GroupNotFound] * 4 + [type(None)]
    assert results[5:] == [None] * SETTLED_AT_ONCE
    assert "".join(writes.ran) == "a" + "abc" + "ac" * 3 + "c" * (SETTLED_AT_ONCE - 4)
    assert writes.commits == 1 + 1
    assert store.usage().writes_waiting == 0


async def test_refused_writes_share_a_batch_after_one_that_took_long(store: SQLiteStore) -> None:
    writes = Writes(store, first_s=[0.030])
    await store.write(add("cus_1"))
    writes.refused, writes.accepted = "a", 1
    await writes.run("aaaaa")
    assert writes.commits == 1 + 2


async def test_writer_refuses_only_the_customer_who_has_too_much_in_flight(
    store: SQLiteStore,
) -> None:
    writes = Writes(store)
    await store.write(add("cus_1"))
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> Transaction[None]:
        begun.set()
        go_on.wait(10)
        yield Statement("customer_list", {"customer_id": None})

    first = asyncio.ensure_future(store.write(wait))
    await asyncio.to_thread(begun.wait, 10)
    many = [
        asyncio.ensure_future(store.write(writes._steps("a"), customer_id="a"))
        for _ in range(WAITING_MAX)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match=f"has {WAITING_MAX} writes waiting already"):
        await store.write(writes._steps("a"), customer_id="a")
    other = asyncio.ensure_future(store.write(writes._steps("b"), customer_id="b"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, other, *many)
    assert writes.ran[1] == "b"
    await store.write(writes._steps("a"), customer_id="a")


async def test_writes_that_have_just_arrived_wait_on_when_older_ones_time_out(
    store: SQLiteStore, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    hasty = SQLiteStore(str(tmp_path / "test.db"), timeout_ms=100)
    now_s = 0.0
    hasty._writer._clock_s = lambda: now_s
    async with direct.holding(url, "UPDATE customer SET name = 'changed'"):
        old = [asyncio.ensure_future(hasty.write(add(one), customer_id=one)) for one in "ab"]
        await asyncio.sleep(0)
        now_s = 0.1
        new = [
            asyncio.ensure_future(hasty.write(add(f"new_{one}"), customer_id=one)) for one in "ab"
        ]
        errors = await asyncio.gather(*old, return_exceptions=True)
        assert [type(error) for error in errors] == [ServiceUnavailable] * 2
        await asyncio.sleep(0)
        assert hasty.usage().writes_waiting == 2
    assert await asyncio.gather(*new) == [1, 1]
    assert await ids_in(hasty) == ["new_a", "new_b"]
    await hasty.close()
