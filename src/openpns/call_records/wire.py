"""The call record actions on the wire: a struct for each request and each response."""

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from openpns import limits
from openpns.errors import LimitOutOfRange
from openpns.protocol.fields import RequestBody, WriteBody, integer, text

UNKNOWN: Final = 0
ANSWERED: Final = 1
UNANSWERED: Final = 2
"""The values of `callStatus`."""

CALLER: Final = 0
CALLEE: Final = 1
"""The values of `hangup`; the platform counts as the callee."""

_CallId: TypeAlias = Annotated[
    str,
    text("The `callId` of the call's last queryAXB.", allowed="1 to 20 digits, as text"),
]
_BindId: TypeAlias = Annotated[str, text("Only calls of this binding.", limits.BIND_ID_CHARS_MAX)]


class ReportCall(WriteBody, frozen=True):
    """Store the record of a call that ended."""

    call_id: _CallId
    start_at: Annotated[
        int, integer("When the call began, in s since 1970 UTC.", 1, limits.TIME_S_MAX)
    ]
    hangup_at: Annotated[
        int, integer("When the call ended, in s since 1970 UTC.", 1, limits.TIME_S_MAX)
    ]
    answer_at: (
        Annotated[
            int,
            integer(
                "When the callee answered, in s since 1970 UTC; 0 or missing if nobody did.",
                0,
                limits.TIME_S_MAX,
            ),
        ]
        | None
    ) = None
    hangup_code: (
        Annotated[
            int,
            integer(
                "The switch's number of the cause. If missing, that of a known `hangupCause`, "
                "else 0.",
                0,
                limits.HANGUP_CODE_MAX,
            ),
        ]
        | None
    ) = None
    hangup_cause: (
        Annotated[
            str,
            text("Why it ended, such as `NORMAL_CLEARING`.", limits.HANGUP_CAUSE_CHARS_MAX),
        ]
        | None
    ) = None
    hangup: (
        Annotated[
            int,
            integer(
                "Who ended it: 0 the caller, 1 the callee or the platform. If missing, what "
                "`hangupCause` says, else 0.",
                CALLER,
                CALLEE,
            ),
        ]
        | None
    ) = None
    record_file: (
        Annotated[
            str,
            text(
                "The URL of the recording, http or https; empty if there is none.",
                limits.RECORD_FILE_CHARS_MAX,
            ),
        ]
        | None
    ) = None
    caller: (
        Annotated[
            str,
            text(
                "Who called. Needed only if the question of this `callId` is not known any more.",
                allowed="a phone number, as text",
            ),
        ]
        | None
    ) = None
    did: (
        Annotated[
            str,
            text(
                "The virtual number that was called; see `caller`.",
                allowed="a virtual number with country code, as text",
            ),
        ]
        | None
    ) = None
    bind_id: (
        Annotated[
            str,
            text("The binding that connected the call; see `caller`.", limits.BIND_ID_CHARS_MAX),
        ]
        | None
    ) = None


class ListCallRecords(RequestBody, frozen=True):
    """Return a page of call records, newest first."""

    limit: Annotated[
        int,
        integer(
            "How many records to return at most; 0 returns as many as a page may hold, 1000.",
            0,
            limits.CALL_RECORDS_IN_PAGE_MAX,
            LimitOutOfRange,
        ),
    ]
    after: (
        Annotated[
            str,
            text(
                "The `next` of the page before; the page starts after it. Empty or missing starts "
                "at the newest record.",
                limits.CALL_RECORD_PLACE_CHARS_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    bind_id: _BindId | UnsetType = UNSET
    did: (
        Annotated[
            str,
            text("Only calls to this virtual number.", allowed="one virtual number"),
        ]
        | UnsetType
    ) = UNSET
    phone: (
        Annotated[
            str,
            text("Only calls from or to this phone.", allowed="one phone number with country code"),
        ]
        | UnsetType
    ) = UNSET
    since: (
        Annotated[
            int,
            integer(
                "Only calls that began at this time or later, in s since 1970 UTC.",
                0,
                limits.TIME_S_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET
    until: (
        Annotated[
            int,
            integer(
                "Only calls that began before this time, in s since 1970 UTC.",
                0,
                limits.TIME_S_MAX,
            ),
        ]
        | UnsetType
    ) = UNSET


class GetCallRecord(RequestBody, frozen=True):
    """Return the record of one call."""

    call_id: _CallId


class Reported(msgspec.Struct):
    """The `data` of reportCall."""

    id: Annotated[int, text("The id of the record, below 2^53; never that of another call.")]


class CallRecord(msgspec.Struct, rename="camel"):
    """The record of a call, in responses and pushes; the order of the fields is part of the API."""

    id: Annotated[int, text("The id of the record, below 2^53; never that of another call.")]
    business_id: Annotated[str, text("The business that the virtual number belongs to.")]
    customer_bind_id: Annotated[str, text("Your own id of the binding; empty if it has none.")]
    bind_id: Annotated[str, text("The binding; empty if nobody was to be called.")]
    call_id: Annotated[str, text("The `callId` of the call's last queryAXB.")]
    did: Annotated[str, text("The virtual number that was called.")]
    caller: Annotated[
        str,
        text("Who called: as the binding names the phone, else as queryAXB was asked."),
    ]
    callee: Annotated[
        str, text("Who was called; empty for nobody, or if that is not known any more.")
    ]
    call_status: Annotated[int, text("0 unknown, 1 answered, 2 not answered.")]
    call_status_msg: Annotated[str, text("The same in words, and whether the platform ended it.")]
    duration: Annotated[int, text("Seconds from `answerAt` to `hangupAt`; 0 if not answered.")]
    start_at: Annotated[int, text("When the call began, in s since 1970 UTC.")]
    answer_at: Annotated[
        int, text("When the callee answered, in s since 1970 UTC; 0 if nobody did.")
    ]
    hangup_at: Annotated[int, text("When the call ended, in s since 1970 UTC.")]
    hangup_cause: Annotated[str, text("Why it ended, as the switch calls it; may be empty.")]
    hangup_code: Annotated[int, text("The switch's number of the cause; 0 if not known.")]
    hangup: Annotated[int, text("Who ended it: 0 the caller, 1 the callee or the platform.")]
    record_file: Annotated[str, text("The URL of the recording; empty if there is none.")]
    extension_caller: Annotated[str, text("The digits, if A dialled them; else empty.")]
    extension_callee: Annotated[str, text("The digits, if somebody else dialled them; else empty.")]

    def __repr__(self) -> str:  # without the phones and the URL
        return f"{type(self).__name__}({self.id!r}, {self.call_id!r})"


class CallRecordPage(msgspec.Struct):
    """The `data` of listCallRecords."""

    records: Annotated[list[CallRecord], text("The records of this page, newest first.")]
    next: Annotated[
        str | None,
        text(
            "The value of `after` for the next page; null on the last page. With several filters a "
            "page may hold fewer records than `limit`, also none, and have a next one."
        ),
    ]
