"""The number group actions on the wire: a struct for each request and each response."""

import re
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from openpns import limits
from openpns.errors import LimitOutOfRange, OffsetOutOfRange
from openpns.protocol.fields import RequestBody, WriteBody, choice, flag, integer, text

GROUP_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""What a groupId looks like."""

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


def _limit(meaning: str, at_most: int) -> msgspec.Meta:
    return integer(meaning, 0, at_most, LimitOutOfRange)


def _offset(meaning: str) -> msgspec.Meta:
    return integer(meaning, 0, limits.OFFSET_MAX, OffsetOutOfRange)


_Phones: TypeAlias = Annotated[
    str, text("Phone numbers with country code, joined with `,`.", allowed=PHONES_ALLOWED)
]


class ListGroup(RequestBody, frozen=True):
    """Return a page of the customer's number groups, oldest first."""

    limit: Annotated[
        int,
        _limit(
            "How many groups to return; 0 returns as many as a page may hold, 1000.",
            limits.GROUPS_IN_PAGE_MAX,
        ),
    ]
    offset: (
        Annotated[int, _offset("How many groups to skip; 0 starts at the first.")] | UnsetType
    ) = UNSET
    after: (
        Annotated[
            str,
            text(
                "Extension, instead of `offset`: the last groupId of the page before; the page "
                "starts after it. Empty starts at the first group.",
                limits.GROUP_ID_CHARS,
            ),
        ]
        | UnsetType
    ) = UNSET
    order: (
        Annotated[str, choice("Extension: which groups come first; oldest if missing.", *ORDERS)]
        | UnsetType
    ) = UNSET
    group_id: (
        Annotated[str, text("Extension: only the group with this id.", limits.GROUP_ID_CHARS)]
        | UnsetType
    ) = UNSET
    group_name: (
        Annotated[
            str,
            text(
                "Extension: only groups whose name starts with this text, in any case.",
                limits.GROUP_NAME_CHARS_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    phone: (
        Annotated[
            str,
            text(
                "Extension: only groups that hold this phone number.",
                allowed="one phone number with country code",
            ),
        ]
        | UnsetType
    ) = UNSET

    needed_unless = {"offset": ("after",)}  # noqa: RUF012


class CreateGroup(WriteBody, frozen=True):
    """Create a number group."""

    phones: _Phones
    group_name: (
        Annotated[
            str,
            text("The group's name; the groupId if empty or missing.", limits.GROUP_NAME_CHARS_MAX),
        ]
        | None
    ) = None
    remark: Annotated[str, text("A remark; empty if missing.", limits.REMARK_CHARS_MAX)] | None = (
        None
    )


class UpdateGroup(WriteBody, frozen=True):
    """Change the phone numbers, name or remark of a number group, all or nothing."""

    group_id: Annotated[str, text("The group to change.")]
    operate_type: (
        Annotated[
            int,
            integer("0 adds phone numbers, 1 deletes them, 2 replaces all of them.", ADD, REPLACE),
        ]
        | UnsetType
    ) = UNSET
    phones: _Phones | UnsetType = UNSET
    group_name: (
        Annotated[
            str,
            text(
                "Extension: the group's new name; the groupId if empty.",
                limits.GROUP_NAME_CHARS_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    remark: (
        Annotated[str, text("Extension: the group's new remark.", limits.REMARK_CHARS_MAX)]
        | UnsetType
    ) = UNSET
    detail: Annotated[bool, flag("Extension: return what the change did.")] = False
    dry_run: Annotated[
        bool, flag("Extension: return what the change would do, and change nothing.")
    ] = False

    needed_unless = {  # noqa: RUF012
        "operate_type": ("group_name", "remark"),
        "phones": ("group_name", "remark"),
    }


class DeleteGroup(WriteBody, frozen=True):
    """Delete a number group with its phone numbers."""

    group_id: Annotated[str, text("The group to delete.")]


class GetGroup(RequestBody, frozen=True):
    """Return one number group."""

    group_id: Annotated[str, text("The group.")]


class ListGroupPhones(RequestBody, frozen=True):
    """Return a page of a number group's phone numbers, in the order they were added."""

    group_id: Annotated[str, text("The group.")]
    limit: Annotated[
        int,
        _limit(
            "How many phone numbers to return; 0 returns as many as a page may hold, 10 000.",
            limits.PHONES_IN_PAGE_MAX,
        ),
    ]
    offset: Annotated[int, _offset("How many phone numbers to skip; 0 starts at the first.")]


class Group(msgspec.Struct, rename="camel"):
    """A number group in listGroup's response; the order of the fields is part of the API."""

    customer_id: Annotated[str, text("The customer that the group belongs to.")]
    group_name: Annotated[str, text("The group's name.")]
    group_id: Annotated[str, text("The group's id, 32 lower-case hex characters.")]
    phones: Annotated[str, text("Its phone numbers in the order they were added, joined with `,`.")]
    remark: Annotated[str, text("The group's remark.")]

    def __repr__(self) -> str:  # without phones and remark
        return f"{type(self).__name__}({self.group_id!r}, group_name={self.group_name!r})"


class GroupPage(msgspec.Struct, rename="camel"):
    """The `data` of listGroup; the order of the fields is part of the API."""

    groups: Annotated[list[Group], text("The groups of this page, oldest first.")]
    total: Annotated[
        int,
        text(
            "How many groups there are, of those that match the filters; with filters at most "
            "10 000."
        ),
    ]
    total_is_bounded: (
        Annotated[bool, text("Extension: true if more groups match than `total` says.")] | UnsetType
    ) = UNSET
    next: (
        Annotated[
            str | None,
            text(
                "Extension, only if `after` was sent: the value of `after` for the next page; null "
                "on the last page."
            ),
        ]
        | UnsetType
    ) = UNSET


class GroupDetail(Group, rename="camel"):
    """The `data` of getGroup: a group as in listGroup, and more."""

    count: Annotated[int, text("How many phone numbers it holds.")]
    created_ms: Annotated[int, text("When it was created, in ms since 1970 UTC.")]
    updated_ms: Annotated[int, text("When it was last changed, in ms since 1970 UTC.")]
    bindings: Annotated[int, text("How many live bindings use it.")]


class PhonePage(msgspec.Struct):
    """The `data` of listGroupPhones."""

    phones: Annotated[str, text("The phone numbers of this page, joined with `,`; may be empty.")]
    total: Annotated[int, text("How many phone numbers the group holds.")]

    def __repr__(self) -> str:
        return f"PhonePage(total={self.total})"


class GroupChange(msgspec.Struct):
    """The `data` of updateGroup if `detail` or `dryRun` was sent."""

    added: Annotated[int, text("How many phone numbers were added to the group.")]
    removed: Annotated[int, text("How many phone numbers were removed from it.")]
    unchanged: Annotated[int, text("How many phone numbers of the request changed nothing.")]
    count: Annotated[int, text("How many phone numbers it holds after the change.")]


class GroupCreated(msgspec.Struct, rename="camel"):
    """What createGroup returns, at the top level of the envelope."""

    group_id: Annotated[str, text("The new group's id.")]
