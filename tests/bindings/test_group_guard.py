"""Changes of a bound group: no phone gets two live bindings on a virtual number."""

import asyncio

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, D, X
from tests.conftest import FakeClock

from openpns.errors import BindingConflict, CountryMismatch, GroupBound, OpenPNSError
from openpns.groups.transfer import import_rows

pytestmark = pytest.mark.usefixtures("sound_tables")

ADD, DELETE, REPLACE = 0, 1, 2


async def test_phone_with_a_seat_cannot_join_a_group_bound_there(mine: Bindings) -> None:
    group_id = await mine.group(B)
    _, did = await mine.bind_group(group_id, A, phone_x=X)
    await mine.bind_group(await mine.group(C), D, phone_x=X)
    for phone in (C, D):
        for operation in (ADD, REPLACE):
            with pytest.raises(BindingConflict, match="phones: item 2 has a live binding"):
                await mine.change_group(group_id, operation, B, phone)
    assert [await mine.call(phone, did) for phone in (B, C, D)] == [A, D, ""]
    await mine.change_group(group_id, ADD, A)
    assert await mine.call(A, did) == ""


async def test_phone_of_another_country_cannot_join_a_bound_group(mine: Bindings) -> None:
    group_id = await mine.group(B)
    await mine.bind_group(group_id)
    with pytest.raises(CountryMismatch, match="phones: item 2 must begin with 852"):
        await mine.change_group(group_id, ADD, C, "+8613800138000")


async def test_removed_member_is_not_connected_any_more(mine: Bindings) -> None:
    group_id = await mine.group(B, C)
    _, did = await mine.bind_group(group_id, A, phone_b=B)
    await mine.change_group(group_id, DELETE, B)
    assert [await mine.call(phone, did) for phone in (B, A, C)] == ["", "", A]
    await mine.change_group(group_id, ADD, B)
    assert [await mine.call(phone, did) for phone in (B, A)] == [A, B]


async def test_bound_group_cannot_be_deleted(mine: Bindings, clock: FakeClock) -> None:
    group_id = await mine.group(B)
    await mine.bind_group(group_id, A, 10)
    await mine.bind_group(group_id, C, 20)
    with pytest.raises(GroupBound, match="live bindings that use it: 2"):
        await mine.drop_group(group_id)
    clock.now_ms += 12_000
    with pytest.raises(GroupBound, match="live bindings that use it: 1"):
        await mine.drop_group(group_id)
    clock.now_ms += 10_000
    await mine.drop_group(group_id)
    await mine.sweep()


async def test_phone_may_join_once_the_other_binding_has_ended(mine: Bindings) -> None:
    group_id = await mine.group(B)
    await mine.bind_group(group_id, A, phone_x=X)
    other, _ = await mine.bind_group(await mine.group(C), D, phone_x=X)
    await mine.unbind(other)
    await mine.change_group(group_id, ADD, C, D)


async def test_binds_and_changes_of_groups_at_once_never_share_a_phone(
    mine: Bindings, query: direct.Query
) -> None:
    """Each phone races into two groups and into a seat of its own on one virtual number."""
    phones = [f"8526{n:07}" for n in range(12)]
    first, second = await mine.group(B), await mine.group(C)
    await mine.bind_group(first, A, phone_x=X)
    races = []
    for phone in phones:
        races.append(mine.change_group(first, ADD, phone))
        races.append(mine.change_group(second, ADD, phone))
        races.append(mine.bind(phone, D))
    races.append(mine.bind_group(second, D, phone_x=X))
    races.append(mine.bind_group(await mine.group(*phones[:3]), "85277777777", phone_x=X))
    results = await asyncio.gather(*races, return_exceptions=True)
    assert all(isinstance(r, OpenPNSError) for r in results if isinstance(r, BaseException))
    named = await query(
        "SELECT m.phone FROM group_member AS m "
        f"JOIN binding AS b ON b.group_seq = m.group_seq AND b.did = '{X}' "
        f"UNION ALL SELECT phone FROM seat WHERE did = '{X}' AND live_until_ms > 0"
    )
    assert len(named) == len({row[0] for row in named})


async def test_group_that_is_imported_again_is_guarded(
    mine: Bindings, clock: FakeClock, query: direct.Query
) -> None:
    """The id of a deleted group may come back, before its old bindings are counted out."""
    group_id = await mine.group(B)
    await mine.bind_group(group_id, A, 5, phone_x=X)
    clock.now_ms += 10_000
    await mine.drop_group(group_id)
    rows = [(1, {"groupId": group_id, "phones": B})]
    await import_rows(
        mine.context.services,
        mine.context.customer_id,
        rows,
        on_bad=lambda row: pytest.fail(row.why),
        on_batch=lambda: None,
        dry_run=False,
    )
    await mine.sweep()
    assert await query("SELECT bound_count FROM number_group") == [(0,)]
    await mine.bind_group(group_id, A, phone_x=X)
    await mine.bind_group(await mine.group(C), D, phone_x=X)
    with pytest.raises(BindingConflict):
        await mine.change_group(group_id, ADD, C)
    with pytest.raises(GroupBound):
        await mine.drop_group(group_id)
