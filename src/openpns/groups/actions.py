"""The rows of the registry for number groups, and the encoder of a page of groups."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Final

import msgspec
from msgspec import UNSET

from openpns import limits
from openpns.core.actions import (
    Action,
    Fragment,
    encode_at_revision,
    encode_data,
    encode_members,
)
from openpns.groups import detail, listing, service, wire
from openpns.groups.guard import GroupGuard
from openpns.groups.pages import FoundGroups

_encode: Final = msgspec.json.Encoder().encode


def encode_found(found: FoundGroups) -> Fragment:
    """Write a page of groups as the envelope's `data`, in chunks if it is large."""
    if found.rest is not None:
        return _encode_chunks(found, found.rest)
    is_bounded = found.total_is_bounded or UNSET
    return encode_data(wire.GroupPage(found.groups, found.total, is_bounded, found.next))


async def _encode_chunks(
    found: FoundGroups, rest: AsyncGenerator[list[wire.Group], None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield b'"data":{"groups":[' + _join(found.groups)
        comma = b"," if found.groups else b""
        async for groups in rest:
            yield comma + _join(groups)
            comma = b","
    end = b',"totalIsBounded":true' if found.total_is_bounded else b""
    if found.next is not UNSET:
        end += b',"next":' + _encode(found.next)
    yield b'],"total":%d%s}' % (found.total, end)


def _join(groups: list[wire.Group]) -> bytes:
    return b",".join([_encode(group) for group in groups])


_GROUPS_EACH: Final = 100
_PHONES_EACH: Final = 100
_LISTED_PHONES_EACH: Final = 1000
_SEARCH_UNITS: Final = 4


def _cost_of_list(request: wire.ListGroup) -> int:
    is_search = not (request.group_name is UNSET and request.phone is UNSET)
    groups = request.limit or limits.GROUPS_IN_PAGE_MAX
    return max(-(-groups // _GROUPS_EACH), 1) + is_search * _SEARCH_UNITS


def _cost_of_phones(request: wire.CreateGroup | wire.UpdateGroup) -> int:
    if request.phones is UNSET:
        return 1
    # As many as there are commas and one more.
    return 1 + request.phones.count(",") // _PHONES_EACH


def _cost_of_phone_page(request: wire.ListGroupPhones) -> int:
    return -(-(request.limit or limits.PHONES_IN_PAGE_MAX) // _LISTED_PHONES_EACH)


def actions(guard: GroupGuard) -> dict[str, Action]:
    """Return the rows; `guard` is what a bound group demands."""
    return {
        "listGroup": Action(
            wire.ListGroup,
            listing.list_group,
            encode_found,
            answer=wire.GroupPage,
            cost=_cost_of_list,
            depends_on="groups",
        ),
        "createGroup": Action(
            wire.CreateGroup,
            service.create_group,
            encode_members,
            answer=wire.GroupCreated,
            answer_in_data=False,
            is_write=True,
            cost=_cost_of_phones,
        ),
        "updateGroup": Action(
            wire.UpdateGroup,
            partial(service.update_group, guard=guard),
            answer=wire.GroupChange,
            is_write=True,
            cost=_cost_of_phones,
        ),
        "deleteGroup": Action(
            wire.DeleteGroup, partial(service.delete_group, guard=guard), is_write=True
        ),
        "getGroup": Action(
            wire.GetGroup,
            partial(detail.get_group, guard=guard),
            answer=wire.GroupDetail,
        ),
        "listGroupPhones": Action(
            wire.ListGroupPhones,
            detail.list_group_phones,
            encode_at_revision,
            answer=wire.PhonePage,
            cost=_cost_of_phone_page,
            depends_on="groups",
        ),
    }
