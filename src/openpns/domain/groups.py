"""Number groups: list, create, update, delete.

Source: docs/api, a page per action.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import NoneType
from typing import Final

from openpns import limits, numbers
from openpns.domain import group_text
from openpns.domain.calls import Caller, Services
from openpns.domain.once import Once, write_once
from openpns.errors import GroupFull, GroupNotFound, InternalError
from openpns.ids import new_version
from openpns.protocol.groups import (
    ADD,
    GROUP_ID,
    REPLACE,
    CreateGroup,
    DeleteGroup,
    GroupCreated,
    ListedGroups,
    ListGroup,
    UpdateGroup,
)
from openpns.storage.store import Params, Row, Statement, Steps

_COUNTER_COLUMNS: Final = 3
"""How many columns of a row of group_list come before the group's: version, total, has_gaps."""

_PHONES: Final = 3
"""The place of `phones` in a group's row."""

_GROUP_ID: Final = _COUNTER_COLUMNS + 2

_OFFSET_FAR: Final = 2**62
"""No customer has so many groups; what is added to it on the way is no overflow."""


async def list(services: Services, caller: Caller, request: ListGroup) -> ListedGroups:
    """Return a page of the caller's groups, oldest first, with the total: one snapshot.

    Args:
        services: What to work with.
        caller: Who asks; only this customer's groups are seen.
        request: The page asked for.
    """
    limit = request.limit or limits.GROUPS_IN_PAGE_MAX
    numbers_max = limits.NUMBERS_IN_PIECE_MAX // limit
    params = {
        "customer_id": caller.customer_id,
        "limit": limit,
        "offset": min(request.offset, _OFFSET_FAR),
        "numbers_max": numbers_max,
        "numbers_short": min(numbers_max, limits.NUMBERS_IN_PART),
        "numbers_in_part": limits.NUMBERS_IN_PART,
    }
    found = await _find_page(services, params, has_gaps=caller.has_gaps)
    if _has_all_phones(found):
        return found
    # Some group has more numbers than its share of one piece: read the page again, in slices.
    params["numbers_max"] = limits.OFFSET_MAX
    slices = services.store.stream("group_list_seek", params, limits.GROUPS_IN_SLICE)
    first, _ = _read_page(await anext(slices, []))
    return ListedGroups(first.version, first.total, first.rows, _rest(slices))


async def _find_page(services: Services, params: Params, *, has_gaps: bool) -> ListedGroups:
    """Read a page by the cheaper statement, and where that does not do, by the other.

    Args:
        services: What to work with.
        params: The page.
        has_gaps: Whether groups of the customer's were deleted, as far as is known.
    """
    is_deep = params["offset"] > 0
    if not (has_gaps and is_deep):
        found, has_gaps = _read_page(await services.store.fetch("group_list", params))
        if not (has_gaps and is_deep) and _has_all_phones(found):
            return found
    found, _ = _read_page(await services.store.fetch("group_list_seek", params))
    return found


def _has_all_phones(found: ListedGroups) -> bool:
    return all(row[_PHONES] is not None for row in found.rows)


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
    phones = numbers.parse_phones(request.phones, services.numbers_in_request_max)
    check_group_size(len(phones), services.numbers_in_group_max)
    created = GroupCreated(services.ids.group_id())
    now = services.clock()
    wish = CreateGroup(",".join(phones), request.groupName or None, request.remark or None)
    once = Once(caller, now, request.clientToken, wish)

    def steps() -> Steps[GroupCreated]:
        (seq,) = (
            yield Statement(
                "group_seq_take",
                {"customer_id": caller.customer_id, "groups": 1, "version": new_version()},
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
        yield from group_text.write_parts(caller.customer_id, seq, phones)
        yield _new_members(caller.customer_id, seq, phones)
        return created

    # Those that take the same way, statement by statement.
    way = f"{caller.customer_id} {bool(request.clientToken)} {bool(caller.signature)}"
    is_short = len(phones) <= limits.NUMBERS_IN_PART
    return await write_once(services, once, steps, GroupCreated, beside=way if is_short else None)


async def update(services: Services, caller: Caller, request: UpdateGroup) -> None:
    """Add numbers to a group, delete some, or replace all; all or nothing.

    Args:
        services: What to work with.
        caller: Who asks.
        request: The group, the operation and the numbers.

    Raises:
        GroupNotFound: The caller has no such group.
        ParameterError: A number is wrong.
        GroupFull: The group would hold more numbers than it may.
    """
    phones = numbers.parse_phones(request.phones, services.numbers_in_request_max)
    check_group_id(request.groupId)
    now = services.clock()
    group = {"customer_id": caller.customer_id, "group_id": request.groupId}
    change = {ADD: _add, REPLACE: _replace}.get(request.operateType, _delete)
    once = Once(caller, now)

    def steps() -> Steps[None]:
        # The customer's row first, as create and delete do: two transactions that lock in one
        # order cannot wait for each other.
        customer = {"customer_id": caller.customer_id}
        yield Statement("group_counter_change", customer | {"version": new_version()})
        yield from once.note(None)
        found = yield Statement("group_lock", group)
        if not found:
            raise GroupNotFound
        yield from change(group | {"now_ms": now}, found[0], phones, services.numbers_in_group_max)

    await write_once(services, once, steps, NoneType)


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
    once = Once(caller, services.clock())

    def steps() -> Steps[None]:
        customer = {"customer_id": caller.customer_id}
        yield Statement("group_count_down", customer | {"version": new_version()})
        yield from once.note(None)
        deleted = yield Statement("group_delete", customer | {"group_id": request.groupId})
        if not deleted:
            raise GroupNotFound
        seq, count = deleted[0]
        yield Statement("group_gap_add", customer | {"group_seq": seq})
        yield Statement("group_member_delete_all", customer | {"group_seq": seq})
        yield from group_text.delete_parts(caller.customer_id, seq, count)

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
        "remark": remark or "",
        "phone_count": len(phones),
        "phones": group_text.head(phones),
        "now_ms": now_ms,
    }


def check_group_size(phone_count: int, numbers_max: int) -> None:
    """Make sure that a group may hold so many numbers.

    Args:
        phone_count: How many numbers the group would hold.
        numbers_max: How many it may hold.

    Raises:
        GroupFull: It may not.
    """
    if phone_count > numbers_max:
        raise GroupFull(f"a group may hold at most {numbers_max} numbers")


def check_group_id(group_id: str) -> None:
    """Make sure that a text can be a group's id at all.

    Args:
        group_id: What the caller sent.

    Raises:
        GroupNotFound: No group can have it; the text says what an id looks like.
    """
    if not GROUP_ID.fullmatch(group_id):
        raise GroupNotFound("a groupId is 32 lower-case hex characters")


async def _rest(slices: AsyncGenerator[Sequence[Row], None]) -> AsyncGenerator[Sequence[Row], None]:
    async with aclosing(slices):
        async for rows in slices:
            yield _groups_of(rows)


def _read_page(rows: Sequence[Row]) -> tuple[ListedGroups, bool]:
    """Return the page, and whether groups of the customer's were deleted."""
    if not rows:
        # Every customer has a counter: no row at all means that the customer is gone.
        raise InternalError
    version, total, has_gaps = rows[0][:_COUNTER_COLUMNS]
    return ListedGroups(version, total, _groups_of(rows)), bool(has_gaps)


def _groups_of(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the groups; a row without a groupId carries none."""
    return [row[_COUNTER_COLUMNS:] for row in rows if row[_GROUP_ID] is not None]


def _new_members(customer_id: str, seq: int, phones: Sequence[str]) -> Statement:
    """Return the statement that stores the numbers of a group that has none."""
    members = {"customer_id": customer_id, "group_seq": seq, "phones": [*phones]}
    return Statement("group_member_fill", members)


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


def _add(group: dict[str, object], found: Row, phones: Sequence[str], most: int) -> Steps[None]:
    seq, count, position = found
    rows = yield _add_members(str(group["customer_id"]), seq, phones, position)
    new = {row[0] for row in rows}
    if not new:
        return
    check_group_size(count + len(new), most)
    added = [phone for phone in phones if phone in new]
    text = yield from group_text.append(str(group["customer_id"]), seq, count, added)
    yield Statement(
        "group_update_append",
        group
        | {
            "phones": text,
            "added": len(new),
            "position_next": position + len(phones),
        },
    )


def _delete(group: dict[str, object], found: Row, phones: Sequence[str], _: int) -> Steps[None]:
    seq, count, position = found
    members = {"customer_id": group["customer_id"], "group_seq": seq}
    deleted = yield Statement("group_member_delete", members | {"phones": [*phones]})
    if not deleted:
        return
    left = yield Statement("group_member_list", members)
    yield from _write_phones(group, seq, count, [row[0] for row in left], position)


def _replace(group: dict[str, object], found: Row, phones: Sequence[str], most: int) -> Steps[None]:
    check_group_size(len(phones), most)
    seq, count, _ = found
    members = {"customer_id": group["customer_id"], "group_seq": seq}
    yield Statement("group_member_delete_all", members)
    yield _new_members(str(group["customer_id"]), seq, phones)
    yield from _write_phones(group, seq, count, phones, len(phones))


def _write_phones(
    group: dict[str, object], seq: int, count: int, phones: Sequence[str], position_next: int
) -> Steps[None]:
    """Write the text anew of a group that had so many numbers."""
    yield from group_text.rewrite_parts(str(group["customer_id"]), seq, count, phones)
    yield Statement(
        "group_update",
        group
        | {
            "phones": group_text.head(phones),
            "phone_count": len(phones),
            "position_next": position_next,
        },
    )
