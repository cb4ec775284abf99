"""The rules of bindAXB, bindAXBExtension and bindAXG.

Source: docs/api/bindAXB.md, docs/api/bindAXBExtension.md, docs/api/bindAXG.md.
"""

from functools import partial
from typing import Final

from openpns.bindings.making import BindingRequest, NewBinding, make_binding, with_expired_ended
from openpns.bindings.rows import live_until_ms
from openpns.bindings.wire import AXB, AXG, EXTENSION, Bound, check_digits
from openpns.core.commit import commit
from openpns.core.context import Context
from openpns.core.idempotency import digest
from openpns.errors import ParameterError, SamePhone
from openpns.numbers.service import check_did_country
from openpns.phones import parse_did_digits, parse_phone

_ONE_AFTER_THE_OTHER: Final = "*"
"""The resource of binds with digits: each sees the ones before it in a shared transaction."""


async def bind_axb(
    context: Context,
    *,
    phone_a: str,
    phone_b: str,
    expire_second: int,
    customer_bind_id: str | None = None,
    flag: int | None = None,
    business_id: str | None = None,
    dry_run: bool = False,
) -> Bound:
    """Bind two phones on a virtual number that is free for both.

    The parameters are the fields of `wire.BindAXB`.

    Raises:
        WireError: 10001, 1002, 10002, 10004, 10008, 10010, 19009 or 19012.
    """
    a, b = _parse_phones(phone_a, phone_b)
    _check_pair(a, b)
    request = BindingRequest(
        "bindAXB",
        AXB,
        a,
        b,
        expire_second,
        customer_bind_id=customer_bind_id or "",
        flag=flag or 0,
        business_id=business_id or None,
        dry_run=dry_run,
    )
    return await _bind(context, request)


async def bind_axb_extension(
    context: Context,
    *,
    phone_a: str,
    phone_x: str,
    expire_second: int,
    phone_b: str | None = None,
    extension: str | None = None,
    capital_extension: str | None = None,
    customer_bind_id: str | None = None,
    flag: int | None = None,
    dry_run: bool = False,
) -> Bound:
    """Bind a phone to digits on a virtual number.

    The parameters are the fields of `wire.BindAXBExtension`.

    Raises:
        WireError: 10001, 1002, 10002, 10007, 10008, 10004, 10010, 19008, 19009 or 19012.
    """
    a, b = _parse_phones(phone_a, phone_b or "")
    did = parse_did_digits(phone_x, "phoneX")
    digits = _parse_extension(extension, capital_extension)
    _check_pair(a, b, did)
    request = BindingRequest(
        "bindAXBExtension",
        EXTENSION,
        a,
        b,
        expire_second,
        did,
        extension=digits,
        customer_bind_id=customer_bind_id or "",
        flag=flag or 0,
        dry_run=dry_run,
    )
    return await _bind(context, request)


async def bind_axg(
    context: Context,
    *,
    phone_a: str,
    group_id: str,
    expire_second: int,
    phone_x: str | None = None,
    phone_b: str | None = None,
    customer_bind_id: str | None = None,
    flag: int | None = None,
    business_id: str | None = None,
    dry_run: bool = False,
) -> Bound:
    """Bind a phone and a group on the given virtual number, or on the one with most room.

    The parameters are the fields of `wire.BindAXG`.

    Raises:
        WireError: 10001, 1002, 10002, 10007, 10008, 10004, 19001, 10010, 19008, 19009 or 19012.
    """
    a = parse_phone(phone_a, "phoneA")
    did = parse_did_digits(phone_x, "phoneX") if phone_x and phone_x.strip() else ""
    b = parse_phone(phone_b, "phoneB") if phone_b and phone_b.strip() else ""
    _check_pair(a, b, did)
    request = BindingRequest(
        "bindAXG",
        AXG,
        a,
        b,
        expire_second,
        did,
        group_id=group_id,
        customer_bind_id=customer_bind_id or "",
        flag=flag or 0,
        business_id=business_id or None,
        dry_run=dry_run,
    )
    return await _bind(context, request)


def _parse_phones(phone_a: str, phone_b: str) -> tuple[str, str]:
    """Return both phones in digits; the second may be blank."""
    a = parse_phone(phone_a, "phoneA")
    return a, parse_phone(phone_b, "phoneB") if phone_b.strip() else ""


def _check_pair(phone_a: str, phone_b: str, did: str = "") -> None:
    if phone_a == phone_b:
        raise SamePhone("phoneA and phoneB must differ")
    if did:
        check_did_country(did, "phoneX")


def _parse_extension(extension: str | None, capital: str | None) -> str:
    if extension is not None and capital is not None and extension != capital:
        raise ParameterError("extension and Extension must not differ")
    digits = extension if extension is not None else capital
    check_digits(digits or "", "extension")
    return digits or ""


async def _bind(context: Context, request: BindingRequest) -> Bound:
    payload = request.payload()
    new = NewBinding(
        "" if request.dry_run else context.services.ids.bind_id(),
        live_until_ms(context.clock(), request.expire_second),
        digest({"action": request.action, **payload}),
    )
    write = partial(
        commit,
        context,
        request.action,
        lambda: make_binding(context, request, new),
        scope="bindings",
        payload=payload,
        result=Bound,
        dry_run=request.dry_run,
        resources=_resources(request),
    )
    return await with_expired_ended(context, write)


def _resources(request: BindingRequest) -> tuple[str, ...]:
    """Return what a bind must see of the ones before it in a shared transaction.

    A bind of two phones takes its virtual number at once (`choice.choose`). What it stores later,
    and others must see, are its seats and its customerBindId.
    """
    if request.kind == AXG:
        return ()
    if request.kind == EXTENSION:
        return (_ONE_AFTER_THE_OTHER,)
    own_id = (f"id {request.customer_bind_id}",) if request.customer_bind_id else ()
    return (request.phone_a, request.phone_b, *own_id)
