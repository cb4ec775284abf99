"""Changing a number group: updateGroup.

Source: docs/api/updateGroup.md.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from msgspec import UNSET

from openpns.core import audit
from openpns.core.context import Caller, Services
from openpns.core.idempotency import Once, write_once
from openpns.errors import GroupNotFound, ParameterError
from openpns.groups import phone_chunks
from openpns.groups.answers import GroupChange
from openpns.groups.service import check_group_id, check_group_size, new_members
from openpns.groups.wire import ADD, DELETE, REPLACE, UpdateGroup
from openpns.ids import new_revision
from openpns.kit.casefold import folded_name
from openpns.phones import parse_phones
from openpns.storage.store import Params, Row, Statement, Transaction

_Operation: TypeAlias = Callable[[Params, Row, Sequence[str], int], Transaction[GroupChange]]


class DryRunRollback(Exception):
    """A dry run has come to its end: its changes are to be undone."""

    def __init__(self, change: GroupChange) -> None:
        super().__init__()
        self.change = change


async def update(services: Services, caller: Caller, request: UpdateGroup) -> GroupChange | None:
    """Add numbers to a group, delete some, replace all, or rename it; all or nothing.

    Args:
        services: What to work with.
        caller: Who asks.
        request: The group, the operation and the numbers, its new name and remark.

    Returns:
        What the change did, or would do, where the request asks for it.

    Raises:
        GroupNotFound: The caller has no such group.
        ParameterError: A number is wrong, or one of operation and numbers is missing.
        GroupFull: The group would hold more numbers than it may.
    """
    operate, phones = _operation_of(request, services.phones_in_request_max)
    check_group_id(request.groupId)
    now = services.clock()
    group = {"customer_id": caller.customer_id, "group_id": request.groupId, "now_ms": now}
    once = Once(caller, now, services.clock)

    def steps() -> Transaction[GroupChange | None]:
        # The customer's row first, as create and delete do: two transactions that lock in one
        # order cannot wait for each other.
        customer = {"customer_id": caller.customer_id}
        yield Statement("groups_revision_change", customer | {"revision": new_revision()})
        if not request.dryRun:
            yield from once.note(None)
        found = yield Statement("group_lock", group)
        if not found:
            raise GroupNotFound
        change = GroupChange(0, 0, 0, found[0][1])
        if phones is not None:
            change = yield from operate(group, found[0], phones, services.phones_in_group_max)
        if not (request.groupName is UNSET and request.remark is UNSET):
            yield _rename(group, request)
        if request.dryRun:
            raise DryRunRollback(change)
        yield _entry(caller, now, request, phones or (), change)
        if not request.detail:
            return None
        yield from once.amend(change)
        return change

    if not request.dryRun:
        result: GroupChange | None = await write_once(services, once, steps, _CHANGE_OR_NONE)
        return result
    try:
        return await services.store.write(steps)
    except DryRunRollback as asked:
        return asked.change


def _operation_of(request: UpdateGroup, phones_max: int) -> tuple[_Operation, list[str] | None]:
    """Return what to do with which numbers; None where the request only renames."""
    if request.operateType is UNSET and request.phones is UNSET:
        return _add, None
    if request.operateType is UNSET or request.phones is UNSET:
        raise ParameterError("operateType and phones must be sent together")
    return _OPERATIONS[request.operateType], parse_phones(request.phones, phones_max)


def _entry(
    caller: Caller, now: int, request: UpdateGroup, phones: Sequence[str], change: GroupChange
) -> Statement:
    is_renamed = not (request.groupName is UNSET and request.remark is UNSET)
    kind = "rename" if request.operateType is UNSET else _KINDS[request.operateType]
    changed = audit.numbers(
        phones, added=change.added, removed=change.removed, is_renamed=is_renamed
    )
    return audit.entry(caller, now, f"updateGroup.{kind}", request.groupId, changed)


def _rename(group: Params, request: UpdateGroup) -> Statement:
    name = None if request.groupName is UNSET else request.groupName or request.groupId
    names = {"group_name": name, "folded_name": None if name is None else folded_name(name)}
    remark = None if request.remark is UNSET else request.remark
    return Statement("group_rename", {**group, **names, "remark": remark})


def _add_members(customer_id: str, seq: int, phones: Sequence[str], position: int) -> Statement:
    return Statement(
        "group_member_add",
        {
            "customer_id": customer_id,
            "group_seq": seq,
            "phones": [*phones],
            "position": position,
        },
    )


def _add(group: Params, found: Row, phones: Sequence[str], most: int) -> Transaction[GroupChange]:
    seq, count, position = found
    rows = yield _add_members(group["customer_id"], seq, phones, position)
    new = {row[0] for row in rows}
    change = GroupChange(len(new), 0, len(phones) - len(new), count + len(new))
    if not new:
        return change
    check_group_size(change.count, most)
    added = [phone for phone in phones if phone in new]
    text = yield from phone_chunks.append(group["customer_id"], seq, count, added)
    yield Statement(
        "group_update_append",
        {
            **group,
            "phones": text,
            "added": len(new),
            "position_next": position + len(phones),
        },
    )
    return change


def _delete(group: Params, found: Row, phones: Sequence[str], _: int) -> Transaction[GroupChange]:
    seq, count, position = found
    members = {"customer_id": group["customer_id"], "group_seq": seq}
    deleted = yield Statement("group_member_delete", members | {"phones": [*phones]})
    gone = len(deleted)
    if gone:
        left = yield Statement("group_member_list", members)
        yield from _write_phones(group, seq, count, [row[0] for row in left], position)
    return GroupChange(0, gone, len(phones) - gone, count - gone)


def _replace(
    group: Params, found: Row, phones: Sequence[str], most: int
) -> Transaction[GroupChange]:
    check_group_size(len(phones), most)
    seq, count, _ = found
    members = {"customer_id": group["customer_id"], "group_seq": seq}
    kept = len((yield Statement("group_member_among", members | {"phones": [*phones]})))
    yield Statement("group_member_delete_all", members)
    yield new_members(group["customer_id"], seq, phones)
    yield from _write_phones(group, seq, count, phones, len(phones))
    return GroupChange(len(phones) - kept, count - kept, kept, len(phones))


_OPERATIONS: Final = {ADD: _add, DELETE: _delete, REPLACE: _replace}
_KINDS: Final = {ADD: "add", DELETE: "delete", REPLACE: "replace"}
_CHANGE_OR_NONE: Final[Any] = GroupChange | None


def _write_phones(
    group: Params, seq: int, count: int, phones: Sequence[str], position_next: int
) -> Transaction[None]:
    """Write the text anew of a group that had so many numbers."""
    yield from phone_chunks.rewrite_chunks(group["customer_id"], seq, count, phones)
    yield Statement(
        "group_update",
        {
            **group,
            "phones": phone_chunks.head(phones),
            "phone_count": len(phones),
            "position_next": position_next,
        },
    )
