"""Pages of number groups: listGroup.

Source: docs/api/listGroup.md.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from msgspec import UNSET, UnsetType

from openpns import limits
from openpns.core.context import Context, Services
from openpns.errors import GroupNotFound, InternalError, ParameterError
from openpns.groups.wire import BY_NAME, OLDEST
from openpns.kit.casefold import fold_name
from openpns.phones import parse_phones
from openpns.storage.store import Params, Row, Statement, Transaction, variant_name

_COUNTER_COLUMNS: Final = 3
"""How many columns of a row of group_list come before the group's: revision, total, has_gaps."""

_PHONES: Final = 3
"""The place of `phones` in a group's row."""

_GROUP_ID: Final = _COUNTER_COLUMNS + 2

_OFFSET_FAR: Final = 2**62
"""No customer has so many groups; what is added to it on the way is no overflow."""


class FoundGroups:
    """A page of groups: its first rows and, for a large page, the rest of them.

    Args:
        revision: The revision of the customer's groups that the page was read at.
        rows: Groups, each a row in the order of `wire.Group`.
        rest: More rows of the same page, from the same snapshot; None if there are none.
        next: `data.next`; known only once `rest` was read to its end.
    """

    def __init__(
        self,
        revision: int,
        total: int,
        rows: Sequence[Row],
        rest: AsyncGenerator[Sequence[Row], None] | None = None,
        next: str | UnsetType | None = UNSET,  # noqa: A002 - the field's name
    ) -> None:
        self.revision = revision
        self.total = total
        self.rows = rows
        self.rest = rest
        self.next = next


async def list_group(
    context: Context,
    *,
    limit: int,
    offset: int | None = None,
    after: str | None = None,
    order: str | None = None,
    group_id: str | None = None,
    group_name: str | None = None,
    phone: str | None = None,
) -> FoundGroups:
    """Return a page of the customer's groups, with the total: one snapshot.

    Args:
        limit: Groups in the page; 0 for GROUPS_IN_PAGE_MAX.
        offset: Groups to skip; None is 0.
        after: Start after the group with this id; empty starts at the first group.
        order: One of ORDERS; None is OLDEST.
        group_id: Only the group with this id.
        group_name: Only groups whose name starts with this text, in any case.
        phone: Only groups that hold this phone.

    Raises:
        ParameterError: offset and after are given together, or phone is not a phone number.
        GroupNotFound: after is not a group of the customer, nor one deleted in the last 7 days.
    """
    limit = limit or limits.GROUPS_IN_PAGE_MAX
    filters = _filters(group_id, group_name, phone)
    is_plain = (
        after is None
        and order in (None, OLDEST)
        and (group_id, group_name, phone)
        == (
            None,
            None,
            None,
        )
    )
    if not is_plain:
        return await _find(context, limit, offset, after, order or OLDEST, filters)
    phones_max = limits.PHONES_IN_CHUNKED_PAGE_MIN // limit
    params = {
        "customer_id": context.customer_id,
        "limit": limit,
        "offset": min(offset or 0, _OFFSET_FAR),
        "phones_max": phones_max,
        "phones_short": min(phones_max, limits.PHONES_IN_CHUNK),
        "phones_in_chunk": limits.PHONES_IN_CHUNK,
    }
    found = await _find_page(context.services, params, has_gaps=False)
    if _has_all_phones(found):
        return found
    # Some group has more phones than its share of one chunk: read the page again, in slices.
    params["phones_max"] = limits.OFFSET_MAX
    slices = context.store.stream("group_list_seek", params, limits.GROUPS_IN_SLICE)
    first, _ = _read_page(await anext(slices, []))
    return FoundGroups(first.revision, first.total, first.rows, _rest(slices))


async def _find_page(services: Services, params: Params, *, has_gaps: bool) -> FoundGroups:
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


def _has_all_phones(found: FoundGroups) -> bool:
    return all(row[_PHONES] is not None for row in found.rows)


async def _rest(slices: AsyncGenerator[Sequence[Row], None]) -> AsyncGenerator[Sequence[Row], None]:
    async with aclosing(slices):
        async for rows in slices:
            yield _groups_of(rows)


def _read_page(rows: Sequence[Row]) -> tuple[FoundGroups, bool]:
    """Return the page, and whether groups of the customer's were deleted."""
    if not rows:
        # Every customer has a counter: no row at all means that the customer is gone.
        raise InternalError
    revision, total, has_gaps = rows[0][:_COUNTER_COLUMNS]
    return FoundGroups(revision, total, _groups_of(rows)), bool(has_gaps)


def _groups_of(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the groups; a row without a groupId carries none."""
    return [row[_COUNTER_COLUMNS:] for row in rows if row[_GROUP_ID] is not None]


_CLEAN_AT_ONCE: Final = 1000

_NAME_END: Final = "\U0010ffff"
"""No name has this character, and none that begins as another comes behind it."""


async def _find(
    context: Context,
    limit: int,
    offset: int | None,
    after: str | None,
    order: str,
    filters: tuple[set[str], dict[str, Any]],
) -> FoundGroups:
    chosen, params = filters
    chosen.add("by_name" if order == BY_NAME else order)
    params |= {
        "customer_id": context.customer_id,
        "phones_max": limits.PHONES_IN_CHUNKED_PAGE_MIN // limit,
        "phones_in_chunk": limits.PHONES_IN_CHUNK,
        "limit": limit,
        "offset": min(offset or 0, _OFFSET_FAR),
    }
    if after is not None:
        if offset is not None:
            raise ParameterError("after must be sent without offset")
        params["limit"] = limit + 1  # one more tells whether there is a next page
        if after:
            chosen.add("after")
            params |= await _place(context, after)
    name = variant_name("group_find", chosen)
    found, _ = _read_page(await context.store.fetch(name, params))
    if after is not None:
        found = _cut(found, limit)
    if _has_all_phones(found):
        return found
    params["phones_max"] = limits.OFFSET_MAX
    slices = context.store.stream(name, params, limits.GROUPS_IN_SLICE)
    first, _ = _read_page(await anext(slices, []))
    first.rest = _rest(slices)
    return first if after is None else _cut_slices(first, limit)


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


def _filters(
    group_id: str | None, group_name: str | None, phone: str | None
) -> tuple[set[str], dict[str, Any]]:
    """Return the filters that were sent, and the parameters that they need."""
    chosen: set[str] = set()
    params: dict[str, Any] = {}
    if group_id is not None:
        chosen.add("id")
        params["group_id"] = group_id
    if group_name:  # every name starts with an empty one
        chosen.add("name")
        begin = fold_name(group_name)
        params |= {"name_from": begin, "name_until": begin + _NAME_END}
    if phone is not None:
        chosen.add("phone")
        params["phone"] = _parse_phone(phone)
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


async def _place(context: Context, group_id: str) -> dict[str, Any]:
    place = {"customer_id": context.customer_id, "group_id": group_id}
    rows = await context.store.fetch("group_place", place)
    if not rows:
        raise GroupNotFound(
            "after must be the id of one of your groups, or of one that was deleted in the last 7 "
            "days; begin again with an empty after"
        )
    return {"after_seq": rows[0][0], "after_name": rows[0][1]}


def _cut(found: FoundGroups, limit: int) -> FoundGroups:
    """Leave out the group behind the page, which only tells that there is one."""
    has_more = len(found.rows) > limit
    found.rows = found.rows[:limit]
    found.next = found.rows[-1][_GROUP_ID - _COUNTER_COLUMNS] if has_more else None
    return found


def _cut_slices(first: FoundGroups, limit: int) -> FoundGroups:
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
