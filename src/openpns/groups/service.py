"""Number groups: create and delete, and what their actions share.

Source: docs/api/createGroup.md, docs/api/deleteGroup.md.
"""

from collections.abc import Sequence
from types import NoneType

from openpns import limits
from openpns.core import audit
from openpns.core.context import Caller, Services
from openpns.core.idempotency import Once, write_once
from openpns.errors import GroupFull, GroupNotFound
from openpns.groups import phone_chunks
from openpns.groups.answers import GroupCreated
from openpns.groups.wire import GROUP_ID, CreateGroup, DeleteGroup
from openpns.ids import new_revision
from openpns.kit.casefold import folded_name
from openpns.phones import parse_phones
from openpns.storage.store import Statement, Transaction


async def create(services: Services, caller: Caller, request: CreateGroup) -> GroupCreated:
    """Create a group of the caller's.

    Args:
        services: What to work with.
        caller: Who asks; the group becomes this customer's.
        request: The group's numbers, name and remark.

    Raises:
        ParameterError: A number is wrong.
        GroupFull: There are more numbers than a group may hold.
    """
    phones = parse_phones(request.phones, services.phones_in_request_max)
    check_group_size(len(phones), services.phones_in_group_max)
    created = GroupCreated(services.ids.group_id())
    now = services.clock()
    wish = CreateGroup(",".join(phones), request.groupName or None, request.remark or None)
    once = Once(caller, now, services.clock, request.clientToken, wish)

    def steps() -> Transaction[GroupCreated]:
        (seq,) = (
            yield Statement(
                "group_seq_take",
                {"customer_id": caller.customer_id, "groups": 1, "revision": new_revision()},
            )
        )[0]
        yield from once.note(created)
        row = new_group_row(
            caller.customer_id,
            created.groupId,
            seq,
            now,
            name=request.groupName,
            remark=request.remark,
            phones=phones,
        )
        yield Statement("group_create", row)
        yield from phone_chunks.write_chunks(caller.customer_id, seq, phones)
        yield new_members(caller.customer_id, seq, phones)
        changed = audit.numbers(phones, added=len(phones))
        yield audit.entry(caller, now, "createGroup", created.groupId, changed)
        return created

    # Those that take the same way, statement by statement.
    way = f"{caller.customer_id} {bool(request.clientToken)} {bool(caller.signature)}"
    is_short = len(phones) <= limits.PHONES_IN_CHUNK
    return await write_once(
        services, once, steps, GroupCreated, batch_key=way if is_short else None
    )


async def delete(services: Services, caller: Caller, request: DeleteGroup) -> None:
    """Delete a group with its numbers.

    Args:
        services: What to work with.
        caller: Who asks.
        request: The group.

    Raises:
        GroupNotFound: The caller has no such group.
    """
    check_group_id(request.groupId)
    now = services.clock()
    once = Once(caller, now, services.clock)

    def steps() -> Transaction[None]:
        customer = {"customer_id": caller.customer_id}
        yield Statement("group_count_down", customer | {"revision": new_revision()})
        yield from once.note(None)
        deleted = yield Statement("group_delete", customer | {"group_id": request.groupId})
        if not deleted:
            raise GroupNotFound
        seq, count, key = deleted[0]
        gone = {"group_id": request.groupId, "group_seq": seq, "folded_name": key, "now_ms": now}
        yield Statement("group_tombstone_add", customer | gone)
        yield Statement("group_order_gap_add", customer | {"group_seq": seq})
        yield Statement("group_member_delete_all", customer | {"group_seq": seq})
        yield from phone_chunks.delete_chunks(caller.customer_id, seq, count)
        changed = audit.Changed(removed=count)
        yield audit.entry(caller, now, "deleteGroup", request.groupId, changed)

    await write_once(services, once, steps, NoneType)


def new_group_row(
    customer_id: str,
    group_id: str,
    seq: int,
    now_ms: int,
    *,
    name: str | None,
    remark: str | None,
    phones: Sequence[str],
) -> dict[str, object]:
    """Return the parameters of group_create.

    Args:
        customer_id: Whose group.
        group_id: Its id.
        seq: Its place in the customer's order.
        now_ms: The time now.
        name: Its name; the groupId where empty or None.
        remark: Its remark; empty where None.
        phones: Its numbers as stored, without repeats, in order.
    """
    return {
        "customer_id": customer_id,
        "group_id": group_id,
        "group_seq": seq,
        "group_name": name or group_id,
        "folded_name": folded_name(name or group_id),
        "remark": remark or "",
        "phone_count": len(phones),
        "phones": phone_chunks.head(phones),
        "now_ms": now_ms,
    }


def new_members(customer_id: str, seq: int, phones: Sequence[str]) -> Statement:
    """Return the statement that stores the numbers of a group that has none.

    Args:
        customer_id: Whose group.
        seq: Its place in the customer's order.
        phones: Its numbers as stored, without repeats, in order.
    """
    members = {"customer_id": customer_id, "group_seq": seq, "phones": [*phones]}
    return Statement("group_member_fill", members)


def check_group_size(phone_count: int, phones_max: int) -> None:
    """Make sure that a group may hold so many numbers.

    Args:
        phone_count: How many numbers the group would hold.
        phones_max: How many it may hold.

    Raises:
        GroupFull: It may not.
    """
    if phone_count > phones_max:
        raise GroupFull(f"a group may hold at most {phones_max} numbers")


def check_group_id(group_id: str) -> None:
    """Make sure that a text can be a group's id at all.

    Args:
        group_id: What the caller sent.

    Raises:
        GroupNotFound: No group can have it; the text says what an id looks like.
    """
    if not GROUP_ID.fullmatch(group_id):
        raise GroupNotFound("a groupId is 32 lower-case hex characters")
