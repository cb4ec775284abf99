"""Quotas: what each write does at the bound, and that writes at once do not exceed it together."""

import asyncio
from dataclasses import replace

import pytest
from msgspec import UNSET
from tests import direct
from tests.groups.actions import Groups, joined

from openpns import limits
from openpns.accounts import customers
from openpns.core.context import Context
from openpns.errors import QuotaExceeded
from openpns.groups import quotas
from openpns.groups.detail import group_limits

pytestmark = pytest.mark.usefixtures("sound_tables")


async def used(context: Context) -> dict[str, tuple[object, object]]:
    """Return bound and use of each quota, as getLimits shows them."""
    found = await group_limits(context)
    return {limit.name: (limit.max, limit.used) for limit in found[:3]}


async def test_create_raises_quota_exceeded_above_the_bound_on_groups(mine: Groups) -> None:
    mine = mine.bounded(groups_per_customer_max=2)
    first = await mine.create([1])
    await mine.create([2])
    with pytest.raises(QuotaExceeded, match="getLimits shows your quotas"):
        await mine.create([3])
    assert len(await mine.ids()) == 2
    await mine.drop(first)
    await mine.create([3])


async def test_writes_raise_quota_exceeded_above_the_bound_on_phones(mine: Groups) -> None:
    mine = mine.bounded(phones_per_customer_max=5)
    group_id = await mine.create([1, 2, 3])
    with pytest.raises(QuotaExceeded):
        await mine.create([1, 2, 3])
    for change, numbers in ((mine.add, [4, 5, 6]), (mine.replace, [1, 2, 3, 4, 5, 6])):
        with pytest.raises(QuotaExceeded):
            await change(group_id, *numbers)
        assert await mine.phones(group_id) == joined([1, 2, 3])
    await mine.replace(group_id, 5, 6, 7, 8, 9)
    await mine.add(group_id, 5)  # it is there
    with pytest.raises(QuotaExceeded):
        await mine.add(group_id, 1)


async def test_writes_raise_quota_exceeded_above_the_bound_on_bytes(mine: Groups) -> None:
    mine = mine.bounded(bytes_per_customer_max=50)
    group_id = await mine.create([1], "äöü")  # 16 + 6
    with pytest.raises(QuotaExceeded):
        await mine.change(group_id, remark="r" * 29)
    await mine.change(group_id, remark="r" * 28)
    with pytest.raises(QuotaExceeded):
        await mine.create([2], "n")
    await mine.change(group_id, group_name="", remark="")  # the name is the groupId
    assert (await used(mine.context))["bytes"] == (50, 16 + 32)


async def test_dry_runs_raise_quota_exceeded_like_the_change(mine: Groups) -> None:
    group_id = await mine.create([1], "a")
    before = await used(mine.context)
    small = mine.bounded(phones_per_customer_max=2, bytes_per_customer_max=40)
    add = {"operate_type": 0, "phones": joined([2, 3])}
    for fields in (add, {"group_name": "n" * 25}, add | {"group_name": "b"}):
        with pytest.raises(QuotaExceeded, match="getLimits shows your quotas"):
            await small.change(group_id, dry_run=True, **fields)
    one = add | {"phones": joined([2])}
    assert await small.change(group_id, dry_run=True, **one) == (1, 0, 0, 2)
    assert await used(mine.context) == before


async def test_writes_that_shrink_succeed_above_a_quota(mine: Groups) -> None:
    first, second = await mine.create([1, 2, 3], "a"), await mine.create([4, 5], "b")
    small = mine.bounded(
        groups_per_customer_max=1, phones_per_customer_max=1, bytes_per_customer_max=1
    )
    await small.delete(first, 1)
    await small.replace(first, 8)
    await small.drop(second)
    assert await used(small.context) == {"groups": (1, 1), "numbers": (1, 1), "bytes": (1, 17)}


async def test_quota_of_a_customer_replaces_that_of_the_settings(
    mine: Groups, theirs: Groups, context: Context
) -> None:
    mine = mine.bounded(groups_per_customer_max=1, phones_per_customer_max=0)
    store = context.services.store
    await mine.create([1], "a")
    await customers.set_quotas(store, "cus_1", groups=2, phones=3, num_bytes=0)
    await mine.create([1, 2], "b")
    with pytest.raises(QuotaExceeded):
        await mine.create([3], "c")
    assert await used(mine.context) == {"groups": (2, 2), "numbers": (3, 3), "bytes": (None, 50)}
    await theirs.create([1])
    await customers.set_quotas(store, "cus_1", groups=0, phones=None, num_bytes=None)
    await mine.create([1, 2, 3], "c")
    assert await used(mine.context) == {
        "groups": (None, 3),
        "numbers": (None, 6),
        "bytes": (limits.BYTES_PER_CUSTOMER_MAX, 99),
    }


async def test_writes_at_once_do_not_exceed_a_quota_together(mine: Groups) -> None:
    mine = mine.bounded(groups_per_customer_max=5)
    results = await asyncio.gather(
        *(mine.create([number]) for number in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, QuotaExceeded) for result in results) == 15
    assert len(await mine.ids()) == 5
    group_id = (await mine.ids())[0]
    mine = mine.bounded(phones_per_customer_max=8)
    results = await asyncio.gather(
        *(mine.add(group_id, 100 + number) for number in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, QuotaExceeded) for result in results) == 17


async def test_counts_of_an_older_server_are_not_compared_with_a_quota(
    mine: Groups, query: direct.Query
) -> None:
    await mine.create([1], "a")
    uncounted = "phone_count = 999, phone_count_revision = 1, byte_count = 9999"
    before = "phone_count, phone_count_revision, byte_count, byte_count_revision"
    (old,) = await query(f"SELECT {before} FROM customer_state WHERE customer_id = 'cus_1'")
    await query(
        f"UPDATE customer_state SET {uncounted}, byte_count_revision = 1 "
        "WHERE customer_id = 'cus_1'"
    )
    small = mine.bounded(phones_per_customer_max=10, bytes_per_customer_max=100)
    await small.create([2], "b")
    assert (await used(small.context))["bytes"] == (100, UNSET)
    phones, size = old[0] + 1, old[2] + 17
    await query(
        f"UPDATE customer_state SET phone_count = {phones}, byte_count = {size}, "
        "phone_count_revision = groups_revision, byte_count_revision = groups_revision "
        "WHERE customer_id = 'cus_1'"
    )


def test_default_quotas_are_those_of_the_settings_and_0_is_none(context: Context) -> None:
    services = replace(
        context.services,
        groups_per_customer_max=7,
        phones_per_customer_max=0,
        bytes_per_customer_max=9,
    )
    assert quotas.default_quotas(services) == (7, quotas.NO_QUOTA, 9)
    assert quotas.shown_quotas(services, None, None, 3) == [7, None, 3]
    assert quotas.default_quotas(None) == (quotas.NO_QUOTA,) * 3
