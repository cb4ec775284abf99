"""Pages of number groups: listGroup.

Source: docs/api/listGroup.md.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from msgspec import UNSET

from openpns import limits
from openpns.core.context import Caller, Services
from openpns.errors import GroupNotFound, InternalError, ParameterError
from openpns.groups.answers import ListedGroups
from openpns.groups.wire import BY_NAME, OLDEST, ListGroup
from openpns.kit.casefold import folded_name
from openpns.phones import parse_phones
from openpns.storage.store import Params, Row, Statement, Transaction, variant_name

_COUNTER_COLUMNS: Final = 3
"""How many columns of a row of group_list come before the group's: version, total, has_gaps."""

_PHONES: Final = 3
"""The place of `phones` in a group's row."""

_GROUP_ID: Final = _COUNTER_COLUMNS + 2

_OFFSET_FAR: Final = 2**62
"""No customer has so many groups; what is added to it on the way is no overflow."""


async def list(services: Services, caller: Caller, request: ListGroup) -> ListedGroups:
    """Return a page of the caller's groups, oldest first, with the total: one snapshot.

    Args:
        services: What to work with.
        caller: Who asks; only this customer's groups are seen.
        request: The page asked for.
    """
    if not request.is_plain:
        return await find(services, caller, request)
    limit = request.limit or limits.GROUPS_IN_PAGE_MAX
    phones_max = limits.PHONES_IN_CHUNKED_PAGE_MIN // limit
    params = {
        "customer_id": caller.customer_id,
        "limit": limit,
        "offset": min(request.offset or 0, _OFFSET_FAR),
        "phones_max": phones_max,
        "phones_short": min(phones_max, limits.PHONES_IN_CHUNK),
        "phones_in_chunk": limits.PHONES_IN_CHUNK,
    }
    found = await _find_page(services, params, has_gaps=caller.has_gaps)
    if _has_all_phones(found):
        return found
    # Some group has more numbers than its share of one piece: read the page again, in slices.
    params["phones_max"] = limits.OFFSET_MAX
    slices = services.store.stream("group_list_seek", params, limits.GROUPS_IN_SLICE)
    first, _ = _read_page(await anext(slices, []))
    return ListedGroups(first.version, first.total, first.rows, _rest(slices))


async def _find_page(services: Services, params: Params, *, has_gaps: bool) -> ListedGroups:
    """Read a page by the cheaper statement, and where that does not do, by the other.

    Args:
        services: What to work with.
        params: The page.
        has_gaps: Whether groups of the customer's were deleted, as far as is known.
    """
    is_deep = params["offset"] > 0
    if not (has_gaps and is_deep):
        found, has_gaps = _read_page(await services.store.fetch("group_list", params))
        if not (has_gaps and is_deep) and _has_all_phones(found):
            return found
    found, _ = _read_page(await services.store.fetch("group_list_seek", params))
    return found


def _has_all_phones(found: ListedGroups) -> bool:
    return all(row[_PHONES] is not None for row in found.rows)


async def _rest(slices: AsyncGenerator[Sequence[Row], None]) -> AsyncGenerator[Sequence[Row], None]:
    async with aclosing(slices):
        async for rows in slices:
            yield _groups_of(rows)


def _read_page(rows: Sequence[Row]) -> tuple[ListedGroups, bool]:
    """Return the page, and whether groups of the customer's were deleted."""
    if not rows:
        # Every customer has a counter: no row at all means that the customer is gone.
        raise InternalError
    version, total, has_gaps = rows[0][:_COUNTER_COLUMNS]
    return ListedGroups(version, total, _groups_of(rows)), bool(has_gaps)


def _groups_of(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the groups; a row without a groupId carries none."""
    return [row[_COUNTER_COLUMNS:] for row in rows if row[_GROUP_ID] is not None]


_CLEAN_AT_ONCE: Final = 1000

_NAME_END: Final = "\U0010ffff"
"""No name has this character, and none that begins as another comes behind it."""


async def find(services: Services, caller: Caller, request: ListGroup) -> ListedGroups:
    """Return a page of the caller's groups that are asked for by what they hold, in any order.

    Args:
        services: What to work with.
        caller: Who asks; only this customer's groups are seen.
        request: The filters, the order, and where the page begins.

    Raises:
        ParameterError: Both offset and after were sent, or phone is no number.
        GroupNotFound: after is no group of the caller's, and none that was deleted of late.
    """
    limit = request.limit or limits.GROUPS_IN_PAGE_MAX
    chosen, params = _filters(request)
    chosen.add("by_name" if request.order == BY_NAME else request.order or OLDEST)
    params |= {
        "customer_id": caller.customer_id,
        "phones_max": limits.PHONES_IN_CHUNKED_PAGE_MIN // limit,
        "phones_in_chunk": limits.PHONES_IN_CHUNK,
        "limit": limit,
        "offset": min(request.offset or 0, _OFFSET_FAR),
    }
    if request.after is not UNSET:
        if request.offset is not UNSET:
            raise ParameterError("after must be sent without offset")
        params["limit"] = limit + 1  # one more tells whether there is a next page
        if request.after:
            chosen.add("after")
            params |= await _place(services, caller, request.after)
    name = variant_name("group_find", chosen)
    found, _ = _read_page(await services.store.fetch(name, params))
    if request.after is not UNSET:
        found = _cut(found, limit)
    if _has_all_phones(found):
        return found
    params["phones_max"] = limits.OFFSET_MAX
    slices = services.store.stream(name, params, limits.GROUPS_IN_SLICE)
    first, _ = _read_page(await anext(slices, []))
    first.rest = _rest(slices)
    return first if request.after is UNSET else _cut_slices(first, limit)


async def clean(services: Services) -> None:
    """Forget where groups stood that were deleted long ago.

    Args:
        services: What to work with.
    """

    def steps() -> Transaction[int]:
        params = {
            "deleted_ms": services.clock() - limits.GROUP_TOMBSTONE_MS,
            "at_most": _CLEAN_AT_ONCE,
        }
        return len((yield Statement("group_tombstone_clean", params)))

    while await services.store.write(steps) == _CLEAN_AT_ONCE:
        pass


def _filters(request: ListGroup) -> tuple[set[str], dict[str, Any]]:
    """Return the filters that were sent, and the parameters that they need."""
    chosen: set[str] = set()
    params: dict[str, Any] = {}
    if request.groupId is not UNSET:
        chosen.add("id")
        params["group_id"] = request.groupId
    if request.groupName:  # every name begins with an empty one
        chosen.add("name")
        begin = folded_name(request.groupName)
        params |= {"name_from": begin, "name_until": begin + _NAME_END}
    if request.phone is not UNSET:
        chosen.add("phone")
        params["phone"] = _parse_phone(request.phone)
    return chosen, params


def _parse_phone(text: str) -> str:
    try:
        (phone,) = parse_phones(text, 1)
    except ParameterError:
        raise ParameterError(
            f"phone must be one phone number: {limits.PHONE_DIGITS_MIN} to "
            f"{limits.PHONE_DIGITS_MAX} digits that begin with an assigned country code"
        ) from None
    return phone


async def _place(services: Services, caller: Caller, group_id: str) -> dict[str, Any]:
    place = {"customer_id": caller.customer_id, "group_id": group_id}
    rows = await services.store.fetch("group_place", place)
    if not rows:
        raise GroupNotFound(
            "after must be the id of one of your groups, or of one that was deleted in the last 7 "
            "days; begin again with an empty after"
        )
    return {"after_seq": rows[0][0], "after_name": rows[0][1]}


def _cut(found: ListedGroups, limit: int) -> ListedGroups:
    """Leave out the group behind the page, which only tells that there is one."""
    has_more = len(found.rows) > limit
    found.rows = found.rows[:limit]
    found.next = found.rows[-1][_GROUP_ID - _COUNTER_COLUMNS] if has_more else None
    return found


def _cut_slices(first: ListedGroups, limit: int) -> ListedGroups:
    """Do the same with a page in slices."""
    slices = first.rest
    assert slices is not None
    _cut(first, limit)

    async def cut() -> AsyncGenerator[Sequence[Row], None]:
        count, last = len(first.rows), first.rows[-1]
        async with aclosing(slices):
            async for rows in slices:
                inside = rows[: limit - count]
                last = inside[-1] if inside else last
                if len(inside) < len(rows):
                    first.next = last[_GROUP_ID - _COUNTER_COLUMNS]
                count += len(rows)
                if inside:
                    yield inside

    first.rest = cut()
    return first
