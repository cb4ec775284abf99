"""The rules of listCallRecords and getCallRecord, and the bounds on call records for getLimits.

Source: docs/api/listCallRecords.md, docs/api/getCallRecord.md.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from openpns import limits
from openpns.accounts.wire import Limit
from openpns.call_records.reports import check_call_id
from openpns.call_records.rows import as_wire
from openpns.call_records.wire import CallRecord, CallRecordPage
from openpns.core import usage
from openpns.core.context import Context
from openpns.errors import NotFound, ParameterError
from openpns.numbers.service import parse_did
from openpns.phones import parse_phone

EXAMINED_MAX: Final = 2000
"""Records that a page with several filters looks at; the next page goes on after them."""

_LIST: Final = "call_record_list"
_PLACE: Final = re.compile(r"([0-9]{1,12})-([0-9]{1,16})", re.ASCII)
_END_S: Final = limits.TIME_S_MAX + 1
_COLUMNS: Final = """
    record_id, business_id, customer_bind_id, bind_id, call_id, did, caller, callee, call_status,
    call_status_msg, start_s, answer_s, hangup_s, hangup_cause, hangup_code, hangup, record_file,
    extension_caller, extension_callee
"""


def _some(condition: str) -> str:
    """Return the SQL that reads some records newest first, by the index of a condition."""
    return f"""
    SELECT * FROM (
        SELECT {_COLUMNS} FROM call_record AS i
        WHERE i.customer_id = :customer_id AND {condition}
            AND i.start_s >= CAST(:since AS bigint)
            AND (i.start_s, i.record_id) < (
                CAST(:before_s AS bigint), CAST(:before_id AS bigint)
            )
        ORDER BY i.start_s DESC, i.record_id DESC LIMIT CAST(:examined_max AS bigint)
    ) AS part"""  # noqa: S608 - ours


_CALLER: Final = "i.caller = CAST(:phone AS text)"
_CALLEE: Final = "i.callee = CAST(:phone AS text) AND i.callee <> ''"
SOURCES: Final = {
    "all": {"source": _some("true")},
    "binding": {"source": _some("i.bind_id = CAST(:bind_id AS text) AND i.bind_id <> ''")},
    "did": {"source": _some("i.did = CAST(:did AS text)")},
    "phone": {
        "source": f"""
    SELECT * FROM ({_some(_CALLER)} UNION ALL {_some(_CALLEE)}) AS merged
    ORDER BY start_s DESC, record_id DESC LIMIT CAST(:examined_max AS bigint)"""  # noqa: S608
    },
}
"""For each filter, how the records that it finds are read; the others choose among these."""


async def list_call_records(
    context: Context,
    *,
    limit: int,
    after: str | None = None,
    bind_id: str | None = None,
    did: str | None = None,
    phone: str | None = None,
    since: int | None = None,
    until: int | None = None,
) -> CallRecordPage:
    """Return a page of the customer's call records, newest first.

    The parameters are the fields of `wire.ListCallRecords`.

    Raises:
        ParameterError: A phone or `after` is malformed.
        DidWithoutCountry: did begins with no assigned country code.
    """
    limit = limit or limits.CALL_RECORDS_IN_PAGE_MAX
    before_s, before_id = _parse_place(after)
    if until is not None and until <= before_s:
        before_s, before_id = until, 0
    did = None if did is None else parse_did(did, "did")
    phone = None if phone is None else parse_phone(phone, "phone")
    sent = [
        name
        for name, value in (("phone", phone), ("binding", bind_id), ("did", did))
        if value is not None
    ]
    # One more shows whether there is a next page.
    examined_max = limit + 1 if len(sent) < 2 else max(EXAMINED_MAX, limit + 1)  # noqa: PLR2004
    params: dict[str, Any] = {
        "customer_id": context.customer_id,
        "bind_id": bind_id,
        "did": did,
        "phone": phone,
        "since": since or 0,
        "before_s": before_s,
        "before_id": before_id,
        "limit": limit + 1,
        "examined_max": examined_max,
    }
    name = f"{_LIST}:{sent[0] if sent else 'all'}"
    async with context.read_turn(limit):
        rows = await context.store.fetch(name, params)
    found = [as_wire(row[3:]) for row in rows if row[3] is not None]
    page = found[:limit]
    examined, last_s, last_id = rows[0][:3]
    following = None
    if len(found) > limit:
        following = _place(page[-1].start_at, page[-1].id)
    elif examined == examined_max:
        following = _place(last_s, last_id)
    return CallRecordPage(page, following)


async def get_call_record(context: Context, *, call_id: str) -> CallRecord:
    """Return the record of a call.

    Raises:
        ParameterError: call_id is malformed.
        NotFound: The customer has no record of this call.
    """
    check_call_id(call_id)
    params = {"customer_id": context.customer_id, "call_id": call_id}
    rows = await context.store.fetch("call_record_find", params)
    if not rows:
        raise NotFound("no record of a call has this callId; it may not be reported yet")
    return as_wire(rows[0])


async def call_record_limits(context: Context) -> Sequence[Limit]:
    """Return the bounds on call records and deliveries, and how many the customer has."""
    used = await usage.get(context)
    services = context.services
    return [
        Limit("callRecords", used.call_records_max(services), max(used.call_records, 0)),
        Limit("deliveries", used.deliveries_max(services), max(used.deliveries, 0)),
        Limit("callRecordsInPage", limits.CALL_RECORDS_IN_PAGE_MAX),
        Limit("hangupCauseChars", limits.HANGUP_CAUSE_CHARS_MAX),
        Limit("recordFileChars", limits.RECORD_FILE_CHARS_MAX),
    ]


def _place(start_s: int, record_id: int) -> str:
    return f"{start_s}-{record_id}"


def _parse_place(after: str | None) -> tuple[int, int]:
    """Return the place that a page starts after; that of the newest record for none.

    Raises:
        ParameterError: It is not one that a page has returned.
    """
    if not after:
        return _END_S, 0
    match = _PLACE.fullmatch(after)
    if match is None:
        raise ParameterError("after must be the next of a page, or empty")
    return int(match[1]), int(match[2])
