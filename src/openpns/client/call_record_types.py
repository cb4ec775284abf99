"""What the methods for call records accept and return."""

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

HungUpBy: TypeAlias = Literal["caller", "callee"]
"""Who ended a call; the platform counts as the callee."""


class CallRecord(msgspec.Struct, frozen=True):
    """The record of a call; times in UTC.

    Attributes:
        id: Below 2^53, and never that of another call.
        bind_id: None if nobody was to be called, as `callee`.
        caller: As the binding names the phone, else as the question had it.
        status: 0 unknown, 1 answered, 2 not answered.
        status_text: The same in words, and whether the platform ended it.
        duration_s: Seconds from the answer to the end; 0 if there was no answer.
        answer: None if nobody answered.
        hangup_code: The switch's number of the cause; 0 if not known.
        record_file: The URL of the recording; None if there is none.
        extension_caller: The digits, if A dialled them.
        extension_callee: The digits, if somebody else dialled them.
    """

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
    start: datetime
    answer: datetime | None
    hangup: datetime
    hangup_cause: str | None
    hangup_code: int
    hung_up_by: HungUpBy
    record_file: str | None
    extension_caller: str | None
    extension_callee: str | None

    def __repr__(self) -> str:  # without the phones and the URL
        return f"{type(self).__name__}(id={self.id!r}, call_id={self.call_id!r})"


class CallRecordPage(msgspec.Struct, frozen=True):
    """A page of records, newest first; `next` is the `after` of the next page, None on the last.

    With several filters a page may hold few records, or none, and have a next one.
    """

    records: list[CallRecord]
    next: str | None


class CallRecordFilters(msgspec.Struct, frozen=True):
    """Which records to find; None matches any.

    Attributes:
        since: Only calls that began then or later.
        until: Only calls that began before.
    """

    bind_id: str | None = None
    did: str | None = None
    phone: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __repr__(self) -> str:
        return "CallRecordFilters(…)"
