"""listGroup with filters, in one of several orders, by offset or after a group.

Source: docs/api/listGroup.md.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from openpns import limits
from openpns.core.context import Context, Services
from openpns.core.expiry import delete_expired
from openpns.errors import GroupNotFound, OffsetOutOfRange, ParameterError
from openpns.groups.order import SCAN_GROUPS, SEQ_MAX, SEQ_MIN
from openpns.groups.pages import FoundGroups, fetch_page, page_params, stream_page
from openpns.groups.wire import BY_NAME, NEWEST, Group
from openpns.kit.casefold import fold_name
from openpns.phones import parse_phones

_NAME_END: Final = "\U0010ffff"
"""After every character of a name: names that start with a text come before text + this."""

TOMBSTONE_MS: Final = 7 * 24 * 3_600_000
"""How long the position of a deleted group is stored, for clients that page after it."""


async def find_groups(
    context: Context,
    *,
    limit: int,
    offset: int | None,
    after: str | None,
    order: str,
    group_id: str | None,
    group_name: str | None,
    phone: str | None,
) -> FoundGroups:
    """Return a page of the groups that match all filters; see `listing.list_group`."""
    if after is not None and offset is not None:
        raise ParameterError("after must be sent without offset")
    has_filters = not (group_id is None and group_name is None and phone is None)
    if has_filters and (offset or 0) > limits.FOUND_GROUPS_MAX:
        raise OffsetOutOfRange(
            f"with a filter, offset must be an integer from 0 to {limits.FOUND_GROUPS_MAX}; use "
            "after for later pages"
        )
    name_from = fold_name(group_name or "")
    params = page_params(context, limit, offset) | {
        "group_id": group_id,
        "name_from": name_from,
        "name_until": name_from + _NAME_END,
        "phone": None if phone is None else _parse_phone(phone),
        "scan": SCAN_GROUPS,
    }
    if has_filters:
        params["total_max"] = limits.FOUND_GROUPS_MAX
    start, revision = await _start(context, after, order, name_from)
    params |= start
    if after is not None:
        params["limit"] = limit + 1  # one more shows whether there is a next page
    statement = f"{_statement(order, group_id, group_name, phone)}:{order}"
    found = await fetch_page(context, statement, params)
    is_full = len(found.groups) == params["limit"]
    if found.total_is_bounded and not is_full and "_sorted:" in statement:
        # The first groups of the order hold no full page: sort all that match.
        params["scan"] = 0
        found = await fetch_page(context, statement, params)
    if after is not None:
        _cut(found, limit)
    if not found.is_whole:
        params["scan"] = 0  # in its own snapshot the first groups may hold no full page
        found = await stream_page(context, statement, params)
        if after is not None:
            _cut(found, limit)
    if revision is not None:
        # The page is as old as the position that it starts at: a change between the two reads may
        # have moved that group. Under the older revision no later request gets the page.
        found.revision = revision
    return found


async def delete_expired_tombstones(services: Services) -> None:
    """Delete the positions of groups that were deleted too long ago to page after them."""
    oldest_ms = services.clock() - TOMBSTONE_MS
    await delete_expired(services, "group_tombstone_clean", {"deleted_ms": oldest_ms})


def _statement(order: str, group_id: str | None, group_name: str | None, phone: str | None) -> str:
    """Return the statement with the index that leaves the fewest groups; it has all filters."""
    if group_id is not None:
        return "group_find_by_id"
    if phone is not None:
        return "group_find_by_phone_sorted" if order == BY_NAME else "group_find_by_phone"
    if group_name:
        return "group_find_by_name" if order == BY_NAME else "group_find_by_name_sorted"
    return "group_find_all"


def _parse_phone(text: str) -> str:
    try:
        (phone,) = parse_phones(text, 1)
    except ParameterError:
        raise ParameterError(
            f"phone must be one phone number: {limits.PHONE_DIGITS_MIN} to "
            f"{limits.PHONE_DIGITS_MAX} digits that begin with an assigned country code"
        ) from None
    return phone


async def _start(
    context: Context, after: str | None, order: str, name_from: str
) -> tuple[dict[str, Any], int | None]:
    """Return the position after which the page starts, and the revision that it was read at."""
    if not after:
        seq = SEQ_MAX if order == NEWEST else SEQ_MIN
        return {"after_seq": seq, "after_name": name_from, "page_from": name_from}, None
    group = {"customer_id": context.customer_id, "group_id": after}
    rows = await context.store.fetch("group_seq_find", group)
    if not rows:
        raise GroupNotFound(
            "after must be the id of one of your groups, or of one that was deleted in the last 7 "
            "days; begin again with an empty after"
        )
    seq, name, revision = rows[0]
    page_from = max(name_from, name) if order == BY_NAME else name_from
    return {"after_seq": seq, "after_name": name, "page_from": page_from}, revision


def _cut(found: FoundGroups, limit: int) -> None:
    """Remove the group after the page and set `next`."""
    if found.rest is not None and found.groups:
        found.rest = _cut_rest(found, found.rest, limit)
    has_more = len(found.groups) > limit
    found.groups = found.groups[:limit]
    found.next = found.groups[-1].group_id if has_more else None


async def _cut_rest(
    found: FoundGroups, rest: AsyncGenerator[list[Group], None], limit: int
) -> AsyncGenerator[list[Group], None]:
    last, left = found.groups[-1], limit - len(found.groups)
    async with aclosing(rest):
        async for groups in rest:
            inside = groups[:left]
            last = inside[-1] if inside else last
            if len(inside) < len(groups):
                found.next = last.group_id
            left -= len(inside)
            if inside:
                yield inside
