"""A stored call record."""

from typing import Any

from openpns.call_records.causes import status_of
from openpns.call_records.parties import Parties
from openpns.call_records.reports import Report
from openpns.call_records.wire import CallRecord
from openpns.storage.store import Row, as_struct


def columns_of(report: Report, parties: Parties, now_ms: int) -> dict[str, Any]:
    """Return the columns of a new record, without its customer and its id."""
    status, words = status_of(report.cause, is_answered=bool(report.answer_s))
    return {
        "call_id": report.call_id,
        "business_id": parties.business_id,
        "customer_bind_id": parties.customer_bind_id,
        "bind_id": parties.bind_id,
        "did": parties.did,
        "caller": parties.caller,
        "callee": parties.callee,
        "call_status": status,
        "call_status_msg": words,
        "start_s": report.start_s,
        "answer_s": report.answer_s,
        "hangup_s": report.hangup_s,
        "hangup_cause": report.hangup_cause,
        "hangup_code": report.hangup_code,
        "hangup": report.hangup,
        "record_file": report.record_file,
        "extension_caller": parties.extension_caller,
        "extension_callee": parties.extension_callee,
        "created_ms": now_ms,
        "body_digest": report.body_digest(),
    }


def new_record(record_id: int, columns: dict[str, Any]) -> CallRecord:
    """Return a record that has just been stored."""
    names = (
        *("business_id", "customer_bind_id", "bind_id", "call_id", "did", "caller", "callee"),
        *("call_status", "call_status_msg", "start_s", "answer_s", "hangup_s", "hangup_cause"),
        *("hangup_code", "hangup", "record_file", "extension_caller", "extension_callee"),
    )
    return as_wire((record_id, *[columns[name] for name in names]))


def as_wire(row: Row) -> CallRecord:
    """Return a row of a list of records as the wire has it.

    Raises:
        ReadFailed: The row is damaged.
    """
    *first, start_s, answer_s, hangup_s = row[:13]
    duration = hangup_s - answer_s if answer_s else 0
    return as_struct(CallRecord, (*first, duration, start_s, answer_s, hangup_s, *row[13:]))
