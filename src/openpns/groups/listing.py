"""listGroup without filters, oldest first. With filters, another order or `after`: see `find`.

Source: docs/api/listGroup.md.
"""

from openpns import limits
from openpns.core.context import Context
from openpns.groups import find, phone_chunks
from openpns.groups.pages import FoundGroups, fetch_page, page_params, stream_page
from openpns.groups.wire import OLDEST


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

    The parameters are the fields of `wire.ListGroup`.

    Raises:
        ParameterError: offset and after are given together, or phone is not a phone number.
        GroupNotFound: after is not a group of the customer, nor one deleted in the last 7 days.
    """
    limit = limit or limits.GROUPS_IN_PAGE_MAX
    has_filters = not (after is None and group_id is None and group_name is None and phone is None)
    if has_filters or order not in (None, OLDEST):
        return await find.find_groups(
            context,
            limit=limit,
            offset=offset,
            after=after,
            order=order or OLDEST,
            group_id=group_id,
            group_name=group_name,
            phone=phone,
        )
    params = page_params(context, limit, offset)
    params["phones_short"] = min(params["phones_max"], phone_chunks.PHONES_IN_CHUNK)
    if not offset:
        found = await fetch_page(context, "group_list", params)
        if found.is_whole:
            return found
    found = await fetch_page(context, "group_list_seek", params)
    return found if found.is_whole else await stream_page(context, "group_list_seek", params)
