"""What `openpns verify` checks of call records. Memory holds one slice of rows."""

import re
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

from openpns import limits
from openpns.call_records.wire import ANSWERED, CALLEE, CALLER, UNANSWERED, UNKNOWN
from openpns.core.verify import Report
from openpns.phones import has_country_code
from openpns.storage.store import Row, Store

_ROWS_EACH: Final = 1000
_CALLER: Final = re.compile(rf"[0-9]{{1,{limits.PHONE_DIGITS_MAX}}}", re.ASCII)
_PHONE: Final = re.compile(
    rf"[1-9][0-9]{{{limits.PHONE_DIGITS_MIN - 1},{limits.PHONE_DIGITS_MAX - 1}}}", re.ASCII
)
_DIGITS: Final = re.compile(r"([0-9]{3})?", re.ASCII)


async def check_call_records(store: Store, report: Report) -> Mapping[str, int]:
    """Check that ids are unique and counted, and that phones and times fit each other."""
    count = 0
    async with aclosing(store.stream("call_record_check", {}, _ROWS_EACH)) as slices:
        async for rows in slices:
            count += len(rows)
            for row in rows:
                if fault := _find_fault(row):
                    report(f"customer {row[0]}, call record {row[1]}: {fault}")
    for record_id, records in await store.fetch("call_record_check_shared", {}):
        report(f"call record {record_id}: {records} records have this id")
    # The counter is read last: a server may store records meanwhile.
    largest = (await store.fetch("call_record_check_largest", {}))[0][0]
    last = await store.fetch("call_record_last_id", {})
    if largest is not None and (not last or last[0][0] < largest):
        report(f"call record {largest}: its id is not counted, so that another one may get it")
    return {"callRecords": count}


def _find_fault(row: Row) -> str:
    """Return what is wrong with a row of call_record_check; empty if nothing is."""
    _, record_id, _, bind_id, did, caller, callee, status, start_s, answer_s, hangup_s, *rest = row
    hangup, extension_caller, extension_callee = rest
    checks = (
        (0 < record_id < 2**53, "its id is not from 1 to 2^53 - 1"),
        (_PHONE.fullmatch(did) and has_country_code(did), "its virtual number is malformed"),
        (_CALLER.fullmatch(caller), "its caller is malformed"),
        (not callee or _PHONE.fullmatch(callee), "its callee is malformed"),
        (not callee or bind_id, "it has a callee, but no binding"),
        (0 < start_s <= hangup_s, "it ends before it begins"),
        (not answer_s or start_s <= answer_s <= hangup_s, "its answer is not during the call"),
        (
            status in ((ANSWERED,) if answer_s else (UNANSWERED, UNKNOWN)),
            "its status does not fit the time of its answer",
        ),
        (not answer_s or callee or bind_id, "it was answered by nobody"),
        (hangup in (CALLER, CALLEE), "who ended it is neither 0 nor 1"),
        (
            _DIGITS.fullmatch(extension_caller)
            and _DIGITS.fullmatch(extension_callee)
            and not (extension_caller and extension_callee),
            "its digits are malformed",
        ),
    )
    return next((fault for is_right, fault in checks if not is_right), "")
