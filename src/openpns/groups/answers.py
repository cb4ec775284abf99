"""The number group actions: what each returns, and how it is written as part of the envelope."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from openpns.protocol.fields import text


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
