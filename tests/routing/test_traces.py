"""Traces of questions: noted in memory, and stored later."""

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, X
from tests.conftest import FakeClock

from openpns.errors import ServiceUnavailable
from openpns.routing import traces


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
