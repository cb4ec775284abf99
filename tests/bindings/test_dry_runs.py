"""Dry runs wait for no write, and answer what the request itself is answered."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, D, X
from tests.groups.actions import GUARD, joined

from openpns.api.registry import ACTIONS
from openpns.errors import OpenPNSError, QuotaExceeded
from openpns.groups import service as groups
from openpns.groups.wire import ADD, DELETE, REPLACE

pytestmark = pytest.mark.usefixtures("sound_tables")

LOCKED: Final = (
    "UPDATE customer_state SET binding_count = binding_count; "
    "UPDATE number_group SET remark = 'x'; UPDATE number_load SET is_open = is_open; "
    "UPDATE binding SET flag = flag; UPDATE seat SET ended_ms = ended_ms"
)
"""Locks what requests lock; a writer of SQLite locks the whole database."""

Sent = Callable[[Bindings, str, str, str], Awaitable[Any]]
"""Sends a dry run, for a bound group, one that is not bound, and a binding."""


async def change(its: Bindings, group_id: str, **fields: Any) -> Any:
    return await groups.update_group(its.context, group_id=group_id, guard=GUARD, **fields)


DRY: Final[dict[str, Sent]] = {
    "bindAXB": lambda its, _bound, _free, _binding: its.bind(C, D, dry_run=True),
    "bindAXBExtension": lambda its, _bound, _free, _binding: its.bind_digits(dry_run=True),
    "bindAXG": lambda its, _bound, free, _binding: its.bind_group(free, D, dry_run=True),
    "updateBinding": lambda its, _bound, _free, binding: its.update(
        binding, phone_b=C, dry_run=True
    ),
    "updateGroup": lambda its, bound, _free, _binding: change(
        its, bound, operate_type=ADD, phones=C, group_name="new", dry_run=True
    ),
}


async def test_dry_runs_wait_for_no_write(mine: Bindings, database_url: str) -> None:
    assert DRY.keys() == {
        name for name, action in ACTIONS.items() if "dry_run" in action.request.__struct_fields__
    }
    bound, free = await mine.group(B), await mine.group(C)
    await mine.bind_group(bound, A, phone_x=X)
    bind_id, _ = await mine.bind(A, B)
    async with direct.holding(database_url, LOCKED):
        for dry in DRY.values():
            await dry(mine, bound, free, bind_id)


CHANGES: Final = [
    (operation, numbers)
    for operation in (ADD, DELETE, REPLACE)
    for numbers in ([1], [3], [1, 3], [3, 4, 5], [1, 2, 3, 4, 5, 6], [9, 1])
]


@pytest.mark.parametrize(("operation", "numbers"), CHANGES)
async def test_dry_run_of_a_change_answers_as_the_change(
    mine: Bindings, operation: int, numbers: list[int]
) -> None:
    """The group may hold 5 phones, and 9 has a seat on the number that the group is bound on."""
    small = mine.bounded(phones_in_group_max=5)
    group_id = await mine.group(*joined([1, 2, 7]).split(","))
    await mine.bind_group(group_id, A, phone_x=X)
    await mine.bind_digits(x=X)
    other = await mine.group(joined([9]))
    await mine.bind_group(other, D, phone_x=X)

    async def answer(**fields: Any) -> Any:
        try:
            return await change(
                small, group_id, operate_type=operation, phones=joined(numbers), **fields
            )
        except OpenPNSError as error:
            return type(error), str(error)

    dry = await answer(dry_run=True)
    assert await answer(detail=True) == dry


async def test_dry_run_is_compared_with_the_quotas_of_the_customer(mine: Bindings) -> None:
    small = mine.bounded(bindings_per_customer_max=1, bytes_per_customer_max=200)
    group_id = await small.group(B)
    await small.bind(A, B)
    with pytest.raises(QuotaExceeded):
        await small.bind(C, D, dry_run=True)
    for fields in ({"remark": "x" * 200}, {"operate_type": ADD, "phones": joined(range(10))}):
        with pytest.raises(QuotaExceeded):
            await change(small, group_id, **fields, dry_run=True)
