"""Bindings from elsewhere, with the ids, virtual numbers and ends that they have there."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Final

import msgspec

from openpns import limits
from openpns.bindings import ending
from openpns.bindings.making import BindingRequest, NewBinding, make_binding, with_expired_ended
from openpns.bindings.rows import NEVER_MS, StoredBinding, expire_at, find_statement
from openpns.bindings.wire import AXB, AXG, DIGITS, EXTENSION, KINDS, RECORD
from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.errors import ParameterError, SamePhone
from openpns.numbers.service import parse_did
from openpns.phones import parse_phone
from openpns.storage.store import Statement, Transaction, as_struct

IMPORTED: Final = "import"
"""The origin of bindings that no server lists."""

BIND_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{limits.BIND_ID_CHARS_MAX}}}", re.ASCII)
"""What the id of a binding from elsewhere looks like."""

_OWN_ID_MAX: Final = limits.CUSTOMER_BIND_ID_CHARS_MAX
_EXPORT_EACH: Final = 1000
_OWN_ID: Final = re.compile(rf"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{0,{_OWN_ID_MAX}}}")


class BindingRow(msgspec.Struct, frozen=True, rename="camel"):
    """A live binding; an `expire_at` of 0 is never, in s since 1970 UTC."""

    kind: str
    bind_id: str
    did: str
    phone_a: str
    phone_b: str = ""
    extension: str = ""
    group_id: str = ""
    customer_bind_id: str = ""
    flag: int = 0
    expire_at: int = 0

    def __repr__(self) -> str:  # without the phones
        return f"BindingRow({self.bind_id!r})"


def check_row(row: BindingRow, now_ms: int) -> BindingRow:
    """Check a row from elsewhere; return it with its phones and virtual number in digits.

    Raises:
        ParameterError: A field is malformed; the text names it, never its phone.
        WireError: The phones are the same, or the virtual number has no country code.
    """
    latest = -(-now_ms // 1000) + limits.EXPIRE_SECOND_MAX
    checks = (
        (row.kind in KINDS, f"kind must be one of {', '.join(KINDS)}"),
        (
            BIND_ID.fullmatch(row.bind_id),
            f"bindId must be 1 to {limits.BIND_ID_CHARS_MAX} letters, digits, _ and -",
        ),
        (
            (row.kind == AXG) == bool(row.group_id) and (row.kind != AXB or row.phone_b),
            "axg needs a groupId, axb a phoneB, and no other kind a groupId",
        ),
        (
            DIGITS.fullmatch(row.extension) if row.kind == EXTENSION else not row.extension,
            "extension must be three digits for the kind extension, and empty for others",
        ),
        (
            _OWN_ID.fullmatch(row.customer_bind_id),
            f"customerBindId must be at most {_OWN_ID_MAX} characters, none a control character",
        ),
        (row.flag in (0, RECORD), f"flag must be 0 or {RECORD}"),
        (
            0 <= row.expire_at <= latest,
            f"expireAt must be 0, or a time in s since 1970 to {latest}",
        ),
    )
    for is_right, why in checks:
        if not is_right:
            raise ParameterError(why)
    did = parse_did(row.did, "did")
    phone_a = parse_phone(row.phone_a, "phoneA")
    phone_b = parse_phone(row.phone_b, "phoneB") if row.phone_b else ""
    if phone_a == phone_b:
        raise SamePhone("phoneA and phoneB must differ")
    return msgspec.structs.replace(row, did=did, phone_a=phone_a, phone_b=phone_b)


async def import_binding(
    services: Services, customer_id: str, row: BindingRow, origin: str = IMPORTED
) -> str:
    """Store a binding of a customer; return "new", or "changed" or "same" if it is stored already.

    Args:
        row: As `check_row` returns it.
        origin: Where it comes from, for `list_of_origin`. A binding that is listed by another
            origin than before belongs to that one from then on.

    Raises:
        WireError: A virtual number, group, seat or customerBindId does not allow it.
    """
    context = Context(services, Principal("", customer_id))
    request = BindingRequest(
        "import",
        row.kind,
        row.phone_a,
        row.phone_b,
        0,
        row.did,
        row.extension,
        row.group_id,
        row.customer_bind_id,
        row.flag,
        is_import=True,
    )
    until_ms = row.expire_at * 1000 if row.expire_at else NEVER_MS
    new = NewBinding(row.bind_id, until_ms, origin)
    named = {"customer_id": customer_id, "bind_id": row.bind_id}

    def steps() -> Transaction[OperatorEffect[str]]:
        stored = yield from _find(context, row.bind_id)
        if stored is not None and as_row(stored) == row:
            if origin not in (IMPORTED, stored.body_digest):
                yield Statement("binding_set_origin", named | {"origin": origin})
            return OperatorEffect("same", customer_id, is_change=False)
        if stored is not None:
            stored = yield from _lock(context, stored)
        if stored is not None:
            # It does not count as ended: it is stored again.
            last = yield from ending.end(customer_id, [stored], ending.OPERATOR, services.clock())
            yield [statement for statement in last if statement.name != "ended_binding_add"]
        else:
            yield Statement("ended_binding_forget", named)
        effect = yield from make_binding(context, request, new)
        if effect.last:
            yield effect.last
        counts = dict(effect.counts)
        counts["bindings"] -= stored is not None
        done = "new" if stored is None else "changed"
        return OperatorEffect(done, customer_id, details=effect.details, counts=counts)

    write = partial(commit_as_operator, services.store, "bindings.import", steps, scope="bindings")
    return await with_expired_ended(context, write)


def _find(context: Context, bind_id: str) -> Transaction[StoredBinding | None]:
    """Return a stored binding, also one that ran out."""
    found = yield find_statement(context, bind_id, None)
    return as_struct(StoredBinding, found[0]) if found else None


def _lock(context: Context, stored: StoredBinding) -> Transaction[StoredBinding | None]:
    """Lock the group of a binding and its customer; return it if it has not ended meanwhile."""
    yield from ending.lock_groups(context.customer_id, [stored])
    yield Statement("customer_state_lock", {"customer_id": context.customer_id})
    return (yield from _find(context, stored.bind_id))


def as_row(stored: StoredBinding) -> BindingRow:
    """Return a stored binding as a row."""
    return BindingRow(
        stored.kind,
        stored.bind_id,
        stored.did,
        stored.phone_a,
        stored.phone_b,
        stored.extension,
        stored.group_id,
        stored.customer_bind_id,
        stored.flag,
        expire_at(stored.live_until_ms),
    )


async def find_row(services: Services, customer_id: str, bind_id: str) -> BindingRow | None:
    """Return a stored binding as a row, also one that ran out; None if there is none."""
    context = Context(services, Principal("", customer_id))
    found = find_statement(context, bind_id, None)
    rows = await services.store.fetch(found.name, found.params)
    return as_row(as_struct(StoredBinding, rows[0])) if rows else None


async def list_of_origin(services: Services, customer_id: str, origin: str) -> list[str]:
    """Return the ids of the live bindings that were imported from an origin."""
    params = {"customer_id": customer_id, "origin": origin, "now_ms": services.clock()}
    return [row[0] for row in await services.store.fetch("binding_list_of_origin", params)]


async def end_imported(services: Services, customer_id: str, bind_id: str) -> None:
    """End a binding that has ended where it came from; do nothing if it has ended here."""
    context = Context(services, Principal("", customer_id))
    now_ms = services.clock()

    def steps() -> Transaction[OperatorEffect[None]]:
        stored = yield from _find(context, bind_id)
        if stored is not None:
            stored = yield from _lock(context, stored)
        if stored is None:
            return OperatorEffect(None, customer_id, is_change=False)
        last = yield from ending.end(customer_id, [stored], ending.OPERATOR, now_ms)
        yield last
        counts = ending.counted(bindings=-1)
        return OperatorEffect(None, customer_id, details={"bindId": bind_id}, counts=counts)

    await commit_as_operator(services.store, "bindings.endImported", steps, scope="bindings")


async def export_rows(services: Services, customer_id: str) -> AsyncGenerator[BindingRow, None]:
    """Return every live binding of a customer, oldest first, in one snapshot."""
    params = {"customer_id": customer_id, "now_ms": services.clock()}
    async with aclosing(services.store.stream("binding_export", params, _EXPORT_EACH)) as slices:
        async for rows in slices:
            for *columns, until_ms in rows:
                yield BindingRow(*[*columns, expire_at(until_ms)])
