"""The calls of openpns's extensions, which another server may not know.

A server that does not know a field passes over it. So a call here asks for something besides that
only a server sends that knows the extension, and is an error where that is missing; never does it
return what was not asked for.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from openpns import limits
from openpns.accounts import wire as accounts_wire
from openpns.client.requests import (
    Call,
    Group,
    GroupPage,
    Phones,
    WireGroup,
    join_phones,
    read_group,
    read_nothing,
    read_page,
)
from openpns.groups import wire
from openpns.groups import wire as answers
from openpns.kit.casefold import fold_name

Order: TypeAlias = Literal["oldest", "newest", "name"]
"""Which groups come first."""

DataT = TypeVar("DataT")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_Moment: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]
"""In ms since 1970 UTC, up to the year 9999."""


class GroupDetails(Group, frozen=True):
    """A number group, with what only `groups.get` tells.

    Attributes:
        count: How many numbers it holds.
        created: When it was created, in UTC.
        updated: When it was last changed, in UTC.
    """

    count: int
    created: datetime
    updated: datetime

    def __repr__(self) -> str:
        """Return a text without phone numbers and remark, which must not end in a log."""
        return f"GroupDetails(group_id={self.group_id!r}, name={self.name!r}, count={self.count})"


class GroupChange(msgspec.Struct, frozen=True):
    """What a change does to a group.

    Attributes:
        added: How many numbers come into the group.
        removed: How many numbers go out of it.
        unchanged: How many numbers of the call change nothing.
        count: How many numbers it holds after the change.
    """

    added: int
    removed: int
    unchanged: int
    count: int


class Limit(msgspec.Struct, frozen=True):
    """A bound that applies to the access key.

    Attributes:
        max: The bound; None for none.
        used: How much of it is used; None where nothing is used up.
    """

    max: int | None
    used: int | None


class PhonePage(msgspec.Struct, frozen=True):
    """A page of a group's numbers.

    Attributes:
        phones: The numbers of this page.
        total: How many the group holds.
    """

    phones: list[str]
    total: int

    def __repr__(self) -> str:
        """Return a text without phone numbers."""
        return f"PhonePage(phones={len(self.phones)}, total={self.total})"


class PageBehind(GroupPage, frozen=True):
    """A page of groups, with where the next one begins.

    Attributes:
        next: The group that the next page begins behind; None after the last page.
    """

    next: str | None


class Filters(msgspec.Struct, frozen=True):
    """Which groups to find, and in which order; None for any.

    Attributes:
        phone: Only groups that hold this number.
        name: Only groups whose name begins so, in upper or lower case.
        group_id: Only the group with this id.
        order: "oldest", "newest" or "name".
    """

    phone: str | None = None
    name: str | None = None
    group_id: str | None = None
    order: Order | None = None

    def __repr__(self) -> str:
        """Return a text without the phone number."""
        return "Filters(…)"

    def body(self) -> dict[str, str]:
        """Return the fields to send."""
        fields = ("phone", self.phone), ("groupName", self.name), ("groupId", self.group_id)
        named = (*fields, ("order", self.order))
        return {field: value for field, value in named if value is not None}

    def fit(self, group: Group) -> bool:
        """Tell whether a group is one of those that were asked for.

        Args:
            group: The group.
        """
        if self.phone is not None and self.phone.strip().removeprefix("+") not in group.phones:
            return False
        if self.name is not None and not fold_name(group.name).startswith(fold_name(self.name)):
            return False
        return self.group_id in (None, group.group_id)


def find_groups(
    *,
    phone: str | None = None,
    name: str | None = None,
    group_id: str | None = None,
    order: Order | None = None,
    limit: int = limits.GROUPS_IN_PAGE_MAX,
    offset: int = 0,
) -> Call[GroupPage]:
    """Return a page of the groups that fit, and how many fit in all. An extension of openpns.

    Args:
        phone: Only groups that hold this number.
        name: Only groups whose name begins so, in upper or lower case.
        group_id: Only the group with this id.
        order: "oldest" (where None), "newest" or "name".
        limit: How many groups, 0 to 1000; 0 asks for as many as a page may hold.
        offset: How many of the groups that fit to pass over.

    Raises:
        ParameterError: phone is no number, name or order is not allowed.
        LimitOutOfRange: limit is outside its range.
        OffsetOutOfRange: offset is outside its range.
        AnswerUnreadable: The server does not know how to find groups.
    """
    filters = Filters(phone, name, group_id, order)
    if not offset:  # without one the answer proves that the server knows extensions
        first = page_behind("", limit, filters)
        return Call(first.action, first.body, lambda it: _plain(first.read(it)), is_read=True)

    def read(envelope: dict[str, Any]) -> GroupPage:
        page = read_page(envelope)
        if not all(map(filters.fit, page.groups)):
            raise msgspec.ValidationError("groups that were not asked for")
        return page

    body = {"limit": limit, "offset": offset, **filters.body()}
    return Call("listGroup", body, read, is_read=True)


def _plain(page: GroupPage) -> GroupPage:
    return GroupPage(page.groups, page.total)


def page_behind(
    after: str, limit: int, filters: Filters, *, may_be_plain: bool = False
) -> Call[GroupPage]:
    """Return the page behind a group.

    Args:
        after: The group's id; empty for the first page.
        limit: How many groups.
        filters: Which groups.
        may_be_plain: Whether to return a page also from a server that does not know `after`; it
            is then no `PageBehind`.
    """

    def read(envelope: dict[str, Any]) -> GroupPage:
        page = read_page(envelope)
        following = msgspec.convert(envelope["data"], _Next).next
        if following is not UNSET:
            return PageBehind(page.groups, page.total, following)
        if may_be_plain:
            return page
        raise msgspec.ValidationError("no data.next")

    body = {"limit": limit, "after": after, **filters.body()}
    return Call("listGroup", body, read, is_read=True)


def get_group(group_id: str) -> Call[GroupDetails]:
    """Return one group. An extension of openpns.

    Args:
        group_id: The group.

    Raises:
        GroupNotFound: There is no such group.
        ParameterError: The server does not know the action.
    """
    return _read_call("getGroup", {"groupId": group_id}, _Shown, _read_details)


def list_phones(
    group_id: str, limit: int = limits.PHONES_IN_PAGE_MAX, offset: int = 0
) -> Call[PhonePage]:
    """Return a page of a group's numbers.

    Args:
        group_id: The group.
        limit: How many numbers, 0 to 10 000; 0 asks for as many as a page may hold.
        offset: How many to pass over.
    """

    def read(page: answers.PhonePage) -> PhonePage:
        return PhonePage(page.phones.split(",") if page.phones else [], page.total)

    body = {"groupId": group_id, "limit": limit, "offset": offset}
    return _read_call("listGroupPhones", body, answers.PhonePage, read)


def rename_group(group_id: str, name: str | None = None, remark: str | None = None) -> Call[None]:
    """Give a group another name or remark. An extension of openpns.

    Args:
        group_id: The group.
        name: Its new name, at most 128 characters; its id where empty. None leaves it.
        remark: Its new remark, at most 512 characters. None leaves it.

    Raises:
        ValueError: Neither a name nor a remark is given.
        GroupNotFound: There is no such group.
        ParameterError: The name or the remark is not allowed, or the server does not know that a
            group can be renamed.
    """
    if name is None and remark is None:
        raise ValueError("a name or a remark must be given")
    named = ("groupId", group_id), ("groupName", name), ("remark", remark)
    body = {field: value for field, value in named if value is not None}
    return Call("updateGroup", body, read_nothing)


def change_phones(
    group_id: str,
    *,
    add: Phones | None = None,
    remove: Phones | None = None,
    replace: Phones | None = None,
    dry_run: bool = False,
) -> Call[GroupChange]:
    """Change a group's numbers, and tell what the change does.

    Args:
        group_id: The group.
        add: Numbers to add.
        remove: Numbers to take out.
        replace: Numbers to put in the place of all.
        dry_run: Only tell, and change nothing. Send it only to a server that knows dry runs:
            another one would carry the change out.

    Raises:
        ValueError: Not exactly one of add, remove and replace is given.
    """
    given = [
        (operate_type, phones)
        for operate_type, phones in (
            (wire.ADD, add),
            (wire.DELETE, remove),
            (wire.REPLACE, replace),
        )
        if phones is not None
    ]
    if len(given) != 1:
        raise ValueError("exactly one of add, remove and replace must be given")
    ((operate_type, phones),) = given
    body: dict[str, Any] = {
        "groupId": group_id,
        "operateType": operate_type,
        "phones": join_phones(phones),
        "dryRun" if dry_run else "detail": True,
    }
    return Call("updateGroup", body, lambda envelope: _read_data(envelope, GroupChange))


def get_limits() -> Call[dict[str, Limit]]:
    """Return every bound that applies to the access key, by its name."""

    def read(data: accounts_wire.LimitList) -> dict[str, Limit]:
        return {
            limit.name: Limit(limit.max, None if limit.used is UNSET else limit.used)
            for limit in data.limits
        }

    return _read_call("getLimits", {}, accounts_wire.LimitList, read)


ResultT = TypeVar("ResultT")


def _read_call(
    action: str, body: dict[str, Any], data: type[DataT], read: Callable[[DataT], ResultT]
) -> Call[ResultT]:
    return Call(action, body, lambda envelope: read(_read_data(envelope, data)), is_read=True)


def _read_data(envelope: dict[str, Any], data: type[DataT]) -> DataT:
    return msgspec.convert(envelope.get("data"), data)


class _Next(msgspec.Struct):
    next: str | UnsetType | None = UNSET


class _Shown(WireGroup, kw_only=True):
    count: int
    createdMs: _Moment  # noqa: N815
    updatedMs: _Moment  # noqa: N815


def _read_details(shown: _Shown) -> GroupDetails:
    group = read_group(shown)
    created, updated = (
        _EPOCH + timedelta(milliseconds=ms) for ms in (shown.createdMs, shown.updatedMs)
    )
    return GroupDetails(
        group.group_id,
        group.name,
        group.phones,
        group.remark,
        group.customer_id,
        shown.count,
        created,
        updated,
    )
