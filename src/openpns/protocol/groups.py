"""The number group actions: one struct for each request, and how each answer is written."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final

import msgspec

from openpns import limits
from openpns.errors import LimitOutOfRange, OffsetOutOfRange
from openpns.protocol.fields import RequestBody, integer, text

GROUP_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""What an id looks like."""

PHONES_ALLOWED: Final = "text of phone numbers with country code, joined with commas"

ADD: Final = 0
DELETE: Final = 1
REPLACE: Final = 2
"""The values of updateGroup's operateType."""


class ListGroup(RequestBody, frozen=True):
    """Ask for a page of the caller's number groups, oldest first."""

    limit: Annotated[
        int,
        integer(
            "How many groups to return; 0 asks for as many as a page may hold, 1000.",
            0,
            limits.GROUPS_IN_PAGE_MAX,
            LimitOutOfRange,
        ),
    ]
    offset: Annotated[
        int,
        integer(
            "How many groups to pass over; 0 begins with the first.",
            0,
            limits.OFFSET_MAX,
            OffsetOutOfRange,
        ),
    ]


class CreateGroup(RequestBody, frozen=True):
    """Create a number group."""

    phones: Annotated[
        str, text("Phone numbers with country code, joined with `,`.", allowed=PHONES_ALLOWED)
    ]
    groupName: (  # noqa: N815
        Annotated[
            str,
            text(
                "The group's name; the groupId where empty or missing.",
                limits.GROUP_NAME_CHARS_MAX,
            ),
        ]
        | None
    ) = None
    remark: (
        Annotated[str, text("A remark, empty where missing.", limits.REMARK_CHARS_MAX)] | None
    ) = None
    clientToken: (  # noqa: N815
        Annotated[
            str,
            text(
                "Extension: your own name for this wish. Sent again within 24 hours, it is "
                "answered as before, and nothing is created.",
                limits.CLIENT_TOKEN_CHARS_MAX,
            ),
        ]
        | None
    ) = None


class UpdateGroup(RequestBody, frozen=True):
    """Change the phone numbers of a number group, all or nothing."""

    groupId: Annotated[str, text("The group to change.")]  # noqa: N815
    operateType: Annotated[  # noqa: N815
        int, integer("0 adds numbers, 1 deletes numbers, 2 replaces all numbers.", ADD, REPLACE)
    ]
    phones: Annotated[
        str, text("Phone numbers with country code, joined with `,`.", allowed=PHONES_ALLOWED)
    ]


class DeleteGroup(RequestBody, frozen=True):
    """Delete a number group with its numbers."""

    groupId: Annotated[str, text("The group to delete.")]  # noqa: N815


class Group(msgspec.Struct):
    """A number group as listGroup shows it; the fields stand in this order."""

    customerId: Annotated[str, text("The customer that the group belongs to.")]  # noqa: N815
    groupName: Annotated[str, text("The group's name.")]  # noqa: N815
    groupId: Annotated[str, text("The group's id, 32 lower-case hex characters.")]  # noqa: N815
    phones: Annotated[str, text("The numbers in the order they were added, joined with `,`.")]
    remark: Annotated[str, text("The group's remark.")]


class GroupPage(msgspec.Struct):
    """The `data` of listGroup; the fields stand in this order."""

    groups: Annotated[list[Group], text("The groups of this page, oldest first.")]
    total: Annotated[int, text("How many groups the caller has in all.")]


class GroupCreated(msgspec.Struct):
    """What createGroup returns, at the top level of the envelope."""

    groupId: Annotated[str, text("The new group's id.")]  # noqa: N815


class ListedGroups:
    """What `groups.list` found: a first piece and, for a large page, the rest of it.

    Args:
        version: The version of the customer's data: two pages of one version fit together.
        total: How many groups the customer has.
        rows: Groups, each a row in the order of the struct Group.
        rest: More rows of the same page, from the same snapshot; None where there are none.
    """

    def __init__(
        self,
        version: int,
        total: int,
        rows: Sequence[Sequence[Any]],
        rest: AsyncGenerator[Sequence[Sequence[Any]], None] | None = None,
    ) -> None:
        self.version = version
        self.total = total
        self.rows = rows
        self.rest = rest


_encode: Final = msgspec.json.Encoder().encode

Fragment = bytes | AsyncGenerator[bytes, None]
"""A JSON member of the envelope, whole or in pieces."""


def encode_listed(listed: ListedGroups) -> Fragment:
    """Write a page as the envelope's `data`, in pieces where it is large.

    Args:
        listed: The page.
    """
    if listed.rest is not None:
        return _encode_slices(listed.total, listed.rows, listed.rest)
    page = GroupPage([Group(*row) for row in listed.rows], listed.total)
    return b'"data":' + _encode(page)


async def _encode_slices(
    total: int, rows: Sequence[Sequence[Any]], rest: AsyncGenerator[Sequence[Sequence[Any]], None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield b'"data":{"groups":[' + _join(rows)
        comma = b"," if rows else b""
        async for more in rest:
            yield comma + _join(more)
            comma = b","
    yield b'],"total":%d}' % total


def _join(rows: Sequence[Sequence[Any]]) -> bytes:
    return b",".join([_encode(Group(*row)) for row in rows])


def encode_created(created: GroupCreated) -> Fragment:
    """Write createGroup's answer as a member of the envelope.

    Args:
        created: The new group's id.
    """
    return _encode(created)[1:-1]


def encode_nothing(_: None) -> Fragment:
    """Write the answer of an action that returns nothing."""
    return b""
