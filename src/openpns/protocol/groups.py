"""The number group actions: one struct for each request, and how each answer is written."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from openpns import limits
from openpns.errors import LimitOutOfRange, OffsetOutOfRange
from openpns.protocol.fields import RequestBody, choice, flag, integer, text

GROUP_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""What an id looks like."""

PHONES_ALLOWED: Final = "text of phone numbers with country code, joined with commas"

OLDEST: Final = "oldest"
NEWEST: Final = "newest"
BY_NAME: Final = "name"
ORDERS: Final = (OLDEST, NEWEST, BY_NAME)
"""The values of listGroup's order."""

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
    offset: (
        Annotated[
            int,
            integer(
                "How many groups to pass over; 0 begins with the first.",
                0,
                limits.OFFSET_MAX,
                OffsetOutOfRange,
            ),
        ]
        | UnsetType
    ) = UNSET
    after: (
        Annotated[
            str,
            text(
                "Extension, in the place of `offset`: the last groupId you have seen; the page "
                "begins behind it. Empty begins with the first group.",
                limits.GROUP_ID_CHARS,
            ),
        ]
        | UnsetType
    ) = UNSET
    order: (
        Annotated[str, choice("Extension: which groups come first; oldest where missing.", *ORDERS)]
        | UnsetType
    ) = UNSET
    groupId: (  # noqa: N815
        Annotated[str, text("Extension: only the group with this id.", limits.GROUP_ID_CHARS)]
        | UnsetType
    ) = UNSET
    groupName: (  # noqa: N815
        Annotated[
            str,
            text(
                "Extension: only groups whose name begins so, in upper or lower case.",
                limits.GROUP_NAME_CHARS_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    phone: (
        Annotated[
            str,
            text(
                "Extension: only groups that hold this number.",
                allowed="one phone number with country code",
            ),
        ]
        | UnsetType
    ) = UNSET

    needed_unless = {"offset": ("after",)}  # noqa: RUF012

    @property
    def is_plain(self) -> bool:
        """Whether the request asks for no more than one that the vendor documents can."""
        return (
            self.after is UNSET
            and (self.order is UNSET or self.order == OLDEST)
            and self.groupId is UNSET
            and self.groupName is UNSET
            and self.phone is UNSET
        )


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
    """Change the phone numbers, name or remark of a number group, all or nothing."""

    groupId: Annotated[str, text("The group to change.")]  # noqa: N815
    operateType: (  # noqa: N815
        Annotated[
            int, integer("0 adds numbers, 1 deletes numbers, 2 replaces all numbers.", ADD, REPLACE)
        ]
        | UnsetType
    ) = UNSET
    phones: (
        Annotated[
            str, text("Phone numbers with country code, joined with `,`.", allowed=PHONES_ALLOWED)
        ]
        | UnsetType
    ) = UNSET
    groupName: (  # noqa: N815
        Annotated[
            str,
            text(
                "Extension: the group's new name; the groupId where empty.",
                limits.GROUP_NAME_CHARS_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    remark: (
        Annotated[str, text("Extension: the group's new remark.", limits.REMARK_CHARS_MAX)]
        | UnsetType
    ) = UNSET
    detail: Annotated[bool, flag("Extension: tell what the change did.")] = False
    dryRun: Annotated[  # noqa: N815
        bool, flag("Extension: tell what the change would do, and change nothing.")
    ] = False

    needed_unless = {  # noqa: RUF012
        "operateType": ("groupName", "remark"),
        "phones": ("groupName", "remark"),
    }


class DeleteGroup(RequestBody, frozen=True):
    """Delete a number group with its numbers."""

    groupId: Annotated[str, text("The group to delete.")]  # noqa: N815


class GetGroup(RequestBody, frozen=True):
    """Ask for one number group."""

    groupId: Annotated[str, text("The group.")]  # noqa: N815


class ListGroupPhones(RequestBody, frozen=True):
    """Ask for a page of a number group's numbers, in the order they were added."""

    groupId: Annotated[str, text("The group.")]  # noqa: N815
    limit: Annotated[
        int,
        integer(
            "How many numbers to return; 0 asks for as many as a page may hold, 10 000.",
            0,
            limits.NUMBERS_IN_PAGE_MAX,
            LimitOutOfRange,
        ),
    ]
    offset: Annotated[
        int,
        integer(
            "How many numbers to pass over; 0 begins with the first.",
            0,
            limits.OFFSET_MAX,
            OffsetOutOfRange,
        ),
    ]


class GetLimits(RequestBody, frozen=True):
    """Ask for every bound that applies to the caller."""


class Group(msgspec.Struct):
    """A number group as listGroup shows it; the fields stand in this order."""

    customerId: Annotated[str, text("The customer that the group belongs to.")]  # noqa: N815
    groupName: Annotated[str, text("The group's name.")]  # noqa: N815
    groupId: Annotated[str, text("The group's id, 32 lower-case hex characters.")]  # noqa: N815
    phones: Annotated[str, text("The numbers in the order they were added, joined with `,`.")]
    remark: Annotated[str, text("The group's remark.")]

    def __repr__(self) -> str:
        """Return a text without phone numbers and remark."""
        return f"Group(groupId={self.groupId!r}, groupName={self.groupName!r})"


class GroupPage(msgspec.Struct):
    """The `data` of listGroup; the fields stand in this order."""

    groups: Annotated[list[Group], text("The groups of this page, oldest first.")]
    total: Annotated[int, text("How many groups there are in all, of those that were asked for.")]
    next: (
        Annotated[
            str | None,
            text(
                "Extension, only where `after` was sent: what to send as `after` next; null after "
                "the last page."
            ),
        ]
        | UnsetType
    ) = UNSET


class ShownGroup(Group):
    """The `data` of getGroup: a group as listGroup shows it, and more."""

    count: Annotated[int, text("How many numbers it holds.")]
    createdMs: Annotated[int, text("When it was created, in ms since 1970 UTC.")]  # noqa: N815
    updatedMs: Annotated[int, text("When it was last changed, in ms since 1970 UTC.")]  # noqa: N815


class PhonePage(msgspec.Struct):
    """The `data` of listGroupPhones."""

    phones: Annotated[str, text("The numbers of this page, joined with `,`; empty for none.")]
    total: Annotated[int, text("How many numbers the group holds.")]

    def __repr__(self) -> str:
        """Return a text without phone numbers."""
        return f"PhonePage(total={self.total})"


class GroupChange(msgspec.Struct):
    """The `data` of updateGroup where `detail` or `dryRun` was sent."""

    added: Annotated[int, text("How many numbers came into the group.")]
    removed: Annotated[int, text("How many numbers went out of it.")]
    unchanged: Annotated[int, text("How many numbers of the request changed nothing.")]
    count: Annotated[int, text("How many numbers it holds after the change.")]


class Limit(msgspec.Struct):
    """A bound that applies to a caller."""

    name: Annotated[str, text("What is bounded.")]
    max: Annotated[int | None, text("The bound; null for none.")]
    used: (
        Annotated[int, text("How much of it is used; missing where nothing is used up.")]
        | UnsetType
    ) = UNSET


class LimitList(msgspec.Struct):
    """The `data` of getLimits."""

    limits: Annotated[list[Limit], text("Every bound that applies to the caller.")]


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
        next: What `data.next` says; known only once `rest` was read to its end.
    """

    def __init__(
        self,
        version: int,
        total: int,
        rows: Sequence[Sequence[Any]],
        rest: AsyncGenerator[Sequence[Sequence[Any]], None] | None = None,
        next: str | UnsetType | None = UNSET,  # noqa: A002 - the field's name
    ) -> None:
        self.version = version
        self.total = total
        self.rows = rows
        self.rest = rest
        self.next = next


_encode: Final = msgspec.json.Encoder().encode

Fragment = bytes | AsyncGenerator[bytes, None]
"""A JSON member of the envelope, whole or in pieces."""


def encode_listed(listed: ListedGroups) -> Fragment:
    """Write a page as the envelope's `data`, in pieces where it is large.

    Args:
        listed: The page.
    """
    if listed.rest is not None:
        return _encode_slices(listed, listed.rest)
    page = GroupPage([Group(*row) for row in listed.rows], listed.total, listed.next)
    return encode_data(page)


async def _encode_slices(
    listed: ListedGroups, rest: AsyncGenerator[Sequence[Sequence[Any]], None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield b'"data":{"groups":[' + _join(listed.rows)
        comma = b"," if listed.rows else b""
        async for more in rest:
            yield comma + _join(more)
            comma = b","
    end = b"" if listed.next is UNSET else b',"next":' + _encode(listed.next)
    yield b'],"total":%d%s}' % (listed.total, end)


def encode_data(data: msgspec.Struct) -> Fragment:
    """Write an answer as the envelope's `data`.

    Args:
        data: The answer.
    """
    return b'"data":' + _encode(data)


def encode_change(change: GroupChange | None) -> Fragment:
    """Write updateGroup's answer.

    Args:
        change: What the change did, where that was asked for.
    """
    return b"" if change is None else encode_data(change)


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
