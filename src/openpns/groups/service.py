"""The rules of the actions that write.

Source: the pages of docs/api with their names.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec

from openpns.core.commit import Effect, change_revision, commit, quota_exceeded
from openpns.core.context import Context, Services
from openpns.errors import GroupNotFound, ParameterError
from openpns.groups import phone_chunks, quotas
from openpns.groups.guard import GroupGuard
from openpns.groups.operations import (
    KINDS,
    Operation,
    check_group_size,
    lock_group,
    operate,
)
from openpns.groups.rows import GroupRow
from openpns.groups.wire import GROUP_ID, GroupChange, GroupCreated
from openpns.kit.casefold import fold_name
from openpns.phones import mask_phone, parse_phones
from openpns.storage.store import Params, Statement, Transaction

AUDITED_PHONES_MAX: Final = 3
"""Masked phones in the audit entry of a write."""

SHARING_PHONES_MAX: Final = 128
"""Phones in a request whose write may share a transaction: other writes wait for its end."""


class Changed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The details of an audit entry; `phones` are the first few of the request, masked."""

    groups: int = 0
    added: int = 0
    removed: int = 0
    renamed: bool = False
    phones: Sequence[str] = ()


async def create_group(
    context: Context, *, phones: str, group_name: str | None = None, remark: str | None = None
) -> GroupCreated:
    """Create a group; the parameters are the fields of `wire.CreateGroup`.

    Raises:
        ParameterError: A phone is not valid.
        GroupFull: There are more phones than a group may hold.
    """
    members = parse_phones(phones, context.services.phones_in_request_max)
    created = GroupCreated(context.services.ids.group_id())
    now_ms = context.clock()

    def steps() -> "Transaction[Effect[GroupCreated]]":
        check_group_size(len(members), context.services.phones_in_group_max)
        new = GroupRow(0, created.group_id, group_name or created.group_id, remark or "", members)
        counts = counted(
            groups=1,
            seqs=1,
            phones=len(members),
            text_bytes=quotas.text_bytes(new.name, new.remark),
            bounds=context.services,
        )
        changed_state = yield change_revision(context.customer_id, "groups", counts)
        if not changed_state:
            raise quota_exceeded("groups")
        seq = changed_state[0][0]
        last = [
            Statement("group_create", group_row(context.customer_id, new, seq, now_ms)),
            *phone_chunks.write_chunks(context.customer_id, seq, members),
            Statement(
                "group_member_fill",
                {"customer_id": context.customer_id, "group_seq": seq, "phones": members},
            ),
        ]
        details = changed(members, added=len(members))
        return Effect(created, created.group_id, details, last=last, is_revised=True)

    return await commit(
        context,
        "createGroup",
        steps,
        scope="groups",
        payload={
            "phones": ",".join(members),
            "groupName": group_name or None,
            "remark": remark or None,
        },
        result=GroupCreated,
        resources=_sharing(created.group_id, members),
    )


async def update_group(
    context: Context,
    *,
    group_id: str,
    operate_type: int | None = None,
    phones: str | None = None,
    group_name: str | None = None,
    remark: str | None = None,
    detail: bool = False,
    dry_run: bool = False,
    guard: GroupGuard,
) -> GroupChange | None:
    """Add phones to a group, delete some, replace all, or rename it; all or nothing.

    The parameters are the fields of `wire.UpdateGroup`; None is a missing one.

    Raises:
        GroupNotFound: The customer has no such group.
        ParameterError: A phone is not valid, or one of operation and phones is missing.
        GroupFull: The group would hold more phones than it may.
        CountryMismatch: The group is bound on a virtual number of another country than a phone.
        BindingConflict: A phone has a live binding on a virtual number that the group is bound on.
    """
    if (operate_type is None) != (phones is None):
        raise ParameterError("operateType and phones must be sent together")
    given = None if phones is None else parse_phones(phones, context.services.phones_in_request_max)
    payload = {
        "groupId": group_id,
        "operateType": operate_type,
        "phones": None if given is None else ",".join(given),
        "groupName": group_name,
        "remark": remark,
        "detail": detail or None,
    }
    kind = "rename" if operate_type is None else KINDS[operate_type]
    is_renamed = not (group_name is None and remark is None)
    check_group_id(group_id)
    group = {"customer_id": context.customer_id, "group_id": group_id, "now_ms": context.clock()}

    def steps() -> "Transaction[Effect[GroupChange | None]]":
        renames = [rename(group, group_name, remark)] if is_renamed else []
        if given is None:
            change, last = GroupChange(0, 0, 0, (yield from lock_group(group))[1]), renames
        else:
            operation = operate(context.services, kind, group, given, dry_run=dry_run)
            change, last = yield from _change_phones(context, operation, guard, phones)
            if renames and last:  # they change the same row
                yield last
            last = renames or last
        details = changed(given or (), change.added, change.removed, is_renamed=is_renamed)
        result = change if detail or dry_run else None
        grown = (yield from text_growth(group, renames[0].params)) if renames else 0
        counts = counted(
            phones=change.added - change.removed, text_bytes=grown, bounds=context.services
        )
        return Effect(result, group_id, details, last, counts)

    # The phones that a dry run finds take milliseconds of the event loop.
    async with context.read_turn(len(given or ()) if dry_run else 0):
        return await commit(
            context,
            "updateGroup",
            steps,
            scope="groups",
            payload=payload,
            result=_CHANGE_OR_NONE,
            dry_run=dry_run,
            kind=kind,
            resources=_sharing(group_id, given or ()),
        )


async def delete_group(context: Context, *, group_id: str, guard: GroupGuard) -> None:
    """Delete a group with its phones.

    Raises:
        GroupNotFound: The customer has no such group.
        GroupBound: Live bindings use it.
    """
    check_group_id(group_id)
    now_ms = context.clock()

    def steps() -> "Transaction[Effect[None]]":
        customer = {"customer_id": context.customer_id}
        deleted = yield Statement("group_delete", customer | {"group_id": group_id})
        if not deleted:
            raise GroupNotFound
        seq, count, folded_name, text_bytes, bound_count = deleted[0]
        if bound_count:
            yield from guard.check_delete(context, seq)
        tombstone = {"group_id": group_id, "folded_name": folded_name, "now_ms": now_ms}
        group = customer | {"group_seq": seq}
        last = [
            Statement("group_tombstone_add", group | tombstone),
            Statement("group_order_gap_add", group),
            Statement("group_member_delete_all", group),
            *phone_chunks.delete_chunks(context.customer_id, seq, count),
        ]
        counts = counted(groups=-1, phones=-count, text_bytes=-text_bytes)
        return Effect(None, group_id, Changed(removed=count), last=last, counts=counts)

    await commit(
        context,
        "deleteGroup",
        steps,
        scope="groups",
        payload={"groupId": group_id},
        resources=(group_id,),
    )


def changed(
    phones: Sequence[str], added: int = 0, removed: int = 0, *, is_renamed: bool = False
) -> Changed:
    """Return the details of an audit entry, with masked phones of the request."""
    some = tuple(mask_phone(phone) for phone in phones[:AUDITED_PHONES_MAX])
    return Changed(added=added, removed=removed, renamed=is_renamed, phones=some)


def counted(
    *,
    groups: int = 0,
    seqs: int = 0,
    phones: int = 0,
    text_bytes: int = 0,
    bounds: Services | None = None,
) -> dict[str, int]:
    """Return what groups_revision_change adds to the counts of a customer.

    Args:
        text_bytes: Of names and remarks.
        bounds: Those of a customer without quotas of its own; None for no quotas at all.
    """
    group_quota, phone_quota, byte_quota = quotas.default_quotas(bounds)
    return {
        "groups": groups,
        "seqs": seqs,
        "phones": phones,
        "bytes": text_bytes + quotas.PHONE_BYTES * phones,
        "has_quotas": int(bounds is not None),
        "group_quota": group_quota,
        "phone_quota": phone_quota,
        "byte_quota": byte_quota,
    }


def group_row(customer_id: str, group: GroupRow, seq: int, now_ms: int) -> dict[str, object]:
    """Return the parameters of group_create; an empty name is the groupId."""
    name = group.name or group.group_id
    return {
        "customer_id": customer_id,
        "group_id": group.group_id,
        "group_seq": seq,
        "group_name": name,
        "folded_name": fold_name(name),
        "remark": group.remark,
        "phone_count": len(group.phones),
        "phones": phone_chunks.first_chunk(group.phones),
        "now_ms": now_ms,
    }


def check_group_id(group_id: str) -> None:
    """Raise GroupNotFound, with the form of an id, if a text cannot be a groupId."""
    if not GROUP_ID.fullmatch(group_id):
        raise GroupNotFound("a groupId is 32 lower-case hex characters")


def _sharing(group_id: str, phones: Sequence[str]) -> tuple[str, ...]:
    """Return the resources of a write for `commit`; none if it has too many phones to share."""
    return (group_id,) if len(phones) <= SHARING_PHONES_MAX else ()


def text_growth(group: Params, renamed: Params) -> Transaction[int]:
    """Return by how many bytes a group's name and remark grow; the group is locked."""
    name, remark = (yield Statement("group_text_size", group))[0]
    new = (renamed["group_name"], name), (renamed["remark"], remark)
    return sum(quotas.text_bytes(text) - size for text, size in new if text is not None)


def rename(group: Params, group_name: str | None, remark: str | None) -> Statement:
    """Return the statement that renames a group; an empty name is the groupId, None keeps it."""
    name = None if group_name is None else group_name or group["group_id"]
    names = {"group_name": name, "folded_name": None if name is None else fold_name(name)}
    return Statement("group_rename", {**group, **names, "remark": remark})


def _change_phones(
    context: Context,
    operation: Operation,
    guard: GroupGuard,
    text: str | None,
) -> Transaction[tuple[GroupChange, list[Statement]]]:
    """Run an operation; a bound group must not get phones that bindings forbid.

    `text` holds the phones as they were sent, to name one of them by its position.
    """
    change, last, added = yield from operation
    if added.phones and added.is_bound:
        describe = partial(_describe_item, text or "")
        yield from guard.check_phones(context, added.group_seq, added.phones, describe)
    return change, last


def _describe_item(text: str, phone: str) -> str:
    """Return the text that names a phone of a request by its position."""
    items = [item.strip().removeprefix("+") for item in text.split(",")]
    return f"phones: item {items.index(phone) + 1}"


_CHANGE_OR_NONE: Final[Any] = GroupChange | None
