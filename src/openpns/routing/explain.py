"""The rule of explainCall: who would be called, and if nobody, the nearest reason.

It reads what is stored, and changes nothing: no record of a call, no count of wrong digits.

Source: docs/api/explainCall.md.
"""

from datetime import UTC, datetime
from typing import Final

from openpns.bindings.rows import StoredBinding, digits_seat, find_statement
from openpns.core.context import Context
from openpns.numbers.wire import DISABLED
from openpns.phones import mask_phone
from openpns.routing import outcomes
from openpns.routing.service import (
    Found,
    find,
    find_digits,
    national_part,
    parse_call,
)
from openpns.routing.wire import Explanation
from openpns.storage.store import Row, as_struct

_ENDED_BY: Final = {
    "unbind": ("unbound", "was ended by unbindAXB"),
    "expiry": ("expired", "ran out"),
    "operator": ("ended", "was ended by the operator"),
}


async def explain_call(
    context: Context, *, caller: str, did: str, extension: str | None = None, at: int | None = None
) -> Explanation:
    """Return who would be called, by which binding, or the nearest reason why nobody would.

    The parameters are the fields of `wire.ExplainCall`.

    Raises:
        ParameterError: caller, did or extension is malformed.
        DidWithoutCountry: did begins with no assigned country code.
    """
    number, did, extension = parse_call(caller, did, extension)
    now_ms = context.clock() if at is None else at * 1000
    explained = await _explain(context, number, did, extension, now_ms)
    return explained if at is None else await _with_beginning(context, explained, now_ms)


async def _with_beginning(context: Context, explained: Explanation, at_ms: int) -> Explanation:
    """Correct an explanation by a binding that was made after the time that is asked for."""
    if not explained.bind_id:
        return explained
    found = find_statement(context, explained.bind_id, None)
    for row in await context.store.fetch(found.name, found.params):
        made_ms = as_struct(StoredBinding, row).created_ms
        if made_ms > at_ms:
            return Explanation(
                "", explained.bind_id, "notYet", f"the binding was made at {_as_text(made_ms)}"
            )
    return explained


async def _explain(
    context: Context, number: str, did: str, extension: str, now_ms: int
) -> Explanation:
    stored = await context.store.fetch(
        "call_explain_number", {"customer_id": context.customer_id, "did": did}
    )
    if not stored:
        return _nobody("unknownNumber", "the virtual number is not one of yours")
    state, country, held_ms = stored[0]
    if held_ms is not None:
        return _nobody(
            "held",
            "no call is connected since a backup was restored, until the operator confirms the "
            "bindings",
        )
    if state == DISABLED:
        return _nobody("disabledNumber", "the virtual number is disabled")
    if extension:
        return await _explain_digits(context, number, did, extension, now_ms)
    found = await find(context, number, did, now_ms)
    explained = _explain_matches(found)
    if explained is None and found.has_digits:
        explained = _nobody(outcomes.DIGITS, "the caller is asked for digits")
    return explained or await _explain_absence(context, number, did, country, now_ms)


def _explain_matches(found: Found) -> Explanation | None:
    """Explain by the bindings that name the caller; None if none does."""
    outcome, match = found.decide()
    if outcome == outcomes.AMBIGUOUS:
        return _nobody(
            outcome, "the caller, with and without the country code, is named by different bindings"
        )
    if match is None:
        return None
    if match.calls_own:
        return _own_number(match.bind_id)
    if match.callee:
        what = "is a member of its group" if match.found == "member" else "is named by it"
        return Explanation(match.callee, match.bind_id, match.kind, f"the caller {what}")
    if match.phone_b:
        return Explanation(
            "",
            match.bind_id,
            outcomes.NOT_MEMBER,
            "phoneB is not a number of the group any more",
        )
    return _no_phone_b(match.bind_id)


async def _explain_digits(
    context: Context, caller: str, did: str, extension: str, now_ms: int
) -> Explanation:
    found = await find_digits(context, caller, did, extension, now_ms)
    if found.is_paused:
        return _nobody(outcomes.PAUSED, "after many wrong digits, digits are paused for the caller")
    if found.bind_id:
        if not found.phone:
            return _no_phone_b(found.bind_id)
        if found.is_own:
            return _own_number(found.bind_id)
        what = "A calls with the digits" if found.is_a else "the digits name A"
        return Explanation(found.callee, found.bind_id, "extension", what)
    seat = digits_seat(extension)
    ended = await _find_ended(context, seat, seat, did, now_ms)
    return ended or _nobody(
        outcomes.WRONG_DIGITS, "no binding on the virtual number has these digits"
    )


async def _explain_absence(
    context: Context, caller: str, did: str, country: str, now_ms: int
) -> Explanation:
    abroad = country + national_part(caller)
    ended = await _find_ended(context, caller, abroad, did, now_ms)
    if ended is not None:
        return ended
    phones = {"caller": caller, "caller_abroad": abroad}
    params = {"customer_id": context.customer_id, "now_ms": now_ms, **phones}
    others = await context.store.fetch("call_explain_elsewhere", params)
    if others:
        names = ", ".join(mask_phone(row[0]) for row in others)
        return _nobody("otherNumber", f"a live binding names the caller on {names}, not on this")
    return _nobody(outcomes.NOT_BOUND, "no binding names the caller on this virtual number")


async def _find_ended(
    context: Context, caller: str, abroad: str, did: str, now_ms: int
) -> Explanation | None:
    params = {
        "customer_id": context.customer_id,
        "did": did,
        "caller": caller,
        "caller_abroad": abroad,
        "now_ms": now_ms,
    }
    rows = await context.store.fetch("call_explain_ended", params)
    return _as_ended(rows[0], now_ms) if rows else None


def _as_ended(row: Row, now_ms: int) -> Explanation:
    bind_id, ended_ms, ended_by = row
    reason, what = _ENDED_BY[ended_by]
    ended = f"the binding {what} at {_as_text(ended_ms)}"
    if ended_ms > now_ms:  # which is a time in the past
        return Explanation("", bind_id, "ended", f"{ended}; at this time it may have lived")
    return Explanation("", bind_id, reason, ended)


def _as_text(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _no_phone_b(bind_id: str) -> Explanation:
    return Explanation("", bind_id, outcomes.NO_PHONE_B, "A calls, and the binding has no phoneB")


def _own_number(bind_id: str) -> Explanation:
    what = "the binding names one of your own virtual numbers, which is not called"
    return Explanation("", bind_id, outcomes.OWN_NUMBER, what)


def _nobody(reason: str, details: str) -> Explanation:
    return Explanation("", "", reason, details)
