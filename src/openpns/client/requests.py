"""The calls of the API as typed objects: what to send, and what the answer means.

A function here makes a `Call`; the shells in `openpns.client.http` turn each into a method, once
for both of them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from openpns import limits
from openpns.groups import wire
from openpns.groups import wire as answers

ResultT = TypeVar("ResultT")


class Call(Generic[ResultT]):
    """One call, not sent yet.

    Args:
        action: The action's name on the wire.
        body: What is sent as JSON: a dict, or a struct.
        read: Makes the result from the answer, the whole envelope as a dict; raises
            msgspec.ValidationError where the answer is none of this action.
        is_read: Whether the call changes nothing, so that it may be sent again at will.
        has_token: Whether the body has a client token, by which the server knows the call again.
        takes_token: Whether the client may add one.

    Raises:
        ValueError: The action's name cannot be sent.
    """

    __slots__ = ("action", "body", "has_token", "is_read", "read", "takes_token")

    def __init__(
        self,
        action: str,
        body: Any,
        read: Callable[[dict[str, Any]], ResultT],
        *,
        is_read: bool = False,
        has_token: bool = False,
        takes_token: bool = False,
    ) -> None:
        if not (action and action.isascii() and action.isprintable() and " " not in action):
            raise ValueError("an action's name is one word of printable ASCII characters")
        self.action = action
        self.body = body
        self.read = read
        self.is_read = is_read
        self.has_token = has_token
        self.takes_token = takes_token

    def __repr__(self) -> str:
        """Return a text without the body, which may hold phone numbers."""
        return f"{type(self).__name__}({self.action!r})"


class Request(Call[dict[str, Any]]):
    """A call of any action; its result is the whole envelope as a dict.

    Args:
        action: The action's name on the wire.
        body: The body's fields.
        is_read: Whether the action changes nothing, so that it may be sent again at will.
    """

    __slots__ = ()

    def __init__(
        self, action: str, body: Mapping[str, Any] | None = None, *, is_read: bool = False
    ) -> None:
        super().__init__(action, dict(body or {}), lambda envelope: envelope, is_read=is_read)


class Group(msgspec.Struct, frozen=True):
    """A number group.

    Attributes:
        group_id: Its id.
        name: Its name.
        phones: Its numbers in the order they were added, digits with country code.
        remark: Its remark.
        customer_id: Whose group it is.
    """

    group_id: str
    name: str
    phones: list[str]
    remark: str
    customer_id: str

    def __repr__(self) -> str:
        """Return a text without phone numbers and remark, which must not end in a log."""
        return f"Group(group_id={self.group_id!r}, name={self.name!r}, phones={len(self.phones)})"


class GroupPage(msgspec.Struct, frozen=True):
    """A page of number groups.

    Attributes:
        groups: The groups of this page, oldest first.
        total: How many groups there are in all.
    """

    groups: list[Group]
    total: int


Phones = str | Iterable[str]
"""Phone numbers: one or several as text joined with commas, or an iterable of them."""


def list_groups(limit: int = limits.GROUPS_IN_PAGE_MAX, offset: int = 0) -> Call[GroupPage]:
    """Return a page of number groups, oldest first.

    Args:
        limit: How many groups, 0 to 1000; 0 asks for as many as a page may hold.
        offset: How many groups to pass over.

    Raises:
        LimitOutOfRange: limit is outside its range.
        OffsetOutOfRange: offset is outside its range.
    """
    body = {"limit": limit, "offset": offset}
    return Call("listGroup", body, read_page, is_read=True)


def create_group(
    phones: Phones,
    name: str | None = None,
    remark: str | None = None,
    *,
    client_token: str | None = None,
) -> Call[str]:
    """Create a number group; return its id.

    Args:
        phones: Its numbers, each with country code.
        name: Its name, at most 128 characters; the server names it after its id where None.
        remark: A remark, at most 512 characters.
        client_token: Your own name for this group, at most 64 characters: a call with the same one
            within 24 hours makes no second group. Where None, the client makes one for this call,
            unless its setting `retry_creates` is off.

    Raises:
        ParameterError: A number, the name, the remark or the token is not allowed.
        GroupFull: There are more numbers than a group may hold.
        ClientTokenReused: Another group was asked for under this token.
    """
    body = {"phones": join_phones(phones)}
    if name is not None:
        body["groupName"] = name
    if remark is not None:
        body["remark"] = remark
    if client_token:
        body["clientToken"] = client_token
    has_token = bool(client_token)
    return Call("createGroup", body, _read_created, has_token=has_token, takes_token=not has_token)


def add_phones(group_id: str, phones: Phones) -> Call[None]:
    """Add numbers to a group; those that are there already change nothing.

    Args:
        group_id: The group.
        phones: The numbers, each with country code.

    Raises:
        GroupNotFound: There is no such group.
        ParameterError: A number is not allowed.
        GroupFull: The group would hold more numbers than it may; nothing was added.
    """
    return _update(group_id, wire.ADD, phones)


def remove_phones(group_id: str, phones: Phones) -> Call[None]:
    """Take numbers out of a group; those that are not there change nothing.

    Args:
        group_id: The group.
        phones: The numbers, each with country code.

    Raises:
        GroupNotFound: There is no such group.
        ParameterError: A number is not allowed.
    """
    return _update(group_id, wire.DELETE, phones)


def replace_phones(group_id: str, phones: Phones) -> Call[None]:
    """Replace all numbers of a group.

    Args:
        group_id: The group.
        phones: The numbers, each with country code.

    Raises:
        GroupNotFound: There is no such group.
        ParameterError: A number is not allowed.
        GroupFull: There are more numbers than a group may hold; nothing was changed.
    """
    return _update(group_id, wire.REPLACE, phones)


def delete_group(group_id: str) -> Call[None]:
    """Delete a group with its numbers.

    Args:
        group_id: The group.

    Raises:
        GroupNotFound: There is no such group.
    """
    return Call("deleteGroup", {"groupId": group_id}, read_nothing)


def join_phones(phones: Phones) -> str:
    """Return numbers as the wire wants them: one text, joined with commas.

    Args:
        phones: A text, or an iterable of texts.
    """
    return phones if isinstance(phones, str) else ",".join(phones)


def _update(group_id: str, operate_type: int, phones: Phones) -> Call[None]:
    body = {"groupId": group_id, "operateType": operate_type, "phones": join_phones(phones)}
    return Call("updateGroup", body, read_nothing)


class WireGroup(msgspec.Struct):
    """A group as some server sends it: only the id must be there.

    Attributes:
        groupId: Its id.
        groupName: Its name.
        phones: Its numbers, joined with commas.
        remark: Its remark.
        customerId: Whose group it is.
    """

    groupId: str  # noqa: N815
    groupName: str | None = None  # noqa: N815
    phones: str | None = None
    remark: str | None = None
    customerId: str | None = None  # noqa: N815


class _WirePage(msgspec.Struct):
    groups: list[WireGroup]
    total: int


class _Listed(msgspec.Struct):
    data: _WirePage


def read_page(envelope: dict[str, Any]) -> GroupPage:
    """Return the page that listGroup answered.

    Args:
        envelope: The answer.
    """
    page = msgspec.convert(envelope, _Listed).data
    return GroupPage([read_group(group) for group in page.groups], page.total)


def read_group(group: WireGroup) -> Group:
    """Return a group as it came.

    Args:
        group: What came.
    """
    return Group(
        group_id=group.groupId,
        name=group.groupName or "",
        phones=group.phones.split(",") if group.phones else [],
        remark=group.remark or "",
        customer_id=group.customerId or "",
    )


def _read_created(envelope: dict[str, Any]) -> str:
    return msgspec.convert(envelope, answers.GroupCreated).group_id


def read_nothing(_: dict[str, Any]) -> None:
    """Take an answer that holds nothing."""
