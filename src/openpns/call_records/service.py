"""The rule of reportCall: the record of a call, stored once.

Source: docs/api/reportCall.md; docs/decisions/0048-records-of-calls.md.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

from openpns.call_records.causes import result_of
from openpns.call_records.parties import Question, find_parties
from openpns.call_records.reports import Report, is_same_phone, make_report
from openpns.call_records.rows import columns_of, new_record
from openpns.call_records.wire import Reported
from openpns.core import usage
from openpns.core.commit import Effect, commit
from openpns.core.context import Context, Services
from openpns.core.outbox import Event
from openpns.core.usage import Usage
from openpns.errors import ClientTokenReused, InternalError, ServiceUnavailable, WireError
from openpns.ids import SNOWFLAKE_EPOCH_MS, worker_of
from openpns.phones import mask_phone
from openpns.storage.store import Statement, Transaction, as_struct

EVENT: Final = "callRecord"
"""The kind of the event of a record."""

EARLY_MS: Final = 3000
"""How long after its question a call may be reported before the question's trace is stored."""

_LOOK_EACH_MS: Final = 250

StoreTraces: TypeAlias = Callable[[Services], Awaitable[None]]
"""Stores the traces of questions that this process still has in memory."""


async def report_call(
    context: Context,
    *,
    call_id: str,
    start_at: int,
    hangup_at: int,
    answer_at: int | None = None,
    hangup_code: int | None = None,
    hangup_cause: str | None = None,
    hangup: int | None = None,
    record_file: str | None = None,
    caller: str | None = None,
    did: str | None = None,
    bind_id: str | None = None,
    store_traces: StoreTraces,
) -> Reported:
    """Store the record of a call, and the event for the customer's webhook; return its id.

    A report that repeats the stored one gets its id and writes nothing. The parameters are the
    fields of `wire.ReportCall`, and what stores traces, which a higher feature has.

    Raises:
        WireError: 1002, 10007, 10013, 19007 if another report of the call is stored, or 19012.
    """
    report = make_report(
        call_id=call_id,
        start_at=start_at,
        hangup_at=hangup_at,
        answer_at=answer_at,
        hangup_code=hangup_code,
        hangup_cause=hangup_cause,
        hangup=hangup,
        record_file=record_file,
        caller=caller,
        did=did,
        bind_id=bind_id,
    )
    columns: dict[str, Any] | None = None
    refuse: Callable[[], WireError] = _deleted
    found = await _look(context, report)
    if not found.is_stored:
        found.used.check_room_for_record(context.services, with_delivery=found.is_event_wanted)
        question = found.question
        try:
            if question is None:
                question = await _wait_for_question(context, report, store_traces)
            parties = await find_parties(context, report, question)
            columns = columns_of(report, parties, context.clock())
        except WireError as error:
            if not error.is_recorded:
                raise
            # Not the error itself: it and the frames that raise it would refer to each other.
            refuse = partial(type(error), error.detail)
    return await _store(context, report, columns, refuse)


async def _store(
    context: Context,
    report: Report,
    columns: dict[str, Any] | None,
    refuse: Callable[[], WireError],
) -> Reported:
    """Store a record, unless the call has one; without columns, return the stored one's id.

    Raises:
        WireError: What `refuse` makes, if there is no record; another report of the call is stored.
    """
    is_new = False
    # Here, not in the steps: SQLite's writer runs them in a thread of its own.
    event_id = "" if columns is None else context.services.ids.request_id()

    def steps() -> "Transaction[Effect[Reported]]":
        nonlocal is_new
        is_new = False
        if columns is not None:
            added = yield Statement("call_record_add", _owned(context, columns))
            if added:
                is_new = True
                worker_id = worker_of(event_id)
                counted = usage.add(context.customer_id, usage.CALL_RECORDS, 1, worker_id)
                return _effect(event_id, added[0][0], columns, counted)
        found = yield Statement("call_record_report_find", _key(context, report))
        if found:
            return _repeated(report, as_struct(_Stored, found[0]))
        raise refuse()

    made = await commit(
        context,
        "reportCall",
        steps,
        scope=None,
        payload=report.payload(),
        result=Reported,
        resources=() if columns is None else (report.call_id,),
    )
    if is_new:
        result = result_of(report.cause, is_answered=bool(report.answer_s))
        context.services.count(result, 1)
    return made


def _deleted() -> WireError:
    """Return the error of a report whose record has been deleted since it was found."""
    return ServiceUnavailable("the record was deleted meanwhile; send it again")


class _Stored(msgspec.Struct, frozen=True):
    """A row of call_record_report_find."""

    record_id: int
    body_digest: str
    caller: str
    did: str
    bind_id: str

    def __repr__(self) -> str:  # without the phones
        return f"_Stored({self.record_id!r})"


def _key(context: Context, report: Report) -> dict[str, Any]:
    return {"customer_id": context.customer_id, "call_id": report.call_id}


def _owned(context: Context, columns: dict[str, Any]) -> dict[str, Any]:
    return {"customer_id": context.customer_id} | columns


def _effect(
    event_id: str, record_id: int, columns: dict[str, Any], counted: Statement
) -> Effect[Reported]:
    """Return what a new record changes, with the event for the webhook."""
    body = msgspec.json.encode(new_record(record_id, columns))
    event = Event(event_id, EVENT, body)
    details = {"number": mask_phone(columns["did"]), "status": columns["call_status"]}
    return Effect(Reported(record_id), columns["call_id"], details, last=[counted], events=[event])


def _repeated(report: Report, stored: _Stored) -> Effect[Reported]:
    """Return the result of a report that says the same as the stored one.

    Raises:
        ClientTokenReused: It says something else.
    """
    is_same = (
        report.body_digest() == stored.body_digest
        and report.did in ("", stored.did)
        and report.bind_id in ("", stored.bind_id)
        and (not report.caller or is_same_phone(report.caller, stored.caller, stored.did))
    )
    if not is_same:
        raise ClientTokenReused(
            "another report of this callId is stored; getCallRecord shows it, and it does not "
            "change"
        )
    return Effect(Reported(stored.record_id), report.call_id, {}, is_change=False)


async def _wait_for_question(
    context: Context, report: Report, store_traces: StoreTraces
) -> Question | None:
    """Return what was asked and answered for a call; None if that is not known.

    The traces of questions are stored about twice a second, by the worker that was asked. So those
    of this process are stored first, and for a call that has just begun this looks again for a
    while.

    Raises:
        Overloaded: Too many reports of the customer wait already.
    """
    question = None
    if context.services.call_traces:
        await store_traces(context.services)
        question = (await _look(context, report)).question
    left_ms = _early_ms(report.call_id, context.clock())
    if question is not None or left_ms <= 0:
        return question
    waiting = context.services.early_reports
    waiting.enter(context.customer_id)
    try:
        while question is None and left_ms > 0:
            await asyncio.sleep(min(left_ms, _LOOK_EACH_MS) / 1000)
            left_ms -= _LOOK_EACH_MS
            question = (await _look(context, report)).question
    finally:
        waiting.leave(context.customer_id)
    return question


class _Found(msgspec.Struct, frozen=True):
    """What is known of a call before it is reported.

    Attributes:
        is_event_wanted: Whether the customer's webhook gets the records.
        question: None if it is not stored.
    """

    is_stored: bool
    is_event_wanted: bool
    used: Usage
    question: Question | None

    def __repr__(self) -> str:  # without the phones
        return f"_Found(is_stored={self.is_stored})"


async def _look(context: Context, report: Report) -> _Found:
    """Return whether the call has a record, the usage, and the question if that is stored."""
    params = _key(context, report) | {"kind": EVENT}
    rows = await context.store.fetch("call_question_find", params)
    if not rows:
        raise InternalError  # the customer has no state
    is_stored, is_event_wanted = rows[0][:2]
    used = as_struct(Usage, rows[0][2:6])
    columns = rows[0][6:]
    question = None if columns[0] is None else as_struct(Question, columns)
    return _Found(bool(is_stored), bool(is_event_wanted), used, question)


def _early_ms(call_id: str, now_ms: int) -> int:
    """Return for how long the trace of a call may still be missing; 0 or less if it may not.

    A callId from the future, by more than what clocks differ, is none of ours.
    """
    age_ms = now_ms - ((int(call_id) >> 22) + SNOWFLAKE_EPOCH_MS)
    return min(EARLY_MS, EARLY_MS - age_ms) if age_ms > -EARLY_MS else 0
