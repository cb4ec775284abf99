import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from tests.storage.conftest import add, ids_in

from openpns.storage import connect, migrations
from openpns.storage.schema import Differences
from openpns.storage.sqlite.store import SQLiteStore
from openpns.storage.store import Transaction


@pytest.fixture
async def in_memory() -> AsyncIterator[SQLiteStore]:
    """A store in memory with one customer and a timeout of 1 ms."""
    store = SQLiteStore(None, timeout_ms=1)
    await connect.migrate(store, "sqlite:///memory")
    await store.write(add("cus_1"))
    yield store
    await store.close()


async def test_database_in_memory_belongs_to_one_store(in_memory: SQLiteStore) -> None:
    other = SQLiteStore(None, timeout_ms=1)
    assert await other.applied_migrations() == []
    await other.close()
    assert await in_memory.applied_migrations()
    assert await ids_in(in_memory) == ["cus_1"]


async def test_next_database_in_memory_gets_the_same_tables_and_no_rows(
    in_memory: SQLiteStore,
) -> None:
    other = SQLiteStore(None, timeout_ms=1)
    known = migrations.load_migrations("sqlite")
    assert await other.migrate(known) == known
    assert await other.applied_migrations() == await in_memory.applied_migrations()
    assert await other.find_schema_differences(known) == Differences([], [], [])
    assert await ids_in(other) == []
    assert await other.write(add("cus_2")) == 1
    assert (await ids_in(other), await ids_in(in_memory)) == (["cus_2"], ["cus_1"])
    assert await other.migrate(known) == []
    # Other steps are run, not copied.
    fewer = SQLiteStore(None, timeout_ms=1)
    assert await fewer.migrate(known[:-1]) == known[:-1]
    assert len(await fewer.applied_migrations()) == len(known) - 1
    await other.close()
    await fewer.close()


async def test_read_in_memory_waits_for_the_write_batch(in_memory: SQLiteStore) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> Transaction[None]:
        yield from add("cus_2")()
        begun.set()
        go_on.wait(10)

    writing = asyncio.ensure_future(in_memory.write(slowly))
    await asyncio.to_thread(begun.wait, 10)
    threading.Timer(0.05, go_on.set).start()
    assert await ids_in(in_memory) == ["cus_1", "cus_2"]
    await writing


async def test_writes_in_memory_do_not_wait_for_a_slow_stream(in_memory: SQLiteStore) -> None:
    await in_memory.write(add("cus_2"))
    shown = []
    async with aclosing(in_memory.stream("customer_list", {"customer_id": None}, 1)) as slices:
        async for rows in slices:
            shown += [row[0] for row in rows]
            await in_memory.write(add(f"cus_{len(shown) + 2}"))
    assert shown == ["cus_1", "cus_2"]
    assert await ids_in(in_memory) == ["cus_1", "cus_2", "cus_3", "cus_4"]
