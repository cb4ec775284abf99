import asyncio
import random
from typing import Any

import msgspec
import pytest
from tests import direct
from tests.conftest import START_MS, FakeClock
from tests.groups.actions import GUARD, Groups, joined, phone

from openpns.core.context import Context
from openpns.core.principal import Principal
from openpns.errors import GroupFull, GroupNotFound, InternalError, ParameterError, WireError
from openpns.groups import listing, service
from openpns.groups.wire import ADD, DELETE, REPLACE

pytestmark = pytest.mark.usefixtures("sound_tables")

UNKNOWN = "0123456789abcdef" * 2


@pytest.fixture
def small(mine: Groups) -> Groups:
    """Groups of the same customer that hold at most five phones."""
    return mine.bounded(phones_in_group_max=5, phones_in_request_max=8)


async def test_create_group_makes_a_group_that_is_listed(context: Context, mine: Groups) -> None:
    created = await service.create_group(context, phones="85211111114, +85235753351")
    group_id = created.group_id
    assert await mine.page(10) == (
        1,
        [("cus_1", group_id, group_id, "85211111114,85235753351", "")],
    )


async def test_create_group_keeps_name_and_remark_and_allows_equal_names(mine: Groups) -> None:
    ids = [await mine.create([n], "Lieferung 牛 🚚", "a, 'b' \"c\" \\ ;--") for n in range(2)]
    assert (await mine.page())[1] == [
        ("cus_1", "Lieferung 牛 🚚", group_id, phone(n), "a, 'b' \"c\" \\ ;--")
        for n, group_id in enumerate(ids)
    ]


async def test_create_group_with_an_empty_name_uses_the_group_id(mine: Groups) -> None:
    group_id = await mine.create([1], "", "")
    assert (await mine.page())[1] == [("cus_1", group_id, group_id, phone(1), "")]


async def test_update_and_delete_leave_groups_of_other_customers_alone(
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


async def test_update_and_delete_answer_alike_for_foreign_and_unknown_group(
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
async def test_update_and_delete_raise_group_not_found_for_malformed_id(
    mine: Groups, group_id: str
) -> None:
    for change in (mine.add(group_id, 1), mine.drop(group_id)):
        with pytest.raises(GroupNotFound, match="a groupId is 32 lower-case hex characters"):
            await change


async def test_add_appends_new_phones_in_order(mine: Groups) -> None:
    group_id = await mine.create([5, 3])
    await mine.add(group_id, 9, 3, 1, 9)
    assert await mine.phones(group_id) == joined([5, 3, 9, 1])
    await mine.add(group_id, 0)
    assert await mine.phones(group_id) == joined([5, 3, 9, 1, 0])


async def test_add_appends_phone_that_was_deleted_before(mine: Groups) -> None:
    group_id = await mine.create([1, 2, 3])
    await mine.delete(group_id, 1)
    assert await mine.phones(group_id) == joined([2, 3])
    await mine.add(group_id, 1)
    assert await mine.phones(group_id) == joined([2, 3, 1])
    await mine.delete(group_id, 3, 1)
    await mine.add(group_id, 3, 4, 2, 1)
    assert await mine.phones(group_id) == joined([2, 3, 4, 1])


async def test_replace_sets_phones_in_the_order_of_the_request(mine: Groups) -> None:
    group_id = await mine.create([1, 2, 3])
    await mine.replace(group_id, 3, 7, 1, 7)
    assert await mine.phones(group_id) == joined([3, 7, 1])
    await mine.add(group_id, 2)
    assert await mine.phones(group_id) == joined([3, 7, 1, 2])


async def test_delete_may_empty_a_group_that_can_be_filled_again(
    mine: Groups,
) -> None:
    group_id = await mine.create([1, 2])
    await mine.delete(group_id, 2, 1, 3)
    assert await mine.phones(group_id) == ""
    await mine.delete(group_id, 1)
    await mine.add(group_id, 2, 1)
    assert await mine.phones(group_id) == joined([2, 1])


async def test_update_without_effect_keeps_updated_time(
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


async def test_add_and_replace_raise_group_full_and_change_nothing(small: Groups) -> None:
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


async def test_create_group_raises_group_full_above_the_bound_only(small: Groups) -> None:
    with pytest.raises(GroupFull):
        await small.create(range(6))
    assert await small.page() == (0, [])
    await small.create([0, 1, 2, 3, 4, 4, 0])
    assert await small.page() == (1, [(*(await small.page())[1][0][:3], joined(range(5)), "")])


async def test_create_and_update_raise_parameter_error_for_too_many_phones(small: Groups) -> None:
    group_id = await small.create([1])
    for change in (small.create([1] * 9), small.delete(group_id, *range(9))):
        with pytest.raises(ParameterError, match="phones must hold at most 8 numbers"):
            await change
    await small.delete(group_id, *range(8))
    assert await small.page() == (1, [("cus_1", group_id, group_id, "", "")])


async def test_create_and_update_refuse_all_for_one_bad_phone_without_its_digits(
    context: Context, mine: Groups
) -> None:
    group_id = await mine.create([1])
    bad = f"{phone(2)},0{phone(3)},{phone(4)}"
    for change in (
        service.create_group(context, phones=bad),
        service.update_group(context, group_id=group_id, operate_type=ADD, phones=bad, guard=GUARD),
    ):
        with pytest.raises(ParameterError, match="phones: item 2 must be") as caught:
            await change
        assert "852" not in caught.value.msg
    assert await mine.page() == (1, [("cus_1", group_id, group_id, phone(1), "")])


async def test_delete_group_removes_group_and_phones(mine: Groups, query: direct.Query) -> None:
    ids = [await mine.create([n, n + 1]) for n in range(3)]
    await mine.drop(ids[1])
    assert await mine.ids() == [ids[0], ids[2]]
    assert (await mine.page())[0] == 2
    for change in (mine.drop(ids[1]), mine.add(ids[1], 1)):
        with pytest.raises(GroupNotFound):
            await change
    assert (await mine.page())[0] == 2
    assert await query("SELECT count(*) FROM group_member") == [(4,)]


async def test_create_group_after_deletion_of_the_last_is_a_new_group(mine: Groups) -> None:
    ids = [await mine.create([n]) for n in range(3)]
    await mine.drop(ids[2])
    ids[2] = await mine.create([7])
    assert await mine.ids() == ids
    assert await mine.phones(ids[2]) == phone(7)


async def test_updates_at_once_lose_nothing(mine: Groups) -> None:
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


async def test_deletes_at_once_of_one_group_succeed_once(mine: Groups) -> None:
    group_id = await mine.create([1])
    results = await asyncio.gather(
        *(mine.drop(group_id) for _ in range(10)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == [
        *["GroupNotFound"] * 9,
        "NoneType",
    ]


async def test_adds_at_once_never_exceed_the_bound(small: Groups) -> None:
    group_id = await small.create([0])
    results = await asyncio.gather(
        *(small.add(group_id, number) for number in range(1, 21)), return_exceptions=True
    )
    assert sum(result is None for result in results) == 4
    assert all(result is None or isinstance(result, GroupFull) for result in results)
    assert len((await small.phones(group_id)).split(",")) == 5


async def test_of_updates_at_once_only_the_refused_ones_change_nothing(small: Groups) -> None:
    ids = [await small.create([0, 1, 2, 3]) for _ in range(6)]
    full = await small.create(range(5))
    results = await asyncio.gather(
        *(small.add(group_id, 4) for group_id in ids[:4]),
        small.add(UNKNOWN, 1),
        small.add(full, 9),
        *(small.delete(group_id, 0, 9) for group_id in (*ids[:2], UNKNOWN)),
        *(small.replace(group_id, 7, 8) for group_id in ids[4:]),
        small.replace(full, *range(6)),
        return_exceptions=True,
    )
    refused = {n: type(result) for n, result in enumerate(results) if result is not None}
    assert refused == {4: GroupNotFound, 5: GroupFull, 8: GroupNotFound, 11: GroupFull}
    assert [await small.phones(group_id) for group_id in ids] == [
        *[joined([1, 2, 3, 4])] * 2,
        *[joined(range(5))] * 2,
        *[joined([7, 8])] * 2,
    ]
    assert await small.phones(full) == joined(range(5))


async def test_rules_raise_an_error_for_missing_customer(
    context: Context,
) -> None:
    nobody = msgspec.structs.replace(context, principal=Principal("key", "cus_gone"))
    with pytest.raises(InternalError):
        await listing.list_group(nobody, limit=10, offset=0)
    with pytest.raises(WireError):
        await service.delete_group(nobody, group_id=UNKNOWN, guard=GUARD)


@pytest.mark.parametrize("seed", range(4))
async def test_random_changes_agree_with_a_list(small: Groups, seed: int) -> None:
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


async def shown(mine: Groups, group_id: str) -> tuple[str, str, str]:
    """Return name, remark and phones of a group."""
    (row,) = [row for row in (await mine.page())[1] if row[2] == group_id]
    return row[1], row[4], row[3]


async def test_update_renames_group_with_or_without_change_of_phones(
    mine: Groups, query: direct.Query
) -> None:
    group_id = await mine.create([1], "old", "its remark")
    assert await mine.change(group_id, group_name="NEW é") is None
    assert await shown(mine, group_id) == ("NEW é", "its remark", joined([1]))
    assert await query("SELECT folded_name FROM number_group") == [("new é",)]
    await mine.change(group_id, remark="")
    assert await shown(mine, group_id) == ("NEW é", "", joined([1]))
    await mine.change(group_id, group_name="", remark="r", operate_type=ADD, phones=joined([2]))
    assert await shown(mine, group_id) == (group_id, "r", joined([1, 2]))


@pytest.mark.parametrize("fields", [{"operate_type": ADD}, {"phones": "85211111114"}], ids=str)
async def test_update_raises_parameter_error_for_operation_without_phones_or_reverse(
    mine: Groups, fields: dict[str, Any]
) -> None:
    group_id = await mine.create([1], "old")
    with pytest.raises(ParameterError, match="operateType and phones must be sent together"):
        await mine.change(group_id, group_name="new", **fields)
    assert await shown(mine, group_id) == ("old", "", joined([1]))


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize(
    ("operation", "numbers", "did", "left"),
    [
        (ADD, [2, 3, 4], (1, 0, 2, 4), [1, 2, 3, 4]),
        (ADD, [1, 2], (0, 0, 2, 3), [1, 2, 3]),
        (DELETE, [1, 3, 9], (0, 2, 1, 1), [2]),
        (DELETE, [9], (0, 0, 1, 3), [1, 2, 3]),
        (REPLACE, [3, 4], (1, 2, 1, 2), [3, 4]),
        (REPLACE, [3, 2, 1], (0, 0, 3, 3), [3, 2, 1]),
    ],
)
async def test_update_returns_the_change_and_dry_run_changes_nothing(
    mine: Groups,
    query: direct.Query,
    dry: bool,
    operation: int,
    numbers: list[int],
    did: tuple[int, ...],
    left: list[int],
) -> None:
    group_id = await mine.create([1, 2, 3], "old")
    revision = "SELECT groups_revision FROM customer_state WHERE customer_id = 'cus_1'"
    before = await query(revision)
    fields = {"operate_type": operation, "phones": joined(numbers), "group_name": "new"}
    assert await mine.change(group_id, dry_run=dry, detail=not dry, **fields) == did
    expected = ("old", "", joined([1, 2, 3])) if dry else ("new", "", joined(left))
    assert await shown(mine, group_id) == expected
    assert (await query(revision) == before) == dry


async def test_dry_run_is_refused_like_the_change(small: Groups) -> None:
    group_id = await small.create([1, 2, 3, 4])
    with pytest.raises(GroupFull):
        await small.change(group_id, dry_run=True, operate_type=ADD, phones=joined([5, 6, 7, 8]))
    with pytest.raises(GroupNotFound):
        await small.change("f" * 32, dry_run=True, group_name="new")
