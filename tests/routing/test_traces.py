"""Traces of questions: noted in memory, and stored later."""

import asyncio
from typing import Any

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, X
from tests.conftest import FakeClock

from openpns.errors import ServiceUnavailable
from openpns.routing import traces
from openpns.routing.outcomes import TRACES_DROPPED
from openpns.storage import connect, migrations


async def test_trace_holds_what_was_asked_and_answered(
    mine: Bindings, query: direct.Query, clock: FakeClock
) -> None:
    bind_id, did = await mine.bind(A, B, flag=1)
    assert await mine.call("11111111", did) == B
    assert await mine.call(C, did) == ""
    assert await query("SELECT 1 FROM call_trace") == []
    await traces.store(mine.context.services)
    found = await query(
        "SELECT bind_id, caller, callee, did, extension, flag FROM call_trace ORDER BY call_id"
    )
    assert found == [(bind_id, "11111111", B, X, "", 1), ("", C, "", X, "", 0)]
    assert (await mine.get(bind_id)).last_call_at == clock.now_ms // 1000
    await traces.store(mine.context.services)
    assert len(await query("SELECT 1 FROM call_trace")) == 2


async def test_traces_stay_if_the_storage_fails(
    mine: Bindings, query: direct.Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mine.bind(A, B)
    for caller in (A, B, C):
        await mine.call(caller)
    store = mine.context.services.store

    async def fail(*_: object, **__: object) -> None:
        raise ServiceUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", fail)
        with pytest.raises(ServiceUnavailable):
            await traces.store(mine.context.services)
    await traces.store(mine.context.services)
    rows = await query("SELECT caller FROM call_trace ORDER BY call_id")
    assert [row[0] for row in rows] == [A, B, C]


@pytest.mark.parametrize("is_written", [False, True])
async def test_traces_stay_if_storing_them_is_cancelled(
    mine: Bindings, query: direct.Query, monkeypatch: pytest.MonkeyPatch, *, is_written: bool
) -> None:
    for caller in (A, B, C):
        await mine.call(caller)
    store, began = mine.context.services.store, asyncio.Event()
    write = store.write

    async def hang(*args: Any, **options: Any) -> None:
        if is_written:
            await write(*args, **options)
        began.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", hang)
        storing = asyncio.create_task(traces.store(mine.context.services))
        await began.wait()
        storing.cancel()
        await asyncio.wait([storing])
    await traces.store(mine.context.services)
    rows = await query("SELECT caller FROM call_trace ORDER BY call_id")
    assert [row[0] for row in rows] == [A, B, C]


async def test_memory_of_traces_is_bounded(mine: Bindings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "TRACES_MAX", 3)
    for n in range(5):
        await mine.call(f"8525000000{n}")
    assert [trace.caller[-1] for trace in mine.context.services.call_traces] == ["2", "3", "4"]


async def test_old_traces_are_deleted(
    mine: Bindings, clock: FakeClock, query: direct.Query
) -> None:
    await mine.call(A)
    await traces.store(mine.context.services)
    clock.now_ms += traces.KEPT_MS - 1
    await traces.delete_old(mine.context.services)
    assert len(await query("SELECT 1 FROM call_trace")) == 1
    clock.now_ms += 1
    await traces.delete_old(mine.context.services)
    assert await query("SELECT 1 FROM call_trace") == []


async def last_digits(query: direct.Query) -> list[str]:
    """Return the last digit of the caller of each stored trace, in order."""
    rows = await query("SELECT caller FROM call_trace ORDER BY call_id")
    return [caller[-1] for (caller,) in rows]


async def test_oldest_traces_of_a_customer_make_room(mine: Bindings, query: direct.Query) -> None:
    counted: list[tuple[str, int]] = []
    small = mine.bounded(call_traces_per_customer_max=3, count=lambda *event: counted.append(event))
    for n in range(3):
        await small.call(f"8525000000{n}")
        await traces.store(small.context.services)
    assert await last_digits(query) == ["0", "1", "2"]
    for n in range(3, 5):
        await small.call(f"8525000000{n}")
    await traces.store(small.context.services)
    assert await last_digits(query) == ["2", "3", "4"]
    assert [event for event in counted if event[0] == TRACES_DROPPED] == [(TRACES_DROPPED, 2)]


async def test_many_questions_leave_a_bounded_number_of_traces(
    mine: Bindings, theirs: Bindings, query: direct.Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A customer that asks very often costs another one nothing."""
    monkeypatch.setattr(traces, "_EACH", 50)
    small = mine.bounded(call_traces_per_customer_max=20)
    await theirs.call(A)
    for n in range(220):
        await small.call(f"85250000{n:03}")
    await traces.store(small.context.services)
    rows = await query("SELECT customer_id, caller FROM call_trace ORDER BY call_id")
    own = small.context.customer_id
    assert [caller[-3:] for customer, caller in rows if customer == own] == [
        f"{n:03}" for n in range(200, 220)
    ]
    assert [caller for customer, caller in rows if customer != own] == [A]
    assert len(await query("SELECT 1 FROM routing_sequence")) == 2


async def test_lower_bound_is_reached_step_by_step(
    mine: Bindings, query: direct.Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(10):
        await mine.call(f"8525000000{n}")
    await traces.store(mine.context.services)
    monkeypatch.setattr(traces, "_DROPPED_EACH", 4)
    small = mine.bounded(call_traces_per_customer_max=2)
    for expected in (["4", "5", "6", "7", "8", "9", "0"], ["8", "9", "0", "1"], ["1", "2"]):
        await small.call(f"8525000000{expected[-1]}")
        await traces.store(small.context.services)
        assert await last_digits(query) == expected


async def test_traces_of_older_servers_stay_until_they_are_old(
    mine: Bindings, query: direct.Query, clock: FakeClock, database_url: str
) -> None:
    customer_id = mine.context.customer_id
    await direct.run(
        database_url,
        "INSERT INTO call_trace (customer_id, call_id, asked_ms, bind_id, caller, callee, did, "
        f"extension, flag, request_id) VALUES ('{customer_id}', '1', {clock.now_ms}, '', '{B}', "
        f"'', '{X}', '', 0, '1')",
    )
    small = mine.bounded(call_traces_per_customer_max=1)
    for caller in (A, C):
        await small.call(caller)
        await traces.store(small.context.services)
    assert await query("SELECT caller FROM call_trace ORDER BY call_id") == [(B,), (C,)]
    clock.now_ms += traces.KEPT_MS
    await traces.delete_old(small.context.services)
    assert await query("SELECT 1 FROM call_trace") == []


VERSION_13 = """
INSERT INTO call_trace VALUES ('cus_1', '1', 5, '', '85211111111', '', '85290000001', '', 0, '1');
INSERT INTO digit_guard VALUES ('cus_1', '85290000001', '85211111111', 3, 4, 5);
"""


async def test_migration_14_keeps_traces_and_counts_without_numbers(database_url: str) -> None:
    """Servers of the version before go on adding such rows."""
    store = await connect.open_store(database_url, create=True)
    known = migrations.load_migrations(connect.engine_of(database_url))
    await store.migrate([one for one in known if one.number <= 13], with_post=True)
    await direct.run(database_url, VERSION_13)
    steps = await connect.migrate(store, database_url)
    assert "14 pre" in [one.label for one in steps]
    for table, columns in (("call_trace", 11), ("digit_guard", 7)):
        ((*_, seq),) = rows = await direct.query(database_url, f"SELECT * FROM {table}")
        assert (len(rows[0]), seq) == (columns, None)
    await store.close()
