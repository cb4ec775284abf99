"""Leases: several workers, dead ones, and results that come too late."""

import asyncio

import pytest
from tests import direct
from tests.conftest import FakeClock
from tests.deliveries.conftest import Add, Hook, Make
from tests.deliveries.hook_server import (
    STATES,
    HookServer,
    Received,
    hang,
    receiving,
    repeated,
    take,
    until,
)
from tests.helpers import on_sqlite_only

from openpns.deliveries import deliverer as module
from openpns.deliveries.queue import LEASE_MARGIN_MS
from openpns.storage.store import Store


async def test_two_workers_share_the_work_and_repeat_nothing(
    hook: Hook, add: Add, make: Make, query: direct.Query
) -> None:
    async with receiving() as receiver:
        for n in range(4):
            await hook(f"cus_{n}", receiver.url)
            await add(f"cus_{n}", *range(1000 * n + 1, 1000 * n + 51))
        workers = [make(), make()]
        running = [asyncio.create_task(one.run()) for one in workers]
        await until(lambda: len(receiver.received) >= 200)
        for one in workers:
            one.stop()
        await asyncio.gather(*running)
    assert repeated(receiver.ids()) == {}
    assert len(receiver.ids()) == 200
    states = await query("SELECT state, count(*) FROM delivery GROUP BY state")
    assert states == [("delivered", 200)]


async def test_work_of_a_dead_worker_is_taken_over_when_its_lease_ends(
    hook: Hook, add: Add, make: Make, query: direct.Query, clock: FakeClock
) -> None:
    async with receiving(hang) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        dead = make(webhook_timeout_ms=1000)
        running = asyncio.create_task(dead.run())
        await until(lambda: receiver.received)
        running.cancel()
        await dead.close()
        receiver.respond = take
        other = make(webhook_timeout_ms=1000)
        clock.now_ms += 1000 + LEASE_MARGIN_MS - 1
        assert await other.run_once() == 0
        clock.now_ms += 1
        assert await other.run_once() == 1
    assert receiver.ids() == ["1", "1"]
    assert await query(STATES) == [("1", "delivered", 1, 1, 200, "")]


async def test_result_of_a_lease_that_was_taken_over_is_not_stored(
    hook: Hook, add: Add, make: Make, query: direct.Query
) -> None:
    async def steal(_: HookServer, __: Received, writer: asyncio.StreamWriter) -> None:
        await query("UPDATE delivery SET lease_owner = 'other'")
        writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")

    async with receiving(steal) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        await make("mine").run_once()
    assert await query("SELECT state, tries, lease_owner FROM delivery") == [
        ("pending", 0, "other")
    ]


@on_sqlite_only
async def test_backlog_is_leased_in_small_parts(
    hook: Hook, add: Add, make: Make, query: direct.Query
) -> None:
    """Memory does not grow with the backlog: only what is in flight has been read."""
    async with receiving(hang) as receiver:
        for n in range(3):
            await hook(f"cus_{n}", receiver.url)
            await add(f"cus_{n}", *range(10_000 * n + 1, 10_000 * n + 2001))
        deliverer = make(webhook_timeout_ms=60_000)
        running = asyncio.create_task(deliverer.run())
        await until(lambda: receiver.in_flight == 3)
        leased = await query("SELECT count(*) FROM delivery WHERE lease_owner <> ''")
        assert leased == [(3,)]
        await deliverer.measure()
        assert deliverer.counters.total()[4:6] == [3, 6000]
        deliverer.stop()
        await running


@on_sqlite_only
async def test_idle_worker_reads_and_writes_nothing_else(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched, written = [], []
    fetch, write = store.fetch, store.write

    async def note_fetch(name: str, params: object) -> object:
        fetched.append(name)
        return await fetch(name, params)  # type: ignore[arg-type]

    async def note_write(*args: object, **options: object) -> object:
        written.append(args)
        return await write(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "fetch", note_fetch)
    monkeypatch.setattr(store, "write", note_write)
    deliverer = make()
    await deliverer.run_once()
    await deliverer.measure()
    assert (fetched, written) == (["delivery_due_customers"], [])
    assert deliverer.read_s_ago() < 60
    assert deliverer._sender is None


async def test_more_customers_than_one_look_visits_are_all_served(
    hook: Hook, add: Add, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CUSTOMERS_EACH", 2)
    monkeypatch.setattr("openpns.deliveries.receivers._KNOWN_MAX", 1)
    async with receiving() as receiver:
        for n in range(5):
            await hook(f"cus_{n}", receiver.url)
            await add(f"cus_{n}", n + 1)
        await add("cus_4", 100)
        deliverer = make()
        running = asyncio.create_task(deliverer.run())
        await until(lambda: len(receiver.received) == 6)
        deliverer.stop()
        await running
    assert sorted(receiver.ids()) == ["1", "100", "2", "3", "4", "5"]
