"""The operations of updateGroup on the phones of a group: add, delete and replace.

Source: docs/api/updateGroup.md.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from openpns.core.context import Services
from openpns.errors import GroupFull, GroupNotFound
from openpns.groups import phone_chunks
from openpns.groups.wire import ADD, DELETE, REPLACE, GroupChange
from openpns.storage.store import Params, Row, Statement, Transaction


class Added(msgspec.Struct, frozen=True):
    """The phones that an operation adds to a group, and whether bindings may use the group."""

    group_seq: int
    is_bound: bool
    phones: Sequence[str] = ()

    def __repr__(self) -> str:  # without the phones
        return f"Added({len(self.phones)})"


Operation: TypeAlias = Transaction[tuple[GroupChange, list[Statement], Added]]
"""The steps of an operation: they return the change, its last statements, and what it adds."""


def check_group_size(phone_count: int, phones_max: int) -> None:
    """Raise GroupFull if a group may not hold so many phones."""
    if phone_count > phones_max:
        raise GroupFull(f"a group may hold at most {phones_max} numbers")


def lock_group(group: Params) -> Transaction[Row]:
    """Lock a group; return its row of group_lock."""
    found = yield Statement("group_lock", group)
    if not found:
        raise GroupNotFound
    return found[0]


def _add(group: Params, phones: Sequence[str], most: int) -> Operation:
    members = {**group, "phones": [*phones]}
    found, rows = yield [Statement("group_lock", group), Statement("group_member_add", members)]
    if not found:
        raise GroupNotFound
    seq, count, position, bound_count = found[0]
    new = {row[0] for row in rows}
    change = GroupChange(len(new), 0, len(phones) - len(new), count + len(new))
    if not new:
        return change, [], Added(seq, bound_count != 0)
    check_group_size(change.count, most)
    added = [phone for phone in phones if phone in new]
    text, appends = phone_chunks.append(group["customer_id"], seq, count, added)
    update = {**group, "phones": text, "added": len(new), "position_next": position + len(phones)}
    last = [Statement("group_update_append", update), *appends]
    return change, last, Added(seq, bound_count != 0, added)


def _delete(group: Params, phones: Sequence[str], _: int) -> Operation:
    seq, count, position, bound_count = yield from lock_group(group)
    members = {"customer_id": group["customer_id"], "group_seq": seq, "phones": [*phones]}
    deleted, others = yield [
        Statement("group_member_delete", members),
        Statement("group_member_list_others", members),
    ]
    removed = len(deleted)
    change = GroupChange(0, removed, len(phones) - removed, count - removed)
    nothing = Added(seq, bound_count != 0)
    if not removed:
        return change, [], nothing
    left = [row[0] for row in others]
    return change, (yield from _rewrite_phones(group, seq, count, left, position)), nothing


def _replace(group: Params, phones: Sequence[str], most: int) -> Operation:
    seq, count, _, bound_count = yield from lock_group(group)
    check_group_size(len(phones), most)
    members = {"customer_id": group["customer_id"], "group_seq": seq, "phones": [*phones]}
    added = Added(seq, bound_count != 0)
    if bound_count:  # its bindings may forbid what is added
        held = {row[0] for row in (yield Statement("group_member_among", members))}
        added = Added(seq, True, [phone for phone in phones if phone not in held])
    removed = len((yield Statement("group_member_delete_others", members)))
    kept = count - removed
    last = yield from _rewrite_phones(group, seq, count, phones, len(phones))
    change = GroupChange(len(phones) - kept, removed, kept, len(phones))
    return change, [*last, Statement("group_member_place", members)], added


def _rewrite_phones(
    group: Params, seq: int, count: int, phones: Sequence[str], position_next: int
) -> Transaction[list[Statement]]:
    """Return what rewrites the phone text of a group that had `count` phones."""
    deletes = phone_chunks.delete_chunks(group["customer_id"], seq, count)
    if deletes:  # the chunks are written again by another statement
        yield deletes
    text = {"phones": phone_chunks.first_chunk(phones), "phone_count": len(phones)}
    return [
        Statement("group_update", {**group, **text, "position_next": position_next}),
        *phone_chunks.write_chunks(group["customer_id"], seq, phones),
    ]


def _preview(kind: str, group: Params, phones: Sequence[str], most: int) -> Operation:
    """Return what an operation would change, or refuse what it refuses; write nothing."""
    seq, count, _, bound_count = yield from lock_group(group)
    if kind == KINDS[REPLACE]:
        check_group_size(len(phones), most)
    members = {"customer_id": group["customer_id"], "group_seq": seq, "phones": [*phones]}
    held = {row[0] for row in (yield Statement("group_member_among", members))}
    others = [phone for phone in phones if phone not in held]
    if kind == KINDS[DELETE]:
        change = GroupChange(0, len(held), len(others), count - len(held))
        return change, [], Added(seq, bound_count != 0)
    if kind == KINDS[REPLACE]:
        change = GroupChange(len(others), count - len(held), len(held), len(phones))
    else:
        change = GroupChange(len(others), 0, len(held), count + len(others))
        if others:
            check_group_size(change.count, most)
    return change, [], Added(seq, bound_count != 0, others)


_OPERATIONS: Final[dict[str, Callable[[Params, Sequence[str], int], Operation]]] = {
    "add": _add,
    "delete": _delete,
    "replace": _replace,
}
"""The steps of each operation, called with the group, the phones and the most it may hold."""
KINDS: Final = {ADD: "add", DELETE: "delete", REPLACE: "replace"}
"""The name of each operateType."""


def operate(
    bounds: Services, kind: str, group: Params, phones: Sequence[str], *, dry_run: bool = False
) -> Operation:
    """Return the steps of an operation; those of a dry run only read.

    Args:
        kind: A value of KINDS.
        group: The customer, the groupId and the time.
    """
    most = bounds.phones_in_group_max
    if dry_run:
        return _preview(kind, group, phones, most)
    return _OPERATIONS[kind](group, phones, most)
