import asyncio
from contextlib import aclosing

import msgspec
import pytest
from tests import direct
from tests.storage.conftest import add, ids_in

from openpns.errors import ConfigError, GroupNotFound, InternalError, ReadFailed, ServiceUnavailable
from openpns.groups.service import counted
from openpns.storage import connect
from openpns.storage import store as store_module
from openpns.storage.store import Statement, StatementBatch, Store, Transaction, as_struct

ALL: dict[str, object] = {"customer_id": None}


async def test_fetch_sees_what_was_written(store: Store, query: direct.Query) -> None:
    assert await store.write(add("cus_1", "cus_2")) == 2
    assert await ids_in(store) == ["cus_1", "cus_2"]
    assert await query("SELECT count(*) FROM customer") == [(2,)]


async def test_writes_survive_a_restart(store: Store, database_url: str) -> None:
    await store.write(add("cus_1"))
    again = await connect.open_store(database_url)
    assert await ids_in(again) == ["cus_1"]
    await again.close()


@pytest.mark.parametrize(
    "failure", [GroupNotFound("why"), ConfigError("why"), ValueError("a bug")], ids=repr
)
async def test_failing_steps_leave_nothing_and_raise_their_error(
    store: Store, failure: Exception
) -> None:
    await store.write(add("cus_1"))
    with pytest.raises(type(failure)) as caught:
        await store.write(add("cus_2", "cus_3", then=failure))
    assert caught.value is failure
    assert await ids_in(store) == ["cus_1"]
    assert await store.write(add("cus_2")) == 1


async def test_refused_statement_leaves_nothing(store: Store) -> None:
    await store.write(add("cus_1"))

    def steps() -> Transaction[None]:
        yield from add("cus_2")()
        yield Statement("customer_state_create", {"revision": 0, "customer_id": "cus_1"})

    with pytest.raises(InternalError) as caught:
        await store.write(steps)
    assert caught.value.msg == "Internal error"
    assert caught.value.__cause__ is not None
    assert await ids_in(store) == ["cus_1"]


async def test_steps_see_what_they_wrote_before(store: Store) -> None:
    def steps() -> Transaction[list[str]]:
        yield from add("cus_1")()
        return [row[0] for row in (yield Statement("customer_list", ALL))]

    assert await store.write(steps) == ["cus_1"]


async def test_reading_steps_see_one_snapshot_and_lock_nothing(
    store: Store, database_url: str
) -> None:
    await store.write(add("cus_1"))
    lock = Statement("customer_state_lock", {"customer_id": "cus_1"})

    def steps() -> Transaction[tuple[object, ...]]:
        rows = yield lock
        both = yield [lock, Statement("customer_list", ALL)]
        return len(rows), [row[0] for row in both[1]]

    change = "UPDATE customer_state SET group_count = 1; UPDATE customer SET name = 'x'"
    async with direct.holding(database_url, change):
        assert await store.read(steps, customer_id="cus_1") == (1, ["cus_1"])


async def test_reading_steps_that_change_something_are_refused(store: Store) -> None:
    with pytest.raises(ServiceUnavailable):
        await store.read(add("cus_1"))
    assert await ids_in(store) == []


async def test_error_of_reading_steps_is_raised(store: Store) -> None:
    def steps() -> Transaction[None]:
        yield Statement("customer_list", ALL)
        raise GroupNotFound("why")

    with pytest.raises(GroupNotFound, match="why"):
        await store.read(steps)
    assert await store.write(add("cus_1")) == 1


async def test_statement_batch_runs_for_many_rows_or_none(
    store: Store, query: direct.Query
) -> None:
    def steps() -> Transaction[list[object]]:
        yield from add("cus_1", "cus_2")()
        rows = [
            {"customer_id": "cus_1", "group_seq": 0, "phone": f"8521111111{n}", "position": n}
            for n in range(5)
        ]
        yield StatementBatch("group_member_insert", [])
        return [(yield StatementBatch("group_member_insert", rows))]

    assert await store.write(steps) == [[]]
    assert await query("SELECT count(*) FROM group_member") == [(5,)]


async def test_of_many_writes_at_once_only_the_bad_ones_fail(store: Store) -> None:
    good = [add(f"cus_{n:03}") for n in range(150)]
    bad = [add(f"bad_{n:03}", then=GroupNotFound()) for n in range(20)]
    mixed = [steps for pair in zip(good, bad, strict=False) for steps in pair] + good[20:]
    results = await asyncio.gather(*map(store.write, mixed), return_exceptions=True)
    assert [type(result) for result in results[:40]] == [int, GroupNotFound] * 20
    assert results[40:] == [1] * 130
    assert await ids_in(store) == [f"cus_{n:03}" for n in range(150)]


async def test_concurrent_writes_take_different_seqs(store: Store) -> None:
    await store.write(add("cus_1"))

    def take() -> Transaction[int]:
        params = {"customer_id": "cus_1", "revision": 1, **counted(groups=1, seqs=1)}
        rows = yield Statement("groups_revision_change", params)
        return int(rows[0][0])

    places = await asyncio.gather(*(store.write(take) for _ in range(50)))
    assert sorted(places) == list(range(50))


async def test_cancelled_write_is_complete_or_absent(store: Store) -> None:
    for number in range(10):
        writing = asyncio.ensure_future(store.write(add(f"a_{number}", f"b_{number}")))
        for _ in range(number):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    await store.write(add("last"))
    shown = await ids_in(store)
    assert "last" in shown
    for number in range(10):
        assert (f"a_{number}" in shown) == (f"b_{number}" in shown)


async def test_reads_do_not_wait_for_writes(store: Store, database_url: str) -> None:
    await store.write(add("cus_1"))
    async with direct.holding(database_url, "UPDATE customer SET name = 'changed'"):
        (row,) = await store.fetch("customer_list", ALL)
        assert row[1] == "Example"
        async with aclosing(store.stream("customer_list", ALL, 10)) as slices:
            assert [len(rows) async for rows in slices] == [1]


async def test_write_waits_for_another_process(store: Store, database_url: str) -> None:
    await store.write(add("cus_1"))

    def rename() -> Transaction[int]:
        return len((yield Statement("customer_disable", {"customer_id": "cus_1", "now_ms": 5})))

    async with direct.holding(database_url, "UPDATE customer SET name = 'changed'"):
        writing = asyncio.ensure_future(store.write(rename))
        await asyncio.sleep(0.05)
        assert not writing.done()
    assert await writing == 1


async def test_stream_has_the_rows_of_fetch_in_slices(store: Store) -> None:
    await store.write(add(*(f"cus_{n}" for n in range(10))))
    slices = [[*rows] async for rows in store.stream("customer_list", ALL, 3)]
    assert [len(rows) for rows in slices] == [3, 3, 3, 1]
    rows = [tuple(row) for part in slices for row in part]
    assert rows == [tuple(row) for row in await store.fetch("customer_list", ALL)]


async def test_stream_of_no_rows_ends_at_once(store: Store) -> None:
    assert [rows async for rows in store.stream("customer_list", ALL, 3)] == []


async def test_stream_keeps_its_snapshot_during_writes(store: Store) -> None:
    await store.write(add(*(f"cus_{n}" for n in range(6))))
    seen: list[str] = []
    async for rows in store.stream("customer_list", ALL, 2):
        seen += [row[0] for row in rows]
        await store.write(add(f"new_{len(seen)}"))
    assert seen == [f"cus_{n}" for n in range(6)]
    assert len(await ids_in(store)) == 9


async def test_fetch_during_a_stream_sees_newer_writes(store: Store) -> None:
    await store.write(add(*(f"cus_{n}" for n in range(6))))
    async with aclosing(store.stream("customer_list", ALL, 2)) as slices:
        await anext(slices)
        await store.write(add("new"))
        assert "new" in await ids_in(store)


async def test_stream_that_is_closed_early_releases_its_connection(database_url: str) -> None:
    store = await connect.open_store(database_url, create=True, timeout_ms=2000, connections_max=1)
    await connect.migrate(store, database_url)
    await store.write(add(*(f"cus_{n}" for n in range(6))))
    for _ in range(3):
        async with aclosing(store.stream("customer_list", ALL, 2)) as slices:
            await anext(slices)
    assert await store.write(add("new")) == 1
    await store.close()


async def test_wrong_parameters_raise_internal_error(store: Store) -> None:
    params = {"customer_id": "cus_1", "limit": "ten", "offset": 0}
    params |= {"phones_max": 1, "phones_in_chunk": 1, "phones_short": 1}
    with pytest.raises(InternalError):
        await store.fetch("group_list", params)
    with pytest.raises(InternalError):
        await anext(store.stream("group_list", params, 1))
    assert await ids_in(store) == []


async def test_closed_store_raises_service_unavailable(store: Store) -> None:
    await store.write(add("cus_1"))
    await store.close()
    with pytest.raises(ServiceUnavailable):
        await store.write(add("cus_2"))
    with pytest.raises(ServiceUnavailable):
        await store.fetch("customer_list", ALL)
    with pytest.raises(ServiceUnavailable):
        await store.applied_migrations()


async def test_close_leaves_no_write_in_doubt(store: Store, query: direct.Query) -> None:
    writing = [asyncio.ensure_future(store.write(add(f"cus_{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    results = await asyncio.gather(*writing, return_exceptions=True)
    done = [result for result in results if not isinstance(result, ServiceUnavailable)]
    assert done == [1] * len(done)
    assert await query("SELECT count(*) FROM customer") == [(len(done),)]


class Named(msgspec.Struct, rename="camel"):
    created_ms: int
    name: str | None = None


def test_as_struct_fills_the_fields_in_their_order() -> None:
    assert as_struct(Named, (7, "a")) == Named(7, "a")


@pytest.mark.parametrize("values", [("7", "a"), (None, "a"), (7, b"a")])
def test_as_struct_refuses_values_of_another_type(values: tuple[object, ...]) -> None:
    with pytest.raises(ReadFailed, match="a stored row is damaged"):
        as_struct(Named, values)


@pytest.mark.parametrize("name", ["a.db", "/caf\xe9/\u9500.db", "caf\udce9.db"])
def test_database_url_is_the_inverse_of_database_path(name: str) -> None:
    assert store_module.database_path(store_module.database_url(name)) == name
