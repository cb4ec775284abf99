from typing import Any

import pytest
from msgspec import UNSET
from tests import direct
from tests.conftest import START_MS, FakeClock
from tests.groups.actions import GUARD, Groups, joined

from openpns import limits
from openpns.errors import GroupNotFound
from openpns.groups import detail


@pytest.mark.parametrize("count", [0, 1, 128, 129, 1000])
async def test_get_group_returns_count_and_times_too(
    mine: Groups, clock: FakeClock, count: int
) -> None:
    await mine.create([1])
    group_id = await mine.create([*range(count), 999_999], "a name", "a remark")
    clock.now_ms += 5
    await mine.delete(group_id, 999_999)
    found = await detail.get_group(mine.context, group_id=group_id, guard=GUARD)
    assert (found.customer_id, found.group_name, found.group_id, found.phones, found.remark) == (
        "cus_1", "a name", group_id, joined(range(count)), "a remark",
    )  # fmt: skip
    assert (found.count, found.created_ms, found.updated_ms) == (count, START_MS, START_MS + 5)


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 500])
async def test_list_group_phones_returns_slices_of_all_phones(mine: Groups, count: int) -> None:
    group_id = await mine.create([*range(count), 999_999])
    await mine.delete(group_id, 999_999)

    async def page(limit: int, offset: int) -> tuple[str, int]:
        found = await detail.list_group_phones(
            mine.context, group_id=group_id, limit=limit, offset=offset
        )
        return found.data.phones, found.data.total

    for limit, offset in [(0, 0), (1, 0), (1, 127), (2, 127), (128, 128), (7, 250), (100, 450)]:
        most = limit or limits.PHONES_IN_PAGE_MAX
        assert await page(limit, offset) == (joined(range(count)[offset : offset + most]), count)
    assert await page(10, limits.OFFSET_MAX) == ("", count)


@pytest.mark.parametrize("group_id", ["0" * 32, "no id", ""])
async def test_get_group_and_list_group_phones_raise_group_not_found_also_for_foreign_group(
    mine: Groups, theirs: Groups, group_id: str
) -> None:
    foreign = await theirs.create([1])
    for wanted in (group_id, foreign):
        with pytest.raises(GroupNotFound):
            await detail.get_group(mine.context, group_id=wanted, guard=GUARD)
        with pytest.raises(GroupNotFound):
            await detail.list_group_phones(mine.context, group_id=wanted, limit=1, offset=0)


@pytest.mark.parametrize("is_counted", [True, False], ids=["counted", "not counted"])
async def test_group_limits_count_groups_and_phones_of_the_customer(
    mine: Groups,
    theirs: Groups,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    is_counted: bool,
) -> None:
    monkeypatch.setattr(detail, "GROUPS_IN_SUM", 2)
    for count in (3, 200, 1, 5, 2):
        last = await mine.create(range(count))
    await mine.drop(last)
    await theirs.create(range(50))
    if not is_counted:  # as after a write of an older version
        await direct.run(database_url, "UPDATE customer_state SET groups_revision = 5")
    found: dict[str, Any] = {
        limit.name: (limit.max, limit.used) for limit in await detail.group_limits(mine.context)
    }
    assert found["groups"] == (limits.GROUPS_PER_CUSTOMER_MAX, 4)
    assert found["numbers"] == (limits.PHONES_PER_CUSTOMER_MAX, 209)
    size = 16 * 209 + 4 * limits.GROUP_ID_CHARS if is_counted else UNSET
    assert found["bytes"] == (limits.BYTES_PER_CUSTOMER_MAX, size)
    assert found["numbersInGroup"] == (mine.context.services.phones_in_group_max, 200)
