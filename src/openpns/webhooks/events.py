"""The events, typed, and how a body is read.

The bodies have no field for their kind. Their shape tells it:

- an object with `code` and `data`: `data.action` is "queryAXB" and `code` is 10013 for a call
  without a binding; `data.action` is "test" for a test;
- an object with `callId` and `hangupAt`, and without `code`: a record of a call;
- any other object: an `UnknownEvent`, of a newer server.

Unknown fields are ignored.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, TypeVar

import msgspec

from openpns.webhooks.errors import WebhookMalformed

_CALLEE: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNBOUND: Final = 10013
_TIME_FORM: Final = "%Y-%m-%d %H:%M:%S"

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Time: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
"""In s since 1970 UTC, up to the year 9999; 0 for never."""
_Code: TypeAlias = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]

HungUpBy: TypeAlias = Literal["caller", "callee"]
"""Who ended a call; the platform counts as the callee."""

StructT = TypeVar("StructT")


class WebhookEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What all events have.

    Attributes:
        kind: The webhook's word for it.
        message_id: The header webhook-id: the same each time the event is sent.
        sent: When it was sent this time, in UTC.
    """

    kind: ClassVar[str]
    message_id: str
    sent: datetime

    def __repr__(self) -> str:  # without the phones
        return f"{type(self).__name__}(message_id={self.message_id!r})"


class CallRecord(WebhookEvent, frozen=True, kw_only=True):
    """A call that has ended; the names are those of `openpns.Client.call_records`.

    Attributes:
        id: Below 2^53, and never that of another call; the same each time the record is sent.
        bind_id: None if nobody was to be called, as `callee`.
        customer_bind_id: Your own id of the binding; None for none.
        did: The virtual number.
        caller: As the binding names the phone, else as the question had it.
        status: 0 unknown, 1 answered, 2 not answered.
        status_text: The same in words, and whether the platform ended it.
        duration_s: Seconds from the answer to the end; 0 if there was no answer.
        start: In UTC, as the other times; None if the sender does not know it.
        answer: None if nobody answered.
        hangup_cause: Such as "NORMAL_CLEARING"; None if it is not known.
        hangup_code: The switch's number of the cause; 0 if not known.
        record_file: The URL of the recording; None if there is none.
        extension_caller: The digits, if A dialled them.
        extension_callee: The digits, if somebody else dialled them.
    """

    kind: ClassVar[str] = "callRecord"
    id: int
    call_id: str
    bind_id: str | None
    customer_bind_id: str | None
    business_id: str
    did: str
    caller: str
    callee: str | None
    status: int
    status_text: str
    duration_s: int
    start: datetime | None
    answer: datetime | None
    hangup: datetime | None
    hangup_cause: str | None
    hangup_code: int
    hung_up_by: HungUpBy
    record_file: str | None
    extension_caller: str | None
    extension_callee: str | None

    def __repr__(self) -> str:
        return f"CallRecord(message_id={self.message_id!r}, call_id={self.call_id!r})"


class UnboundCall(WebhookEvent, frozen=True, kw_only=True):
    """A call to a virtual number on which the caller has no binding.

    Attributes:
        request_id: That of the switch's request.
        did: The virtual number.
        extension: The digits that were dialled; None for none.
        occurred: When it was, in UTC.
    """

    kind: ClassVar[str] = "unboundCall"
    request_id: str
    caller: str
    did: str
    extension: str | None
    occurred: datetime

    def __repr__(self) -> str:
        return f"UnboundCall(message_id={self.message_id!r}, request_id={self.request_id!r})"


class TestEvent(WebhookEvent, frozen=True, kw_only=True):
    """A test of the operator; there is nothing to do but to accept it."""

    kind: ClassVar[str] = "test"
    __test__: ClassVar[bool] = False  # for pytest
    request_id: str


class UnknownEvent(WebhookEvent, frozen=True, kw_only=True):
    """An event of a kind that this version does not know; `data` is its body."""

    kind: ClassVar[str] = "unknown"
    data: dict[str, Any]


Event: TypeAlias = CallRecord | UnboundCall | TestEvent | UnknownEvent
"""Any event."""


class _WireRecord(msgspec.Struct, frozen=True, rename="camel"):
    """A record of a call as it is sent; the only list of its fields here, in their order."""

    id: _Count
    business_id: str
    customer_bind_id: str | None
    bind_id: str | None
    call_id: str
    did: str
    caller: str
    callee: str | None
    call_status: _Code
    call_status_msg: str
    duration: _Count
    start_at: _Time
    answer_at: _Time
    hangup_at: _Time
    hangup_cause: str
    hangup_code: _Code
    hangup: _Code
    record_file: str | None = None
    extension_caller: str | None = None
    extension_callee: str | None = None


class _WireCall(msgspec.Struct, frozen=True, rename="camel"):
    caller: str
    did: str
    extension: str | None = None


class _WireUnboundData(msgspec.Struct, frozen=True, rename="camel"):
    request_params: _WireCall
    occurrence_time: str


class _WireUnbound(msgspec.Struct, frozen=True, rename="camel"):
    request_id: str
    data: _WireUnboundData


class _WireTest(msgspec.Struct, frozen=True, rename="camel"):
    request_id: str


CALL_RECORD_FIELDS: Final = tuple(
    field.encode_name for field in msgspec.structs.fields(_WireRecord)
)
"""The fields of a record as it is sent."""


def read_event(body: bytes, message_id: str, sent: datetime, time_zone: tzinfo) -> Event:
    """Return the event of a verified body.

    Args:
        time_zone: Of an unbound call's time, which names none.

    Raises:
        WebhookMalformed: The body is not a JSON object, or an event of a known kind lacks a field
            or has one of another type. It must not be dropped as an unknown kind would be.
    """
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = None
    if found is None:
        raise WebhookMalformed("the body is not an event; allowed is a JSON object")
    head: dict[str, Any] = {"message_id": message_id, "sent": sent}
    match _kind(found):
        case CallRecord.kind:
            return _record(_convert(found, _WireRecord), head)
        case UnboundCall.kind:
            return _unbound(_convert(found, _WireUnbound), head, time_zone)
        case TestEvent.kind:
            return TestEvent(request_id=_convert(found, _WireTest).request_id, **head)
        case _:
            return UnknownEvent(data=found, **head)


def _kind(body: dict[str, Any]) -> str:
    data = body.get("data")
    if "code" not in body:
        is_record = "callId" in body and "hangupAt" in body
        return CallRecord.kind if is_record else UnknownEvent.kind
    action = data.get("action") if isinstance(data, dict) else None
    if action == "queryAXB" and body["code"] == _UNBOUND:
        return UnboundCall.kind
    return TestEvent.kind if action == "test" else UnknownEvent.kind


def _convert(body: dict[str, Any], kind: type[StructT]) -> StructT:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        problem = str(error)  # names the field and the types, never the value
    raise WebhookMalformed(f"the body is not an event of its kind: {problem}")


def _record(found: _WireRecord, head: dict[str, Any]) -> CallRecord:
    return CallRecord(
        id=found.id,
        call_id=found.call_id,
        bind_id=found.bind_id or None,
        customer_bind_id=found.customer_bind_id or None,
        business_id=found.business_id,
        did=found.did,
        caller=found.caller,
        callee=found.callee or None,
        status=found.call_status,
        status_text=found.call_status_msg,
        duration_s=found.duration,
        start=_moment(found.start_at),
        answer=_moment(found.answer_at),
        hangup=_moment(found.hangup_at),
        hangup_cause=found.hangup_cause or None,
        hangup_code=found.hangup_code,
        hung_up_by="callee" if found.hangup == _CALLEE else "caller",
        record_file=found.record_file or None,
        extension_caller=found.extension_caller or None,
        extension_callee=found.extension_callee or None,
        **head,
    )


def _unbound(found: _WireUnbound, head: dict[str, Any], time_zone: tzinfo) -> UnboundCall:
    call = found.data.request_params
    return UnboundCall(
        request_id=found.request_id,
        caller=call.caller,
        did=call.did,
        extension=call.extension or None,
        occurred=_local_moment(found.data.occurrence_time, time_zone),
        **head,
    )


def _moment(seconds: int) -> datetime | None:
    return _EPOCH + timedelta(seconds=seconds) if seconds else None


def _local_moment(text: str, time_zone: tzinfo) -> datetime:
    try:
        local = datetime.strptime(text, _TIME_FORM).replace(tzinfo=time_zone)
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise WebhookMalformed(
        "the body is not an event of its kind: data.occurrenceTime is not YYYY-MM-DD hh:mm:ss"
    )
