"""The rules of getAXBList and getBinding, and the bounds on bindings for getLimits.

Source: docs/api/getAXBList.md, docs/api/getBinding.md.
"""

from collections.abc import Sequence
from typing import Any, Final

from openpns import limits
from openpns.accounts.wire import Limit
from openpns.bindings.rows import as_detail, as_wire, find_statement, take_live
from openpns.bindings.wire import BindingDetail, BindingPage
from openpns.core.context import Context
from openpns.errors import BindingNotFound, InternalError, OffsetOutOfRange, ParameterError
from openpns.numbers.service import parse_did
from openpns.phones import parse_phone

_NEAR_MAX: Final = 1000
"""A page that starts after more bindings is read as a search: the offset is counted through."""

_OFFSET_MAX: Final = 2**62
_FOUND: Final = "binding_list_found"

CONDITIONS: Final = {
    "own_id": {"condition": "b.customer_bind_id = :customer_bind_id AND b.customer_bind_id <> ''"},
    "phone": {
        "condition": """b.binding_seq IN (
            SELECT p.binding_seq FROM seat AS p
            WHERE p.customer_id = :customer_id AND p.phone = :phone AND p.live_until_ms > :now_ms
            UNION ALL
            SELECT g.binding_seq FROM group_member AS m
            JOIN binding AS g ON g.customer_id = m.customer_id AND g.group_seq = m.group_seq
            WHERE m.customer_id = :customer_id AND m.phone = :phone
            UNION ALL
            SELECT a.binding_seq FROM binding AS a
            WHERE a.customer_id = :customer_id AND a.phone_a = :phone AND a.kind = 'extension'
            UNION ALL
            SELECT e.binding_seq FROM binding AS e
            WHERE e.customer_id = :customer_id AND e.phone_b = :phone AND e.kind = 'extension'
        )"""
    },
    "group": {
        "condition": """b.group_seq = (
            SELECT n.group_seq FROM number_group AS n
            WHERE n.customer_id = :customer_id AND n.group_id = CAST(:group_id AS text)
        )"""
    },
    "did": {"condition": "b.did = CAST(:did AS text)"},
    "kind": {"condition": "b.kind = CAST(:kind AS text)"},
}
"""For each filter, the condition that its index serves; the first one that was sent is taken."""


async def get_axb_list(
    context: Context,
    *,
    limit: int,
    offset: int | None = None,
    after: str | None = None,
    phone: str | None = None,
    did: str | None = None,
    group_id: str | None = None,
    kind: str | None = None,
    customer_bind_id: str | None = None,
) -> BindingPage:
    """Return a page of the customer's live bindings with their number: one snapshot.

    The parameters are the fields of `wire.GetAXBList`.

    Raises:
        ParameterError: offset and after are given together, or a phone is malformed.
        OffsetOutOfRange: The offset is above 10 000, with a filter.
        BindingNotFound: after is no binding of the customer, nor one that ended in the last days.
    """
    if after is not None and offset is not None:
        raise ParameterError("after must be sent without offset")
    limit = limit or limits.BINDINGS_IN_PAGE_MAX
    filters = {
        "own_id": customer_bind_id,
        "phone": None if phone is None else parse_phone(phone, "phone"),
        "group": group_id,
        "did": None if did is None else parse_did(did, "did"),
        "kind": kind,
    }
    sent = [name for name, value in filters.items() if value is not None]
    offset = min(offset or 0, _OFFSET_MAX)
    if sent and offset > limits.FOUND_BINDINGS_MAX:
        raise OffsetOutOfRange(
            f"with a filter, offset must be an integer from 0 to {limits.FOUND_BINDINGS_MAX}; use "
            "after for later pages"
        )
    params: dict[str, Any] = {
        "customer_id": context.customer_id,
        "now_ms": context.clock(),
        # One more shows whether there is a next page.
        "limit": limit if after is None else limit + 1,
        "offset": offset,
        "after_seq": await _seq_of(context, after),
    }
    if not sent:
        name = "binding_list" if offset <= _NEAR_MAX else "binding_list:far"
        return await _read_page(context, name, params, limit, after)
    params |= {
        "customer_bind_id": customer_bind_id,
        "phone": filters["phone"],
        "group_id": group_id,
        "did": filters["did"],
        "kind": kind,
        "total_max": limits.FOUND_BINDINGS_MAX,
    }
    return await _read_page(context, f"{_FOUND}:{sent[0]}", params, limit, after)


async def _read_page(
    context: Context, name: str, params: dict[str, Any], limit: int, after: str | None
) -> BindingPage:
    async with context.read_turn(limit):
        rows = await context.store.fetch(name, params)
    if not rows:
        raise InternalError
    total = rows[0][0]
    found = [as_wire(context.customer_id, row[1:]) for row in rows if row[2] is not None]
    page = BindingPage(found[:limit], total)
    most = params.get("total_max")
    if most is not None and total > most:
        page.total, page.total_is_bounded = most, True
    if after is not None:
        page.next = page.bind_list[-1].bind_id if len(found) > limit else None
    return page


async def _seq_of(context: Context, after: str | None) -> int:
    if not after:
        return -1
    params = {"customer_id": context.customer_id, "bind_id": after}
    rows = await context.store.fetch("binding_seq_find", params)
    if not rows:
        raise BindingNotFound(
            "after must be the bindId of one of your bindings, or of one that ended in the last 7 "
            "days; begin again with an empty after"
        )
    return int(rows[0][0])


async def get_binding(
    context: Context, *, bind_id: str | None = None, customer_bind_id: str | None = None
) -> BindingDetail:
    """Return one live binding.

    Raises:
        ParameterError: No id is given.
        BindingNotFound: No live binding of the customer has all ids that are given.
    """
    found = find_statement(context, bind_id, customer_bind_id)
    rows = await context.store.fetch(found.name, found.params)
    binding = take_live(rows, bind_id, customer_bind_id, context.clock())
    return as_detail(context.customer_id, binding)


async def count_of_group(context: Context, group_seq: int) -> int:
    """Return how many live bindings use a group."""
    params = {
        "customer_id": context.customer_id,
        "group_seq": group_seq,
        "now_ms": context.clock(),
    }
    ((count,),) = await context.store.fetch("binding_group_usage", params)
    return int(count)


async def binding_limits(context: Context) -> Sequence[Limit]:
    """Return the bounds on bindings, and how many live ones the customer has."""
    params = {"customer_id": context.customer_id, "now_ms": context.clock()}
    found = await context.store.fetch("binding_usage", params)
    if not found:
        raise InternalError
    count, own = found[0]
    quota = context.services.bindings_per_customer_max or None if own is None else own
    return [
        Limit("bindings", None if quota == limits.QUOTA_MAX else quota, count),
        Limit("bindingsInPage", limits.BINDINGS_IN_PAGE_MAX),
        Limit("customerBindIdChars", limits.CUSTOMER_BIND_ID_CHARS_MAX),
        Limit("expireSeconds", limits.EXPIRE_SECOND_MAX),
    ]
