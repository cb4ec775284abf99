"""Binds, unbinds and changes of bound groups at the same time, through two stores on PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.bindings.conftest import check_tables
from tests.conftest import FakeClock
from tests.simulation.pausing_store import PausingStore, interleave
from tests.simulation.wrong_bindings import WITHOUT_LOCKS

from openpns.accounts import customers
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.errors import PoolExhausted, WireError
from openpns.ids import Snowflake
from openpns.routing import traces
from openpns.storage import connect
from openpns.storage.postgres.store import PostgresStore

E_ = "85255555555"
STEPS_MAX = 12
CONNECTIONS = 16
"""Of each store."""
ROOM = 10
"""How many bindings each of two virtual numbers takes."""

_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
_NAMED_TWICE = """
SELECT did, phone FROM (
    SELECT b.did, m.phone FROM binding AS b
    JOIN group_member AS m ON m.customer_id = b.customer_id AND m.group_seq = b.group_seq
    WHERE m.phone <> b.phone_a
    UNION ALL SELECT did, phone_a FROM binding WHERE kind <> 'extension'
    UNION ALL SELECT did, phone_b FROM binding WHERE kind = 'axb'
) AS named GROUP BY did, phone HAVING count(*) > 1
"""


class NamedTwice(AssertionError):
    """Two live bindings name a phone on one virtual number."""


class Two:
    """A customer's bindings through two stores on one database; the first can be stopped."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = FakeClock()

    async def begin(self) -> None:
        self._stores = [
            await connect.open_store(self.url, connections_max=CONNECTIONS) for _ in range(2)
        ]
        assert isinstance(self._stores[0], PostgresStore)
        # The tests look into the database a thousand times.
        self.connection = await asyncpg.connect(self.url)
        await customers.create(self._stores[0], self.clock, "cus_1", "")
        used = [PausingStore(self._stores[0]), self._stores[1]]
        self.one, self.other = (
            Bindings(Context(services, Principal("a key", "cus_1")))
            for number, store in enumerate(used)
            for services in [Services(store, Snowflake(self.clock, worker_id=number), self.clock)]
        )

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run SQL past the stores, and return the rows."""
        return [tuple(row) for row in await self.connection.fetch(sql)]

    async def end(self) -> None:
        await self.connection.close()
        for store in self._stores:
            await store.close()

    async def set_up(self) -> tuple[str, str]:
        """End everything; return a group that is bound on X and one that is not."""
        for row in (await self.other.page()).bind_list:
            await self.other.unbind(row.bind_id)
        for (group_id,) in await self.query("SELECT group_id FROM number_group"):
            await self.other.drop_group(group_id)
        bound, free = await self.other.group(B), await self.other.group(C)
        await self.other.bind_group(bound, A, phone_x=X)
        return bound, free

    async def check(self) -> None:
        named = await self.query(_NAMED_TWICE)
        if named:
            raise NamedTwice(named)
        await check_tables(self.query)


@pytest.fixture
async def two(postgres_url: str, migrated: None) -> AsyncIterator[Two]:
    made = Two(postgres_url)
    await made.begin()
    await made.one.add(X, Y)
    yield made
    await made.end()


Write = Callable[[Bindings, str, str], Awaitable[Any]]

WRITES: dict[str, Write] = {
    "bind two phones": lambda its, _bound, _free: its.bind(C, D),
    "bind a group on X": lambda its, _bound, free: its.bind_group(free, D, phone_x=X),
    "bind a group": lambda its, _bound, free: its.bind_group(free, E_),
    "add to the bound group": lambda its, bound, _free: its.change_group(bound, 0, C, E_),
    "replace the bound group": lambda its, bound, _free: its.change_group(bound, 2, C),
    "add to the free group": lambda its, _bound, free: its.change_group(free, 0, A, B),
    "delete the free group": lambda its, _bound, free: its.drop_group(free),
}
"""Writes of which each two name a phone or a group in common."""


async def race(two: Two, first: str, second: str, after: int) -> bool:
    """Run two writes, the first of which stops; return whether it has so many steps."""
    groups = await two.set_up()
    results, is_stopped = await interleave(
        two.connection,
        two.one.context.store,
        lambda: WRITES[first](two.one, *groups),
        lambda: WRITES[second](two.other, *groups),
        after,
    )
    for result in results:
        if isinstance(result, BaseException):
            assert isinstance(result, WireError), (first, second, after)
            assert result.code in (10010, 19001, 19008, 19010), (first, second, after, result)
    await two.check()
    return is_stopped


@pytest.mark.parametrize("first", WRITES)
async def test_no_interleaving_gives_a_phone_two_bindings_on_a_number(two: Two, first: str) -> None:
    for second in WRITES:
        for after in range(1, STEPS_MAX):
            if not await race(two, first, second, after):
                break
        else:
            raise AssertionError(f"{first} has more steps")
    assert await _deadlocks(two) == 0


async def test_interleavings_find_a_lock_that_is_left_out(
    postgres_url: str, migrated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    WITHOUT_LOCKS(monkeypatch)
    two = Two(postgres_url)
    await two.begin()
    await two.one.add(X, Y)
    found = 0
    for second in ("bind two phones", "add to the bound group"):
        for after in range(1, STEPS_MAX):
            try:
                if not await race(two, "bind a group on X", second, after):
                    break
            except NamedTwice:
                found += 1
            except AssertionError:  # what else goes wrong without locks
                continue
    await two.end()
    assert found > 0


async def fill(two: Two, number: int) -> Counter[bool]:
    """Let ten times as many binders as there is room bind, each other phones; count who won."""
    jobs = iter(range(10 * 2 * ROOM))

    async def bind(its: Bindings) -> Counter[bool]:
        won: Counter[bool] = Counter()
        for job in jobs:
            try:
                await its.bind(f"8525{number}{job:06}", f"8526{number}{job:06}")
            except PoolExhausted:
                won[False] += 1
            else:
                won[True] += 1
        return won

    both = [its.bounded(bindings_per_number_max=ROOM) for its in (two.one, two.other)]
    found = await asyncio.gather(*[bind(its) for its in both * CONNECTIONS])
    return sum(found, Counter())


async def test_ten_times_as_many_binders_as_room_fill_it_exactly(two: Two) -> None:
    for number in range(3):
        won = await fill(two, number)
        assert won == {True: 2 * ROOM, False: 9 * 2 * ROOM}
        rows = (await two.one.page()).bind_list
        assert Counter(row.did for row in rows) == {X: ROOM, Y: ROOM}
        await two.check()
        if number == 0:
            await asyncio.gather(*[two.one.unbind(row.bind_id) for row in rows])
        else:  # they run out, and nobody sweeps
            await asyncio.gather(*[two.one.update(row.bind_id, expire_second=1) for row in rows])
            two.clock.now_ms += 2000
    assert await _deadlocks(two) == 0


async def test_binds_sweeps_and_traces_at_once_leave_sound_tables(two: Two) -> None:
    groups = [await two.one.group(f"8527{n:07}", f"8528{n:07}") for n in range(4)]
    is_finished = asyncio.Event()

    async def bind(number: int) -> int:
        its = (two.one, two.other)[number % 2]
        count = 0
        while not is_finished.is_set():
            a, b = f"8525{number % 4:07}", f"8526{number % 5:07}"
            try:
                if number % 4 == 0:
                    bind_id, did = await its.bind_group(groups[number // 4 % 4], a, 1)
                else:
                    bind_id, did = await its.bind(a, b, 1, customer_bind_id=f"own {number % 6}")
                await asyncio.gather(its.call(a, did), its.call(b, did))
                await its.update(bind_id, expire_second=2)
                count += 1
            except WireError as error:
                assert error.code in (10010, 10013, 19009), error  # noqa: PT017
        return count

    async def tidy() -> None:
        for _ in range(25):
            await asyncio.sleep(0.01)
            two.clock.now_ms += 700
            await asyncio.gather(two.one.sweep(), two.other.sweep())
            await asyncio.gather(*[traces.store(i.context.services) for i in (two.one, two.other)])
        is_finished.set()

    *counts, _ = await asyncio.gather(*[bind(number) for number in range(12)], tidy())
    assert sum(counts) > 10
    await two.check()
    two.clock.now_ms += 5000
    await asyncio.gather(two.one.sweep(), two.other.sweep())
    await two.check()
    assert await two.one.ids() == []
    assert await two.query("SELECT 1 FROM binding") == []
    assert await _deadlocks(two) == 0


async def _deadlocks(two: Two) -> int:
    ((count,),) = await two.query(_DEADLOCKS)
    return int(count)
