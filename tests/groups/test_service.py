import asyncio
import random
from dataclasses import replace

import pytest
from tests import direct
from tests.conftest import START_MS, FakeClock
from tests.groups.actions import Groups, joined, phone

from openpns import limits
from openpns.core.context import Caller, Services
from openpns.errors import GroupFull, GroupNotFound, InternalError, ParameterError, WireError
from openpns.groups import listing, service, update
from openpns.groups.wire import ADD, CreateGroup, DeleteGroup, ListGroup, UpdateGroup

pytestmark = pytest.mark.usefixtures("sound_tables")

UNKNOWN = "0123456789abcdef" * 2
HUGE = 2**63 - 1


@pytest.fixture
def small(services: Services, caller: Caller) -> Groups:
    """Groups of the same customer that hold five numbers at most."""
    return Groups(replace(services, phones_in_group_max=5, phones_in_request_max=8), caller)


async def test_a_created_group_is_listed(services: Services, caller: Caller) -> None:
    made = await service.create(services, caller, CreateGroup("85211111114, +85235753351"))
    page = await listing.list(services, caller, ListGroup(10, 0))
    assert page.total == 1
    assert [tuple(row) for row in page.rows] == [
        ("cus_1", made.groupId, made.groupId, "85211111114,85235753351", "")
    ]


async def test_name_and_remark_are_kept_and_names_need_not_differ(mine: Groups) -> None:
    ids = [await mine.create([n], "Lieferung 牛 🚚", "a, 'b' \"c\" \\ ;--") for n in range(2)]
    assert (await mine.page())[1] == [
        ("cus_1", "Lieferung 牛 🚚", group_id, phone(n), "a, 'b' \"c\" \\ ;--")
        for n, group_id in enumerate(ids)
    ]


async def test_an_empty_name_is_the_group_id(mine: Groups) -> None:
    group_id = await mine.create([1], "", "")
    assert (await mine.page())[1] == [("cus_1", group_id, group_id, phone(1), "")]


async def test_a_customer_without_groups_has_an_empty_page(mine: Groups) -> None:
    assert await mine.page() == (0, [])


async def test_groups_come_oldest_first_and_a_page_never_moves(
    mine: Groups, clock: FakeClock
) -> None:
    ids = []
    for number in range(12):
        clock.now_ms -= 1000  # the order is that of creation, not of the clock
        ids.append(await mine.create([number]))
        assert await mine.ids(3, 0) == ids[:3]
    for offset in range(0, 14, 2):
        assert await mine.ids(5, offset) == ids[offset : offset + 5]
    await mine.add(ids[0], 99)
    assert await mine.ids() == ids


@pytest.mark.parametrize("offset", [2, 3, HUGE])
async def test_an_offset_past_the_end_gives_nothing_but_the_total(
    mine: Groups, offset: int
) -> None:
    for number in range(2):
        await mine.create([number])
    assert await mine.page(10, offset) == (2, [])
    assert await mine.page(0, offset) == (2, [])


async def test_without_a_limit_a_thousand_groups_come_back(
    mine: Groups, services: Services, query: direct.Query
) -> None:
    for first in range(0, 1003, 17):  # all at once, the last might wait longer than it may
        await asyncio.gather(*(mine.create([first + number]) for number in range(17)))
    total, rows = await mine.page(0)
    assert (total, len(rows)) == (1003, limits.GROUPS_IN_PAGE_MAX)
    assert len(await mine.ids(1000, 1000)) == 3
    assert await mine.ids(1000, 0) == [row[2] for row in rows]
    assert len({*await mine.ids(1000, 0), *await mine.ids(1000, 1000)}) == 1003


async def test_another_customers_groups_are_never_seen_or_changed(
    mine: Groups, theirs: Groups
) -> None:
    own, other = await mine.create([1]), await theirs.create([2, 3])
    assert (await mine.page())[0] == (await theirs.page())[0] == 1
    assert await mine.ids() == [own]
    for change in (mine.add, mine.delete, mine.replace):
        with pytest.raises(GroupNotFound):
            await change(other, 2)
    with pytest.raises(GroupNotFound):
        await mine.drop(other)
    assert await theirs.phones(other) == joined([2, 3])
    assert (await mine.page())[0] == 1


async def test_another_customers_group_is_answered_like_one_that_never_was(
    mine: Groups, theirs: Groups
) -> None:
    other = await theirs.create([1])
    answers = []
    for group_id in (other, UNKNOWN):
        for change in (mine.add(group_id, 1), mine.drop(group_id)):
            with pytest.raises(GroupNotFound) as caught:
                await change
            answers.append(caught.value.msg)
    assert set(answers) == {"Number group does not exist"}


@pytest.mark.parametrize("group_id", ["", "x", UNKNOWN.upper(), UNKNOWN + "\n", "0" * 33, "\x00"])
async def test_what_cannot_be_a_group_id_names_no_group(mine: Groups, group_id: str) -> None:
    for change in (mine.add(group_id, 1), mine.drop(group_id)):
        with pytest.raises(GroupNotFound, match="a groupId is 32 lower-case hex characters"):
            await change


async def test_numbers_are_added_behind_the_others_in_the_order_they_came(mine: Groups) -> None:
    group_id = await mine.create([5, 3])
    await mine.add(group_id, 9, 3, 1, 9)
    assert await mine.phones(group_id) == joined([5, 3, 9, 1])
    await mine.add(group_id, 0)
    assert await mine.phones(group_id) == joined([5, 3, 9, 1, 0])


async def test_a_number_that_comes_back_stands_at_the_end(mine: Groups) -> None:
    group_id = await mine.create([1, 2, 3])
    await mine.delete(group_id, 1)
    assert await mine.phones(group_id) == joined([2, 3])
    await mine.add(group_id, 1)
    assert await mine.phones(group_id) == joined([2, 3, 1])
    await mine.delete(group_id, 3, 1)
    await mine.add(group_id, 3, 4, 2, 1)
    assert await mine.phones(group_id) == joined([2, 3, 4, 1])


async def test_numbers_are_replaced_by_others_in_their_order(mine: Groups) -> None:
    group_id = await mine.create([1, 2, 3])
    await mine.replace(group_id, 3, 7, 1, 7)
    assert await mine.phones(group_id) == joined([3, 7, 1])
    await mine.add(group_id, 2)
    assert await mine.phones(group_id) == joined([3, 7, 1, 2])


async def test_a_group_that_lost_all_its_numbers_is_empty_and_takes_new_ones(
    mine: Groups,
) -> None:
    group_id = await mine.create([1, 2])
    await mine.delete(group_id, 2, 1, 3)
    assert await mine.phones(group_id) == ""
    await mine.delete(group_id, 1)
    await mine.add(group_id, 2, 1)
    assert await mine.phones(group_id) == joined([2, 1])


async def test_what_changes_nothing_leaves_the_time_of_the_last_change(
    mine: Groups, clock: FakeClock, query: direct.Query
) -> None:
    group_id = await mine.create([1, 2])
    clock.now_ms += 5000
    await mine.add(group_id, 2, 1)
    await mine.delete(group_id, 3)
    times = "SELECT created_ms, updated_ms FROM number_group"
    assert await query(times) == [(START_MS, START_MS)]
    assert await mine.phones(group_id) == joined([1, 2])
    for change in (mine.add(group_id, 3), mine.delete(group_id, 1), mine.replace(group_id, 4)):
        clock.now_ms += 5000
        await change
        assert await query(times) == [(START_MS, clock.now_ms)]


async def test_a_full_group_stays_as_it_was(small: Groups) -> None:
    group_id = await small.create([1, 2, 3, 4])
    for change in (small.add(group_id, 1, 5, 6), small.replace(group_id, *range(10, 16))):
        with pytest.raises(GroupFull, match="a group may hold at most 5 numbers"):
            await change
        assert await small.phones(group_id) == joined([1, 2, 3, 4])
    await small.add(group_id, 4, 5, 5)
    await small.add(group_id, 1, 2, 3, 4, 5)
    assert await small.phones(group_id) == joined([1, 2, 3, 4, 5])
    await small.delete(group_id, 1)
    await small.add(group_id, 6)
    await small.replace(group_id, 5, 4, 3, 2, 1)
    assert await small.phones(group_id) == joined([5, 4, 3, 2, 1])


async def test_a_new_group_may_be_full_and_no_more(small: Groups) -> None:
    with pytest.raises(GroupFull):
        await small.create(range(6))
    assert await small.page() == (0, [])
    await small.create([0, 1, 2, 3, 4, 4, 0])
    assert await small.page() == (1, [(*(await small.page())[1][0][:3], joined(range(5)), "")])


async def test_more_numbers_than_a_request_may_carry_are_refused(small: Groups) -> None:
    group_id = await small.create([1])
    for change in (small.create([1] * 9), small.delete(group_id, *range(9))):
        with pytest.raises(ParameterError, match="phones must hold at most 8 numbers"):
            await change
    await small.delete(group_id, *range(8))
    assert await small.page() == (1, [("cus_1", group_id, group_id, "", "")])


async def test_one_bad_number_refuses_the_whole_change_without_a_digit_of_it(
    services: Services, caller: Caller, mine: Groups
) -> None:
    group_id = await mine.create([1])
    bad = f"{phone(2)},0{phone(3)},{phone(4)}"
    for change in (
        service.create(services, caller, CreateGroup(bad)),
        update.update(services, caller, UpdateGroup(group_id, ADD, bad)),
    ):
        with pytest.raises(ParameterError, match="phones: item 2 must be") as caught:
            await change
        assert "852" not in caught.value.msg
    assert await mine.page() == (1, [("cus_1", group_id, group_id, phone(1), "")])


async def test_a_deleted_group_is_gone_for_good(mine: Groups, query: direct.Query) -> None:
    ids = [await mine.create([n, n + 1]) for n in range(3)]
    await mine.drop(ids[1])
    assert await mine.ids() == [ids[0], ids[2]]
    assert (await mine.page())[0] == 2
    for change in (mine.drop(ids[1]), mine.add(ids[1], 1)):
        with pytest.raises(GroupNotFound):
            await change
    assert (await mine.page())[0] == 2
    assert await query("SELECT count(*) FROM group_member") == [(4,)]


async def test_a_group_made_after_the_last_was_deleted_is_new(mine: Groups) -> None:
    ids = [await mine.create([n]) for n in range(3)]
    await mine.drop(ids[2])
    ids[2] = await mine.create([7])
    assert await mine.ids() == ids
    assert await mine.phones(ids[2]) == phone(7)


async def test_many_updates_of_one_group_at_once_lose_nothing(mine: Groups) -> None:
    group_id = await mine.create([0])
    await asyncio.gather(*(mine.add(group_id, number) for number in range(1, 51)))
    shown = (await mine.phones(group_id)).split(",")
    assert sorted(shown) == [phone(number) for number in range(51)]
    await asyncio.gather(*(mine.delete(group_id, number) for number in range(0, 51, 2)))
    left = [number for number in shown if int(number) % 2]
    assert (await mine.phones(group_id)).split(",") == left


async def test_creates_and_deletes_at_once_are_all_counted(mine: Groups, theirs: Groups) -> None:
    old = [await mine.create([n]) for n in range(10)]
    await asyncio.gather(
        *(mine.create([n]) for n in range(20)),
        *(theirs.create([n]) for n in range(20)),
        *(mine.drop(group_id) for group_id in old),
    )
    assert (await mine.page())[0] == len(await mine.ids()) == 20
    assert (await theirs.page())[0] == 20


async def test_of_many_deletes_at_once_one_succeeds(mine: Groups) -> None:
    group_id = await mine.create([1])
    results = await asyncio.gather(
        *(mine.drop(group_id) for _ in range(10)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == [
        *["GroupNotFound"] * 9,
        "NoneType",
    ]


async def test_adds_at_once_never_pass_the_bound(small: Groups) -> None:
    group_id = await small.create([0])
    results = await asyncio.gather(
        *(small.add(group_id, number) for number in range(1, 21)), return_exceptions=True
    )
    assert sum(result is None for result in results) == 4
    assert all(result is None or isinstance(result, GroupFull) for result in results)
    assert len((await small.phones(group_id)).split(",")) == 5


@pytest.mark.parametrize("limit", [0, 1, 7, 20])
async def test_a_page_in_pieces_is_the_same_page(
    mine: Groups, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    ids = [await mine.create(range(n % 7 + 1)) for n in range(30)]
    await mine.delete(ids[3], *range(7))
    await mine.drop(ids[11])
    whole = [await mine.page(limit, offset) for offset in (0, 5, 28, 40)]
    monkeypatch.setattr(limits, "PHONES_IN_CHUNKED_PAGE_MIN", limit or 1000)
    monkeypatch.setattr(limits, "GROUPS_IN_SLICE", 4)
    pieces = [await mine.page(limit, offset) for offset in (0, 5, 28, 40)]
    assert pieces == whole


async def test_a_page_in_pieces_is_one_snapshot(
    mine: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PHONES_IN_CHUNKED_PAGE_MIN", 0)
    monkeypatch.setattr(limits, "GROUPS_IN_SLICE", 2)
    ids = [await mine.create([n]) for n in range(9)]
    listed = await listing.list(mine.services, mine.caller, ListGroup(0, 0))
    assert listed.rest is not None
    seen = [row[2] for row in listed.rows]
    async for rows in listed.rest:
        seen += [row[2] for row in rows]
        await mine.drop(ids.pop())
        await mine.create([1])
    assert listed.total == 9
    assert len(seen) == 9
    assert seen[: len(ids)] == ids


async def test_a_caller_whose_customer_is_gone_is_a_bug_and_not_an_empty_page(
    services: Services,
) -> None:
    nobody = Caller("key", "cus_gone")
    with pytest.raises(InternalError):
        await listing.list(services, nobody, ListGroup(10, 0))
    with pytest.raises(WireError):
        await service.delete(services, nobody, DeleteGroup(UNKNOWN))


@pytest.mark.parametrize("seed", range(4))
async def test_any_run_of_changes_ends_where_a_plain_list_does(small: Groups, seed: int) -> None:
    chance = random.Random(seed)
    model: dict[str, list[int]] = {}
    for _ in range(60):
        numbers = [chance.randrange(9) for _ in range(chance.randint(1, 4))]
        unique = list(dict.fromkeys(numbers))
        action = chance.choice(["create", "add", "add", "add", "delete", "replace", "drop"])
        group_id = chance.choice([*model, UNKNOWN])
        held = model.get(group_id, [])
        after = {
            "add": held + [number for number in unique if number not in held],
            "delete": [number for number in held if number not in unique],
            "replace": unique,
        }
        if action == "create":
            model[await small.create(numbers)] = unique
        elif group_id == UNKNOWN:
            with pytest.raises(GroupNotFound):
                await small.add(group_id, *numbers)
        elif action == "drop":
            await small.drop(group_id)
            del model[group_id]
        elif len(after[action]) > 5:
            with pytest.raises(GroupFull):
                await small.add(group_id, *numbers)
        else:
            await getattr(small, action)(group_id, *numbers)
            model[group_id] = after[action]
        assert [(row[2], row[3]) for row in (await small.page())[1]] == [
            (group_id, joined(numbers)) for group_id, numbers in model.items()
        ]


@pytest.mark.parametrize("seed", range(2))
async def test_every_offset_is_right_whatever_was_deleted(
    mine: Groups, theirs: Groups, seed: int, sound_tables: None
) -> None:
    chance = random.Random(seed)
    await theirs.create([1])
    left = await _create_many(mine, 300)
    for _ in range(4):
        first = chance.randrange(len(left) - 40)
        for group_id in [*left[first : first + 30], *chance.sample(left[first + 30 :], 10)]:
            await mine.drop(group_id)
            left.remove(group_id)
        left += await _create_many(mine, 3)
        for offset in (0, 1, *chance.sample(range(len(left)), 30), len(left) - 1, len(left)):
            limit = chance.randint(1, 9)
            for knows in (True, False):  # that there are gaps
                caller = Caller("key", mine.caller.customer_id, has_gaps=knows)
                total, rows = await Groups(mine.services, caller).page(limit, offset)
                assert (total, [row[2] for row in rows]) == (
                    len(left), left[offset : offset + limit],
                )  # fmt: skip
    assert (await mine.page(1, 2**63 - 1)) == (len(left), [])


async def _create_many(mine: Groups, count: int) -> list[str]:
    return [await mine.create([number]) for number in range(count)]
