"""The rows of the registry for number groups, and the encoder of a page of groups."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import msgspec
from msgspec import UNSET

from openpns.core.actions import (
    Action,
    Fragment,
    encode_at_revision,
    encode_data,
    encode_members,
)
from openpns.groups import detail, listing, service, wire
from openpns.groups.pages import FoundGroups

_encode: Final = msgspec.json.Encoder().encode


def encode_found(found: FoundGroups) -> Fragment:
    """Write a page of groups as the envelope's `data`, in chunks if it is large."""
    if found.rest is not None:
        return _encode_chunks(found, found.rest)
    return encode_data(wire.GroupPage(found.groups, found.total, found.next))


async def _encode_chunks(
    found: FoundGroups, rest: AsyncGenerator[list[wire.Group], None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield b'"data":{"groups":[' + _join(found.groups)
        comma = b"," if found.groups else b""
        async for groups in rest:
            yield comma + _join(groups)
            comma = b","
    end = b"" if found.next is UNSET else b',"next":' + _encode(found.next)
    yield b'],"total":%d%s}' % (found.total, end)


def _join(groups: list[wire.Group]) -> bytes:
    return b",".join([_encode(group) for group in groups])


ACTIONS: Final[dict[str, Action]] = {
    "listGroup": Action(
        wire.ListGroup,
        listing.list_group,
        encode_found,
        answer=wire.GroupPage,
        depends_on="groups",
    ),
    "createGroup": Action(
        wire.CreateGroup,
        service.create_group,
        encode_members,
        answer=wire.GroupCreated,
        answer_in_data=False,
        is_write=True,
    ),
    "updateGroup": Action(
        wire.UpdateGroup, service.update_group, answer=wire.GroupChange, is_write=True
    ),
    "deleteGroup": Action(wire.DeleteGroup, service.delete_group, is_write=True),
    "getGroup": Action(
        wire.GetGroup,
        detail.get_group,
        encode_at_revision,
        answer=wire.GroupDetail,
        depends_on="groups",
    ),
    "listGroupPhones": Action(
        wire.ListGroupPhones,
        detail.list_group_phones,
        encode_at_revision,
        answer=wire.PhonePage,
        depends_on="groups",
    ),
}
