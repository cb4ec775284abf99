"""What each action does to a customer's groups: docs/api as plain Python.

Nothing here comes from the server: no struct, no parser, no bound. Only the country codes are
simpler: phones begin with 852 or 86 here, or with a code that no country has.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

PHONES_IN_GROUP_MAX: Final = 300
PHONES_IN_REQUEST_MAX: Final = 310

_PHONE: Final = re.compile(r"(?=[0-9]{5,15}\Z)(852|86)")
_GROUP_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Group(NamedTuple):
    """A number group."""

    group_id: str
    name: str
    phones: tuple[str, ...]
    remark: str


Groups = tuple[Group, ...]
"""A customer's groups, oldest first."""

Change = Callable[[str, Groups], tuple[Any, Groups]]
"""From a customer and its groups to what is returned and the groups afterwards."""


class Refused(Exception):
    """A request gets this code and changes nothing."""

    def __init__(self, code: int, status: int = 200) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


def read(action: str, body: Any, group_id: str) -> Change:
    """Read the fields of a request, in the order of the docs; return what the request does.

    Args:
        body: The body as JSON; bytes if it is not JSON.
        group_id: The id of the group that it creates, if it creates one.

    Raises:
        Refused: The request is refused, whatever groups there are.
    """
    if not isinstance(body, dict):
        raise Refused(1002)
    if action == "listGroup":
        limit = _integer(body, "limit", 1000, 10011)
        return _list(limit or 1000, _integer(body, "offset", 2**63 - 1, 10012))
    if action == "createGroup":
        text = _text(body, "phones")
        name, remark = _optional(body, "groupName", 128), _optional(body, "remark", 512)
        _optional(body, "clientToken", 64)
        return _create(Group(group_id, name or group_id, _phones(text), remark))
    named = _text(body, "groupId")
    if action == "deleteGroup":
        _optional(body, "clientToken", 64)
        return _delete(_group_id(named))
    operate, text = _integer(body, "operateType", 2, 1002), _text(body, "phones")
    _optional(body, "clientToken", 64)
    given = _phones(text)
    return _update(_group_id(named), operate, given)


def read_payload(action: str, body: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a write asks for; two bodies with equal payloads are the same body."""
    if action == "createGroup":
        return _phones(body["phones"]), body.get("groupName") or "", body.get("remark") or ""
    if action == "deleteGroup":
        return (body["groupId"],)
    return body["groupId"], body["operateType"], _phones(body["phones"])


def _integer(body: dict[str, Any], name: str, at_most: int, out_of_range: int) -> int:
    value = body.get(name)
    if type(value) is not int:
        raise Refused(1002)
    if not 0 <= value <= at_most:
        raise Refused(out_of_range)
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Refused(1002)
    return value


def _optional(body: dict[str, Any], name: str, chars_max: int) -> str:
    if body.get(name) is None:
        return ""
    text = _text(body, name)
    if len(text) > chars_max or _CONTROL.search(text):
        raise Refused(1002)
    return text


def _group_id(text: str) -> str:
    if not _GROUP_ID.match(text):
        raise Refused(19001)
    return text


def _phones(text: str) -> tuple[str, ...]:
    items = [item.strip().removeprefix("+") for item in text.split(",")]
    if len(items) > PHONES_IN_REQUEST_MAX or not all(map(_PHONE.match, items)):
        raise Refused(1002)
    return _distinct(*items)


def _distinct(*phones: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(phones))


def _fitting(phones: tuple[str, ...]) -> tuple[str, ...]:
    if len(phones) > PHONES_IN_GROUP_MAX:
        raise Refused(19002)
    return phones


def _list(limit: int, offset: int) -> Change:
    def page(customer: str, groups: Groups) -> tuple[Any, Groups]:
        rows = [
            {
                "customerId": customer,
                "groupName": group.name,
                "groupId": group.group_id,
                "phones": ",".join(group.phones),
                "remark": group.remark,
            }
            for group in groups[offset : offset + limit]
        ]
        return {"data": {"groups": rows, "total": len(groups)}}, groups

    return page


def _create(group: Group) -> Change:
    def create(_: str, groups: Groups) -> tuple[Any, Groups]:
        _fitting(group.phones)
        return {"groupId": group.group_id}, (*groups, group)

    return create


def _delete(group_id: str) -> Change:
    def delete(_: str, groups: Groups) -> tuple[Any, Groups]:
        left = tuple(group for group in groups if group.group_id != group_id)
        if left == groups:
            raise Refused(19001)
        return {}, left

    return delete


def _update(group_id: str, operate: int, given: tuple[str, ...]) -> Change:
    def changed(there: tuple[str, ...]) -> tuple[str, ...]:
        if operate == 0:
            return _fitting(_distinct(*there, *given))
        if operate == 1:
            return tuple(phone for phone in there if phone not in given)
        return _fitting(given)

    def update(_: str, groups: Groups) -> tuple[Any, Groups]:
        if group_id not in {group.group_id for group in groups}:
            raise Refused(19001)
        return {}, tuple(
            group._replace(phones=changed(group.phones)) if group.group_id == group_id else group
            for group in groups
        )

    return update
