"""What each action makes of a customer's groups: docs/api as plain Python.

Nothing here is taken from the server: no struct, no parser, no bound. A number's country is the one
thing that is left out; numbers begin with 852 or 86 here, or with what no country has.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

PHONES_IN_GROUP_MAX: Final = 300
PHONES_IN_REQUEST_MAX: Final = 310

_NUMBER: Final = re.compile(r"(?=[0-9]{5,15}\Z)(852|86)")
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
    """A call is answered with this code, and changes nothing."""

    def __init__(self, code: int, status: int = 200) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


def read(action: str, body: Any, group_id: str) -> Change:
    """Read a call's fields, in the order of the docs; return what the call does.

    Args:
        action: The action.
        body: The body as JSON; None where it is none.
        group_id: The id of the group that is made, if one is.

    Raises:
        Refused: The call is refused, whatever groups there are.
    """
    if not isinstance(body, dict):
        raise Refused(1002)
    if action == "listGroup":
        limit = _integer(body, "limit", 1000, 10011)
        return _list(limit or 1000, _integer(body, "offset", 2**63 - 1, 10012))
    if action == "createGroup":
        text = _text(body, "phones")
        name, remark = _note(body, "groupName", 128), _note(body, "remark", 512)
        _note(body, "clientToken", 64)
        return _create(Group(group_id, name or group_id, _fitting(_numbers(text)), remark))
    named = _text(body, "groupId")
    if action == "deleteGroup":
        return _delete(named)
    operate = _integer(body, "operateType", 2, 1002)
    return _update(named, operate, _numbers(_text(body, "phones")))


def read_wish(action: str, body: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a call with a client token asks for; nothing for any other call."""
    if action != "createGroup" or not body.get("clientToken"):
        return ()
    return _numbers(body["phones"]), body.get("groupName") or "", body.get("remark") or ""


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


def _note(body: dict[str, Any], name: str, chars_max: int) -> str:
    if body.get(name) is None:
        return ""
    text = _text(body, name)
    if len(text) > chars_max or _CONTROL.search(text):
        raise Refused(1002)
    return text


def _numbers(text: str) -> tuple[str, ...]:
    items = [item.strip().removeprefix("+") for item in text.split(",")]
    if len(items) > PHONES_IN_REQUEST_MAX or not all(map(_NUMBER.match, items)):
        raise Refused(1002)
    return _once(*items)


def _once(*numbers: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(numbers))


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
    return lambda _, groups: ({"groupId": group.group_id}, (*groups, group))


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
            return _fitting(_once(*there, *given))
        if operate == 1:
            return tuple(number for number in there if number not in given)
        return _fitting(given)

    def update(_: str, groups: Groups) -> tuple[Any, Groups]:
        if group_id not in {group.group_id for group in groups}:
            raise Refused(19001)
        return {}, tuple(
            group._replace(phones=changed(group.phones)) if group.group_id == group_id else group
            for group in groups
        )

    return update
