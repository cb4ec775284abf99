"""Changes of a group: its name, what a change did, and dry runs. Its numbers: test_groups.py."""

from dataclasses import replace
from typing import Any

import pytest
from tests import direct
from tests.groups.actions import Groups, joined

from openpns.core.context import Caller, Services
from openpns.errors import GroupFull, GroupNotFound, ParameterError
from openpns.groups.wire import ADD, DELETE, REPLACE

pytestmark = pytest.mark.usefixtures("sound_tables")


@pytest.fixture
def small(services: Services, caller: Caller) -> Groups:
    """Groups of the same customer that hold five numbers at most."""
    return Groups(replace(services, phones_in_group_max=5), caller)


async def shown(mine: Groups, group_id: str) -> tuple[str, str, str]:
    """Name, remark and numbers of a group."""
    (row,) = [row for row in (await mine.page())[1] if row[2] == group_id]
    return row[1], row[4], row[3]


async def test_a_group_is_renamed_with_or_without_a_change_of_its_numbers(
    mine: Groups, query: direct.Query
) -> None:
    group_id = await mine.create([1], "old", "its remark")
    assert await mine.change(group_id, groupName="NEW é") is None
    assert await shown(mine, group_id) == ("NEW é", "its remark", joined([1]))
    assert await query("SELECT folded_name FROM number_group") == [("new é",)]
    await mine.change(group_id, remark="")
    assert await shown(mine, group_id) == ("NEW é", "", joined([1]))
    await mine.change(group_id, groupName="", remark="r", operateType=ADD, phones=joined([2]))
    assert await shown(mine, group_id) == (group_id, "r", joined([1, 2]))


@pytest.mark.parametrize("fields", [{"operateType": ADD}, {"phones": "85211111114"}], ids=str)
async def test_an_operation_and_its_numbers_come_together(
    mine: Groups, fields: dict[str, Any]
) -> None:
    group_id = await mine.create([1], "old")
    with pytest.raises(ParameterError, match="operateType and phones must be sent together"):
        await mine.change(group_id, groupName="new", **fields)
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
async def test_what_a_change_did_is_told_and_a_dry_run_only_tells(
    mine: Groups,
    query: direct.Query,
    dry: bool,
    operation: int,
    numbers: list[int],
    did: tuple[int, ...],
    left: list[int],
) -> None:
    group_id = await mine.create([1, 2, 3], "old")
    version = "SELECT version FROM customer_state WHERE customer_id = 'cus_1'"
    before = await query(version)
    fields = {"operateType": operation, "phones": joined(numbers), "groupName": "new"}
    assert await mine.change(group_id, dryRun=dry, detail=not dry, **fields) == did
    expected = ("old", "", joined([1, 2, 3])) if dry else ("new", "", joined(left))
    assert await shown(mine, group_id) == expected
    assert (await query(version) == before) == dry


async def test_a_dry_run_is_refused_as_the_change_would_be(small: Groups) -> None:
    group_id = await small.create([1, 2, 3, 4])
    with pytest.raises(GroupFull):
        await small.change(group_id, dryRun=True, operateType=ADD, phones=joined([5, 6, 7, 8]))
    with pytest.raises(GroupNotFound):
        await small.change("f" * 32, dryRun=True, groupName="new")
