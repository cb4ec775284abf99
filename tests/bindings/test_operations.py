"""The operator's commands on bindings."""

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.conftest import FakeClock

from openpns.bindings import operations
from openpns.errors import ConfigError

pytestmark = pytest.mark.usefixtures("sound_tables")


async def test_number_with_live_bindings_is_removed_only_by_force(
    mine: Bindings, clock: FakeClock, query: direct.Query
) -> None:
    store = mine.context.store
    group_id = await mine.group(C)
    await mine.bind(A, B, 10)
    await mine.bind_group(group_id, D, phone_x=X)
    clock.now_ms += 20_000
    with pytest.raises(ConfigError, match="1 live bindings stand on it"):
        await operations.remove_number(store, clock, X, is_forced=False)
    assert await mine.call(C) == D
    await operations.remove_number(store, clock, X, is_forced=True)
    assert await mine.call(C) == ""
    assert await mine.ids() == []
    await mine.drop_group(group_id)
    ended = await query("SELECT ended_by FROM ended_binding ORDER BY 1")
    assert ended == [("expiry",), ("operator",)]


async def test_number_that_is_added_again_has_no_bindings(mine: Bindings, clock: FakeClock) -> None:
    """What ran out before the removal must not be counted out of the new counts."""
    await mine.bind(A, B, 10)
    clock.now_ms += 20_000
    await operations.remove_number(mine.context.store, clock, X, is_forced=False)
    await mine.add(X)
    await mine.sweep()


async def test_end_ends_what_was_made_before(mine: Bindings, clock: FakeClock) -> None:
    await mine.bind(A, B)
    await mine.bind_digits()
    clock.now_ms += 1000
    kept, _ = await mine.bind(C, D)
    ended = await operations.end_bindings(
        mine.context.store, clock, mine.context.customer_id, created_before_ms=clock.now_ms
    )
    assert ended == 2
    assert await mine.ids() == [kept]
    with pytest.raises(ConfigError):
        await operations.end_bindings(mine.context.store, clock, "nobody", created_before_ms=0)


async def test_hold_connects_nobody_until_it_is_confirmed(
    mine: Bindings, theirs: Bindings, clock: FakeClock
) -> None:
    store, customer_id = mine.context.store, mine.context.customer_id
    await mine.bind(A, B)
    await mine.bind_digits("123", C)
    assert await operations.hold(store, clock) == 1
    assert [await mine.call(A), await mine.call(D, X, "123"), await mine.call(D)] == ["", "", ""]
    assert await operations.count_held(store) == 1
    await mine.bind(C, D)
    assert await operations.confirm(store, customer_id)
    assert not await operations.confirm(store, customer_id)
    assert await operations.count_held(store) == 0
    assert [await mine.call(A), await mine.call(D, X, "123")] == [B, C]
    with pytest.raises(ConfigError):
        await operations.confirm(store, "nobody")
    assert await operations.hold(store, clock, theirs.context.customer_id) == 0


async def test_many_bindings_are_ended_in_several_transactions(
    mine: Bindings, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_EACH", 2)
    for n in range(5):
        await mine.bind_digits(f"00{n}", x=Y)
    clock.now_ms += 1
    ended = await operations.end_bindings(
        mine.context.store, clock, mine.context.customer_id, created_before_ms=clock.now_ms
    )
    assert ended == 5
