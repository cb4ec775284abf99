"""The requests for call records: a function for each, which returns it ready to send."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from openpns import limits
from openpns.call_records.wire import CALLEE, CALLER
from openpns.client.arguments import aware, optional_text, text
from openpns.client.call_record_types import (
    CallRecord,
    CallRecordFilters,
    CallRecordPage,
    HungUpBy,
)
from openpns.client.requests import Request
from openpns.errors import ParameterError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HANGUP: Final[dict[str | None, int | None]] = {"caller": CALLER, "callee": CALLEE, None: None}
_Time: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=limits.TIME_S_MAX)]
_Id: TypeAlias = Annotated[int, msgspec.Meta(ge=1, lt=2**53)]


def report_call(
    call_id: str,
    *,
    start: datetime,
    hangup: datetime,
    answer: datetime | None = None,
    hangup_cause: str | None = None,
    hangup_code: int | None = None,
    hung_up_by: HungUpBy | None = None,
    record_file: str | None = None,
    caller: str | None = None,
    did: str | None = None,
    bind_id: str | None = None,
    client_token: str | None = None,
) -> Request[int]:
    """Store the record of a call that ended; return its id. An extension of openpns.

    A call has one record: the same report again returns the same id.

    Args:
        call_id: That of the call's last question.
        start: When the call began, an aware datetime, as the other times; to the second.
        answer: None if nobody answered.
        hangup_cause: Such as "NORMAL_CLEARING".
        hung_up_by: None for what the cause says.
        record_file: The URL of the recording.
        caller: Needed only if the question is not known any more, as `did` and `bind_id`.
        client_token: An idempotency key; see `groups.create`.

    Raises:
        ValueError: A time has no time zone, or hung_up_by is something else.
        ParameterError: A field is not allowed, or the question is not known.
        BindingNotFound: bind_id is not yours.
        ClientTokenReused: Another report of this call is stored.
    """
    if hung_up_by not in _HANGUP:
        raise ValueError('hung_up_by must be "caller", "callee" or None')
    if client_token == "":  # would be replaced by a random one
        raise ParameterError("clientToken must not be empty")
    body = {
        "callId": text("callId", call_id),
        "startAt": _seconds("start", start),
        "answerAt": _optional_seconds("answer", answer),
        "hangupAt": _seconds("hangup", hangup),
        "hangupCode": hangup_code,
        "hangupCause": optional_text("hangupCause", hangup_cause),
        "hangup": _HANGUP[hung_up_by],
        "recordFile": optional_text("recordFile", record_file),
        "caller": optional_text("caller", caller),
        "did": optional_text("did", did),
        "bindId": optional_text("bindId", bind_id),
        "clientToken": optional_text("clientToken", client_token),
    }
    return Request("reportCall", _sent(body), _read_id, has_client_token=True, is_extension=True)


def list_call_records(
    limit: int = limits.CALL_RECORDS_IN_PAGE_MAX,
    after: str = "",
    *,
    bind_id: str | None = None,
    did: str | None = None,
    phone: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Request[CallRecordPage]:
    """Return a page of call records, newest first. An extension of openpns.

    Args:
        after: The `next` of the page before; empty for the first page.
        phone: Only calls from or to this phone.
        since: Only calls that began then or later, an aware datetime.
        until: Only calls that began before, an aware datetime.

    Raises:
        ValueError: A time has no time zone.
        LimitOutOfRange: limit is not from 0 to 1000; 0 returns 1000.
        ParameterError: A filter is malformed, or the server does not know the action.
    """
    return page_of(limit, after, CallRecordFilters(bind_id, did, phone, since, until))


def page_of(limit: int, after: str, filters: CallRecordFilters) -> Request[CallRecordPage]:
    """Return the page of records that match after a place; see `list_call_records`."""
    body = {
        "limit": limit,
        "after": text("after", after),
        "bindId": optional_text("bindId", filters.bind_id),
        "did": optional_text("did", filters.did),
        "phone": optional_text("phone", filters.phone),
        "since": _optional_seconds("since", filters.since),
        "until": _optional_seconds("until", filters.until),
    }
    return Request("listCallRecords", _sent(body), _read_page, is_read=True, is_extension=True)


def get_call_record(call_id: str) -> Request[CallRecord]:
    """Return the record of a call. An extension of openpns.

    Raises:
        NotFound: There is none.
    """
    body = {"callId": text("callId", call_id)}
    return Request("getCallRecord", body, _read_record, is_read=True, is_extension=True)


class WireRecord(msgspec.Struct, rename="camel"):
    """A record as the server sends it, in responses and pushes; values are bounded."""

    id: _Id
    business_id: str
    customer_bind_id: str
    bind_id: str
    call_id: str
    did: str
    caller: str
    callee: str
    call_status: int
    call_status_msg: str
    duration: int
    start_at: _Time
    answer_at: _Time
    hangup_at: _Time
    hangup_cause: str
    hangup_code: int
    hangup: int
    record_file: str
    extension_caller: str
    extension_callee: str

    def __repr__(self) -> str:  # without the phones
        return f"WireRecord({self.id!r})"


def as_record(found: WireRecord) -> CallRecord:
    """Return a record of the wire as the methods return it."""
    return CallRecord(
        found.id,
        found.call_id,
        found.bind_id or None,
        found.customer_bind_id or None,
        found.business_id,
        found.did,
        found.caller,
        found.callee or None,
        found.call_status,
        found.call_status_msg,
        found.duration,
        _as_time(found.start_at),
        _as_time(found.answer_at) if found.answer_at else None,
        _as_time(found.hangup_at),
        found.hangup_cause or None,
        found.hangup_code,
        "callee" if found.hangup == CALLEE else "caller",
        found.record_file or None,
        found.extension_caller or None,
        found.extension_callee or None,
    )


class _WireId(msgspec.Struct):
    id: _Id


class _WirePage(msgspec.Struct):
    records: list[WireRecord]
    next: str | None


def _read_id(envelope: dict[str, Any]) -> int:
    return msgspec.convert(envelope.get("data"), _WireId).id


def _read_page(envelope: dict[str, Any]) -> CallRecordPage:
    page = msgspec.convert(envelope.get("data"), _WirePage)
    return CallRecordPage([as_record(found) for found in page.records], page.next)


def _read_record(envelope: dict[str, Any]) -> CallRecord:
    return as_record(msgspec.convert(envelope.get("data"), WireRecord))


def _seconds(name: str, moment: datetime) -> int:
    return (aware(name, moment) - _EPOCH) // timedelta(seconds=1)


def _optional_seconds(name: str, moment: datetime | None) -> int | None:
    return None if moment is None else _seconds(name, moment)


def _as_time(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def _sent(body: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in body.items() if value is not None}
