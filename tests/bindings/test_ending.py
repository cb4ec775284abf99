"""How bindings end, and how long their traces stay."""

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings
from tests.conftest import FakeClock

from openpns.bindings import ending

pytestmark = pytest.mark.usefixtures("sound_tables")


async def test_sweep_counts_out_what_ran_out(
    mine: Bindings, clock: FakeClock, query: direct.Query
) -> None:
    group_id = await mine.group("85277777777")
    for n in range(3):
        await mine.bind(f"8525000000{n}", f"8526000000{n}", 5)
    await mine.bind_digits(expire=5)
    await mine.bind_group(group_id, expire=5)
    kept, _ = await mine.bind("85255555555", "85266666666")
    clock.now_ms += 10_000
    await ending.end_expired(mine.context.services)
    assert await query("SELECT bind_id FROM binding") == [(kept,)]
    assert len(await query("SELECT 1 FROM ended_binding WHERE ended_by = 'expiry'")) == 5
    assert await mine.ids() == [kept]


async def test_ended_bindings_and_their_seats_are_deleted_after_days(
    mine: Bindings, clock: FakeClock, query: direct.Query
) -> None:
    bind_id, did = await mine.bind(A, B)
    await mine.unbind(bind_id)
    other, _ = await mine.bind(A, "85266666666")
    clock.now_ms += ending.ENDED_DAYS * 24 * 3_600_000 - 1
    await mine.sweep()
    assert len(await query("SELECT 1 FROM ended_binding")) == 1
    clock.now_ms += 1
    await mine.sweep()
    assert await query("SELECT 1 FROM ended_binding") == []
    left = {row[0] for row in await query(f"SELECT phone FROM seat WHERE did = '{did}'")}
    assert B not in left
    assert await mine.ids() == [other]


async def test_seat_that_an_update_freed_is_deleted_after_days(
    mine: Bindings, clock: FakeClock, query: direct.Query
) -> None:
    bind_id, _ = await mine.bind(A, B)
    await mine.update(bind_id, phone_b="85266666666")
    clock.now_ms += ending.ENDED_DAYS * 24 * 3_600_000
    await mine.sweep()
    phones = {row[0] for row in await query("SELECT phone FROM seat")}
    assert phones == {A, "85266666666"}


async def test_seats_are_kept_as_long_as_they_rest(
    mine: Bindings, clock: FakeClock, query: direct.Query
) -> None:
    strict = mine.bounded(seat_rest_s=30 * 86_400)
    bind_id, _ = await strict.bind(A, B)
    await strict.unbind(bind_id)
    clock.now_ms += 29 * 86_400_000
    await strict.sweep()
    assert len(await query("SELECT 1 FROM seat")) == 2
    clock.now_ms += 86_400_000
    await strict.sweep()
    assert await query("SELECT 1 FROM seat") == []
