"""How call records are deleted, and which ids are used after a restore."""

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings
from tests.call_records.actions import Calls, T
from tests.conftest import FakeClock

from openpns import limits
from openpns.call_records import retention
from openpns.errors import ConfigError


async def test_records_are_deleted_when_their_days_are_over(
    mine: Bindings, calls: Calls, clock: FakeClock
) -> None:
    await mine.bind(A, B)
    first = await calls.call()
    clock.now_ms += limits.DAY_MS
    second = await calls.call()
    kept = calls.with_services(call_records_kept_days=2).context.services
    clock.now_ms += limits.DAY_MS - 1
    await retention.delete_old(kept)
    assert await calls.ids() == [second.id, first.id]
    clock.now_ms += 1
    await retention.delete_old(calls.with_services(call_records_kept_days=0).context.services)
    assert await calls.ids() == [second.id, first.id]
    await retention.delete_old(kept)
    assert await calls.ids() == [second.id]


async def test_prune_deletes_calls_that_began_before(
    mine: Bindings, theirs: Bindings, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_EACH", 2)
    await mine.bind(A, B)
    made = [
        await calls.call(start_at=T + place, answer_at=0, hangup_at=T + 9) for place in range(5)
    ]
    store = calls.context.store
    assert await retention.prune(store, T + 4, theirs.context.customer_id) == 0
    assert await retention.prune(store, T + 3, mine.context.customer_id) == 3
    assert await calls.ids() == [made[4].id, made[3].id]
    assert await retention.prune(store, T + 9) == 2
    assert await calls.ids() == []
    with pytest.raises(ConfigError, match="not found"):
        await retention.prune(store, T, "cus_9")


async def test_prune_is_audited(mine: Bindings, calls: Calls, query: direct.Query) -> None:
    await mine.bind(A, B)
    await calls.call()
    await retention.prune(calls.context.store, T + 1)
    rows = await query("SELECT customer_id, details FROM audit_entry WHERE action LIKE '%prune'")
    assert rows == [("cus_1", f'{{"deleted":1,"before":{T + 1}}}')]


async def test_ids_are_skipped_after_a_restore(mine: Bindings, calls: Calls) -> None:
    await mine.bind(A, B)
    before = await calls.call()
    await retention.skip_ids(calls.context.store)
    after = await calls.call()
    assert after.id - before.id > retention.SKIPPED_IDS
    assert after.id < 2**53
