"""The number group actions: one struct for each request."""

import re
from typing import Annotated, Final

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
            limits.PHONES_IN_PAGE_MAX,
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
