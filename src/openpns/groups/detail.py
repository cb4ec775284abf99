"""The rules of getGroup and listGroupPhones, and the bounds on groups for getLimits.

Source: docs/api/getGroup.md, docs/api/listGroupPhones.md, docs/api/getLimits.md.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from msgspec import UNSET

from openpns import limits
from openpns.accounts.wire import Limit
from openpns.core.actions import AtRevision
from openpns.core.context import Context
from openpns.errors import GroupNotFound, InternalError
from openpns.groups.guard import GroupGuard
from openpns.groups.phone_chunks import PHONES_IN_CHUNK
from openpns.groups.quotas import shown_quotas
from openpns.groups.service import check_group_id
from openpns.groups.wire import GroupDetail, PhonePage

GROUPS_IN_SUM: Final = 10_000
"""Groups whose phones one statement adds up; other requests run in between."""

PHONES_IN_SMALL_GROUP: Final = 1000
"""A group of more phones is read in its customer's turn: see `Services.large_reads`."""

_PHONES: Final = 5
"""The place of the phones in a row of `group_get`."""


async def get_group(context: Context, *, group_id: str, guard: GroupGuard) -> GroupDetail:
    """Return one group, with the count of the live bindings that use it.

    Raises:
        GroupNotFound: The customer has no such group.
    """
    check_group_id(group_id)
    params = get_params(context.customer_id, group_id, PHONES_IN_SMALL_GROUP)
    rows = await context.store.fetch("group_get", params)
    if rows and rows[0][_PHONES] is None:
        params = get_params(context.customer_id, group_id)
        async with context.services.large_reads.hold(context.customer_id):
            rows = await context.store.fetch("group_get", params)
    if not rows:
        raise GroupNotFound
    group_seq, bound_count, *row = rows[0]
    bindings = await guard.count(context, group_seq) if bound_count else 0
    return GroupDetail(*[*row, bindings])


def get_params(
    customer_id: str, group_id: str, phones_max: int = limits.OFFSET_MAX
) -> dict[str, Any]:
    """Return the parameters of the statement that reads one group.

    Args:
        phones_max: A group of more phones is read without them.
    """
    return {
        "customer_id": customer_id,
        "group_id": group_id,
        "phones_in_chunk": PHONES_IN_CHUNK,
        "phones_max": phones_max,
    }


async def list_group_phones(
    context: Context, *, group_id: str, limit: int, offset: int
) -> AtRevision[PhonePage]:
    """Return a page of a group's phones, in the order they were added.

    Raises:
        GroupNotFound: The customer has no such group.
    """
    check_group_id(group_id)
    size = PHONES_IN_CHUNK
    limit = limit or limits.PHONES_IN_PAGE_MAX
    first, last = offset // size, (offset + limit - 1) // size
    params = {
        "customer_id": context.customer_id,
        "group_id": group_id,
        "first": max(first, 1),
        "last": min(last, limits.OFFSET_MAX),
    }
    async with context.services.large_reads.hold(context.customer_id):
        rows = await context.store.fetch("group_list_phones", params)
    if not rows:
        raise GroupNotFound
    revision, total = rows[0][:2]
    text = "".join(phones for _, _, chunk, phones in rows if chunk >= first)
    phones = [phone for phone in text.split(",") if phone]
    begin = offset - first * size
    return AtRevision(revision, PhonePage(",".join(phones[begin : begin + limit]), total))


async def group_limits(context: Context) -> Sequence[Limit]:
    """Return the bounds on groups, and how much of each the customer uses."""
    customer = {"customer_id": context.customer_id}
    found = await context.store.fetch("group_usage", customer)
    if not found:
        raise InternalError
    groups, phones, largest, next_seq, size, *own = found[0]
    if phones is None:
        phones = await _sum_phones(context, next_seq)
    group_quota, phone_quota, byte_quota = shown_quotas(context.services, *own)
    return [
        Limit("groups", group_quota, groups),
        Limit("numbers", phone_quota, phones),
        Limit("bytes", byte_quota, UNSET if size is None else size),
        Limit("numbersInGroup", context.services.phones_in_group_max, largest),
        Limit("numbersInRequest", context.services.phones_in_request_max),
        Limit("groupsInPage", limits.GROUPS_IN_PAGE_MAX),
        Limit("numbersInPage", limits.PHONES_IN_PAGE_MAX),
        Limit("groupNameChars", limits.GROUP_NAME_CHARS_MAX),
        Limit("remarkChars", limits.REMARK_CHARS_MAX),
    ]


async def _sum_phones(context: Context, next_seq: int) -> int:
    """Return how many phones all groups hold, until `migrate --post` has counted them."""
    phones = 0
    for first in range(0, next_seq, GROUPS_IN_SUM):
        part = {"customer_id": context.customer_id, "first": first, "end": first + GROUPS_IN_SUM}
        ((count,),) = await context.store.fetch("group_phone_sum", part)
        phones += int(count)
        await asyncio.sleep(0)  # on SQLite a read does not suspend: let other requests run
    return phones
