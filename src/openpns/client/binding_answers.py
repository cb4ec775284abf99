"""How the responses to requests for bindings and calls are read."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from openpns.bindings.wire import RECORD, Bound
from openpns.client.binding_types import (
    Binding,
    BindingCursorPage,
    BindingDetails,
    BindingPage,
    CallDecision,
    CallExplanation,
)
from openpns.routing.wire import BIND_TYPES, Explanation

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_Time: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
"""In s since 1970 UTC, up to the year 9999."""
_KIND_OF_TYPE: Final = {number: kind for kind, number in BIND_TYPES.items()}


def read_details(envelope: dict[str, Any]) -> BindingDetails:
    """Return a binding with all its fields."""
    found = msgspec.convert(envelope.get("data"), _WireDetails)
    last_call = _as_time(found.last_call_at) if found.last_call_at else None
    others = (found.kind, found.group_id or None, _as_time(found.created_at), last_call)
    return BindingDetails(*(*_fields(found), *others))


def read_decision(envelope: dict[str, Any]) -> CallDecision:
    """Return who is to be called."""
    answer = msgspec.convert(envelope.get("data"), _WireAnswer)
    return CallDecision(
        answer.callee or None,
        answer.call_id,
        bool(answer.flag & RECORD),
        _KIND_OF_TYPE.get(answer.bind_type),  # type: ignore[arg-type]
        answer.audio_when_call_fail or None,
        answer.audio_when_dtmf_err or None,
        answer.audio_when_dtmf_need or None,
    )


def read_explanation(envelope: dict[str, Any]) -> CallExplanation:
    """Return why a call reaches whom it reaches."""
    found = msgspec.convert(envelope.get("data"), Explanation)
    return CallExplanation(found.callee or None, found.bind_id or None, found.reason, found.details)


class _WireBinding(msgspec.Struct, rename="camel"):
    """A binding as any server sends it: only the id and the virtual number are required."""

    bind_id: str
    did: str
    phone_a: str = ""
    phone_b: str | None = None
    extension: str | None = None
    flag: int = 0
    expire_at: _Time = 0
    customer_bind_id: str | None = None
    business_id: str | None = None
    customer_id: str | None = None


class _WireDetails(_WireBinding, kw_only=True, rename="camel"):
    kind: str
    group_id: str
    created_at: _Time
    last_call_at: _Time


class _WirePage(msgspec.Struct, rename="camel"):
    bind_list: list[_WireBinding]
    total: int
    total_is_bounded: bool = False
    next: str | UnsetType | None = UNSET


class _WireAnswer(msgspec.Struct, rename="camel"):
    callee: str
    call_id: str
    flag: int = 0
    bind_type: int = 0
    audio_when_call_fail: str | None = None
    audio_when_dtmf_err: str | None = None
    audio_when_dtmf_need: str | None = None


def _fields(found: _WireBinding) -> tuple[Any, ...]:
    return (
        found.bind_id,
        found.did,
        found.phone_a,
        found.phone_b or None,
        found.extension or None,
        bool(found.flag & RECORD),
        _as_time(found.expire_at) if found.expire_at else None,
        found.customer_bind_id or None,
        found.business_id or "",
        found.customer_id or "",
    )


def _as_time(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def read_any_page(envelope: dict[str, Any]) -> BindingPage:
    """Return a page of bindings; a BindingCursorPage if the server knows `after`."""
    page = msgspec.convert(envelope.get("data"), _WirePage)
    bindings = [Binding(*_fields(found)) for found in page.bind_list]
    if page.next is UNSET:
        return BindingPage(bindings, page.total, page.total_is_bounded)
    return BindingCursorPage(bindings, page.total, page.total_is_bounded, next=page.next)


def read_page(envelope: dict[str, Any]) -> BindingPage:
    """Return a page of bindings."""
    page = read_any_page(envelope)
    return BindingPage(page.bindings, page.total, page.total_is_bounded)


def read_cursor_page(envelope: dict[str, Any]) -> BindingCursorPage:
    """Return a page that only openpns sends."""
    page = read_any_page(envelope)
    if not isinstance(page, BindingCursorPage):
        raise msgspec.ValidationError("no data.next")
    return page


def read_bound(envelope: dict[str, Any]) -> Bound:
    """Return the ids of a new binding."""
    return msgspec.convert(envelope.get("data"), Bound)


def read_nothing(_: dict[str, Any]) -> None:
    """Read a response without data."""
