"""The rules of unbindAXB and updateBinding.

Source: docs/api/unbindAXB.md, docs/api/updateBinding.md.
"""

from typing import Any

import msgspec

from openpns.bindings import choice, ending
from openpns.bindings.rows import (
    NEVER_MS,
    StoredBinding,
    find_statement,
    live_until_ms,
    seats_of,
    take_live,
)
from openpns.bindings.wire import AXB, AXG
from openpns.core.commit import Effect, commit
from openpns.core.context import Context
from openpns.errors import (
    BindingNotFound,
    CountryMismatch,
    EmptyPhone,
    ParameterError,
    ParameterUnfit,
    SamePhone,
)
from openpns.phones import find_country_code, mask_phone, parse_phone
from openpns.storage.store import Statement, Transaction


async def unbind_axb(
    context: Context, *, bind_id: str | None = None, customer_bind_id: str | None = None
) -> None:
    """End a binding of any kind.

    Raises:
        ParameterError: No id is given.
        BindingNotFound: No live binding of the customer has all ids that are given.
    """
    find_statement(context, bind_id, customer_bind_id)  # an id is required

    def steps() -> "Transaction[Effect[None]]":
        binding, now_ms = yield from _lock(context, bind_id, customer_bind_id)
        last = yield from ending.end(context.customer_id, [binding], ending.UNBOUND, now_ms)
        counts = ending.counted(bindings=-1)
        return Effect(None, binding.bind_id, _details(binding), last, counts)

    payload = {"bindId": bind_id or None, "customerBindId": customer_bind_id or None}
    await commit(context, "unbindAXB", steps, scope="bindings", payload=payload)


async def update_binding(
    context: Context,
    *,
    bind_id: str | None = None,
    customer_bind_id: str | None = None,
    expire_second: int | None = None,
    phone_b: str | None = None,
    flag: int | None = None,
    dry_run: bool = False,
) -> None:
    """Change the end, the second phone or the flag of a binding; all or nothing.

    The parameters are the fields of `wire.UpdateBinding`.

    Raises:
        ParameterError: No id, or nothing to change, is given, or a phone is malformed or unfit.
        BindingNotFound: No live binding of the customer has all ids that are given.
        BindingConflict: The new phone has a live binding on the virtual number.
    """
    find_statement(context, bind_id, customer_bind_id)  # an id is required
    if expire_second is None and phone_b is None and flag is None:
        raise ParameterError("one of expireSecond, phoneB and flag is required")
    if phone_b is not None:
        phone_b = parse_phone(phone_b, "phoneB") if phone_b.strip() else ""

    def steps() -> "Transaction[Effect[None]]":
        binding, now_ms = yield from _lock(context, bind_id, customer_bind_id)
        changed = msgspec.structs.replace(
            binding,
            phone_b=binding.phone_b if phone_b is None else phone_b,
            flag=binding.flag if flag is None else flag,
            live_until_ms=(
                binding.live_until_ms
                if expire_second is None
                else live_until_ms(now_ms, expire_second)
            ),
        )
        wanted = _wanted(context, changed, now_ms)
        if changed.phone_b != binding.phone_b:
            yield from _check_phone_b(wanted)
        yield from choice.check_seats(wanted)
        last = _store(context, binding, changed, now_ms)
        return Effect(None, binding.bind_id, _details(changed), last, ending.counted())

    await commit(
        context,
        "updateBinding",
        steps,
        scope="bindings",
        payload={
            "bindId": bind_id or None,
            "customerBindId": customer_bind_id or None,
            "expireSecond": expire_second,
            "phoneB": phone_b,
            "flag": flag,
        },
        dry_run=dry_run,
    )


def _lock(
    context: Context, bind_id: str | None, customer_bind_id: str | None
) -> Transaction[tuple[StoredBinding, int]]:
    """Lock the group of a binding and the customer's bindings; return the binding and the time.

    The time is read under the lock: a binding that runs out while its change waits has ended, and
    another one may have its seats.

    Raises:
        BindingNotFound: No live binding of the customer has all ids that are given.
    """
    found = find_statement(context, bind_id, customer_bind_id)
    before = take_live((yield found), bind_id, customer_bind_id, context.clock())
    yield from ending.lock_groups(context.customer_id, [before])
    yield Statement("binding_order_lock", {"customer_id": context.customer_id})
    now_ms = context.clock()
    binding = take_live((yield found), bind_id, customer_bind_id, now_ms)
    if binding.group_id != before.group_id:
        raise BindingNotFound  # it ended meanwhile, and its own id names another one now
    return binding, now_ms


def _wanted(context: Context, changed: StoredBinding, now_ms: int) -> choice.Wanted:
    """Return what a changed binding needs of its virtual number."""
    return choice.Wanted(
        context.customer_id,
        changed.kind,
        changed.phone_a,
        changed.phone_b,
        changed.did,
        changed.extension,
        None,
        now_ms,
        choice.NO_GROUP if changed.group_seq is None else changed.group_seq,
        changed.binding_seq,
    )


def _check_phone_b(wanted: choice.Wanted) -> Transaction[None]:
    """Check a new second phone as the action that binds does."""
    phone_b = wanted.phone_b
    if not phone_b:
        if wanted.kind == AXB:
            raise EmptyPhone("phoneB is required")
        return
    if phone_b == wanted.phone_a:
        raise SamePhone("phoneA and phoneB must differ")
    phones = {"phone_a": phone_b, "phone_b": phone_b, "did": phone_b}
    if (yield Statement("binding_number_find", {"customer_id": wanted.customer_id, **phones})):
        raise ParameterUnfit("phoneB must not be one of your own virtual numbers")
    country = find_country_code(wanted.did)
    if not phone_b.startswith(country):
        raise CountryMismatch(f"phoneB must begin with the country code {country}")
    if wanted.kind == AXG:
        members = wanted.params() | {"country": "", "country_end": "", "phone_b": phone_b}
        ((_, position),) = yield Statement("binding_group_country_find", members)
        if position is None:
            raise ParameterUnfit("phoneB must be a number of the group")


def _store(
    context: Context, before: StoredBinding, changed: StoredBinding, now_ms: int
) -> list[Statement]:
    seat: dict[str, Any] = {
        "customer_id": context.customer_id,
        "did": changed.did,
        "binding_seq": changed.binding_seq,
        "live_until_ms": changed.live_until_ms,
        "now_ms": now_ms,
    }
    held, wanted = (
        seats_of(one.kind, one.phone_a, one.phone_b, one.extension) for one in (before, changed)
    )
    row = seat | {"phone_b": changed.phone_b, "flag": changed.flag}
    return [
        Statement("binding_update", row),
        *[
            Statement("seat_end", seat | {"phone": phone, "ended_ms": now_ms})
            for phone in held
            if phone not in wanted
        ],
        *[Statement("seat_take", seat | {"phone": phone}) for phone in wanted],
    ]


def _details(binding: StoredBinding) -> dict[str, Any]:
    """Return the details of the audit entry, with masked phones."""
    phones = [mask_phone(phone) for phone in (binding.phone_a, binding.phone_b) if phone]
    until = None if binding.live_until_ms == NEVER_MS else binding.live_until_ms // 1000
    return {"phones": phones, "number": mask_phone(binding.did), "expireAt": until}
