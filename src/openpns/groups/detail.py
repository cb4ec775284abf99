"""One number group: getGroup and listGroupPhones. And what the caller may use: getLimits.

Source: docs/api/getGroup.md, docs/api/listGroupPhones.md, docs/api/getLimits.md.
"""

import asyncio
from typing import Generic, TypeVar

from openpns import limits
from openpns.core.context import Caller, Services
from openpns.errors import GroupNotFound, InternalError
from openpns.groups.answers import Limit, LimitList, PhonePage, ShownGroup
from openpns.groups.service import check_group_id
from openpns.groups.wire import GetGroup, GetLimits, ListGroupPhones

DataT = TypeVar("DataT")


class Versioned(Generic[DataT]):
    """An answer, with the version of the customer's data that it was read at.

    Args:
        version: The version.
        data: What is answered.
    """

    def __init__(self, version: int, data: DataT) -> None:
        self.version = version
        self.data = data


async def get(services: Services, caller: Caller, request: GetGroup) -> Versioned[ShownGroup]:
    """Return one group of the caller's.

    Args:
        services: What to work with.
        caller: Who asks.
        request: The group.

    Raises:
        GroupNotFound: The caller has no such group.
    """
    check_group_id(request.groupId)
    group = {"customer_id": caller.customer_id, "group_id": request.groupId}
    rows = await services.store.fetch(
        "group_get", group | {"phones_in_chunk": limits.PHONES_IN_CHUNK}
    )
    if not rows:
        raise GroupNotFound
    version, *row = rows[0]
    return Versioned(version, ShownGroup(*row))


async def list_phones(
    services: Services, caller: Caller, request: ListGroupPhones
) -> Versioned[PhonePage]:
    """Return a page of a group's numbers, in the order they were added.

    Args:
        services: What to work with.
        caller: Who asks.
        request: The group and the page.

    Raises:
        GroupNotFound: The caller has no such group.
    """
    check_group_id(request.groupId)
    size = limits.PHONES_IN_CHUNK
    limit = request.limit or limits.PHONES_IN_PAGE_MAX
    first, last = request.offset // size, (request.offset + limit - 1) // size
    rows = await services.store.fetch(
        "group_list_phones",
        {
            "customer_id": caller.customer_id,
            "group_id": request.groupId,
            "first": max(first, 1),
            "last": min(last, limits.OFFSET_MAX),
        },
    )
    if not rows:
        raise GroupNotFound
    version, total = rows[0][:2]
    text = "".join(row[3] for row in rows if row[2] >= first)
    phones = [phone for phone in text.split(",") if phone]
    begin = request.offset - first * size
    return Versioned(version, PhonePage(",".join(phones[begin : begin + limit]), total))


async def get_limits(services: Services, caller: Caller, _: GetLimits) -> LimitList:
    """Return every bound that applies to the caller, and how much of it is used.

    Args:
        services: What to work with.
        caller: Who asks.
        _: The request, which has no fields.
    """
    customer = {"customer_id": caller.customer_id}
    counts = await services.store.fetch("group_get_limits", customer)
    if not counts:
        raise InternalError
    groups, places = counts[0]
    numbers, largest = 0, 0
    for first in range(0, places, limits.PLACES_IN_SLICE):
        part = customer | {"first": first, "end": first + limits.PLACES_IN_SLICE}
        ((count, most),) = await services.store.fetch("group_usage", part)
        numbers, largest = numbers + int(count), max(largest, most)
        await asyncio.sleep(0)  # on SQLite a read does not wait, and others have to come in
    rate = services.rates.tell(caller)
    return LimitList(
        [
            Limit("groups", None, groups),
            Limit("numbers", None, numbers),
            Limit("numbersInGroup", services.phones_in_group_max, largest),
            Limit("numbersInRequest", services.phones_in_request_max),
            Limit("groupsInPage", limits.GROUPS_IN_PAGE_MAX),
            Limit("numbersInPage", limits.PHONES_IN_PAGE_MAX),
            Limit("groupNameChars", limits.GROUP_NAME_CHARS_MAX),
            Limit("remarkChars", limits.REMARK_CHARS_MAX),
            Limit("clientTokenChars", limits.CLIENT_TOKEN_CHARS_MAX),
            Limit("bodyBytes", services.body_bytes_max),
            Limit("tsSkewMs", limits.TS_SKEW_MS_MAX),
            Limit("callsPerSecond", rate.per_s),
            Limit("callsAtOnce", rate.burst, rate.used),
        ]
    )
