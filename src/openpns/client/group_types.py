"""What the methods for number groups accept and return."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from openpns.client.arguments import text
from openpns.kit.casefold import fold_name

Order: TypeAlias = Literal["oldest", "newest", "name"]
"""Which groups come first."""

Phones: TypeAlias = str | Iterable[str]
"""Phone numbers: an iterable of them, or one text with commas between them."""


class Group(msgspec.Struct, frozen=True):
    """A number group; `phones` in the order they were added, digits with country code."""

    group_id: str
    name: str
    phones: list[str]
    remark: str
    customer_id: str

    def __repr__(self) -> str:
        return f"Group(group_id={self.group_id!r}, name={self.name!r}, phones={len(self.phones)})"


class GroupDetails(Group, frozen=True):
    """A number group with its counts of phones and of bindings that use it; times in UTC."""

    count: int
    created: datetime
    updated: datetime
    bindings: int = 0

    def __repr__(self) -> str:
        return f"GroupDetails(group_id={self.group_id!r}, name={self.name!r}, count={self.count})"


class _Total(msgspec.Struct, frozen=True, kw_only=True):
    """What else a page says of its total; by keyword, so that `next` stays in its place."""

    total_is_bounded: bool = False


class GroupPage(_Total, frozen=True):
    """A page of number groups; `total` counts all groups that match, not only those of the page.

    A search counts up to 10 000; `total_is_bounded` says that there are more.
    """

    groups: list[Group]
    total: int


class CursorPage(GroupPage, frozen=True):
    """A page of number groups; `next` is the `after` of the next page, None on the last one."""

    next: str | None


class Filters(msgspec.Struct, frozen=True):
    """Which groups to find, and in which order; None matches any group."""

    phone: str | None = None
    name: str | None = None
    """The beginning of a name, in any letter case."""
    group_id: str | None = None
    order: Order | None = None

    def __repr__(self) -> str:
        return "Filters(…)"

    def body(self) -> dict[str, str]:
        """Return the fields to send."""
        fields = ("phone", self.phone), ("groupName", self.name), ("groupId", self.group_id)
        named = (*fields, ("order", self.order))
        return {field: text(field, value) for field, value in named if value is not None}

    def match(self, group: Group) -> bool:
        """Return whether a group has the phone, the name and the id."""
        if self.phone is not None and self.phone.strip().removeprefix("+") not in group.phones:
            return False
        if self.name is not None and not fold_name(group.name).startswith(fold_name(self.name)):
            return False
        return self.group_id in (None, group.group_id)
