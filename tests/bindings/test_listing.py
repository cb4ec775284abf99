"""getAXBList and getBinding."""

import pytest
from msgspec import UNSET
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.conftest import FakeClock

from openpns.bindings.listing import binding_limits
from openpns.errors import BindingNotFound, OffsetOutOfRange, ParameterError

pytestmark = pytest.mark.usefixtures("sound_tables")


async def test_list_shows_live_bindings_oldest_first(mine: Bindings, clock: FakeClock) -> None:
    clock.now_ms = 1_670_479_632_001
    group_id = await mine.group(C)
    axb, did = await mine.bind(A, B, 60, customer_bind_id="order 1", flag=1)
    digits = await mine.bind_digits("007", D, Y)
    axg, _ = await mine.bind_group(group_id, "85255555555", phone_b=C, phone_x=X)
    shown = await mine.live()
    assert [binding.bind_id for binding in shown] == [axb, digits, axg]
    first = shown[0]
    assert (first.customer_id, first.business_id) == (mine.context.customer_id, "default")
    assert (first.customer_bind_id, first.flag, first.did) == ("order 1", 1, did)
    assert (first.phone_a, first.phone_b, first.expire_at) == (A, B, 1_670_479_633 + 60)
    assert (shown[1].phone_b, shown[1].extension, shown[1].expire_at) == ("", "007", 0)
    detail = await mine.get(axg)
    assert (detail.kind, detail.group_id, detail.phone_b) == ("axg", group_id, C)
    assert (detail.created_at, detail.last_call_at) == (1_670_479_632, 0)


async def test_binding_is_live_until_its_second_and_not_longer(
    mine: Bindings, clock: FakeClock
) -> None:
    clock.now_ms = 1_670_479_632_000
    await mine.bind(expire=5)
    kept, _ = await mine.bind()
    clock.now_ms += 4_999
    assert len(await mine.ids()) == 2
    clock.now_ms += 1
    assert await mine.ids() == [kept]
    (limit,) = [one for one in await binding_limits(mine.context) if one.name == "bindings"]
    assert limit.used == 1
    await mine.sweep()
    assert await mine.ids() == [kept]


async def test_pages_by_offset_and_after(mine: Bindings) -> None:
    ids = [(await mine.bind(f"8525000000{n}", f"8526000000{n}"))[0] for n in range(5)]
    page = await mine.page(2, 1)
    assert ([b.bind_id for b in page.bind_list], page.total, page.next) == (ids[1:3], 5, UNSET)
    assert (await mine.page(2, 9)).bind_list == []
    first = await mine.page(2, None, after="")
    assert ([b.bind_id for b in first.bind_list], first.next) == (ids[:2], ids[1])
    await mine.unbind(ids[1])
    second = await mine.page(9, None, after=ids[1])
    assert ([b.bind_id for b in second.bind_list], second.next) == (ids[2:], None)
    far = await mine.page(1, 2**63 - 1)
    assert (far.bind_list, far.total) == ([], 4)
    with pytest.raises(BindingNotFound):
        await mine.page(9, None, after="0" * 32)
    with pytest.raises(ParameterError):
        await mine.page(9, 0, after="")


async def test_filters_find_bindings_in_any_role(mine: Bindings) -> None:
    group_id = await mine.group(C, D)
    axb, did = await mine.bind(A, B, customer_bind_id="order 1")
    digits = await mine.bind_digits("123", C, Y, phone_b=A)
    axg, axg_did = await mine.bind_group(group_id, B, phone_b=C, phone_x=Y)
    assert did == X
    assert await mine.ids(phone=A) == [axb, digits]
    assert await mine.ids(phone=B) == [axb, axg]
    assert await mine.ids(phone=C) == [digits, axg]
    assert await mine.ids(phone=D) == [axg]
    assert await mine.ids(did=axg_did) == [digits, axg]
    assert await mine.ids(group_id=group_id) == [axg]
    assert await mine.ids(kind="extension") == [digits]
    assert await mine.ids(customer_bind_id="order 1") == [axb]
    assert await mine.ids(customer_bind_id="") == []
    assert await mine.ids(phone=B, did=X) == [axb]
    assert await mine.ids(phone=B, did=X, kind="axg") == []
    with pytest.raises(OffsetOutOfRange):
        await mine.page(1, 10_001, did=X)
