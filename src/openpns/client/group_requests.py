"""The requests for number groups: a function for each, which returns it ready to send.

An extension of openpns is a request whose response another server cannot give: a server ignores
the fields that it does not know. So each extension reads something that only openpns sends, and
fails if that is missing.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from openpns import limits
from openpns.client.arguments import flag, joined_phones, optional_text, text
from openpns.client.group_types import (
    CursorPage,
    Filters,
    Group,
    GroupDetails,
    GroupPage,
    Order,
    Phones,
)
from openpns.client.requests import Request, ResultT
from openpns.errors import ParameterError
from openpns.groups import wire
from openpns.groups.wire import GroupChange, GroupCreated, PhonePage

DataT = TypeVar("DataT")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TimeMs: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]
"""In ms since 1970 UTC, up to the year 9999."""


def list_groups(limit: int = limits.GROUPS_IN_PAGE_MAX, offset: int = 0) -> Request[GroupPage]:
    """Return a page of number groups, oldest first.

    Raises:
        LimitOutOfRange: limit is not from 0 to 1000; 0 returns 1000.
        OffsetOutOfRange: offset is negative.
    """
    return Request("listGroup", {"limit": limit, "offset": offset}, _read_page, is_read=True)


def find_groups(
    *,
    phone: str | None = None,
    name: str | None = None,
    group_id: str | None = None,
    order: Order | None = None,
    limit: int = limits.GROUPS_IN_PAGE_MAX,
    offset: int = 0,
) -> Request[GroupPage]:
    """Return a page of the groups that match, and how many match. An extension of openpns.

    `total` ends at 10 000; `total_is_bounded` is true then. To page further, use `iterate`.

    Args:
        phone: Only groups that hold this phone number.
        name: Only groups whose name begins with this text, in any letter case.
        group_id: Only the group with this id.
        order: "oldest" (the default), "newest" or "name".

    Raises:
        ParameterError: phone is not a phone number, or name or order is not allowed.
        LimitOutOfRange: limit is not from 0 to 1000; 0 returns 1000.
        OffsetOutOfRange: offset is negative or above 10 000.
        AnswerUnreadable: The server cannot find groups.
    """
    filters = Filters(phone, name, group_id, order)

    def read_first(envelope: dict[str, Any]) -> GroupPage:
        page = _read_cursor_page(envelope)
        return GroupPage(page.groups, page.total, total_is_bounded=page.total_is_bounded)

    def read_later(envelope: dict[str, Any]) -> GroupPage:
        page = _read_page(envelope)
        if not all(map(filters.match, page.groups)):
            raise msgspec.ValidationError("a group that does not match")
        return page

    body: dict[str, Any] = {"limit": limit, **filters.body()}
    if offset:  # does not prove that the server knows the filters
        return Request("listGroup", body | {"offset": offset}, read_later, is_read=True)
    return Request("listGroup", body | {"after": ""}, read_first, is_read=True, is_extension=True)


def page_after(
    after: str, limit: int, filters: Filters, *, may_be_plain: bool = False
) -> Request[GroupPage]:
    """Return the page of groups after the group with the id `after`; empty for the first page.

    With `may_be_plain`, also accept the page of a server that ignores `after`; it is not a
    CursorPage.
    """
    body = {"limit": limit, "after": after, **filters.body()}
    if may_be_plain:
        return Request("listGroup", body, _read_any_page, is_read=True)
    return Request("listGroup", body, _read_cursor_page, is_read=True, is_extension=True)


def get_group(group_id: str) -> Request[GroupDetails]:
    """Return one group. An extension of openpns.

    Raises:
        GroupNotFound: There is no such group.
        ParameterError: The server does not know the action.
    """

    def read(envelope: dict[str, Any]) -> GroupDetails:
        group = _read_data(envelope, _WireDetails)
        created, updated = (
            _EPOCH + timedelta(milliseconds=ms) for ms in (group.created_ms, group.updated_ms)
        )
        return GroupDetails(*_fields(group), group.count, created, updated, group.bindings)

    body = {"groupId": text("groupId", group_id)}
    return Request("getGroup", body, read, is_read=True, is_extension=True)


def list_phones(
    group_id: str, limit: int = limits.PHONES_IN_PAGE_MAX, offset: int = 0
) -> Request[PhonePage]:
    """Return a page of a group's phones, joined with commas. An extension of openpns.

    `limit` is 0 to 10 000; 0 returns 10 000.
    """

    def read(envelope: dict[str, Any]) -> PhonePage:
        return _read_data(envelope, PhonePage)

    body = {"groupId": text("groupId", group_id), "limit": limit, "offset": offset}
    return Request("listGroupPhones", body, read, is_read=True, is_extension=True)


def create_group(
    phones: Phones,
    name: str | None = None,
    remark: str | None = None,
    *,
    client_token: str | None = None,
) -> Request[str]:
    """Create a number group; return its id.

    Args:
        name: At most 128 characters; the server uses the group's id if None.
        remark: At most 512 characters.
        client_token: An idempotency key of your own, at most 64 characters: within 24 hours a
            request with the same one creates no second group. The client sends a random one if
            None.

    Raises:
        ParameterError: A phone number, the name, the remark or the token is not allowed.
        GroupFull: There are more phone numbers than a group may hold.
        ClientTokenReused: The token was sent before with another group.
    """
    body = {
        "phones": joined_phones(phones),
        "groupName": optional_text("groupName", name),
        "remark": optional_text("remark", remark),
        "clientToken": optional_text("clientToken", client_token),
    }
    if client_token == "":  # would be replaced by a random one
        raise ParameterError("clientToken must not be empty")
    return _write("createGroup", body, _read_id)


def add_phones(group_id: str, phones: Phones) -> Request[None]:
    """Add phone numbers to a group; those that it already holds change nothing.

    Raises:
        GroupNotFound: There is no such group.
        ParameterError: A phone number is not allowed.
        GroupFull: The group would hold more phone numbers than it may; nothing was added.
    """
    return _write("updateGroup", _phones_body(group_id, wire.ADD, phones), _read_nothing)


def remove_phones(group_id: str, phones: Phones) -> Request[None]:
    """Remove phone numbers from a group; those that it does not hold change nothing.

    Raises:
        GroupNotFound: There is no such group.
        ParameterError: A phone number is not allowed.
    """
    return _write("updateGroup", _phones_body(group_id, wire.DELETE, phones), _read_nothing)


def replace_phones(group_id: str, phones: Phones) -> Request[None]:
    """Replace all phone numbers of a group.

    Raises:
        GroupNotFound: There is no such group.
        ParameterError: A phone number is not allowed.
        GroupFull: There are more phone numbers than a group may hold; nothing was changed.
    """
    return _write("updateGroup", _phones_body(group_id, wire.REPLACE, phones), _read_nothing)


def change_phones(
    group_id: str,
    *,
    add: Phones | None = None,
    remove: Phones | None = None,
    replace: Phones | None = None,
    dry_run: bool = False,
) -> Request[GroupChange]:
    """Change a group's phones, and return what the change did.

    Send a dry run only to openpns: another server would carry it out.

    Raises:
        ValueError: Not exactly one of add, remove and replace is given.
    """
    operations = ((wire.ADD, add), (wire.DELETE, remove), (wire.REPLACE, replace))
    bodies = [
        _phones_body(group_id, operate_type, phones)
        for operate_type, phones in operations
        if phones is not None
    ]
    if len(bodies) != 1:
        raise ValueError("exactly one of add, remove and replace must be given")
    body = bodies[0] | {"dryRun" if flag("dryRun", dry_run) else "detail": True}
    return _write(
        "updateGroup", body, lambda envelope: _read_data(envelope, GroupChange), is_extension=True
    )


def rename_group(
    group_id: str, name: str | None = None, remark: str | None = None
) -> Request[None]:
    """Change a group's name or remark. An extension of openpns.

    Args:
        name: At most 128 characters; empty for the group's id. None keeps it.
        remark: At most 512 characters. None keeps it.

    Raises:
        ValueError: Neither a name nor a remark is given.
        GroupNotFound: There is no such group.
        ParameterError: The name or the remark is not allowed, or the server cannot rename groups.
    """
    if name is None and remark is None:
        raise ValueError("a name or a remark must be given")
    body = {
        "groupId": text("groupId", group_id),
        "groupName": optional_text("groupName", name),
        "remark": optional_text("remark", remark),
    }
    return _write("updateGroup", body, _read_nothing)


def delete_group(group_id: str) -> Request[None]:
    """Delete a group with its phone numbers.

    Raises:
        GroupNotFound: There is no such group.
    """
    return _write("deleteGroup", {"groupId": text("groupId", group_id)}, _read_nothing)


def _write(
    action: str,
    body: dict[str, Any],
    read: Callable[[dict[str, Any]], ResultT],
    *,
    is_extension: bool = False,
) -> Request[ResultT]:
    """Return a request that changes something; fields that are None are not sent."""
    fields = {field: value for field, value in body.items() if value is not None}
    return Request(action, fields, read, has_client_token=True, is_extension=is_extension)


def _phones_body(group_id: str, operate_type: int, phones: Phones) -> dict[str, Any]:
    return {
        "groupId": text("groupId", group_id),
        "operateType": operate_type,
        "phones": joined_phones(phones),
    }


class _WireGroup(msgspec.Struct, rename="camel"):
    """A group as any server sends it: only the id is required."""

    group_id: str
    group_name: str | None = None
    phones: str | None = None
    remark: str | None = None
    customer_id: str | None = None


class _WireDetails(_WireGroup, kw_only=True, rename="camel"):
    count: int
    created_ms: _TimeMs
    updated_ms: _TimeMs
    bindings: int = 0


class _WirePage(msgspec.Struct):
    groups: list[_WireGroup]
    total: int
    total_is_bounded: bool = msgspec.field(default=False, name="totalIsBounded")


class _WireNext(msgspec.Struct):
    next: str | UnsetType | None = UNSET


def _fields(group: _WireGroup) -> tuple[str, str, list[str], str, str]:
    phones = group.phones.split(",") if group.phones else []
    texts = (group.remark or "", group.customer_id or "")
    return group.group_id, group.group_name or "", phones, *texts


def _read_page(envelope: dict[str, Any]) -> GroupPage:
    page = _read_data(envelope, _WirePage)
    groups = [Group(*_fields(group)) for group in page.groups]
    return GroupPage(groups, page.total, total_is_bounded=page.total_is_bounded)


def _read_any_page(envelope: dict[str, Any]) -> GroupPage:
    page = _read_page(envelope)
    after = _read_data(envelope, _WireNext).next
    if after is UNSET:
        return page
    return CursorPage(page.groups, page.total, after, total_is_bounded=page.total_is_bounded)


def _read_cursor_page(envelope: dict[str, Any]) -> CursorPage:
    page = _read_any_page(envelope)
    if not isinstance(page, CursorPage):
        raise msgspec.ValidationError("no data.next")
    return page


def _read_data(envelope: dict[str, Any], data: type[DataT]) -> DataT:
    return msgspec.convert(envelope.get("data"), data)


def _read_id(envelope: dict[str, Any]) -> str:
    return msgspec.convert(envelope, GroupCreated).group_id


def _read_nothing(_: dict[str, Any]) -> None:
    """Read a response without data."""
