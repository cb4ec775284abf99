"""The requests for bindings and calls: a function for each, which returns it ready to send."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from openpns import limits
from openpns.bindings.wire import RECORD, Bound
from openpns.client.arguments import aware, flag, optional_text, text
from openpns.client.binding_answers import (
    read_any_page,
    read_bound,
    read_cursor_page,
    read_decision,
    read_details,
    read_explanation,
    read_nothing,
    read_page,
)
from openpns.client.binding_types import (
    BindingDetails,
    BindingFilters,
    BindingPage,
    CallDecision,
    CallExplanation,
)
from openpns.client.number_requests import list_numbers
from openpns.client.requests import Request, ResultT
from openpns.errors import ParameterError


def bind_axb(
    phone_a: str,
    phone_b: str,
    *,
    expire_s: int,
    record: bool = False,
    customer_bind_id: str | None = None,
    business_id: str | None = None,
    client_token: str | None = None,
    dry_run: bool = False,
) -> Request[Bound]:
    """Bind two phones on a virtual number: each reaches the other by calling it.

    Args:
        expire_s: How many seconds the binding lives, up to 315 360 000; 0 for ever.
        record: Record its calls.
        customer_bind_id: Your own id, at most 128 characters: while a binding with it lives, the
            same request returns that binding.
        business_id: Take a virtual number of this business only. An extension of openpns.
        client_token: An idempotency key; see `groups.create`.
        dry_run: Return the virtual number that it would take, and change nothing. An extension of
            openpns; it first sends a listNumbers, which only openpns answers.

    Raises:
        ParameterError: A phone or another argument is not allowed.
        SamePhone: Both phones are the same.
        CountryMismatch: They have different country codes.
        NoVirtualNumber: You have no virtual number of this country.
        PoolExhausted: No virtual number can take the binding.
        CustomerBindIdInUse: A live binding has the id, made by another request.
    """
    body = {
        "phoneA": text("phoneA", phone_a),
        "phoneB": text("phoneB", phone_b),
        "businessId": optional_text("businessId", business_id),
    }
    common = _common(expire_s, customer_bind_id, client_token, record=record)
    return _bind("bindAXB", body | common, dry_run=dry_run)


def bind_extension(
    phone_a: str,
    did: str,
    extension: str,
    *,
    expire_s: int,
    phone_b: str | None = None,
    record: bool = False,
    customer_bind_id: str | None = None,
    client_token: str | None = None,
    dry_run: bool = False,
) -> Request[Bound]:
    """Bind a phone to three digits on a virtual number: whoever dials them there reaches it.

    See `bind_axb` for the other arguments.

    Args:
        did: The virtual number.
        extension: The digits, such as "042".
        phone_b: Whom A reaches by dialling the digits; nobody if None.

    Raises:
        ParameterError: An argument is not allowed.
        NoVirtualNumber: The virtual number is not yours, or disabled.
        PoolExhausted: The virtual number is full or draining.
        BindingConflict: The digits have a live binding there.
    """
    body = {
        "phoneA": text("phoneA", phone_a),
        "phoneB": optional_text("phoneB", phone_b),
        "phoneX": text("phoneX", did),
        "extension": text("extension", extension),
    }
    common = _common(expire_s, customer_bind_id, client_token, record=record)
    return _bind("bindAXBExtension", body | common, dry_run=dry_run)


def bind_axg(
    phone_a: str,
    group_id: str,
    *,
    expire_s: int,
    did: str | None = None,
    phone_b: str | None = None,
    record: bool = False,
    customer_bind_id: str | None = None,
    business_id: str | None = None,
    client_token: str | None = None,
    dry_run: bool = False,
) -> Request[Bound]:
    """Bind a phone and a number group: each member reaches A by calling the virtual number.

    See `bind_axb` for the other arguments.

    Args:
        did: The virtual number; the one with most room if None.
        phone_b: The member whom A reaches by calling; nobody if None.

    Raises:
        ParameterError: An argument is not allowed, or phone_b is not in the group.
        GroupNotFound: There is no such group.
        CountryMismatch: A phone has not the country code of the virtual number.
        NoVirtualNumber: The virtual number is not yours, or there is none of this country.
        PoolExhausted: No virtual number can take the binding.
        BindingConflict: A phone has a live binding on the given virtual number.
    """
    body = {
        "phoneA": text("phoneA", phone_a),
        "phoneX": optional_text("phoneX", did),
        "phoneB": optional_text("phoneB", phone_b),
        "groupId": text("groupId", group_id),
        "businessId": optional_text("businessId", business_id),
    }
    common = _common(expire_s, customer_bind_id, client_token, record=record)
    return _bind("bindAXG", body | common, dry_run=dry_run)


def unbind(
    bind_id: str | None = None,
    *,
    customer_bind_id: str | None = None,
    client_token: str | None = None,
) -> Request[None]:
    """End a binding; if both ids are given, they must be those of one binding.

    Raises:
        ParameterError: No id is given.
        BindingNotFound: There is no such live binding.
    """
    body = _ids(bind_id, customer_bind_id) | {
        "clientToken": optional_text("clientToken", client_token)
    }
    return _write("unbindAXB", body, read_nothing)


def update_binding(
    bind_id: str | None = None,
    *,
    customer_bind_id: str | None = None,
    expire_s: int | None = None,
    phone_b: str | None = None,
    record: bool | None = None,
) -> Request[None]:
    """Change a binding; what is None stays as it is. An extension of openpns.

    Args:
        expire_s: How many seconds it lives from now on; 0 for ever.
        phone_b: The new second phone; empty for none, unless two phones are bound.

    Raises:
        ValueError: There is nothing to change.
        BindingNotFound: There is no such live binding.
        BindingConflict: The new phone has a live binding on the virtual number.
    """
    if expire_s is None and phone_b is None and record is None:
        raise ValueError("one of expire_s, phone_b and record must be given")
    body = _ids(bind_id, customer_bind_id) | {
        "expireSecond": None if expire_s is None else _seconds(expire_s),
        "phoneB": optional_text("phoneB", phone_b),
        "flag": None if record is None else int(flag("flag", record)) * RECORD,
    }
    return _write("updateBinding", body, read_nothing)


def get_binding(
    bind_id: str | None = None, *, customer_bind_id: str | None = None
) -> Request[BindingDetails]:
    """Return one live binding. An extension of openpns.

    Raises:
        BindingNotFound: There is no such live binding.
    """
    body = _sent(_ids(bind_id, customer_bind_id))
    return Request("getBinding", body, read_details, is_read=True, is_extension=True)


def list_bindings(
    limit: int = limits.BINDINGS_IN_PAGE_MAX, offset: int = 0
) -> Request[BindingPage]:
    """Return a page of live bindings, oldest first.

    Raises:
        LimitOutOfRange: limit is not from 0 to 1000; 0 returns 1000.
        OffsetOutOfRange: offset is negative.
    """
    return Request("getAXBList", {"limit": limit, "offset": offset}, read_page, is_read=True)


def page_after(
    after: str, limit: int, filters: BindingFilters, *, may_be_plain: bool = False
) -> Request[BindingPage]:
    """Return the page of bindings after the one with this bindId; empty for the first page.

    With `may_be_plain`, also accept the page of a server that ignores `after`; it is not a
    BindingCursorPage.
    """
    body = {"limit": limit, "after": after, **filters.body()}
    if may_be_plain:
        return Request("getAXBList", body, read_any_page, is_read=True)
    return Request("getAXBList", body, read_cursor_page, is_read=True, is_extension=True)


def query_call(caller: str, did: str, extension: str | None = None) -> Request[CallDecision]:
    """Return who is to be called if `caller` calls the virtual number `did`.

    Args:
        extension: The digits that the caller has dialled.

    Raises:
        BindingNotFound: Nobody is to be called; its `audio_when_call_fails` is what to play.
    """
    body = {
        "caller": text("caller", caller),
        "did": text("did", did),
        "extension": optional_text("extension", extension),
    }
    return Request("queryAXB", _sent(body), read_decision, is_read=True)


def explain_call(
    caller: str, did: str, extension: str | None = None, *, at: datetime | None = None
) -> Request[CallExplanation]:
    """Return who would be called, and if nobody, the nearest reason. An extension of openpns.

    Args:
        at: When, an aware datetime; now if None. Only what is stored now is known.

    Raises:
        ValueError: `at` has no time zone.
    """
    body = {
        "caller": text("caller", caller),
        "did": text("did", did),
        "extension": optional_text("extension", extension),
        "at": None if at is None else int(aware("at", at).timestamp()),
    }
    return Request("explainCall", _sent(body), read_explanation, is_read=True, is_extension=True)


def _common(
    expire_s: int, customer_bind_id: str | None, client_token: str | None, *, record: bool
) -> dict[str, Any]:
    return {
        "expireSecond": _seconds(expire_s),
        "flag": RECORD if flag("flag", record) else None,
        "customerBindId": optional_text("customerBindId", customer_bind_id),
        "clientToken": optional_text("clientToken", client_token),
    }


def _seconds(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ParameterError(f"expireSecond must be an integer, not {type(value).__name__}")
    return value


def _ids(bind_id: str | None, customer_bind_id: str | None) -> dict[str, Any]:
    return {
        "bindId": optional_text("bindId", bind_id),
        "customerBindId": optional_text("customerBindId", customer_bind_id),
    }


def _sent(body: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in body.items() if value is not None}


def _bind(action: str, body: dict[str, Any], *, dry_run: bool) -> Request[Bound]:
    if not flag("dryRun", dry_run):
        return _write(action, body, read_bound)
    body = _sent(body) | {"dryRun": True}
    return Request(action, body, read_bound, has_client_token=True, probe=list_numbers(1))


def _write(
    action: str, body: dict[str, Any], read: Callable[[dict[str, Any]], ResultT]
) -> Request[ResultT]:
    if body.get("clientToken") == "":  # would be replaced by a random one
        raise ParameterError("clientToken must not be empty")
    return Request(action, _sent(body), read, has_client_token=True)
