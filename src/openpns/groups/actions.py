"""The rows of the registry for number groups, and how a page of groups is written."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

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
from openpns.groups.listing import FoundGroups

_encode: Final = msgspec.json.Encoder().encode


def encode_found(found: FoundGroups) -> Fragment:
    """Write a page of groups as the envelope's `data`, in chunks if it is large."""
    if found.rest is not None:
        return _encode_chunks(found, found.rest)
    groups = [wire.Group(*row) for row in found.rows]
    return encode_data(wire.GroupPage(groups, found.total, found.next))


async def _encode_chunks(
    found: FoundGroups, rest: AsyncGenerator[Sequence[Sequence[Any]], None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield b'"data":{"groups":[' + _join(found.rows)
        comma = b"," if found.rows else b""
        async for rows in rest:
            yield comma + _join(rows)
            comma = b","
    end = b"" if found.next is UNSET else b',"next":' + _encode(found.next)
    yield b'],"total":%d%s}' % (found.total, end)


def _join(rows: Sequence[Sequence[Any]]) -> bytes:
    return b",".join([_encode(wire.Group(*row)) for row in rows])


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
