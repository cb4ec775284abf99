import pytest
from msgspec import UNSET
from tests.conftest import START_MS, FakeClock
from tests.groups.actions import Groups, joined

from openpns import limits
from openpns.core.context import Caller, Services
from openpns.core.rate_limits import RateLimits
from openpns.errors import GroupNotFound
from openpns.groups import detail
from openpns.groups.wire import GetGroup, GetLimits, ListGroupPhones


@pytest.mark.parametrize("count", [0, 1, 128, 129, 1000])
async def test_one_group_is_shown_with_what_listgroup_leaves_out(
    mine: Groups, clock: FakeClock, count: int
) -> None:
    await mine.create([1])
    group_id = await mine.create([*range(count), 999_999], "a name", "a remark")
    clock.now_ms += 5
    await mine.delete(group_id, 999_999)
    found = (await detail.get(mine.services, mine.caller, GetGroup(group_id))).data
    assert (found.customer_id, found.groupName, found.groupId, found.phones, found.remark) == (
        "cus_1", "a name", group_id, joined(range(count)), "a remark",
    )  # fmt: skip
    assert (found.count, found.created_ms, found.updatedMs) == (count, START_MS, START_MS + 5)


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 500])
async def test_pages_of_numbers_are_parts_of_all_of_them(mine: Groups, count: int) -> None:
    group_id = await mine.create([*range(count), 999_999])
    await mine.delete(group_id, 999_999)

    async def page(limit: int, offset: int) -> tuple[str, int]:
        request = ListGroupPhones(group_id, limit, offset)
        found = (await detail.list_phones(mine.services, mine.caller, request)).data
        return found.phones, found.total

    for limit, offset in [(0, 0), (1, 0), (1, 127), (2, 127), (128, 128), (7, 250), (100, 450)]:
        most = limit or limits.PHONES_IN_PAGE_MAX
        assert await page(limit, offset) == (joined(range(count)[offset : offset + most]), count)
    assert await page(10, limits.OFFSET_MAX) == ("", count)


@pytest.mark.parametrize("group_id", ["0" * 32, "no id", ""])
async def test_a_group_that_is_not_there_and_anothers_are_answered_alike(
    mine: Groups, theirs: Groups, group_id: str
) -> None:
    other = await theirs.create([1])
    for wanted in (group_id, other):
        with pytest.raises(GroupNotFound):
            await detail.get(mine.services, mine.caller, GetGroup(wanted))
        request = ListGroupPhones(wanted, 1, 0)
        with pytest.raises(GroupNotFound):
            await detail.list_phones(mine.services, mine.caller, request)


async def test_limits_say_what_is_used(
    services: Services, mine: Groups, theirs: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PLACES_IN_SLICE", 2)
    for count in (3, 200, 1, 5, 2):
        last = await mine.create(range(count))
    await mine.drop(last)
    await theirs.create(range(50))
    found = await detail.get_limits(services, mine.caller, GetLimits())
    shown = {limit.name: (limit.max, limit.used) for limit in found.limits}
    assert shown["groups"] == (None, 4)
    assert shown["numbers"] == (None, 209)
    assert shown["numbersInGroup"] == (services.phones_in_group_max, 200)
    assert shown["callsPerSecond"] == (None, UNSET)
    assert shown["callsAtOnce"] == (None, 0)


def test_limits_say_how_much_of_the_rate_is_used() -> None:
    rates = RateLimits(per_s=10, burst=5, clock_ns=lambda: 0)
    caller = Caller("some-key", "cus_1")
    for _ in range(3):
        rates.charge(caller)
    assert rates.tell(caller) == (10, 5, 3)
    assert rates.tell(Caller("other-key", "cus_1")) == (10, 5, 0)
    assert rates.tell(Caller("free-key", "cus_1", rate_per_s=0)) == (None, None, 0)
    assert rates.tell(Caller("slow-key", "cus_1", rate_per_s=2)) == (2, 2, 0)
